import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { COMMANDS, ConversationStream, STATUS, emptySnapshot } from "../../static/js/colloquy.js";
import { EPOCH, ID, script } from "./events.js";
import { settle } from "./fake_io.js";
import { ackOf, closeAll, connected, joinedAt, recovered, snapshotOf } from "./stage.js";

afterEach(closeAll);

test("a second stream shares what the first one follows: no further join, the same state, all events", async () => {
  const events = script();
  const { client, socket, stream, say } = await joinedAt(events.slice(0, 6));
  const other = new ConversationStream(client);
  const drawn = [];
  other.onChange = (state, event) => drawn.push(event);
  const ack = await other.join(ID);
  assert.equal(ack.offset, 6);
  assert.deepEqual(socket.sent, []);
  assert.deepEqual(drawn, [null]);
  say(...events.slice(6));
  assert.deepEqual(other.state, snapshotOf(events));
  assert.equal(other.state, stream.state);
  assert.equal(other.metrics.tokens, stream.metrics.tokens);
});

test("only the last stream leaves the conversation", async () => {
  const events = script();
  const { client, socket, stream, say } = await joinedAt(events.slice(0, 6));
  const other = new ConversationStream(client);
  await other.join(ID);
  await stream.leave();
  assert.deepEqual(socket.sent, []);
  assert.equal(stream.conversationId, null);
  say(events[6]);
  assert.equal(other.position.offset, 7);
  const leaving = other.leave();
  await settle();
  socket.take(COMMANDS.LEAVE).ack({ ok: true });
  await leaving;
});

test("two streams that join at once are one join; both have its answer, or its refusal", async () => {
  const events = script();
  const { client, socket, stream } = await connected();
  const other = new ConversationStream(client);
  const joining = [stream.join(ID), other.join(ID)];
  await settle();
  assert.equal(socket.sent.length, 1);
  socket.take(COMMANDS.JOIN).ack(ackOf(snapshotOf(events)));
  assert.deepEqual((await Promise.all(joining)).map(({ offset }) => offset), [23, 23]);

  const third = new ConversationStream(client);
  const fourth = new ConversationStream(client);
  const refused = [third.join("c2"), fourth.join("c2")];
  await settle();
  socket.take(COMMANDS.JOIN).ack({ ok: false, error: { code: "conversation_unknown", message: "no", retryable: false } });
  for (const each of refused) await assert.rejects(each, { code: "conversation_unknown" });
});

test("after a lost connection they join once, and both go on", async () => {
  const events = script();
  const { client, socket, stream, say } = await joinedAt(events.slice(0, 6));
  const other = new ConversationStream(client);
  await other.join(ID);
  socket.drops();
  socket.opens();
  await settle();
  socket.take(COMMANDS.JOIN).ack(recovered(6));
  assert.deepEqual(socket.sent, []);
  say(...events.slice(6));
  assert.deepEqual([stream.state, other.state], [snapshotOf(events), snapshotOf(events)]);
});

test("another view of the same conversation needs a client of its own", async () => {
  const { client } = await joinedAt(script());
  const other = new ConversationStream(client);
  await assert.rejects(other.join(ID, { changes_only: true }), { code: "invalid_state" });
  assert.equal(other.conversationId, null);
});

test("two conversations on one connection do not mix", async () => {
  const events = script();
  const { client, socket, stream, say } = await joinedAt(events.slice(0, 6));
  const other = new ConversationStream(client);
  const joining = other.join("c2");
  await settle();
  socket.take(COMMANDS.JOIN).ack(ackOf({ ...emptySnapshot("c2"), epoch: "e9" }));
  await joining;
  say(...events.slice(6));
  assert.equal(stream.status, STATUS.COMPLETED);
  assert.equal(other.status, STATUS.IDLE);
  assert.equal(other.position.epoch, "e9");
});

test("a start whose stream has turned away meanwhile is left again", async () => {
  const { socket, stream } = await connected();
  const starting = stream.start({ team: "debate", content: "x" });
  await settle();
  stream.join("c2").catch(() => {});
  await settle();
  const ack = { ...ackOf({ ...emptySnapshot(ID), epoch: EPOCH }), session_id: "s1", status: STATUS.INITIALIZING };
  socket.take(COMMANDS.START_STREAM).ack(ack);
  assert.equal((await starting).conversation_id, ID);
  await settle();
  assert.equal(socket.take(COMMANDS.LEAVE).payload.conversation_id, ID);
  assert.equal(stream.conversationId, "c2");
});

test("a conversation that a killed server has forgotten keeps its text, marked as interrupted", async () => {
  const events = script();
  const { socket, stream } = await joinedAt(events.slice(0, 7)); // "Hel" is open
  const told = [];
  stream.onState = (status) => told.push(status);
  stream.onMessage = (message) => told.push(`${message.message_id} ${message.state} ${message.reason}`);
  stream.onError = (error) => told.push(error.code);
  socket.drops();
  socket.opens();
  await settle();
  socket.take(COMMANDS.JOIN).ack({ ok: false, error: { code: "conversation_unknown", message: "no", retryable: false } });
  await settle();
  assert.equal(stream.text("m1"), "Hel");
  assert.equal(stream.status, STATUS.ERROR);
  assert.equal(stream.state.error.code, "interrupted");
  assert.equal(stream.state.error.retryable, true);
  assert.deepEqual(told, ["m1 partial interrupted", STATUS.ERROR, "conversation_unknown"]);
});

test("one that had ended stays as it ended", async () => {
  const events = script();
  const { socket, stream } = await joinedAt(events);
  socket.drops();
  socket.opens();
  await settle();
  socket.take(COMMANDS.JOIN).ack({ ok: false, error: { code: "conversation_unknown", message: "no", retryable: false } });
  await settle();
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.failure.code, "conversation_unknown");
});
