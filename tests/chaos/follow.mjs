// Colloquy's JavaScript client in Node.js, through a fault proxy: `node follow.mjs URL CONVERSATION_ID`.
// Prints a line of JSON when it follows, and one at the end: its state, or why it gave up.
import { io } from "socket.io-client";
import { ColloquyClient, ConversationStream, isTerminal } from "../../static/js/colloquy.js";

const [url, conversationId] = process.argv.slice(2);
const client = new ColloquyClient({
  io,
  url,
  pingIntervalMs: 0,
  transports: ["websocket"],
  reconnectionDelayMs: 50,
  reconnectionDelayMaxMs: 200,
});
const stream = new ConversationStream(client);
const ended = new Promise((resolve) => {
  stream.onState = (status) => isTerminal(status) && resolve();
  stream.onError = () => stream.failure && resolve();
});
await client.connect();
await stream.join(conversationId);
console.log(JSON.stringify({ following: stream.following }));
if (!isTerminal(stream.status)) await ended;
const { state, failure, metrics } = stream;
console.log(JSON.stringify({ state, failure: failure?.code ?? null, reconnects: metrics.reconnects, gaps: metrics.gaps }));
process.exit(0);
