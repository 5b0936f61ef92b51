// @ts-check
/** The conversation page: which conversation is shown, and how its parts work together. */

import { CLIENT_EVENTS, CONNECTION, ColloquyClient, ConversationStream, EVENTS, PROTOCOL_VERSION, STATUS, isTerminal } from "../colloquy.js";
import { readiness, teams } from "../ui/api.js";
import { byId, copyText, setText } from "../ui/dom.js";
import { sentence } from "../ui/format.js";
import { answers, modelLine } from "../ui/model.js";
import { banner, dismissToast, removeBanner, toast } from "../ui/notices.js";
import { Composer, bindContent } from "./composer.js";
import { Controls, Header } from "./header.js";
import { Queue } from "./queue.js";
import { Scroller } from "./scroller.js";
import { Sidebar } from "./sidebar.js";
import { Transcript } from "./transcript.js";

const OFFLINE_BANNER_AFTER_MS = 3000;
const READ_ALOUD_CHARACTERS = 600;
const INTERRUPTED = "interrupted";
const ASK_FOR_MODEL_EVERY_MS = 15_000;

const settings = {
  conversationId: document.body.dataset.conversationId || null,
  socketAvailable: document.body.dataset.socketAvailable !== "false",
  socketError: document.body.dataset.socketError ?? "",
  maxBytes: Number(document.body.dataset.maxContentBytes) || 65_536,
};

/** What the main part shows. */
const VIEWS = Object.freeze({
  WELCOME: "welcome",
  LOADING: "loading",
  UNKNOWN: "unknown",
  CONVERSATION: "conversation",
  QUEUED: "queued", // a conversation that begins when the connection is back
});

let view = VIEWS.WELCOME;
let model = { label: "", answering: "", problem: "" };
let modelTimer = 0;
let offlineTimer = 0;
/** The last agent_step that was seen live. @type {any} */
let step = null;

const client = new ColloquyClient();
const stream = new ConversationStream(client);
const sidebar = new Sidebar();
const scroller = new Scroller(byId("display"), byId("jump"));
const header = new Header({ kindOf: (label) => (label === model.label ? model.answering : undefined) });
const controls = new Controls(stream);
const transcript = new Transcript(byId("transcript"), { onDrawn: () => scroller.follow(), onRetry: sendAgain });
const queue = new Queue(byId("queue"), { onDiscard: discard, onRetry: sendAgain });
const composer = new Composer({ maxBytes: settings.maxBytes, available: settings.socketAvailable, onStart: start });
const lookAtFollowUp = bindContent({
  area: byId("follow-up-content"),
  counter: byId("follow-up-count"),
  button: byId("send"),
  maxBytes: settings.maxBytes,
  form: byId("follow-up"),
});

// --- which view -------------------------------------------------------------------------------------------------------

function show(next) {
  view = next;
  byId("welcome").hidden = view !== VIEWS.WELCOME;
  byId("loading").hidden = view !== VIEWS.LOADING;
  byId("unknown").hidden = view !== VIEWS.UNKNOWN;
  byId("transcript").hidden = view !== VIEWS.CONVERSATION;
  byId("queue").hidden = view !== VIEWS.CONVERSATION && view !== VIEWS.QUEUED;
  document.body.dataset.view = view;
  refreshChrome();
}

/** Everything around the messages, from the stream's state. */
function refreshChrome() {
  const state = view === VIEWS.CONVERSATION ? stream.state : null;
  header.show(state, step);
  header.watchers(state && !stream.failure ? stream.watchers : null);
  controls.show(stream.status, stream.following);
  byId("follow-up").hidden = !(state && isTerminal(state.status) && !stream.failure && settings.socketAvailable);
}

/** Show a conversation, or with null the form for a new one. */
async function open(conversationId, { push = false } = {}) {
  if (push) history.pushState(null, "", conversationId ? `/c/${encodeURIComponent(conversationId)}` : "/");
  sidebar.mark(conversationId);
  if (sidebar.isOpen) sidebar.toggle(false);
  removeBanner("gone");
  transcript.clear();
  queue.clear();
  if (!conversationId) {
    stream.leave();
    show(VIEWS.WELCOME);
    scroller.toTop();
    if (matchMedia("(pointer: fine)").matches) composer.focus(); // elsewhere a keyboard would cover the page
    return;
  }
  if (!settings.socketAvailable) {
    showUnknown("Live conversations are unavailable", "The server's socket layer did not start, so this conversation cannot be followed here.");
    return;
  }
  show(VIEWS.LOADING);
  try {
    await stream.join(conversationId);
  } catch (error) {
    if (addressed() !== conversationId) return; // the reader has turned to something else
    if (error.code === "conversation_unknown") showUnknown();
    else if (error.retryable === false) showUnknown("This conversation cannot be shown", sentence(error.message));
    // else: the stream joins when the connection is back
  }
}

function showUnknown(title = "This conversation is not here", text = "") {
  setText(byId("unknown-title"), title);
  if (text) setText(byId("unknown-text"), text);
  show(VIEWS.UNKNOWN);
}

function addressed() {
  const found = /^\/c\/([^/]+)/.exec(location.pathname);
  return found ? decodeURIComponent(found[1]) : null;
}

// --- commands ---------------------------------------------------------------------------------------------------------

/**
 * Wait until the server has taken a message, or until it is known to wait for the connection: then the queue shows it, and
 * later also if it is refused.
 * @param {() => Promise<any>} act
 * @returns {Promise<any>} the ack; null: it waits
 */
async function taken(act) {
  const before = stream.queued.length;
  let stop = () => {};
  const waits = new Promise((resolve) => {
    stop = client.on(CLIENT_EVENTS.QUEUE, () => stream.queued.length > before && resolve(null));
  });
  const asked = act();
  asked.catch(() => {}); // told below, or by the queue
  try {
    return await Promise.race([asked, waits]);
  } finally {
    stop();
  }
}

/** @returns {Promise<boolean>} whether it began, or will */
async function start(wish) {
  transcript.clear();
  queue.clear();
  let starting;
  try {
    if ((await taken(() => (starting = stream.start(wish)))) === null) {
      show(VIEWS.QUEUED);
      starting.then(began, (error) => error.code !== "cancelled" && toast(sentence(error.message), "error"));
    } else {
      began(await starting);
    }
    return true;
  } catch (error) {
    toast(sentence(error.message), "error");
    return false;
  }
}

function began({ conversation_id }) {
  sidebar.refresh();
  if (stream.conversationId !== conversation_id) {
    toast("The conversation that was waiting for the connection has begun. It stands in the list."); // the reader has turned away
    return;
  }
  removeBanner("gone");
  history.pushState(null, "", `/c/${encodeURIComponent(conversation_id)}`);
  sidebar.mark(conversation_id);
  scroller.toEnd();
  byId("display").focus({ preventScroll: true });
}

async function send(content) {
  const button = byId("send");
  button.setAttribute("aria-busy", "true");
  try {
    await taken(() => stream.send(content));
    scroller.toEnd();
    return true;
  } catch (error) {
    toast(sentence(error.message), "error");
    return false;
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Once more; in a new conversation, where the server has forgotten this one. */
async function sendAgain(content) {
  const { team, content_type } = stream.state;
  if (stream.failure || !stream.conversationId) await start({ team: team || composer.team, content, content_type });
  else await send(content);
}

function discard(clientId) {
  client.cancel(clientId);
  if (view === VIEWS.QUEUED) open(null);
}

byId("follow-up").addEventListener("submit", async (event) => {
  event.preventDefault();
  const area = byId("follow-up-content");
  if (byId("send").disabled || !(await send(area.value.trim()))) return;
  area.value = "";
  lookAtFollowUp();
});

byId("copy-link").addEventListener("click", async () => {
  const link = new URL(`/c/${encodeURIComponent(stream.conversationId ?? "")}`, location.href).href;
  try {
    await copyText(link);
    toast("Link copied. Whoever opens it watches along.", "good");
  } catch {
    toast(`The browser did not allow copying. The link is ${link}`);
  }
});

// --- what comes from the server ---------------------------------------------------------------------------------------

stream.onChange = (state, event) => {
  if (event === null || event.payload.status === STATUS.INITIALIZING) step = null;
  if (event?.name === EVENTS.AGENT_STEP) step = event.payload;
  if (event === null) show(VIEWS.CONVERSATION);
  transcript.take(state, event);
  if (event === null || event.name === EVENTS.CONVERSATION_STATUS || event.name === EVENTS.FALLBACK_MODE) {
    const { conversation_id, title, status, demo } = state;
    sidebar.update({ conversation_id, title, status, demo });
    sidebar.refresh();
  }
};

stream.onRender = (state) => {
  if (state.conversation_id) transcript.draw();
  refreshChrome();
};

stream.onPresence = () => refreshChrome();

stream.onQueue = (queued, refused) => queue.show(queued, refused);

stream.on(EVENTS.AGENT_MESSAGE, ({ role, agent, content }) => {
  if (role === "agent") announce(`${agent}: ${content.slice(0, READ_ALOUD_CHARACTERS)}`);
});

stream.onError = (error) => {
  if (error !== stream.failure) return; // an event of the run: the transcript shows it
  refreshChrome();
  if (stream.state.error?.code === INTERRUPTED) return; // in the middle of a run: the transcript's end says so
  const gone = error.code === "conversation_unknown";
  const text = gone ? "The server no longer knows this conversation; it may have been restarted. What you see is what had arrived." : sentence(error.message);
  if (view === VIEWS.CONVERSATION) banner("gone", text, { level: "warning" });
  else showUnknown();
};

client.on(EVENTS.CONNECTED, ({ protocol }) => {
  if (protocol === PROTOCOL_VERSION) removeBanner("version");
  else banner("version", "The server has been updated. Reload this page.", { level: "warning", dismissible: false });
});

client.on(EVENTS.BROADCAST, ({ message, level }) => banner(`broadcast ${message}`, message, { level }));

client.on(EVENTS.HEARTBEAT, () => sidebar.refresh());

client.on(EVENTS.PROGRESS, ({ conversation_id, silent_s, message }) => {
  if (silent_s === undefined || conversation_id !== stream.conversationId) return;
  transcript.stillWorking(`${sentence(message ?? "Still working").replace(/\.$/, "…")} (${Math.round(silent_s)} s)`);
});

client.on(CLIENT_EVENTS.CONNECTION, (connection) => {
  header.connection(connection, connection === CONNECTION.OPEN ? `by ${client.transport}` : (client.lastError?.message ?? ""));
  refreshChrome();
  if (connection === CONNECTION.OPEN) {
    clearTimeout(offlineTimer);
    offlineTimer = 0;
    removeBanner("offline");
    sidebar.refresh();
    askForModel();
  } else if (!offlineTimer) {
    offlineTimer = setTimeout(() => {
      banner("offline", "No connection to the server. Conversations go on there; this page catches up when it is back.", { level: "warning", dismissible: false });
    }, OFFLINE_BANNER_AFTER_MS);
  }
});

client.on(CLIENT_EVENTS.LATENCY, (latencyMs) => header.connection(client.connection, `by ${client.transport}, ${Math.round(latencyMs)} ms there and back`));

function announce(text) {
  setText(byId("announcer"), text);
}

async function askForModel() {
  clearTimeout(modelTimer);
  try {
    const ready = await readiness();
    model = ready.model ?? model;
    setText(byId("model-line"), modelLine(ready));
    byId("model-line").title = model.problem ?? "";
    if (!answers(ready)) modelTimer = setTimeout(askForModel, ASK_FOR_MODEL_EVERY_MS); // it may still be starting
  } catch {
    setText(byId("model-line"), "");
  }
  refreshChrome();
}

async function askForTeams() {
  try {
    composer.showTeams(await teams());
  } catch (error) {
    byId("team-box").hidden = true; // the default team can still be started
  }
}

// --- the page ---------------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const link = /** @type {any} */ (event.target).closest("a[data-new], a[data-conversation]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  open(link.dataset.conversation ?? null, { push: true });
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  if (sidebar.isOpen) sidebar.toggle(false);
  else if (!dismissToast() && document.activeElement instanceof HTMLElement) document.activeElement.blur();
});

addEventListener("popstate", () => open(addressed()));

askForTeams();
sidebar.refresh();
if (settings.socketAvailable) {
  header.connection(client.connection);
  client.connect().catch((error) => banner("refused", sentence(error.message), { level: "error" }));
} else {
  header.connection(CONNECTION.CLOSED);
  askForModel();
  banner("socket", `Live conversations are unavailable: ${sentence(settings.socketError || "the socket layer could not start")} The other pages work.`, { level: "error", dismissible: false });
}
open(settings.conversationId);
