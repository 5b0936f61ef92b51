import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { CONNECTION, ColloquyClient, COMMANDS, EVENTS, NAMESPACE } from "../../static/js/colloquy.js";
import { fakeIo, settle } from "./fake_io.js";

const options = { pingIntervalMs: 0, reconnectionDelayMs: 1, reconnectionDelayMaxMs: 2 };

const clients = [];
afterEach(() => clients.splice(0).forEach((client) => client.disconnect()));

function made(io, more) {
  const client = new ColloquyClient({ io, url: "http://example.test", ...options, ...more });
  clients.push(client);
  return client;
}

async function opened(more) {
  const fake = fakeIo();
  const client = made(fake.io, more);
  const connecting = client.connect();
  await settle();
  fake.socket.opens();
  await connecting;
  return { client, fake, socket: fake.socket };
}

test("connects to the namespace, websocket first", async () => {
  const { client, socket } = await opened();
  assert.equal(socket.url, `http://example.test${NAMESPACE}`);
  assert.deepEqual(socket.options.transports, ["websocket", "polling"]);
  assert.equal(socket.options.tryAllTransports, true);
  assert.equal(client.connection, CONNECTION.OPEN);
  client.disconnect();
  assert.equal(client.connection, CONNECTION.CLOSED);
});

test("a command resolves with its ack, and rejects with the server's typed error", async () => {
  const { client, socket } = await opened();
  const asked = client.request(COMMANDS.JOIN, { conversation_id: "x" });
  await settle();
  socket.take(COMMANDS.JOIN).ack({ ok: true, offset: 4 });
  assert.equal((await asked).offset, 4);

  const refused = client.request(COMMANDS.JOIN, { conversation_id: "y" });
  await settle();
  socket.take(COMMANDS.JOIN).ack({ ok: false, error: { code: "conversation_unknown", message: "no", retryable: false } });
  await assert.rejects(refused, { name: "ColloquyError", code: "conversation_unknown", retryable: false });
});

test("a command without an answer times out, one in a lost connection fails at once", async () => {
  const { client, socket } = await opened({ timeoutMs: 20 });
  await assert.rejects(client.request(COMMANDS.PING), { code: "timeout", retryable: true });
  const late = socket.take(COMMANDS.PING);
  late.ack({ ok: true }); // ignored

  const cut = client.request(COMMANDS.PING, {}, { timeoutMs: 60_000 });
  await settle();
  socket.drops();
  await assert.rejects(cut, { code: "disconnected" });
});

test("a command without a connection is never sent later", async () => {
  const { client, socket } = await opened({ timeoutMs: 20 });
  socket.drops();
  await assert.rejects(client.request(COMMANDS.STOP_STREAM, { conversation_id: "x" }), { code: "not_connected" });
  socket.opens();
  await settle();
  assert.deepEqual(socket.sent, []);
});

test("a command that waits for the connection is sent when it stands", async () => {
  const { client, socket } = await opened();
  socket.drops();
  const waiting = client.request(COMMANDS.PING);
  await settle();
  assert.equal(socket.sent.length, 0);
  socket.opens();
  await settle();
  socket.take(COMMANDS.PING).ack({ ok: true });
  await waiting;
  assert.equal(client.reconnects, 1);
});

test("a connection that the server closed is opened again by us", async () => {
  const { client, socket } = await opened();
  socket.drops("io server disconnect");
  assert.equal(client.connection, CONNECTION.REOPENING);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(socket.dials, 2);
  client.disconnect();
});

test("a refusal for good is told and not repeated; another one is", async () => {
  const fake = fakeIo();
  const client = made(fake.io);
  const connecting = client.connect();
  await settle();
  fake.socket.refuses({ code: "limit_exceeded", message: "full", retryable: true });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(fake.socket.dials, 2);
  fake.socket.refuses({ code: "unauthenticated", message: "who are you?", retryable: false });
  await assert.rejects(connecting, { code: "unauthenticated" });
  assert.equal(client.connection, CONNECTION.CLOSED);
  assert.equal(fake.socket.dials, 2);
});

test("a ping measures the way and the clocks' difference", async () => {
  const { client, socket } = await opened();
  const asked = client.ping();
  await settle();
  socket.take(COMMANDS.PING).ack({ ok: true, timestamp: new Date(Date.now() + 60_000).toISOString() });
  assert.ok((await asked) >= 0);
  assert.ok(Math.abs(client.clockSkewMs - 60_000) < 1000);
});

test("events are heard by name, by * and no more after off; a handler that throws harms no other", async (t) => {
  const { client, socket } = await opened();
  const report = t.mock.method(console, "error", () => {});
  const heard = [];
  client.on(EVENTS.BROADCAST, () => { throw new Error("mine"); });
  const off = client.on(EVENTS.BROADCAST, (payload) => heard.push(payload.message));
  client.on("*", (payload, name) => name === EVENTS.BROADCAST && heard.push(name));
  socket.says(EVENTS.BROADCAST, { message: "hello" });
  off();
  socket.says(EVENTS.BROADCAST, { message: "again" });
  assert.deepEqual(heard, ["hello", EVENTS.BROADCAST, EVENTS.BROADCAST]);
  assert.equal(report.mock.callCount(), 2);
});

test("an artifact is asked for with what the connection was opened with, and again with a fresh token", async () => {
  const asked = [];
  const tokens = ["old", "new"];
  const { client } = await opened({ auth: () => tokens.shift() });
  const fetched = globalThis.fetch;
  globalThis.fetch = async (address, { headers }) => {
    asked.push([String(address), headers.Authorization]);
    if (asked.length > 1) return new Response("all of it");
    return Response.json({ error: { code: "token_expired", message: "it ran out" } }, { status: 401 });
  };
  try {
    assert.equal(await (await client.artifact("c 1", "a/1")).text(), "all of it");
  } finally {
    globalThis.fetch = fetched;
  }
  const address = "http://example.test/api/conversations/c%201/artifacts/a%2F1";
  assert.deepEqual(asked, [[address, "Bearer old"], [address, "Bearer new"]]);
});

test("a chart's url is asked for as it is, a share link goes along, and nothing of another server is asked for", async () => {
  const { client } = await opened({ auth: { link: "secret" } });
  const fetched = globalThis.fetch;
  globalThis.fetch = async (address) => Response.json({ error: { code: "not_found", message: String(address) } }, { status: 404 });
  try {
    const own = "/api/conversations/c1/artifacts/a1";
    await assert.rejects(client.artifact("c1", own), { code: "not_found", message: `http://example.test${own}?share=secret` });
    await assert.rejects(client.artifact("c1", "https://evil.example/x.png"), { message: /^http:\/\/example\.test\/api/ });
    await assert.rejects(client.artifact("c1", "/api/conversations/../../x/artifacts/y"), { message: /artifacts\/%2Fapi/ });
  } finally {
    globalThis.fetch = fetched;
  }
});
