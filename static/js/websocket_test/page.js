// @ts-check
/** The debugging page: connect, send any command, watch the wire and the figures. */

import { CLIENT_EVENTS, COMMANDS, CONNECTION, ColloquyClient, ConversationStream, DEFAULT_URL, STATUS, isRunning } from "../colloquy.js";
import { teams } from "../ui/api.js";
import { byId, h, setText } from "../ui/dom.js";
import { CONNECTION_TEXT, STATUS_TEXT, count, duration, sentence } from "../ui/format.js";
import { banner, toast } from "../ui/notices.js";
import { EventLog } from "./event_log.js";
import { commandForms } from "./forms.js";
import { Plot } from "./plot.js";

const SAMPLE_EVERY_MS = 1000;
const PING_EVERY_MS = 1000;

const log = new EventLog();
const plot = new Plot(byId("plot"));

/** @type {any} */ let client = null;
/** @type {any} */ let stream = null;
let openedAt = 0;
let commandErrors = 0;

const token = () => byId("token").value.trim().replace(/^Bearer\s+/i, "");

// --- connection -------------------------------------------------------------------------------------------------------

function connect(url) {
  disconnect();
  client = new ColloquyClient({ url, pingIntervalMs: 0, auth: () => (token() ? { token: token() } : {}) });
  stream = new ConversationStream(client);
  client.on("*", (payload, name) => {
    if (!Object.values(CLIENT_EVENTS).includes(name)) log.add("in", name, envelopeLast(payload));
  });
  client.on(CLIENT_EVENTS.CONNECTION, connectionChanged);
  client.on(CLIENT_EVENTS.QUEUE, ({ queued, refused }) => {
    const what = refused ? `refused: ${refused.error.code}: ${refused.message.content}` : `${queued.length} waiting for the connection`;
    log.add("note", "queue", what);
  });
  stream.onRender = () => refresh();
  client.connect().catch((error) => toast(sentence(error.message), "error"));
}

function disconnect() {
  client?.disconnect();
  openedAt = 0;
  refresh();
}

/** The same payload, with what all events carry behind what is the event's own: a row shows its beginning. */
function envelopeLast({ conversation_id, epoch, prev_offset, offset, timestamp, demo, message_id, ...own }) {
  return { ...own, message_id, offset, prev_offset, epoch, conversation_id, timestamp, demo };
}

function connectionChanged(connection) {
  const error = client.lastError;
  log.add("note", "connection", [connection, client.transport, error && `${error.code}: ${error.message}`].filter(Boolean).join(" · "));
  if (connection === CONNECTION.OPEN) openedAt ||= Date.now();
  refresh();
}

// --- commands ---------------------------------------------------------------------------------------------------------

/** Send a command as the page's stream would, where it makes this connection a reader; else as it is. */
async function send(name, payload) {
  if (!client) throw Object.assign(new Error("not connected"), { code: "not_connected", retryable: true });
  log.add("out", name, withoutSecrets(payload));
  try {
    let ack;
    if (name === COMMANDS.START_STREAM) ack = await stream.start(payload);
    else if (name === COMMANDS.JOIN && typeof payload.conversation_id === "string") ack = await join(payload);
    else ack = await client.request(name, payload);
    log.add("ack", name, ack);
    return ack;
  } catch (error) {
    commandErrors += 1;
    log.add("fail", name, { code: error.code, message: error.message, retryable: error.retryable });
    throw error;
  } finally {
    refresh();
  }
}

/** Neither tokens nor answers that are not to be shown stand in the log. */
function withoutSecrets(payload) {
  if ("token" in payload) return { ...payload, token: "•••" };
  const asked = stream.state.pending_inputs.find(({ request_id }) => request_id === payload.request_id);
  return asked?.secret ? { ...payload, content: "•••" } : payload;
}

/** What the conversation that is followed fills in. */
function known(name) {
  const { conversationId, state } = stream ?? {};
  const filled = { conversation_id: conversationId };
  if (name === COMMANDS.PROVIDE_INPUT) return { ...filled, request_id: state?.pending_inputs[0]?.request_id };
  if (name === COMMANDS.UNQUEUE_MESSAGE) return { ...filled, message_id: state?.queued[0]?.message_id };
  return filled;
}

function join({ conversation_id, ...options }) {
  return stream.join(conversation_id, options);
}

async function quick(button, name, payload) {
  button.setAttribute("aria-busy", "true");
  try {
    await send(name, payload);
  } catch (error) {
    toast(sentence(error.message), "error");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

const steer = (id, name) => byId(id).addEventListener("click", () => quick(byId(id), name, { conversation_id: stream.conversationId }));
steer("quick-pause", COMMANDS.PAUSE_STREAM);
steer("quick-resume", COMMANDS.RESUME_STREAM);
steer("quick-stop", COMMANDS.STOP_STREAM);

byId("quick-form").addEventListener("submit", (event) => {
  event.preventDefault();
  quick(byId("quick-start"), COMMANDS.START_STREAM, { team: byId("quick-team").value || "debate", content: byId("quick-content").value });
});

byId("connect-form").addEventListener("submit", (event) => {
  event.preventDefault();
  connect(byId("url").value.trim());
});
byId("disconnect").addEventListener("click", disconnect);
byId("authenticate").addEventListener("click", () => quick(byId("authenticate"), COMMANDS.AUTHENTICATE, { token: token() }));
byId("token").addEventListener("input", () => refresh());

// --- what is shown ----------------------------------------------------------------------------------------------------

function refresh() {
  const connection = client?.connection ?? CONNECTION.CLOSED;
  const status = stream?.conversationId ? stream.status : STATUS.IDLE;
  byId("connection").dataset.connection = connection;
  setText(byId("connection"), CONNECTION_TEXT[connection]);
  byId("status").dataset.status = status;
  setText(byId("status"), STATUS_TEXT[status]);
  setText(byId("connection-detail"), detail(connection));

  const open = connection === CONNECTION.OPEN;
  byId("disconnect").disabled = connection === CONNECTION.CLOSED;
  byId("authenticate").disabled = !open || !token();
  byId("quick-start").disabled = !open;
  byId("quick-pause").disabled = !open || !isRunning(status) || status === STATUS.PAUSED;
  byId("quick-resume").disabled = !open || status !== STATUS.PAUSED;
  byId("quick-stop").disabled = !open || !isRunning(status);

  const page = byId("open-page");
  page.hidden = !stream?.conversationId;
  if (!page.hidden) page.href = new URL(`/c/${encodeURIComponent(stream.conversationId)}`, client.url).href;
}

function detail(connection) {
  if (connection === CONNECTION.OPEN) return `Connected to ${client.url} by ${client.transport}.`;
  if (client?.lastError) return `${client.url}: ${client.lastError.message} (${client.lastError.code}).`;
  return connection === CONNECTION.CLOSED ? "Not connected." : `Connecting to ${client.url}…`;
}

const ms = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ms`);

const FIGURES = /** @type {[string, string, (metrics: any) => string][]} */ ([
  ["tokens", "Tokens", (m) => count(m.tokens)],
  ["tokens-per-s", "Tokens/s", (m) => m.tokensPerS.toFixed(1)],
  ["latency", "Ping", (m) => ms(m.latencyMs)],
  ["delivery", "Delivery", (m) => ms(m.deliveryMs)],
  ["session-status", "Status", () => (stream?.conversationId ? STATUS_TEXT[stream.status] : "–")],
  ["offset", "Offset", (m) => count(m.offset)],
  ["epoch", "Epoch", (m) => m.epoch || "–"],
  ["uptime", "Uptime", () => (openedAt ? duration(Date.now() - openedAt) : "–")],
  ["reconnects", "Reconnects", () => count(client?.reconnects ?? 0)],
  ["behind", "Behind", (m) => `${count(m.behind)} ${m.behind === 1 ? "event" : "events"}`],
  ["gaps", "Gaps", (m) => count(m.gaps)],
  ["duplicates", "Duplicates", (m) => count(m.duplicates)],
  ["batches", "Batches", (m) => count(m.batches)],
  ["acks", "Acks sent", (m) => count(m.acks)],
  ["queued", "Queued", () => count(client?.queued.length ?? 0)],
  ["errors", "Errors", (m) => count(m.errors + commandErrors)],
  ["watchers", "Watchers", () => String(stream?.watchers ?? "–")],
  ["session", "Session", () => stream?.state.session_id ?? "–"],
  ["conversation", "Conversation", () => stream?.conversationId ?? "–"],
]);

const NOTHING = { tokens: 0, tokensPerS: 0, latencyMs: null, deliveryMs: null, offset: 0, epoch: "", behind: 0, gaps: 0, duplicates: 0, batches: 0, acks: 0, errors: 0 };

byId("metrics").append(
  ...FIGURES.map(([id, label]) => h("div", { class: "metric" }, h("dt", {}, label), h("dd", { id: `metric-${id}`, "data-testid": `metric-${id}` }, "–"))),
);

function drawFigures() {
  const metrics = stream?.metrics ?? NOTHING;
  for (const [id, , text] of FIGURES) {
    const element = byId(`metric-${id}`);
    setText(element, text(metrics));
    element.title = element.textContent;
  }
  return metrics;
}

setInterval(drawFigures, 250);
setInterval(() => plot.add({ ...drawFigures(), ...(isRunning(stream?.status ?? "") ? {} : { deliveryMs: null }) }), SAMPLE_EVERY_MS);
setInterval(() => client?.connection === CONNECTION.OPEN && client.ping().catch(() => {}), PING_EVERY_MS);

byId("commands").append(...commandForms(send, known));

teams().then(
  (answer) => {
    byId("quick-team").append(...answer.teams.map((team) => h("option", { value: team.name, disabled: Boolean(team.error) }, team.title)));
    byId("quick-team").value = answer.default;
  },
  () => byId("quick-team").append(h("option", { value: "debate" }, "debate")),
);

byId("url").value = DEFAULT_URL;
refresh();
drawFigures();
if (document.body.dataset.socketAvailable === "false") {
  banner("socket", `The socket layer is not running: ${sentence(document.body.dataset.socketError || "the reason is not known")}`, { level: "error", dismissible: false });
} else {
  connect(DEFAULT_URL);
}
