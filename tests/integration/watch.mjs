// A real socket.io-client in Node.js against the real server: `node watch.mjs URL plain|library CONTENT`.
// Prints one line of JSON: what it has seen.
import { io } from "socket.io-client";
import { COMMANDS, EVENTS, NAMESPACE, STATUS } from "../../static/js/protocol.js";
import { ColloquyClient, ConversationStream } from "../../static/js/colloquy.js";

const [url, kind, content] = process.argv.slice(2);
const ended = new Set([STATUS.COMPLETED, STATUS.STOPPED, STATUS.ERROR]);

/** As a stranger would write it, from docs/protocol.md alone. */
async function plain() {
  const socket = io(url + NAMESPACE, { transports: ["websocket"], forceNew: true });
  const seen = [];
  const done = new Promise((resolve) => {
    socket.onAny((name, payload) => {
      seen.push({ name, payload });
      if (name === EVENTS.CONVERSATION_STATUS && ended.has(payload.status)) resolve();
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
    stream.onState = (status) => ended.has(status) && resolve();
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

console.log(JSON.stringify(await (kind === "plain" ? plain() : library())));
process.exit(0);
