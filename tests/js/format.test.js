// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { doing, legible, repeatsItself } from "../../static/js/ui/format.js";

test("what goes on begins with a capital, an agent's name as it is", () => {
  const agents = [{ name: "lookup" }];
  assert.equal(doing("making a plan.", agents), "Making a plan…");
  assert.equal(doing("lookup waits for quote", agents), "lookup waits for quote…");
  assert.equal(doing("lookups wait", agents), "Lookups wait…");
});

test("JSON is a block of code, also while it grows; what only looks like it is Markdown", () => {
  assert.equal(legible('{"price":1.5,"tags":[]}', false), '```json\n{\n  "price": 1.5,\n  "tags": []\n}\n```');
  assert.equal(legible("[1,2]", false), "```json\n[\n  1,\n  2\n]\n```");
  assert.equal(legible('{"pri', true), '```json\n{"pri');
  for (const text of ['{"pri', "[a link](https://example.org)", "[1] Smith, 2001", "{braces}", "", "1. one"]) assert.equal(legible(text, false), text);
});

test("an orchestrator's answer is not shown twice", () => {
  const said = (content, kind = "message") => ({ role: "agent", kind, content });
  assert.ok(repeatsItself({ outcome: { summary: "It is 1." }, messages: [said("It is 1.\n"), said("so far", "ledger")] }));
  assert.ok(!repeatsItself({ outcome: { summary: "It is 1." }, messages: [said("It is 1."), said("No, 2.")] }));
  assert.ok(!repeatsItself({ outcome: { summary: null }, messages: [] }));
  assert.ok(!repeatsItself({ outcome: null, messages: [] }));
});
