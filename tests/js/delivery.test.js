import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { COMMANDS, EVENTS } from "../../static/js/colloquy.js";
import { ACK_EVERY_MS } from "../../static/js/acks.js";
import { EPOCH, ID, batchOf, log, script } from "./events.js";
import { settle, until } from "./fake_io.js";
import { ackOf, closeAll, connected, joinedAt, recovered, snapshotOf } from "./stage.js";

afterEach(closeAll);

const acksOf = (socket) => socket.sent.filter(({ name }) => name === COMMANDS.ACK).map(({ payload }) => payload.offset);

test("a batch is unpacked into its events, in their order", async () => {
  const events = script();
  const { stream, say } = await joinedAt(events.slice(0, 6));
  const heard = [];
  stream.on("*", (payload, name) => heard.push(name));
  say(batchOf(events.slice(6)));
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.deepEqual(heard, events.slice(6).map(({ name }) => name));
  assert.equal(stream.metrics.batches, 1);
});

test("of a batch that overlaps, only what is new counts", async () => {
  const events = script();
  const { stream, say } = await joinedAt(events.slice(0, 9));
  say(batchOf(events.slice(5)));
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.metrics.duplicates, 4);
  assert.equal(stream.metrics.gaps, 0);
});

test("a hole inside a batch, and one before it, are noticed: what stands before the hole counts", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  const broken = batchOf(events.slice(6, 12));
  broken.payload.entries = broken.payload.entries.filter((_, at) => at !== 2);
  say(broken);
  assert.equal(stream.state.offset, events[7].payload.offset);
  await settle();
  const { payload, ack } = socket.take(COMMANDS.JOIN);
  assert.equal(payload.position.offset, events[7].payload.offset);
  ack(recovered(payload.position.offset));
  say(batchOf(events.slice(10)));
  assert.equal(stream.metrics.gaps, 2);
  await settle();
  socket.take(COMMANDS.JOIN).ack(recovered(payload.position.offset));
  say(batchOf(events.slice(8)));
  assert.deepEqual(stream.state, snapshotOf(events));
});

test("what a filter has left out at a batch's end is no hole", async () => {
  const events = script();
  const { stream, say } = await joinedAt(events.slice(0, 6));
  const filtered = batchOf(events.slice(6, 9));
  filtered.payload.offset += 3;
  say(filtered);
  assert.equal(stream.position.offset, filtered.payload.offset);
  const next = { name: events[12].name, payload: { ...events[12].payload, prev_offset: filtered.payload.offset } };
  say(next);
  assert.equal(stream.metrics.gaps, 0);
  assert.equal(stream.position.offset, events[12].payload.offset);
});

test("a batch that comes before the join's answer is neither lost nor doubled", async () => {
  const events = script();
  const { stream, say, socket } = await connected();
  const joining = stream.join(ID);
  await settle();
  say(batchOf(events.slice(4, 9)));
  socket.take(COMMANDS.JOIN).ack(ackOf(snapshotOf(events.slice(0, 6))));
  say(batchOf(events.slice(9)));
  await joining;
  assert.deepEqual(stream.state, snapshotOf(events));
  assert.equal(stream.metrics.gaps, 0);
});

test("what has arrived is acknowledged on receipt, before any hook sees it, without asking for an answer", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  let told = null;
  stream.onChange = () => (told ??= acksOf(socket));
  say(events[6]);
  assert.deepEqual(told, [events[6].payload.offset]);
  const { payload, ack } = socket.take(COMMANDS.ACK);
  assert.deepEqual(payload, { conversation_id: ID, offset: events[6].payload.offset });
  assert.equal(ack, undefined);
});

test("at most one acknowledgement in 250 ms, and none is owed for ever", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  const startedAt = performance.now();
  say(...events.slice(6));
  const first = acksOf(socket);
  assert.ok(first.length <= 1 + (performance.now() - startedAt) / ACK_EVERY_MS);
  assert.equal(first[0], events[6].payload.offset);
  await until(() => acksOf(socket).at(-1) === stream.position.offset);
  assert.ok(performance.now() - startedAt >= ACK_EVERY_MS - 2);
});

test("64 KB are acknowledged at once, even soon after the last acknowledgement", async () => {
  const on = log();
  const { say, socket } = await joinedAt([]);
  const start = on.start("m1", "A");
  say(start, on.delta("m1", "A", "x".repeat(40_000)), on.delta("m1", "A", "x".repeat(40_000)));
  assert.deepEqual(acksOf(socket), [1, 3]);
});

test("by the next thing that comes, when the timers of a hidden tab sleep", async (t) => {
  const events = script();
  t.mock.timers.enable({ apis: ["setTimeout"] }); // and nobody ticks
  const { say, socket } = await joinedAt(events.slice(0, 6)).finally(() => {});
  say(events[6], events[7]);
  const from = performance.now();
  t.mock.method(performance, "now", () => from + ACK_EVERY_MS + 1);
  socket.says(EVENTS.HEARTBEAT, { conversation_id: ID, epoch: EPOCH, offset: events[7].payload.offset });
  assert.deepEqual(acksOf(socket), [events[6].payload.offset, events[7].payload.offset]);
});

test("a client that has not offered acknowledgements sends none", async () => {
  const events = script();
  const { say, socket } = await joinedAt(events.slice(0, 6), { acks: false, batch: false });
  say(...events.slice(6));
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(acksOf(socket), []);
});

test("after a new connection nothing of the old one is acknowledged", async () => {
  const events = script();
  const { say, socket } = await joinedAt(events.slice(0, 6));
  say(events[6], events[7]);
  socket.drops();
  socket.opens();
  await settle();
  assert.deepEqual(acksOf(socket), [events[6].payload.offset]);
});

test("on from a kept snapshot: its position is asked for, and the rest follows", async () => {
  const events = script();
  const { stream, say, socket } = await connected();
  const joining = stream.join(ID, { snapshot: snapshotOf(events.slice(0, 7)) });
  await settle();
  const { payload, ack } = socket.take(COMMANDS.JOIN);
  assert.deepEqual(payload.position, { epoch: EPOCH, offset: 7 });
  assert.equal("snapshot" in payload, false);
  ack(recovered(7));
  say(batchOf(events.slice(7)));
  await joining;
  assert.deepEqual(stream.state, snapshotOf(events));
});

test("from a time on: the answer says where that is, and what was known is forgotten", async () => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events);
  const heard = [];
  stream.on("*", (payload) => heard.push(payload.offset));
  const joining = stream.join(ID, { since: new Date("2026-01-01T00:00:00.010Z") });
  await settle();
  const { payload, ack } = socket.take(COMMANDS.JOIN);
  assert.equal(payload.since, "2026-01-01T00:00:00.010Z");
  ack(recovered(10));
  const rest = events.filter(({ payload }) => payload.prev_offset >= 10);
  say(...rest);
  await joining;
  assert.deepEqual(heard, rest.map(({ payload }) => payload.offset));
  assert.deepEqual(stream.state.messages.map(({ message_id, content }) => [message_id, content]), [["m1", "Hello"], ["m3", "No way"]]);
  socket.drops();
  socket.opens();
  await settle();
  assert.deepEqual(socket.take(COMMANDS.JOIN).payload.position, { epoch: EPOCH, offset: events.at(-1).payload.offset });
});

test("a filter goes along with each join, and a head that is filtered out is no hole", async (t) => {
  const events = script();
  const { stream, socket } = await connected();
  const filter = { types: [EVENTS.AGENT_MESSAGE] };
  const joining = stream.join(ID, { filter });
  await settle();
  const { payload, ack } = socket.take(COMMANDS.JOIN);
  assert.deepEqual(payload.filter, filter);
  ack(ackOf(snapshotOf(events.slice(0, 6))));
  await joining;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  socket.says(EVENTS.HEARTBEAT, { conversation_id: ID, epoch: EPOCH, offset: 9 });
  t.mock.timers.tick(60_000);
  t.mock.timers.reset();
  assert.equal(stream.metrics.gaps, 0);
  socket.drops();
  socket.opens();
  await settle();
  assert.deepEqual(socket.take(COMMANDS.JOIN).payload.filter, filter);
});

test("behind the head, but coming forward, is no hole", async (t) => {
  const events = script();
  const { stream, say, socket } = await joinedAt(events.slice(0, 6));
  t.mock.timers.enable({ apis: ["setTimeout"] });
  socket.says(EVENTS.HEARTBEAT, { conversation_id: ID, epoch: EPOCH, offset: 23 });
  assert.equal(stream.metrics.behind, 17);
  say(events[6]);
  t.mock.timers.tick(2500);
  assert.equal(stream.metrics.gaps, 0);
  t.mock.timers.tick(2500);
  assert.equal(stream.metrics.gaps, 1);
});
