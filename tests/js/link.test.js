import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { CONNECTION, COMMANDS, EVENTS } from "../../static/js/colloquy.js";
import { script } from "./events.js";
import { settle, until } from "./fake_io.js";
import { closeAll, connected, dialling, joinedAt } from "./stage.js";

afterEach(closeAll);

const unauthenticated = { code: "unauthenticated", message: "who are you?", retryable: false };

/** A hook that hands out t1, t2, … */
function tokens() {
  let given = 0;
  return async () => `t${++given}`;
}

test("a new token is asked for before each connection", async () => {
  const { socket } = await connected({ auth: tokens() });
  assert.deepEqual(socket.credentials, [{ token: "t1" }]);
  socket.drops();
  await until(() => socket.dials === 2);
  assert.deepEqual(socket.credentials, [{ token: "t1" }, { token: "t2" }]);
});

test("an object or a string will do, too", async () => {
  assert.deepEqual((await connected({ auth: { token: "x", more: 1 } })).socket.credentials, [{ token: "x", more: 1 }]);
  assert.deepEqual((await connected({ auth: "x" })).socket.credentials, [{ token: "x" }]);
  assert.deepEqual((await connected()).socket.credentials, [{}]);
});

test("a refused token is followed by a new one; after three refusals that is told", async () => {
  const { fake, client, connecting } = dialling({ auth: tokens() });
  for (const dials of [1, 2, 3]) {
    await until(() => fake.socket?.dials === dials);
    fake.socket.refuses(unauthenticated);
  }
  await assert.rejects(connecting, { code: "unauthenticated" });
  assert.equal(client.connection, CONNECTION.CLOSED);
  assert.equal(fake.socket.credentials.at(-1).token, "t3");
});

test("a hook that fails is asked again, unless it says that this is of no use", async () => {
  let asked = 0;
  const flaky = async () => {
    asked += 1;
    if (asked < 3) throw new Error("the token service is down");
    return "t";
  };
  const { fake, client } = dialling({ auth: flaky });
  await until(() => fake.socket?.dials === 1);
  assert.equal(asked, 3);
  assert.equal(client.lastError.code, "auth_failed");

  const refused = dialling({ auth: () => Promise.reject(Object.assign(new Error("signed out"), { retryable: false })) });
  await assert.rejects(refused.connecting, { code: "auth_failed", message: /signed out/ });
});

test("before the token ends, a new one is handed over the connection that stands", async () => {
  const { client, socket } = await connected({ auth: tokens() });
  socket.says(EVENTS.AUTH_EXPIRING, { expires_at: "2026-01-01T00:00:00Z" });
  await settle();
  const { payload, ack } = socket.take(COMMANDS.AUTHENTICATE);
  assert.deepEqual(payload, { token: "t2" });
  ack({ ok: true, user: "anna", expires_at: null });
  await settle();
  assert.equal(client.connection, CONNECTION.OPEN);
  assert.equal(socket.dials, 1);
});

test("a sign-in that has ended closes the client, and tells whoever may ask the user", async () => {
  const told = [];
  const { client, socket } = await connected({ auth: tokens(), signedOut: (event) => told.push(event.code) });
  const asked = client.request(COMMANDS.PING);
  await settle();
  socket.says(EVENTS.SIGNED_OUT, { code: "signed_out", message: "you have been signed out", action: "sign_in" });
  await assert.rejects(asked, { code: "signed_out" });
  assert.equal(client.connection, CONNECTION.CLOSED);
  assert.equal(client.lastError.code, "signed_out");
  assert.deepEqual(told, ["signed_out"]);
  socket.drops("io server disconnect");
  await settle();
  assert.equal(socket.dials, 1);
});

test("a token that has run out is followed by a fresh one, and the stream goes on from its position", async () => {
  const events = script();
  const { socket, stream } = await joinedAt(events.slice(0, 6), { auth: tokens() });
  socket.says(EVENTS.SIGNED_OUT, { code: "token_expired", message: "it has run out", action: "refresh" });
  socket.drops("io server disconnect");
  await until(() => socket.dials === 2);
  socket.refuses({ code: "token_expired", message: "it has run out", retryable: false });
  await until(() => socket.dials === 3);
  assert.equal(socket.credentials.at(-1).token, "t3");
  socket.opens();
  await settle();
  assert.deepEqual(socket.take(COMMANDS.JOIN).payload.position, stream.position);
});

test("without a hook there is nothing to come back with", async () => {
  const told = [];
  const { client, socket } = await connected({ auth: "old", signedOut: (event) => told.push(event.action) });
  socket.says(EVENTS.SIGNED_OUT, { code: "token_expired", message: "it has run out", action: "refresh" });
  assert.equal(client.connection, CONNECTION.CLOSED);
  assert.deepEqual(told, ["refresh"]);
});

test("where the token is not taken, the connection comes back with a new one, and commands under way are waited for", async () => {
  const events = script();
  const { client, socket, stream } = await joinedAt(events.slice(0, 6), { auth: tokens() });
  const asked = client.request(COMMANDS.PING);
  await settle();
  socket.says(EVENTS.AUTH_EXPIRING, { expires_at: "2026-01-01T00:00:00Z", timestamp: "2026-01-01T00:00:00Z" });
  await settle();
  socket.take(COMMANDS.AUTHENTICATE).ack({ ok: false, error: { code: "not_permitted", message: "no", retryable: false } });
  await settle();
  assert.equal(socket.dials, 1);
  socket.take(COMMANDS.PING).ack({ ok: true });
  await asked;
  await until(() => socket.dials === 2);
  assert.equal(socket.credentials.at(-1).token, "t3");
  socket.opens();
  await settle();
  assert.deepEqual(socket.take(COMMANDS.JOIN).payload.position, stream.position);
});

test("when no new token can be had, the connection stays as long as the server lets it", async () => {
  let asked = 0;
  const auth = () => (asked++ === 0 ? "t" : Promise.reject(new Error("no")));
  const { client, socket } = await connected({ auth });
  socket.says(EVENTS.AUTH_EXPIRING, { expires_at: "" });
  await until(() => client.lastError !== null);
  assert.equal(client.connection, CONNECTION.OPEN);
  assert.equal(socket.dials, 1);
});

test("a command that is refused as unauthenticated is sent again with a new token", async () => {
  const { client, socket } = await connected({ auth: tokens() });
  const asked = client.request(COMMANDS.STOP_STREAM, { conversation_id: "x" });
  await settle();
  socket.take(COMMANDS.STOP_STREAM).ack({ ok: false, error: unauthenticated });
  await until(() => socket.dials === 2);
  socket.opens();
  await settle();
  socket.take(COMMANDS.STOP_STREAM).ack({ ok: true });
  assert.equal((await asked).ok, true);
});

test("without a hook the refusal is told", async () => {
  const { client, socket } = await connected({ auth: "old" });
  const asked = client.request(COMMANDS.PING);
  await settle();
  socket.take(COMMANDS.PING).ack({ ok: false, error: unauthenticated });
  await assert.rejects(asked, { code: "unauthenticated" });
});

test("the waits double up to the longest, with a random part, and begin anew after a good connection", async (t) => {
  const waits = [];
  const { socket } = await connected({ reconnectionDelayMs: 100, reconnectionDelayMaxMs: 350 });
  t.mock.method(Math, "random", () => 0.5);
  t.mock.method(globalThis, "setTimeout", (task, ms) => {
    if (ms < 1000) waits.push(ms);
    if (ms < 1000) queueMicrotask(task);
    return 0;
  });
  socket.drops();
  for (const dials of [2, 3, 4]) {
    await settle();
    assert.equal(socket.dials, dials);
    socket.refuses(undefined);
  }
  assert.deepEqual(waits, [75, 150, 262.5, 262.5]);
  await settle();
  socket.opens();
  socket.drops(); // at once: the server does not want us
  assert.equal(waits.at(-1), 262.5);
  await settle();
  socket.opens();
  const from = performance.now();
  t.mock.method(performance, "now", () => from + 10_000);
  socket.drops();
  assert.equal(waits.at(-1), 75);
});

test("a server that says when to come back is not asked before", async (t) => {
  const waits = [];
  const { socket } = await connected({ reconnectionDelayMs: 100, reconnectionDelayMaxMs: 100 });
  t.mock.method(globalThis, "setTimeout", (task, ms) => {
    if (ms >= 20_000 || ms === 0) waits.push(ms);
    if (ms <= 100) queueMicrotask(task);
    return 0;
  });
  socket.drops();
  await settle();
  socket.refuses({ code: "limit_exceeded", message: "too many", retryable: true, retry_after_s: 42.5 });
  assert.deepEqual(waits.slice(-1), [42_500]);
});

test("when the network is back, or somebody looks at the page again, it does not wait any longer", async (t) => {
  globalThis.window = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  t.after(() => {
    delete globalThis.window;
    delete globalThis.document;
  });
  const { socket } = await connected({ reconnectionDelayMs: 60_000, reconnectionDelayMaxMs: 60_000 });
  socket.drops();
  document.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.equal(socket.dials, 1); // it was hidden
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.equal(socket.dials, 2);
  document.visibilityState = "hidden";
  socket.refuses(undefined);
  window.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(socket.dials, 3);
});

test("a server that does not answer is given up after the timeout, and tried again", async () => {
  const { fake, client } = dialling({ timeoutMs: 10 });
  await until(() => fake.socket?.dials === 2);
  assert.equal(client.lastError.code, "unreachable");
  assert.ok(fake.socket.disconnects >= 1);
});
