import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { CLIENT_EVENTS, COMMANDS, STATUS, emptySnapshot } from "../../static/js/colloquy.js";
import { EPOCH, ID, log, script } from "./events.js";
import { settle, until } from "./fake_io.js";
import { ackOf, closeAll, connected, joinedAt, recovered } from "./stage.js";

afterEach(closeAll);

const invalidState = { ok: false, error: { code: "invalid_state", message: "it runs", retryable: false } };
const began = { ok: true, conversation_id: ID, session_id: "s2", status: STATUS.INITIALIZING };

/** The connection comes back, and the stream is where it was. */
async function returns({ socket, stream }) {
  socket.opens();
  await settle();
  socket.take(COMMANDS.JOIN).ack(recovered(stream.position.offset));
  await settle();
}

const contents = (messages) => messages.map(({ content }) => content);

test("messages that are typed while offline are shown as waiting, and sent in their order when it is back", async () => {
  const all = await joinedAt(script());
  const { socket, stream, client, say } = all;
  const on = log({ offset: stream.position.offset });
  const shown = [];
  stream.onQueue = (queued) => shown.push(contents(queued));
  socket.drops();
  const sent = [stream.send("one"), stream.send("two"), stream.send("three")];
  await settle();
  assert.deepEqual(contents(stream.queued), ["one", "two", "three"]);
  assert.deepEqual(socket.sent, []);
  await returns(all);
  const first = socket.take(COMMANDS.SEND_MESSAGE);
  assert.equal(first.payload.content, "one");
  assert.deepEqual(socket.sent, []); // the others wait for it
  first.ack(began);
  await sent[0];
  await settle();
  // the first one's run is under way: the second waits for its end
  say(on.status(STATUS.INITIALIZING));
  socket.take(COMMANDS.SEND_MESSAGE).ack(invalidState);
  await settle();
  assert.deepEqual(socket.sent.filter(({ name }) => name === COMMANDS.SEND_MESSAGE), []);
  assert.deepEqual(contents(stream.queued), ["two", "three"]);
  say(on.status(STATUS.COMPLETED));
  await settle();
  const second = socket.take(COMMANDS.SEND_MESSAGE);
  assert.equal(second.payload.content, "two");
  second.ack(began);
  await settle();
  socket.take(COMMANDS.SEND_MESSAGE).ack(began);
  await Promise.all(sent);
  assert.deepEqual(client.queued, []);
  assert.deepEqual(shown.at(-1), []);
});

test("a message whose answer was lost is sent again under the same id", async () => {
  const all = await joinedAt(script());
  const { socket, stream } = all;
  const sending = stream.send("once");
  await settle();
  const { client_id } = socket.take(COMMANDS.SEND_MESSAGE).payload;
  assert.ok(client_id.length >= 16);
  socket.drops(); // the answer is lost
  await settle();
  assert.deepEqual(contents(stream.queued), ["once"]);
  await returns(all);
  const again = socket.take(COMMANDS.SEND_MESSAGE);
  assert.equal(again.payload.client_id, client_id);
  again.ack(began);
  await sending;
  assert.deepEqual(stream.queued, []);
});

test("an answer that does not come in time is asked for again, under the same id", async () => {
  const { socket, stream } = await joinedAt(script(), { timeoutMs: 5 });
  const sending = stream.send("once");
  await settle();
  const { client_id } = socket.take(COMMANDS.SEND_MESSAGE).payload;
  await until(() => socket.sent.some(({ name }) => name === COMMANDS.SEND_MESSAGE));
  const again = socket.take(COMMANDS.SEND_MESSAGE);
  assert.equal(again.payload.client_id, client_id);
  again.ack(began);
  await sending;
});

test("a conversation that is started while offline begins when the connection is back, once", async () => {
  const { socket, stream, client } = await connected();
  socket.drops();
  const starting = stream.start({ team: "debate", content: "What now?", content_type: "article" });
  await settle();
  const [waiting] = stream.queued;
  assert.deepEqual([waiting.kind, waiting.conversation_id, waiting.content_type], ["start", null, "article"]);
  socket.opens();
  await settle();
  const lost = socket.take(COMMANDS.START_STREAM).payload.client_id;
  socket.drops(); // the answer is lost
  socket.opens();
  await settle();
  const { payload, ack } = socket.take(COMMANDS.START_STREAM);
  assert.equal(payload.client_id, lost);
  assert.equal(payload.acks, true);
  ack({ ...ackOf({ ...emptySnapshot(ID), epoch: EPOCH }), session_id: "s1", status: STATUS.INITIALIZING });
  assert.equal((await starting).conversation_id, ID);
  assert.equal(stream.conversationId, ID);
  assert.deepEqual(client.queued, []);
});

test("with a connection, a refusal is told at once", async () => {
  const { socket, stream } = await joinedAt(script());
  const sending = stream.send("now");
  await settle();
  socket.take(COMMANDS.SEND_MESSAGE).ack(invalidState);
  await assert.rejects(sending, { code: "invalid_state" });
  assert.deepEqual(stream.queued, []);
});

test("a queued message that is refused for good is told, and the next one goes on", async () => {
  const all = await joinedAt(script());
  const { socket, stream, client } = all;
  const refusals = [];
  client.on(CLIENT_EVENTS.QUEUE, ({ refused }) => refused && refusals.push([refused.message.content, refused.error.code]));
  socket.drops();
  const [first, second] = [stream.send(""), stream.send("two")];
  first.catch(() => {});
  await returns(all);
  socket.take(COMMANDS.SEND_MESSAGE).ack({ ok: false, error: { code: "content_empty", message: "empty", retryable: false } });
  await assert.rejects(first, { code: "content_empty" });
  await settle();
  socket.take(COMMANDS.SEND_MESSAGE).ack(began);
  await second;
  assert.deepEqual(refusals, [["", "content_empty"]]);
});

test("one that is refused for the moment is offered again", async () => {
  const all = await joinedAt(script());
  const { socket, stream } = all;
  socket.drops();
  const sending = stream.send("one");
  await returns(all);
  socket.take(COMMANDS.SEND_MESSAGE).ack({ ok: false, error: { code: "limit_exceeded", message: "full", retryable: true } });
  await until(() => socket.sent.some(({ name }) => name === COMMANDS.SEND_MESSAGE));
  socket.take(COMMANDS.SEND_MESSAGE).ack(began);
  await sending;
});

test("the queue is bounded", async () => {
  const { socket, stream } = await joinedAt(script(), { maxQueued: 2 });
  socket.drops();
  for (const content of ["one", "two"]) stream.send(content).catch(() => {});
  await assert.rejects(stream.send("three"), { code: "queue_full", retryable: true });
  assert.deepEqual(contents(stream.queued), ["one", "two"]);
});

test("a message can be taken out of the queue", async () => {
  const all = await joinedAt(script());
  const { socket, stream, client } = all;
  socket.drops();
  const [first, second] = [stream.send("one"), stream.send("two")];
  await settle();
  assert.equal(client.cancel(stream.queued[0].client_id), true);
  await assert.rejects(first, { code: "cancelled" });
  assert.equal(client.cancel("none such"), false);
  await returns(all);
  const { payload, ack } = socket.take(COMMANDS.SEND_MESSAGE);
  assert.equal(payload.content, "two");
  ack(began);
  await second;
});

test("a closed client refuses, and closing refuses what waits", async () => {
  const { socket, stream, client } = await joinedAt(script());
  socket.drops();
  const sending = stream.send("one");
  await settle();
  client.disconnect();
  await assert.rejects(sending, { code: "not_connected" });
  await assert.rejects(stream.send("two"), { code: "not_connected" });
  assert.deepEqual(client.queued, []);
});

test("the queue of one conversation does not hold up another's", async () => {
  const all = await joinedAt(script());
  const { socket, stream, client } = all;
  const { ConversationStream } = await import("../../static/js/colloquy.js");
  const other = new ConversationStream(client);
  const joining = other.join("c2");
  await settle();
  socket.take(COMMANDS.JOIN).ack(ackOf({ ...emptySnapshot("c2"), epoch: "e9" }));
  await joining;
  socket.drops();
  const sent = [stream.send("one"), other.send("for the other")];
  await settle();
  assert.deepEqual(contents(other.queued), ["for the other"]);
  assert.deepEqual(contents(client.queued), ["one", "for the other"]);
  socket.opens();
  await settle();
  const asked = socket.sent.filter(({ name }) => name === COMMANDS.SEND_MESSAGE).map(({ payload }) => payload.content);
  assert.deepEqual(asked, ["one", "for the other"]);
  socket.take(COMMANDS.SEND_MESSAGE).ack(began);
  socket.take(COMMANDS.SEND_MESSAGE).ack(began);
  await Promise.all(sent);
});
