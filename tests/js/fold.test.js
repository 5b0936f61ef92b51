import assert from "node:assert/strict";
import { test } from "node:test";

import { emptySnapshot, fold } from "../../static/js/fold.js";
import { STATUS } from "../../static/js/protocol.js";
import { ID, log, script } from "./events.js";

const run = (events, state = emptySnapshot(ID), bounds) => events.reduce((so, event) => fold(so, event, bounds), state);

test("a whole conversation folds to what a snapshot says", () => {
  const state = run(script());
  assert.equal(state.status, STATUS.COMPLETED);
  assert.equal(state.offset, 23);
  assert.equal(state.epoch, "e1");
  assert.equal(state.model, "small");
  assert.equal(state.demo, true);
  assert.equal(state.speaking, null);
  assert.deepEqual(state.outcome, { consensus: "Hold.", summary: null, reason: null });
  assert.deepEqual(state.usage, { prompt_tokens: 5, completion_tokens: 7, estimated: false, cost_usd: null });
  assert.deepEqual(state.messages.map((m) => [m.message_id, m.role, m.content, m.state]), [
    ["m0", "user", "What now?", "complete"],
    ["m1", "agent", "Hello", "complete"],
    ["m3", "agent", "No way", "partial"],
  ]);
  assert.equal(state.messages[1].confidence, 0.7);
  assert.deepEqual(state.fallback, { mode: "demo", reason: "backend_unavailable", from: null, to: null });
});

test("a snapshot at any point and the events after it give the same state", () => {
  const events = script();
  const whole = run(events);
  for (let cut = 0; cut <= events.length; cut += 1) {
    const snapshot = JSON.parse(JSON.stringify(run(events.slice(0, cut))));
    assert.deepEqual(run(events.slice(cut), snapshot), whole, `cut at ${cut}`);
  }
});

test("no argument is changed", () => {
  const deepFrozen = (value) => {
    if (value && typeof value === "object") Object.values(Object.freeze(value)).forEach(deepFrozen);
    return value;
  };
  script().reduce((state, event) => deepFrozen(fold(state, deepFrozen(event))), deepFrozen(emptySnapshot(ID)));
});

test("the demo sticks to its session only, and usage adds up over sessions", () => {
  const on = log();
  const usage = { prompt_tokens: 1, completion_tokens: 2, estimated: true };
  const state = run([
    on.status(STATUS.INITIALIZING), on.fallback(), on.status(STATUS.STOPPED, { usage }),
    on.status(STATUS.INITIALIZING), on.status(STATUS.STOPPED, { usage }),
  ]);
  assert.equal(state.demo, false);
  assert.equal(state.fallback, null);
  assert.deepEqual(state.usage, { prompt_tokens: 2, completion_tokens: 4, estimated: true, cost_usd: null });
});

test("a switch of providers changes the model's label and is no demo", () => {
  const on = log();
  const state = run([on.status(STATUS.INITIALIZING, { model: "a" }), on.fallback({ mode: "provider", from: "a", to: "b" })]);
  assert.equal(state.model, "b");
  assert.equal(state.demo, false);
});

test("an unknown event only moves the offset", () => {
  const before = run(script().slice(0, 5));
  const after = fold(before, log({ offset: before.offset }).unknown());
  assert.deepEqual({ ...after, offset: 0 }, { ...before, offset: 0 });
  assert.equal(after.offset, before.offset + 1);
});

test("older messages are counted, never one that is still open", () => {
  const on = log();
  const bounds = { maxMessages: 2 };
  let state = run([1, 2, 3, 4].map((n) => on.message(`m${n}`, "A", "x")), undefined, bounds);
  assert.deepEqual(state.messages.map((m) => m.message_id), ["m3", "m4"]);
  assert.equal(state.omitted_messages, 2);
  state = run([on.start("open", "A"), on.message("m6", "A", "x"), on.message("m7", "A", "x")], state, bounds);
  assert.deepEqual(state.messages.map((m) => m.message_id), ["open", "m7"]);
  assert.equal(state.omitted_messages, 5);
});

test("of a long conversation the newest finished message is kept, however long", () => {
  const on = log();
  const bounds = { maxChars: 10 };
  const state = run([on.message("m1", "A", "12345"), on.message("m2", "A", "12345"), on.message("m3", "A", "1")], undefined, bounds);
  assert.deepEqual(state.messages.map((m) => m.message_id), ["m2", "m3"]);
  const long = run([on.message("m4", "A", "x".repeat(20))], state, bounds);
  assert.deepEqual(long.messages.map((m) => m.message_id), ["m4"]);
  assert.equal(long.omitted_messages, 3);
});

test("a change merges into its message and says when, an edit by whom; one of a forgotten message changes nothing", () => {
  const on = log();
  const state = run([on.message("m1", "A", "Hello"), on.updated("m1", { feedback: "up", no_such_field: 1 }, "ann")]);
  const { feedback, updated_at, updated_by, content } = state.messages[0];
  assert.deepEqual([feedback, updated_at, updated_by, content], ["up", "2026-01-01T00:00:00.002Z", null, "Hello"]);
  const edited = run([on.updated("m1", { content: "Hullo" }, "ann"), on.updated("m1", { feedback: null }, "bob")], state).messages[0];
  assert.deepEqual([edited.content, edited.feedback, edited.updated_by], ["Hullo", null, "ann"]);
  assert.equal("no_such_field" in state.messages[0], false);
  assert.equal(run([on.updated("gone", { feedback: "up" })], state).messages, state.messages);
});

test("tool calls get their results; they and charts stay", () => {
  const on = log();
  let state = run([on.status(STATUS.INITIALIZING), on.call("t1"), on.call("t2"), on.result("t1"), on.result("t3", false), on.chart("c1")]);
  assert.deepEqual(state.tool_calls.map(({ call_id, success }) => [call_id, success]), [["t1", true], ["t2", null], ["t3", false]]);
  state = run([on.status(STATUS.STOPPED), on.status(STATUS.INITIALIZING)], state);
  assert.deepEqual(state.tool_calls.map(({ call_id }) => call_id), ["t1", "t2", "t3"]);
  assert.deepEqual(state.charts.map(({ chart_id }) => chart_id), ["c1"]);
});

test("of tool calls and charts the last hundred are kept", () => {
  const on = log();
  const many = Array.from({ length: 101 }, (_, n) => [on.call(`t${n}`), on.chart(`c${n}`)]).flat();
  const state = run(many);
  assert.equal(state.tool_calls.length, 100);
  assert.equal(state.tool_calls[0].call_id, "t1");
  assert.equal(state.charts[0].chart_id, "c1");
});

test("open questions go when they are answered, and with the run", () => {
  const on = log();
  let state = run([on.asks("r1"), on.asks("r2"), on.resolves("r1")]);
  assert.deepEqual(state.pending_inputs.map(({ request_id }) => request_id), ["r2"]);
  state = run([on.status(STATUS.STOPPED)], state);
  assert.deepEqual(state.pending_inputs, []);
});

test("messages wait until they are said or taken back, whatever becomes of the run", () => {
  const on = log();
  let state = run([on.queues("q1"), on.queues("q2"), on.queues("q3"), on.unqueues("q2"), on.status(STATUS.STOPPED)]);
  assert.deepEqual(state.queued.map(({ message_id, by }) => [message_id, by]), [["q1", "local"], ["q3", "local"]]);
  state = run([on.message("q1", "user", "And then?", { role: "user" })], state);
  assert.deepEqual(state.queued.map(({ message_id }) => message_id), ["q3"]);
});
