// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { isArtifact } from "../../static/js/artifacts.js";
import { Timeline, precedes } from "../../static/js/conversation/timeline.js";
import { inWords, standingOf } from "../../static/js/conversation/tool_call.js";
import { cost, spent } from "../../static/js/ui/format.js";

const call = (id, timestamp) => ({ call_id: id, timestamp });
const chart = (id, timestamp) => ({ chart_id: id, timestamp });

test("calls and charts stand in the order in which they came, and a list that did not change is the same one", () => {
  const timeline = new Timeline();
  const state = { tool_calls: [call("a", "1"), call("b", "3")], charts: [chart("c", "2"), chart("d", "3")] };
  const found = timeline.of(state);
  assert.deepEqual(found.map(({ key }) => key), ["call a", "chart c", "call b", "chart d"]);
  assert.equal(timeline.of({ ...state, messages: [] }), found);
  assert.notEqual(timeline.of({ ...state, charts: [] }), found);
});

test("of one millisecond, a call led to the agent's words, and followed from a person's or a thought", () => {
  const at = (timestamp, role, kind) => ({ timestamp, role, kind });
  const happening = { timestamp: "2" };
  assert.equal(precedes(happening, at("3", "agent", "message")), true);
  assert.equal(precedes(happening, at("1", "agent", "message")), false);
  assert.equal(precedes(happening, at("2", "agent", "message")), true);
  assert.equal(precedes(happening, at("2", "agent", "thought")), false);
  assert.equal(precedes(happening, at("2", "user", "message")), false);
});

test("a call without an answer runs while its run does", () => {
  assert.equal(standingOf({ success: null }, false), "running");
  assert.equal(standingOf({ success: null }, true), "unanswered");
  assert.equal(standingOf({ success: true }, true), "ok");
  assert.equal(standingOf({ success: false }, false), "failed");
  assert.equal(inWords("failed", { code: "failed" }), "failed");
  assert.equal(inWords("failed", { code: "timeout" }), "timed out");
  assert.equal(inWords("failed", { code: "of a later server" }), "failed");
  assert.equal(inWords("ok", { code: null }), "done");
});

test("costs are told as far as they are known", () => {
  const usage = { prompt_tokens: 1000, completion_tokens: 234, estimated: false };
  assert.equal(cost({ ...usage, cost_usd: 0.001234 }), "$0.0012");
  assert.equal(cost({ ...usage, cost_usd: 1.234 }), "$1.23");
  assert.equal(cost({ ...usage, cost_usd: 0 }), "$0.00");
  assert.equal(cost({ ...usage, cost_usd: null }), "");
  assert.equal(spent({ ...usage, estimated: true, cost_usd: 0.25 }), "≈ 1,234 tokens · ≈ $0.25");
});

test("only an artifact of this server is a chart's address", () => {
  assert.equal(isArtifact("/api/conversations/a-b_c/artifacts/00ff"), true);
  for (const url of ["https://evil.example/api/conversations/a/artifacts/b", "//evil.example/x", "/api/conversations/../artifacts/b", "/api/conversations/a/artifacts/..", "/api/conversations/a/artifacts/b?x", "/api/conversations/%2e%2e/artifacts/b", "javascript:alert(1)", null]) {
    assert.equal(isArtifact(url), false, String(url));
  }
});
