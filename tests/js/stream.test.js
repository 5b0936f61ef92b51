import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { COMMANDS, EVENTS, STATUS, emptySnapshot } from "../../static/js/colloquy.js";
import { EPOCH, ID, log, script } from "./events.js";
import { settle } from "./fake_io.js";
import { ackOf, closeAll, connected, joinedAt, recovered, snapshotOf } from "./stage.js";

afterEach(closeAll);

test("joins with a snapshot in mid-sentence and goes on from there", async () => {
  const events = script();
  const { stream, say } = await joinedAt(events.slice(0, 7));
  const grown = [];
  stream.onText = (id, text) => grown.push([id, text]);
  assert.equal(stream.text("m1"), "Hel");
  say(...events.slice(7));
  assert.deepEqual(grown[0], ["m1", "Hello"]);
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.metrics.tokens, 3 + 1 + 1 + 1);
  assert.equal(stream.metrics.gaps, 0);
});

test("what was seen is dropped", async () => {
  const events = script();
  const { stream, say } = await joinedAt(events.slice(0, 6));
  say(...events.slice(2, 8), ...events.slice(2, 8));
  assert.equal(stream.text("m1"), "Hello");
  assert.equal(stream.metrics.duplicates, 10);
  assert.equal(stream.metrics.gaps, 0);
});

test("a hole is noticed and what was missed is asked for from the last position", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  say(events[7]); // 6 is missing
  assert.equal(stream.metrics.gaps, 1);
  assert.equal(stream.following, false);
  await settle();
  const { payload, ack } = socket.take(COMMANDS.JOIN);
  assert.deepEqual(payload, { conversation_id: ID, position: { epoch: EPOCH, offset: 6 }, acks: true, batch: true });
  say(events[8]); // still from the old membership: comes again
  ack(recovered(6));
  say(...events.slice(6));
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.metrics.gaps, 1);
});

test("events that come before the join's answer are neither lost nor doubled", async () => {
  const events = script();
  const { stream, say, socket } = await connected();
  const joining = stream.join(ID);
  await settle();
  say(...events.slice(5, 9)); // the server's room is quicker than its answer
  socket.take(COMMANDS.JOIN).ack(ackOf(snapshotOf(events.slice(0, 7))));
  say(...events.slice(9));
  await joining;
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.metrics.gaps, 0);
});

test("after a lost connection it joins again with its position", async () => {
  const events = script();
  const { stream, say, socket, client } = await joinedAt(events.slice(0, 6));
  say(events[6]);
  socket.drops();
  assert.equal(stream.following, false);
  socket.opens();
  await settle();
  const { payload, ack } = socket.take(COMMANDS.JOIN);
  assert.deepEqual(payload.position, { epoch: EPOCH, offset: 7 });
  ack(recovered(7));
  say(...events.slice(7));
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.metrics.reconnects, 1);
  assert.equal(client.reconnects, 1);
});

test("when the position is no longer kept, the answer's snapshot replaces everything", async () => {
  const events = script();
  const { stream, socket } = await joinedAt(events.slice(0, 6));
  const changes = [];
  stream.onChange = (state, event) => changes.push(event);
  socket.drops();
  socket.opens();
  await settle();
  socket.take(COMMANDS.JOIN).ack(ackOf(snapshotOf(events, "e2")));
  assert.deepEqual(changes, [null]);
  assert.equal(stream.position.epoch, "e2");
});

test("a resync replaces everything, also while a join is under way", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  say(events[7]);
  await settle();
  const { ack } = socket.take(COMMANDS.JOIN);
  const snapshot = snapshotOf(events.slice(0, 10), "e2");
  socket.says(EVENTS.RESYNC, { conversation_id: ID, reason: "position_lost", snapshot });
  ack(recovered(6)); // older than the resync
  assert.deepEqual(stream.state, snapshot);
  assert.equal(stream.following, true);
});

test("a stream that does not come forward asks for the whole snapshot", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  for (const position of [true, true, false]) {
    say(events[8]);
    await settle();
    const { payload, ack } = socket.take(COMMANDS.JOIN);
    assert.equal("position" in payload, position);
    ack(position ? recovered(6) : ackOf(snapshotOf(events)));
  }
  assert.deepEqual(stream.state, snapshotOf(events));
});

test("a heartbeat ahead of us, with nothing following, reveals a lost tail", async (t) => {
  const events = script();
  const { stream, socket } = await joinedAt(events.slice(0, 6));
  t.mock.timers.enable({ apis: ["setTimeout"] });
  socket.says(EVENTS.HEARTBEAT, { conversation_id: ID, epoch: EPOCH, offset: 9, status: STATUS.ACTIVE });
  t.mock.timers.tick(5000);
  t.mock.timers.reset();
  await settle();
  assert.deepEqual(socket.take(COMMANDS.JOIN).payload.position, { epoch: EPOCH, offset: 6 });
  assert.equal(stream.metrics.gaps, 1);
});

test("start follows the new conversation, whatever comes first", async () => {
  const events = script();
  const { stream, say, socket } = await connected();
  const starting = stream.start({ team: "debate", content: "What now?" });
  await settle();
  const strange = log({ id: "other" }).step("Z");
  say(events[0], strange);
  const ack = { ...ackOf({ ...emptySnapshot(ID), epoch: EPOCH, title: "What now?" }), session_id: "s1", status: STATUS.INITIALIZING };
  socket.take(COMMANDS.START_STREAM).ack(ack);
  say(...events.slice(1));
  assert.equal((await starting).session_id, "s1");
  assert.deepEqual(stream.state, { ...snapshotOf(events), title: "What now?" });
});

test("a start that is refused goes on watching", async () => {
  const events = script();
  const { stream, socket } = await joinedAt(events.slice(0, 6));
  const starting = stream.start({ team: "debate", content: "x", conversation_id: ID });
  await settle();
  socket.take(COMMANDS.START_STREAM).ack({ ok: false, error: { code: "invalid_state", message: "it runs", retryable: false } });
  await assert.rejects(starting, { code: "invalid_state" });
  await settle();
  socket.take(COMMANDS.JOIN).ack(recovered(6));
  assert.equal(stream.following, true);
});

test("commands name the conversation", async () => {
  const { stream, socket } = await joinedAt(script());
  for (const [call, name] of [
    [() => stream.pause(), COMMANDS.PAUSE_STREAM],
    [() => stream.resume(), COMMANDS.RESUME_STREAM],
    [() => stream.stop(), COMMANDS.STOP_STREAM],
    [() => stream.send("And then?"), COMMANDS.SEND_MESSAGE],
  ]) {
    const asked = call();
    await settle();
    const { payload, ack } = socket.take(name);
    assert.equal(payload.conversation_id, ID);
    ack({ ok: true });
    await asked;
  }
});

test("a conversation that is gone after a reconnect is told once and not asked for again", async () => {
  const { stream, socket } = await joinedAt(script());
  const errors = [];
  stream.onError = (error) => errors.push(error.code);
  socket.drops();
  socket.opens();
  await settle();
  socket.take(COMMANDS.JOIN).ack({ ok: false, error: { code: "conversation_unknown", message: "no", retryable: false } });
  await settle();
  assert.deepEqual(errors, ["conversation_unknown"]);
  assert.equal(stream.failure.code, "conversation_unknown");
  socket.drops();
  socket.opens();
  await settle();
  assert.deepEqual(socket.sent, []);
});

test("turning to another conversation leaves the first, whose late events are ignored", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  const joining = stream.join("c2");
  await settle();
  assert.equal(socket.take(COMMANDS.LEAVE).payload.conversation_id, ID);
  say(events[6]);
  socket.take(COMMANDS.JOIN).ack({ ...ackOf({ ...emptySnapshot("c2"), epoch: "e9" }), conversation_id: "c2" });
  await joining;
  assert.equal(stream.conversationId, "c2");
  assert.equal(stream.state.offset, 0);
});

test("the hooks tell status, messages, errors and watchers", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 1));
  const told = [];
  stream.onState = (status) => told.push(status);
  stream.onMessage = (message) => told.push(`${message.message_id} ${message.state}`);
  stream.onError = (error) => told.push(error.code);
  stream.onPresence = (watchers) => told.push(watchers);
  say(...events.slice(1));
  socket.says(EVENTS.PRESENCE, { conversation_id: ID, watchers: 2 });
  assert.deepEqual(told, ["m0 complete", STATUS.ACTIVE, "m1 complete", "model_broken", "m3 partial", STATUS.COMPLETED, 2]);
});

test("an agent is answered by a text or a yes or no, and hooks tell who waits", async () => {
  const on = log();
  const { stream, say, socket } = await joinedAt([on.status(STATUS.INITIALIZING), on.status(STATUS.ACTIVE)]);
  const asked = [];
  stream.onInput = (pending) => asked.push(pending.map(({ request_id }) => request_id));
  say(on.asks("r1"), on.asks("r2"));
  const answers = [stream.provideInput("r1", ""), stream.provideInput("r2", false, { client_id: "mine" })];
  await settle();
  const [first, second] = [socket.take(COMMANDS.PROVIDE_INPUT), socket.take(COMMANDS.PROVIDE_INPUT)];
  assert.deepEqual({ ...first.payload, client_id: "" }, { conversation_id: ID, request_id: "r1", content: "", client_id: "" });
  assert.match(first.payload.client_id, /^[0-9a-f]{32}$/);
  assert.deepEqual(second.payload, { conversation_id: ID, request_id: "r2", granted: false, client_id: "mine" });
  first.ack({ ok: true, request_id: "r1", resolution: "answered" });
  second.ack({ ok: false, error: { code: "input_resolved", message: "too late", retryable: false } });
  assert.equal((await answers[0]).resolution, "answered");
  await assert.rejects(answers[1], { code: "input_resolved" });
  say(on.resolves("r1"), on.status(STATUS.STOPPED));
  assert.deepEqual(asked, [["r1"], ["r1", "r2"], ["r2"], []]);
});

test("what the server keeps until the agents have finished is told, and taken back", async () => {
  const on = log();
  const { stream, say, socket } = await joinedAt([on.status(STATUS.INITIALIZING), on.status(STATUS.ACTIVE)]);
  const kept = [];
  stream.onQueued = (queued) => kept.push(queued.map(({ content }) => content));
  const sending = stream.send("And then?");
  await settle();
  socket.take(COMMANDS.SEND_MESSAGE).ack({ ok: true, queued: true, place: 1, message_id: "q1" });
  assert.deepEqual(await sending, { ok: true, queued: true, place: 1, message_id: "q1" });
  assert.deepEqual(stream.queued, []);
  say(on.queues("q1"), on.queues("q2", "And why?"));
  const takenBack = stream.unqueue("q1");
  await settle();
  const { payload, ack } = socket.take(COMMANDS.UNQUEUE_MESSAGE);
  assert.deepEqual(payload, { conversation_id: ID, message_id: "q1" });
  ack({ ok: true, ...payload });
  assert.equal((await takenBack).message_id, "q1");
  say(on.unqueues("q1"), on.message("q2", "user", "And why?", { role: "user" }));
  assert.deepEqual(kept, [["And then?"], ["And then?", "And why?"], ["And why?"], []]);
});
