// A real socket.io-client in Node.js against the real server: `node watch.mjs URL plain|library|typed|missed CONTENT`.
// Prints one line of JSON: what it has seen.
import { io } from "socket.io-client";
import { COMMANDS, EVENTS, NAMESPACE, STATUS } from "../../static/js/protocol.js";
import { ColloquyClient, ConversationStream } from "../../static/js/colloquy.js";

const [url, kind, content] = process.argv.slice(2);
const ENDED = new Set([STATUS.COMPLETED, STATUS.STOPPED, STATUS.ERROR]);

/** As a stranger would write it, from docs/protocol.md alone. */
async function plain() {
  const socket = io(url + NAMESPACE, { transports: ["websocket"], forceNew: true });
  const seen = [];
  const done = new Promise((resolve) => {
    socket.onAny((name, payload) => {
      seen.push({ name, payload });
      if (name === EVENTS.CONVERSATION_STATUS && ENDED.has(payload.status)) resolve();
    });
  });
  await new Promise((resolve, reject) => {
    socket.on("connect", resolve);
    socket.on("connect_error", reject);
  });
  const bad = await socket.emitWithAck("make_coffee", {});
  const ack = await socket.emitWithAck(COMMANDS.START_STREAM, { content });
  await done;
  socket.close();
  let last = ack.offset;
  let holes = 0;
  const texts = {};
  for (const { name, payload } of seen) {
    if (payload.offset === undefined || payload.prev_offset === undefined) continue;
    if (payload.prev_offset !== last) holes += 1;
    last = payload.offset;
    if (name === EVENTS.MESSAGE_DELTA) texts[payload.message_id] = (texts[payload.message_id] ?? "") + payload.delta;
  }
  const messages = seen.filter(({ name, payload }) => name === EVENTS.AGENT_MESSAGE && payload.role === "agent");
  return {
    refused: bad.error.code,
    holes,
    agents: messages.map(({ payload }) => payload.agent),
    same: messages.every(({ payload }) => texts[payload.message_id] === payload.content),
    status: seen.filter(({ name }) => name === EVENTS.CONVERSATION_STATUS).map(({ payload }) => payload.status),
  };
}

/** With Colloquy's own client, and a connection that is cut in the middle. */
async function library() {
  let socket = null;
  const client = new ColloquyClient({ io: (...args) => (socket = io(...args)), url, pingIntervalMs: 0 });
  await client.connect();
  const stream = new ConversationStream(client);
  const done = new Promise((resolve) => {
    stream.onState = (status) => ENDED.has(status) && resolve();
  });
  await stream.start({ team: "debate", content });
  let cut = false;
  client.on(EVENTS.MESSAGE_DELTA, () => {
    if (cut || stream.metrics.tokens < 20) return;
    cut = true;
    socket.io.engine.close(); // as when the network is gone
  });
  await done;
  const state = stream.state;
  const metrics = { ...stream.metrics };
  client.disconnect();
  return {
    agents: state.messages.filter((each) => each.role === "agent").map((each) => each.agent),
    contents: state.messages.map((each) => each.content),
    states: state.messages.map((each) => each.state),
    status: state.status,
    reconnects: metrics.reconnects,
    conversation: state.conversation_id,
  };
}

/** Resolves when a stream's conversation has ended so many times. */
function ends(stream, times) {
  let ended = 0;
  return new Promise((resolve) => {
    stream.on(EVENTS.CONVERSATION_STATUS, ({ status }) => ENDED.has(status) && ++ended === times && resolve());
  });
}

/** What a person types arrives once and in order: an answer that is lost, messages without a connection, two streams. */
async function typed() {
  let socket = null;
  const sent = [];
  const lose = new Set([COMMANDS.START_STREAM, COMMANDS.SEND_MESSAGE]); // the first answer to each
  const faulty = (...args) => {
    socket = io(...args);
    const emit = socket.emit.bind(socket);
    socket.emit = (name, payload, ack) => {
      if (payload?.client_id) sent.push({ name, client_id: payload.client_id });
      if (lose.delete(name)) ack = () => socket.io.engine.close();
      return emit(name, payload, ...(ack ? [ack] : []));
    };
    return socket;
  };
  const client = new ColloquyClient({ io: faulty, url, pingIntervalMs: 0, reconnectionDelayMs: 50 });
  await client.connect();
  const stream = new ConversationStream(client);
  const other = new ConversationStream(client);
  const done = ends(stream, 4);
  const first = ends(stream, 1);
  const second = ends(stream, 2);
  await stream.start({ team: "debate", content });
  await other.join(stream.conversationId);
  await first;
  await stream.send("two");
  await second;
  socket.io.engine.close(); // and before it is back:
  const queued = [stream.send("three"), stream.send("four")];
  const waiting = stream.queued.length;
  await Promise.all([...queued, done]);
  const result = {
    conversation: stream.conversationId,
    contents: stream.state.messages.map((each) => each.content),
    said: stream.state.messages.filter((each) => each.role === "user").map((each) => each.content),
    same: stream.state === other.state,
    waiting,
    left: client.queued.length,
    sent: sent.length,
    ids: new Set(sent.map((each) => each.client_id)).size,
    acks: stream.metrics.acks > 0,
    gaps: stream.metrics.gaps,
  };
  client.disconnect();
  return result;
}

/** A reader that was away for a long run catches up, in batches, from where it stood. */
async function missed() {
  let socket = null;
  const away = new ColloquyClient({ io: (...args) => (socket = io(...args)), url, pingIntervalMs: 0, reconnectionDelayMs: 3_600_000, reconnectionDelayMaxMs: 3_600_000 });
  const present = new ColloquyClient({ io, url, pingIntervalMs: 0 });
  await Promise.all([away.connect(), present.connect()]);
  const stream = new ConversationStream(present);
  const late = new ConversationStream(away);
  const done = ends(stream, 1);
  const begins = new Promise((resolve) => stream.on(EVENTS.MESSAGE_DELTA, resolve));
  await stream.start({ team: "debate", content });
  await late.join(stream.conversationId);
  await begins;
  socket.io.engine.close();
  const kept = late.state;
  await done;
  const again = new ColloquyClient({ io, url, pingIntervalMs: 0 });
  await again.connect();
  const back = new ConversationStream(again);
  const replaced = [];
  back.onChange = (_, event) => event === null && replaced.push(back.state.offset);
  const startedAt = performance.now();
  const caughtUp = ends(back, 1);
  await back.join(stream.conversationId, { snapshot: kept });
  await caughtUp;
  const tookMs = performance.now() - startedAt;
  const result = {
    conversation: stream.conversationId,
    contents: back.state.messages.map((each) => each.content),
    from: kept.offset,
    offset: back.state.offset,
    replaced,
    batches: back.metrics.batches,
    gaps: back.metrics.gaps,
    tookMs,
  };
  for (const client of [away, present, again]) client.disconnect();
  return result;
}

/** Tokens that run out, CONTENT is a list of them: the first is renewed in time; without a second one comes the end. */
async function renewed() {
  const tokens = JSON.parse(content);
  let given = 0;
  const auth = () => (given < tokens.length ? tokens[given++] : Promise.reject(Object.assign(new Error("no"), { retryable: false })));
  let told = null;
  const client = new ColloquyClient({ io, url, pingIntervalMs: 0, auth, signedOut: (event) => (told = event.action) });
  const heard = [];
  for (const name of [EVENTS.CONNECTED, EVENTS.AUTH_EXPIRING, EVENTS.SIGNED_OUT]) client.on(name, () => heard.push(name));
  await client.connect();
  const stream = new ConversationStream(client);
  const over = new Promise((resolve) => client.on("client:connection", (state) => state === "closed" && resolve()));
  const done = Promise.race([ends(stream, 1), over]);
  await stream.start({ team: "chat", content: "Should the bank keep its dividend?" });
  await done;
  const result = {
    conversation: stream.conversationId,
    contents: stream.state.messages.map((each) => each.content),
    status: stream.state.status,
    gaps: stream.metrics.gaps,
    connection: client.connection,
    reconnects: client.reconnects,
    error: client.lastError?.code ?? null,
    heard,
    told,
  };
  client.disconnect();
  return result;
}

/** Follows a conversation (CONTENT is its id) through a server that ends and comes back, until its run has completed. */
async function restart() {
  const client = new ColloquyClient({ io, url, pingIntervalMs: 0, reconnectionDelayMs: 100, reconnectionDelayMaxMs: 500 });
  await client.connect();
  const stream = new ConversationStream(client);
  const done = new Promise((resolve) => {
    stream.onChange = () => stream.state?.status === STATUS.COMPLETED && resolve();
  });
  await stream.join(content);
  process.stdout.write("following\n");
  await done;
  const result = { contents: stream.state.messages.map((each) => each.content), reconnects: stream.metrics.reconnects };
  client.disconnect();
  return result;
}

const seen = await { plain, library, typed, missed, renewed, restart }[kind]();
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));
