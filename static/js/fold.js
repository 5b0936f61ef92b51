// @ts-check
/**
 * The reducer: snapshot + event = the next snapshot. The same in meaning as app/streaming/fold.py, so that a reader who
 * starts from a snapshot and applies every later event holds what a later snapshot would say.
 *
 * Pure: no clock, no I/O, and no argument is changed. What did not change keeps its identity, so that a view may compare
 * with ===.
 */

import { CODE } from "./errors.js";
import { EVENTS, STATUS } from "./protocol.js";

/** @typedef {import("./colloquy.d.ts").Snapshot} Snapshot */
/** @typedef {import("./colloquy.d.ts").MessageView} MessageView */

/** @type {Set<string>} */
const TERMINAL = new Set([STATUS.COMPLETED, STATUS.STOPPED, STATUS.ERROR]);
/** @type {Set<string>} */
const RUNNING = new Set([STATUS.INITIALIZING, STATUS.ACTIVE, STATUS.PAUSED]);

/** Whether a session in this state has ended for good. @param {string} status */
export const isTerminal = (status) => TERMINAL.has(status);

/** Whether a session in this state is under way. @param {string} status */
export const isRunning = (status) => RUNNING.has(status);

/** Messages that are kept, and their text in UTF-16 units; older finished ones are only counted. The server's defaults. */
export const MAX_MESSAGES = 500;
export const MAX_CHARS = 8_000_000;

/** Tool calls, charts and open questions that are kept. The server's figure, too. */
const MAX_KEPT = 100;

const NO_PROGRESS = Object.freeze({ current_turn: 0, max_turns: null, percentage: null, message: null });
const NO_USAGE = Object.freeze({ prompt_tokens: 0, completion_tokens: 0, estimated: false, cost_usd: null });

/**
 * A conversation of which nothing is known yet.
 * @param {string} conversationId
 * @returns {Snapshot}
 */
export function emptySnapshot(conversationId) {
  return {
    conversation_id: conversationId,
    epoch: "",
    offset: 0,
    title: "",
    team: "",
    content_type: "text",
    created_at: "",
    status: STATUS.IDLE,
    session_id: null,
    agents: [],
    model: null,
    demo: false,
    speaking: null,
    messages: [],
    omitted_messages: 0,
    progress: NO_PROGRESS,
    outcome: null,
    error: null,
    fallback: null,
    usage: NO_USAGE,
    tool_calls: [],
    charts: [],
    pending_inputs: [],
    queued: [],
  };
}

/**
 * The conversation as it stands when the server has forgotten it in the middle of a run: what had arrived is kept.
 * @param {Snapshot} state
 * @param {string} sentence for a person
 * @returns {Snapshot}
 */
export function interrupted(state, sentence) {
  const closed = (message) => ({ ...message, state: "partial", reason: CODE.INTERRUPTED });
  return {
    ...state,
    status: STATUS.ERROR,
    speaking: null,
    pending_inputs: [],
    messages: state.messages.map((message) => (message.state === "open" ? closed(message) : message)),
    error: { error: sentence, code: CODE.INTERRUPTED, retryable: true, fallback_mode: false, recovering: false },
  };
}

/**
 * Apply one logged event. Unknown names only move the offset, as on the server.
 * @param {Snapshot} state
 * @param {{name: string, payload: any}} event the payload with its envelope
 * @param {{maxMessages?: number, maxChars?: number}} [bounds]
 * @returns {Snapshot}
 */
export function fold(state, { name, payload }, { maxMessages = MAX_MESSAGES, maxChars = MAX_CHARS } = {}) {
  const moved = { ...state, epoch: payload.epoch ?? state.epoch, offset: payload.offset };
  const change = CHANGES[name];
  return change ? change(moved, payload, { maxMessages, maxChars }) : moved;
}

/** @type {Record<string, (state: Snapshot, payload: any, bounds: {maxMessages: number, maxChars: number}) => Snapshot>} */
const CHANGES = {
  [EVENTS.CONVERSATION_STATUS]: (state, payload) => {
    const next = { ...state };
    if (payload.status === STATUS.INITIALIZING) {
      // a new session begins
      Object.assign(next, { speaking: null, outcome: null, error: null, fallback: null, model: null });
      next.progress = NO_PROGRESS;
      next.demo = false;
    }
    next.status = payload.status;
    next.session_id = payload.session_id;
    next.team = payload.team;
    if (payload.agents?.length) next.agents = payload.agents;
    if (payload.model) next.model = payload.model;
    if (payload.usage) next.usage = addUsage(next.usage, payload.usage);
    if (isTerminal(payload.status)) Object.assign(next, { speaking: null, pending_inputs: [] });
    return next;
  },

  [EVENTS.AGENT_STEP]: (state, payload) => ({ ...state, speaking: payload.agent }),

  [EVENTS.MESSAGE_START]: (state, payload) => withMessage(state, opened(payload)),

  [EVENTS.MESSAGE_DELTA]: (state, payload) => {
    const message = find(state, payload.message_id) ?? opened({ ...payload, role: "agent", kind: "message" });
    return withMessage(state, { ...message, content: message.content + payload.delta });
  },

  [EVENTS.AGENT_MESSAGE]: (before, payload, bounds) => {
    const state = unqueued(before, payload); // its turn has come
    const message = find(state, payload.message_id) ?? opened(payload);
    const { content, content_type, confidence, usage, model, reason, truncated, cut_off, partial, demo } = payload;
    const whole = { ...message, content, content_type, confidence, usage, model, reason, truncated, cut_off, demo };
    return trimmed(withMessage(state, { ...whole, state: partial ? "partial" : "complete" }), bounds);
  },

  [EVENTS.MESSAGE_RESET]: (state, payload) => ({
    ...state,
    messages: state.messages.filter((message) => message.message_id !== payload.message_id),
  }),

  [EVENTS.PROGRESS]: (state, { current_turn, max_turns, percentage, message }) => ({
    ...state,
    progress: { current_turn, max_turns, percentage, message },
  }),

  [EVENTS.CONVERSATION_COMPLETE]: (state, { consensus, summary, reason }) => ({
    ...state,
    outcome: { consensus, summary, reason },
  }),

  [EVENTS.CONVERSATION_ERROR]: (state, { error, code, retryable, fallback_mode, recovering }) => ({
    ...state,
    error: { error, code, retryable, fallback_mode, recovering },
  }),

  [EVENTS.FALLBACK_MODE]: (state, payload) => {
    const fallback = { mode: payload.mode, reason: payload.reason, from: payload.from, to: payload.to };
    if (payload.mode === "demo") return { ...state, fallback, demo: true };
    return { ...state, fallback, model: payload.to || state.model };
  },

  [EVENTS.MESSAGE_UPDATED]: (state, { message_id, changes, updated_by, timestamp }) => {
    const message = find(state, message_id);
    if (!message) return state; // older than what is kept
    const known = Object.fromEntries(Object.entries(changes).filter(([name]) => name in message));
    const editor = "content" in changes ? { updated_by } : {}; // not who has rated it
    return withMessage(state, { ...message, ...known, ...editor, updated_at: timestamp });
  },

  [EVENTS.TOOL_CALL]: (state, { call_id, agent, tool, arguments: given, timestamp }) => {
    const answer = { success: null, code: null, preview: "", length: 0, artifact_id: null };
    const call = { call_id, agent, tool, arguments: given, timestamp, ...answer };
    return { ...state, tool_calls: kept(state.tool_calls, "call_id", call) };
  },

  [EVENTS.TOOL_RESULT]: (state, { call_id, agent, tool, timestamp, success, code, preview, length, artifact_id }) => {
    const began = { call_id, agent, tool, arguments: "", timestamp };
    const call = state.tool_calls.find((each) => each.call_id === call_id) ?? began;
    const answered = { ...call, success, code, preview, length, artifact_id };
    return { ...state, tool_calls: kept(state.tool_calls, "call_id", answered) };
  },

  [EVENTS.CHART_GENERATED]: (state, { chart_id, url, symbol, title, agent, timestamp }) => ({
    ...state,
    charts: kept(state.charts, "chart_id", { chart_id, url, symbol, title, agent, timestamp }),
  }),

  [EVENTS.INPUT_REQUEST]: (state, { request_id, agent, prompt, kind, secret, deadline }) => ({
    ...state,
    pending_inputs: kept(state.pending_inputs, "request_id", { request_id, agent, prompt, kind, secret, deadline }),
  }),

  [EVENTS.INPUT_RESOLVED]: (state, { request_id }) => ({
    ...state,
    pending_inputs: state.pending_inputs.filter((each) => each.request_id !== request_id),
  }),

  [EVENTS.MESSAGE_QUEUED]: (state, { message_id, content, content_type, by, timestamp }) => ({
    ...state,
    queued: kept(state.queued, "message_id", { message_id, content, content_type, by, timestamp }),
  }),

  [EVENTS.MESSAGE_UNQUEUED]: unqueued,

  [EVENTS.CONVERSATION_UPDATED]: (state, { changes }) => ({ ...state, title: changes.title ?? state.title }),
};

/** @returns {MessageView} */
function opened(payload) {
  return {
    message_id: payload.message_id,
    agent: payload.agent,
    role: payload.role,
    kind: payload.kind,
    content: "",
    content_type: "markdown",
    state: "open",
    confidence: null,
    usage: null,
    model: null,
    reason: null,
    truncated: false,
    cut_off: false,
    demo: payload.demo,
    feedback: null,
    updated_at: null,
    updated_by: null,
    timestamp: payload.timestamp,
  };
}

/** Without a message that waited. @param {Snapshot} state @returns {Snapshot} */
function unqueued(state, { message_id }) {
  const queued = state.queued.filter((each) => each.message_id !== message_id);
  return queued.length === state.queued.length ? state : { ...state, queued };
}

/** @param {Snapshot} state @param {string} id */
function find(state, id) {
  return state.messages.findLast((message) => message.message_id === id);
}

/** Put a message into its place, or at the end. @param {Snapshot} state @param {MessageView} message */
function withMessage(state, message) {
  const at = state.messages.findLastIndex((each) => each.message_id === message.message_id);
  const messages = state.messages.slice();
  messages[at < 0 ? messages.length : at] = message;
  return { ...state, messages };
}

/** Put one of a list into its place, or at the end of at most MAX_KEPT. */
function kept(list, key, one) {
  const at = list.findIndex((each) => each[key] === one[key]);
  if (at < 0) return [...list, one].slice(-MAX_KEPT);
  const next = list.slice();
  next[at] = one;
  return next;
}

/** Forget the oldest messages that are not open any more; the newest of them is kept, however long. */
function trimmed(state, { maxMessages, maxChars }) {
  const finished = state.messages.filter((message) => message.state !== "open");
  let chars = finished.reduce((sum, { content }) => sum + content.length, 0);
  const forgotten = new Set();
  while (state.messages.length - forgotten.size > maxMessages || chars > maxChars) {
    const oldest = finished[forgotten.size];
    if (forgotten.size >= finished.length - 1) break;
    forgotten.add(oldest);
    chars -= oldest.content.length;
  }
  if (forgotten.size === 0) return state;
  return {
    ...state,
    messages: state.messages.filter((message) => !forgotten.has(message)),
    omitted_messages: state.omitted_messages + forgotten.size,
  };
}

function addUsage(one, other) {
  return {
    prompt_tokens: one.prompt_tokens + other.prompt_tokens,
    completion_tokens: one.completion_tokens + other.completion_tokens,
    estimated: one.estimated || other.estimated,
    cost_usd: one.cost_usd == null ? (other.cost_usd ?? null) : one.cost_usd + (other.cost_usd ?? 0),
  };
}
