// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { Listing } from "../../static/js/conversation/listing.js";

const row = (id, at) => ({ conversation_id: id, updated_at: at, status: "completed" });
const ids = (listing) => listing.rows.map((each) => each.conversation_id);

/** A listing whose questions are answered one by one. */
function stage() {
  const asked = [];
  const ask = (wishes) => new Promise((resolve, reject) => asked.push({ wishes, resolve, reject }));
  return { asked, listing: new Listing(ask, () => {}) };
}

test("a refresh keeps the pages behind the first, and drops what is gone from it", async () => {
  const { asked, listing } = stage();
  let done = listing.refresh();
  asked[0].resolve({ conversations: [row("a", "5"), row("b", "4")], total: 4, next_cursor: "x" });
  await done;
  done = listing.more();
  assert.equal(asked[1].wishes.cursor, "x");
  asked[1].resolve({ conversations: [row("c", "3"), row("d", "2")], total: 4, next_cursor: null });
  await done;
  assert.deepEqual([ids(listing), listing.hasMore], [["a", "b", "c", "d"], false]);
  done = listing.refresh();
  asked[2].resolve({ conversations: [row("d", "6"), row("b", "4")], total: 3, next_cursor: "y" });
  await done;
  assert.deepEqual([ids(listing), listing.hasMore], [["d", "b", "c"], false]); // "a" would have had a place on the page
});

test("the answer to an earlier wish is not shown; a failed refresh leaves what is known", async () => {
  const { asked, listing } = stage();
  const first = listing.turnTo({ search: "w" });
  const second = listing.turnTo({ search: "wh" });
  asked[1].resolve({ conversations: [row("b", "4")], total: 1, next_cursor: null });
  asked[0].resolve({ conversations: [row("a", "5")], total: 1, next_cursor: null });
  await Promise.all([first, second]);
  assert.deepEqual([ids(listing), listing.loading], [["b"], false]);
  const third = listing.refresh();
  asked[2].reject(new Error("the store does not answer"));
  await third;
  assert.deepEqual([ids(listing), listing.error.message], [["b"], "the store does not answer"]);
});
