// @ts-check
/** The conversation page: which conversation is shown, and how its parts work together. */

import { CLIENT_EVENTS, COMMANDS, CONNECTION, ColloquyClient, ConversationStream, EVENTS, STATUS, isRunning } from "../colloquy.js";
import { CODE } from "../errors.js";
import { editMessage, rate, shares, teams } from "../ui/api.js";
import { byId, setText } from "../ui/dom.js";
import { reason, sentence } from "../ui/format.js";
import { openMenu } from "../ui/menu.js";
import { banner, dismissToast, removeBanner, toast } from "../ui/notices.js";
import { Account } from "./account.js";
import { actionsOf, askToDelete, copyLink, renameTo } from "./actions.js";
import { isAside } from "./aside.js";
import { Composer, bindContent } from "./composer.js";
import { keepDrafts, restoreDrafts } from "./drafts.js";
import { Controls, Header } from "./header.js";
import { Inputs } from "./inputs.js";
import { Queue } from "./queue.js";
import { Scroller } from "./scroller.js";
import { openShare } from "./share.js";
import { Sidebar } from "./sidebar.js";
import { Standing } from "./standing.js";
import { Surroundings } from "./surroundings.js";
import { Transcript } from "./transcript.js";

const READ_ALOUD_CHARACTERS = 600;
/** Teams whose own code is still being asked who is in them are asked for again after so long. */
const ASK_FOR_TEAMS_AGAIN_MS = 3000;

const settings = {
  conversationId: document.body.dataset.conversationId || null,
  socketAvailable: document.body.dataset.socketAvailable !== "false",
  socketError: document.body.dataset.socketError ?? "",
  maxBytes: Number(document.body.dataset.maxContentBytes) || 65_536,
};

const NOT_PERMITTED = "not_permitted";
const OWNER = "owner";
/** What changes a conversation's row in the list. @type {Set<string>} */
const ROW_EVENTS = new Set([EVENTS.CONVERSATION_STATUS, EVENTS.FALLBACK_MODE, EVENTS.CONVERSATION_UPDATED]);

/** What the main part shows. */
const VIEWS = Object.freeze({
  WELCOME: "welcome",
  LOADING: "loading",
  UNKNOWN: "unknown",
  CONVERSATION: "conversation",
  QUEUED: "queued", // a conversation that begins when the connection is back
});

let view = VIEWS.WELCOME;
/** The last agent_step that was seen live. @type {any} */
let step = null;

const client = new ColloquyClient();
const stream = new ConversationStream(client);
const account = new Account({ beforeLeaving: keepDrafts });
const sidebar = new Sidebar({ onMenu: openRowMenu, onRename: renamed, onDelete: askAndDelete });
const standing = new Standing({
  known: (id) => sidebar.find(id)?.role,
  changed: () => {
    refreshChrome();
    if (stream.state.pending_inputs.length > 0) learnNames();
  },
});
const scroller = new Scroller(byId("display"), byId("jump"));
const header = new Header({ kindOf: (label) => (label === surroundings.model.label ? surroundings.model.answering : undefined) });
const surroundings = new Surroundings(client, {
  header,
  account,
  refresh: refreshChrome,
  onOpen: () => {
    sidebar.refresh();
    account.ask();
  },
});
const controls = new Controls(stream);
const transcript = new Transcript(byId("transcript"), {
  onDrawn: () => scroller.follow(),
  onRetry: sendAgain,
  onContinue: goOn,
  isGone: () => Boolean(stream.failure),
  keepPlace: (change) => scroller.keepPlace(change),
  fetch: (artifact) => client.artifact(stream.conversationId ?? "", artifact),
  acts: {
    rate: (messageId, value) => refusalTold(() => rate(stream.conversationId, messageId, value)),
    edit: (messageId, content) => editMessage(stream.conversationId, messageId, content),
    nameOf: (userId) => account.nameOf(userId),
    maxBytes: settings.maxBytes,
  },
});
const queue = new Queue(byId("queue"), {
  onDiscard: discard,
  onRetry: sendAgain,
  onTakeBack: (messageId) => refusalTold(() => stream.unqueue(messageId)),
  nameOf: (userId) => account.nameOf(userId),
});
const inputs = new Inputs(byId("inputs"), {
  answer: (requestId, answer, clientId) => stream.provideInput(requestId, answer, { client_id: clientId }),
  now: () => Date.now() + client.clockSkewMs,
  nameOf: (userId) => account.nameOf(userId),
  onAsked: (text) => {
    learnNames();
    announce(text.slice(0, READ_ALOUD_CHARACTERS));
    scroller.follow();
  },
  onResolved: (text) => {
    transcript.remark("answer", text);
    announce(text);
  },
  onLeft: () => byId("display").focus({ preventScroll: true }),
});
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
  const turned = view !== next;
  view = next;
  byId("welcome").hidden = view !== VIEWS.WELCOME;
  byId("loading").hidden = view !== VIEWS.LOADING;
  byId("unknown").hidden = view !== VIEWS.UNKNOWN;
  byId("transcript").hidden = view !== VIEWS.CONVERSATION;
  byId("inputs").hidden = view !== VIEWS.CONVERSATION || byId("inputs").children.length === 0;
  byId("queue").hidden = view !== VIEWS.CONVERSATION && view !== VIEWS.QUEUED;
  document.body.dataset.view = view;
  if (view === VIEWS.WELCOME) scroller.toTop();
  else if (turned) scroller.toEnd();
  refreshChrome();
}

/** Everything around the messages, from the stream's state. */
function refreshChrome() {
  const state = view === VIEWS.CONVERSATION ? stream.state : null;
  header.show(state, step, standing.maySteer);
  header.watchers(state && !stream.failure ? stream.watchers : null);
  header.standing(state ? standing.role : null);
  controls.show(stream.status, stream.following);
  transcript.allow(standing.maySteer);
  const running = Boolean(state && isRunning(state.status));
  if (state) {
    inputs.show(state.pending_inputs, { maySteer: standing.maySteer && !stream.failure, paused: state.status === STATUS.PAUSED });
    queue.showKept(state.queued, { running, mayRemove: (by) => standing.maySteer && (by === account.id || standing.role === OWNER) });
  }
  byId("follow-up").hidden = !(state && state.status !== STATUS.IDLE && !stream.failure && settings.socketAvailable && standing.maySteer);
  byId("follow-up-content").placeholder = running ? "Send a message for later…" : "Ask a follow-up…";
}

/** Show a conversation, or with null the form for a new one. */
async function open(conversationId, { push = false } = {}) {
  if (push) history.pushState(null, "", conversationId ? `/c/${encodeURIComponent(conversationId)}` : "/");
  sidebar.mark(conversationId);
  if (sidebar.isOpen) sidebar.toggle(false);
  removeBanner("gone");
  standing.turnTo(conversationId);
  transcript.clear();
  queue.clear();
  inputs.clear();
  if (!conversationId) {
    stream.leave();
    show(VIEWS.WELCOME);
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
    if (error.code === CODE.CONVERSATION_UNKNOWN) showUnknown();
    else if (error.retryable === false) showUnknown("This conversation cannot be shown", sentence(error.message));
    // else: the stream joins when the connection is back
  }
}

/** A page of its own in the place of the conversation. @param {string} [title] @param {string} [text] */
function showUnknown(title = "This conversation is not here", text = "The link may be mistyped, the conversation may have been deleted, or it is not shared with you.") {
  setText(byId("unknown-title"), title);
  setText(byId("unknown-text"), text);
  show(VIEWS.UNKNOWN);
}

/** The conversation that is shown has come to an end for this reader. */
function lost(title, text) {
  stream.leave();
  standing.turnTo(null);
  transcript.clear();
  queue.clear();
  inputs.clear();
  removeBanner("gone");
  showUnknown(title, text);
  byId("display").focus({ preventScroll: true });
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
  inputs.clear();
  let starting;
  try {
    if ((await taken(() => (starting = stream.start(wish)))) === null) {
      show(VIEWS.QUEUED);
      starting.then(began, (error) => error.code !== CODE.CANCELLED && toast(reason(error), "error"));
    } else {
      began(await starting);
    }
    return true;
  } catch (error) {
    toast(reason(error), "error");
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
  standing.own(conversation_id);
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
    toast(reason(error), "error");
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

/** From the last finished turn on. */
async function goOn() {
  await refusalTold(() => client.request(COMMANDS.CONTINUE_STREAM, { conversation_id: stream.conversationId })).catch(() => {});
  scroller.toEnd();
}

/** Say why something was refused; the caller hears of it, too. @param {() => Promise<any>} act */
async function refusalTold(act) {
  try {
    return await act();
  } catch (error) {
    if (error.code === NOT_PERMITTED) standing.ask(); // it has changed
    toast(reason(error), "error");
    throw error;
  }
}

// --- the conversation as a whole --------------------------------------------------------------------------------------

function openRowMenu(row, button) {
  const onRename = () => sidebar.editTitle(row.conversation_id);
  openMenu(button, actionsOf(row, { onRename, onDelete: () => askAndDelete(row) }));
}

async function renamed(row, title) {
  await renameTo(row, title);
  sidebar.update({ conversation_id: row.conversation_id, title });
}

async function askAndDelete(row) {
  if (!(await askToDelete(row))) return;
  sidebar.drop(row.conversation_id);
  toast("Deleted.", "good");
  if (addressed() === row.conversation_id) open(null, { push: true });
}

byId("copy-link").addEventListener("click", () => stream.conversationId && copyLink(stream.conversationId));
byId("share").addEventListener("click", () => stream.conversationId && openShare(stream.conversationId));
byId("more").addEventListener("click", () => {
  const { conversation_id, title } = stream.state;
  if (!conversation_id) return;
  const row = { conversation_id, title, role: standing.role ?? undefined };
  openMenu(byId("more"), actionsOf(row, { onRename: () => header.editTitle(title, (wanted) => renamed(row, wanted)), onDelete: () => askAndDelete(row) }));
});

// --- what comes from the server ---------------------------------------------------------------------------------------

stream.onChange = (state, event) => {
  if (event === null || event.payload.status === STATUS.INITIALIZING) step = null;
  if (event?.name === EVENTS.AGENT_STEP) step = event.payload;
  if (event === null) {
    show(VIEWS.CONVERSATION);
    standing.joined();
  }
  transcript.take(state, event);
  if (event === null || ROW_EVENTS.has(event.name)) {
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

stream.on(EVENTS.AGENT_MESSAGE, ({ role, agent, content, kind }) => {
  if (role === "agent" && !isAside({ role, kind })) announce(`${agent}: ${content.slice(0, READ_ALOUD_CHARACTERS)}`);
});

stream.on(EVENTS.INPUT_RESOLVED, (resolved) => inputs.resolved(resolved));

stream.onError = (error) => {
  if (error !== stream.failure) return; // an event of the run: the transcript shows it
  refreshChrome();
  if (stream.state.error?.code === CODE.INTERRUPTED) return; // in the middle of a run: the transcript's end says so
  const gone = error.code === CODE.CONVERSATION_UNKNOWN;
  const text = gone ? "This conversation is no longer on the server, or not shared with you any more. What you see is what had arrived." : sentence(error.message);
  if (view === VIEWS.CONVERSATION) banner("gone", text, { level: "warning" });
  else showUnknown();
};

client.on(EVENTS.CONVERSATION_DELETED, ({ conversation_id }) => {
  sidebar.drop(conversation_id);
  if (conversation_id === stream.conversationId) lost("This conversation was deleted", "Its owner has deleted it, with all its messages. It cannot be brought back.");
});

client.on(EVENTS.ACCESS_ENDED, ({ conversation_id, message }) => {
  sidebar.drop(conversation_id);
  if (conversation_id === stream.conversationId) lost("You cannot watch this conversation any more", sentence(message));
});

client.on(EVENTS.HEARTBEAT, () => sidebar.refresh());

client.on(EVENTS.PROGRESS, ({ conversation_id, silent_s, message }) => {
  if (silent_s === undefined || conversation_id !== stream.conversationId) return;
  transcript.stillWorking(message ?? "Still working", silent_s);
});

/** Whom the conversation is shared with, by name; its owner may know. */
async function learnNames() {
  const { conversationId } = stream;
  if (!conversationId || standing.role !== OWNER) return;
  await shares(conversationId).then(({ shares: people }) => account.learn(people), () => {}); // they are called somebody else, then
}

function announce(text) {
  setText(byId("announcer"), text);
}

async function askForTeams({ again = false } = {}) {
  try {
    const known = await teams();
    composer.showTeams(known);
    if (!again) sidebar.showTeams(known.teams);
    if (known.teams.some(({ pending }) => pending)) setTimeout(() => askForTeams({ again: true }), ASK_FOR_TEAMS_AGAIN_MS);
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
  const typing = /** @type {any} */ (event.target).closest?.("input, textarea, select, dialog, [role=menu]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    sidebar.search();
    return;
  }
  if (event.key !== "Escape" || event.defaultPrevented) return;
  if (sidebar.isOpen) sidebar.toggle(false);
  else if (!dismissToast() && document.activeElement instanceof HTMLElement) document.activeElement.blur();
});

addEventListener("popstate", () => open(addressed()));

askForTeams();
sidebar.refresh();
account.ask();
if (settings.socketAvailable) {
  header.connection(client.connection);
  surroundings.connect();
} else {
  header.connection(CONNECTION.CLOSED);
  surroundings.askForModel();
  banner("socket", `Live conversations are unavailable: ${sentence(settings.socketError || "the socket layer could not start")} The other pages work.`, { level: "error", dismissible: false });
}
open(settings.conversationId);
restoreDrafts(() => {
  composer.look();
  lookAtFollowUp();
});
