import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { EVENTS, perFrame } from "../../static/js/colloquy.js";
import { script } from "./events.js";
import { closeAll, joinedAt, snapshotOf } from "./stage.js";

afterEach(closeAll);

/** Animation frames that the test draws. */
function frames(t) {
  const asked = new Map();
  let last = 0;
  globalThis.requestAnimationFrame = (task) => (asked.set(++last, task), last);
  globalThis.cancelAnimationFrame = (id) => asked.delete(id);
  t.after(() => {
    delete globalThis.requestAnimationFrame;
    delete globalThis.cancelAnimationFrame;
  });
  return { draw: () => [...asked].forEach(([id, task]) => asked.delete(id) && task()), asked };
}

test("a task runs once per frame, however often it is asked for", (t) => {
  const { draw } = frames(t);
  let drawn = 0;
  const ask = perFrame(() => (drawn += 1));
  ask();
  ask();
  assert.equal(drawn, 0);
  draw();
  draw();
  assert.equal(drawn, 1);
  ask();
  draw();
  assert.equal(drawn, 2);
});

test("where the frames have stopped, it runs all the same, and not a second time when they come back", (t) => {
  const { draw } = frames(t);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let drawn = 0;
  const ask = perFrame(() => (drawn += 1));
  ask();
  t.mock.timers.tick(1000);
  assert.equal(drawn, 1);
  draw();
  assert.equal(drawn, 1);
});

test("a stream draws once for many events, and says what has changed", async (t) => {
  const { draw } = frames(t);
  const events = script();
  const { stream, say } = await joinedAt(events.slice(0, 6));
  const drawn = [];
  stream.onRender = (state, changes) => drawn.push({ state, ...changes });
  say(...events.slice(6, 9));
  assert.equal(drawn.length, 0);
  draw();
  assert.equal(drawn.length, 1);
  assert.deepEqual(drawn[0].state, snapshotOf(events.slice(0, 9)));
  assert.deepEqual([...drawn[0].messages], ["m1"]);
  assert.deepEqual([...drawn[0].events], [EVENTS.MESSAGE_DELTA, EVENTS.AGENT_MESSAGE]);
  assert.equal(drawn[0].whole, true); // the first drawing
  draw();
  assert.equal(drawn.length, 1);
  say(events[9]);
  draw();
  assert.deepEqual([...drawn[1].messages], []);
  assert.equal(drawn[1].whole, false);
});
