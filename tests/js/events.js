/** Builds events as the server sends them. */
import { EVENTS, STATUS } from "../../static/js/protocol.js";

export const ID = "c1";
export const EPOCH = "e1";

const whole = {
  content_type: "markdown", confidence: null, usage: null, model: null, partial: false, reason: null, truncated: false, cut_off: false,
};

/** Numbers events from `offset` + 1 on. */
export function log({ offset = 0, epoch = EPOCH, id = ID } = {}) {
  const event = (name, payload, covers = 1) => {
    const prev_offset = offset;
    offset += covers;
    const envelope = { conversation_id: id, epoch, prev_offset, offset, timestamp: `2026-01-01T00:00:00.${String(offset).padStart(3, "0")}Z`, demo: false };
    return { name, payload: { ...envelope, ...payload } };
  };
  return {
    status: (status, more) => event(EVENTS.CONVERSATION_STATUS, {
      status, session_id: "s1", team: "debate", agents: [], model: null, code: null, reason: null, usage: null, ...more,
    }),
    step: (agent, turn = 1) => event(EVENTS.AGENT_STEP, { agent, emoji: "", turn, max_turns: 3 }),
    start: (message_id, agent) => event(EVENTS.MESSAGE_START, { message_id, agent, role: "agent", kind: "message" }),
    delta: (message_id, agent, delta, covers = 1) =>
      event(EVENTS.MESSAGE_DELTA, { message_id, agent, delta, tokens: covers }, covers),
    message: (message_id, agent, content, more) =>
      event(EVENTS.AGENT_MESSAGE, { message_id, agent, content, role: "agent", kind: "message", ...whole, ...more }),
    reset: (message_id, agent) => event(EVENTS.MESSAGE_RESET, { message_id, agent, reason: "model_broken" }),
    progress: (current_turn) =>
      event(EVENTS.PROGRESS, { current_turn, max_turns: 3, percentage: (100 * current_turn) / 3, message: null }),
    complete: (more) => event(EVENTS.CONVERSATION_COMPLETE, { consensus: "Hold.", summary: null, reason: null, ...more }),
    error: (more) => event(EVENTS.CONVERSATION_ERROR, {
      error: "no", code: "model_broken", retryable: true, fallback_mode: false, recovering: false, ...more,
    }),
    fallback: (more) =>
      event(EVENTS.FALLBACK_MODE, { mode: "demo", reason: "backend_unavailable", from: null, to: null, ...more }),
    updated: (message_id, changes, updated_by = null) =>
      event(EVENTS.MESSAGE_UPDATED, { message_id, agent: "A", changes, updated_by }),
    call: (call_id, tool = "quote") => event(EVENTS.TOOL_CALL, { call_id, agent: "A", tool, arguments: "{}" }),
    result: (call_id, success = true) =>
      event(EVENTS.TOOL_RESULT, { call_id, agent: "A", tool: "quote", success, preview: "31.4" }),
    chart: (chart_id) => event(EVENTS.CHART_GENERATED, { chart_id, url: `/charts/${chart_id}`, symbol: "X", title: "", agent: "A" }),
    asks: (request_id) =>
      event(EVENTS.INPUT_REQUEST, { request_id, agent: "A", prompt: "May I?", kind: "permission", secret: false, deadline: null }),
    resolves: (request_id) =>
      event(EVENTS.INPUT_RESOLVED, { request_id, resolution: "granted", by: "local", content: null }),
    queues: (message_id, content = "And then?") =>
      event(EVENTS.MESSAGE_QUEUED, { message_id, content, content_type: "text", by: "local" }),
    unqueues: (message_id) => event(EVENTS.MESSAGE_UNQUEUED, { message_id, by: "local" }),
    unknown: () => event("something_new", {}),
  };
}

/** Events in their order as one `batch`. */
export function batchOf(events) {
  const [first, last] = [events[0].payload, events.at(-1).payload];
  const { conversation_id, epoch, prev_offset } = first;
  const payload = { conversation_id, epoch, prev_offset, offset: last.offset, entries: events, timestamp: last.timestamp };
  return { name: EVENTS.BATCH, payload };
}

/** A whole, small conversation. */
export function script() {
  const on = log();
  return [
    on.status(STATUS.INITIALIZING, { agents: [{ name: "A", description: "", emoji: "🅰" }] }),
    on.message("m0", "user", "What now?", { role: "user" }),
    on.status(STATUS.ACTIVE, { model: "small" }),
    on.progress(1),
    on.step("A"),
    on.start("m1", "A"),
    on.delta("m1", "A", "Hel"),
    on.delta("m1", "A", "lo", 3),
    on.message("m1", "A", "Hello", { confidence: 0.7 }),
    on.step("B", 2),
    on.start("m2", "B"),
    on.delta("m2", "B", "Never"),
    on.reset("m2", "B"),
    on.error({ fallback_mode: true }),
    on.fallback(),
    on.delta("m3", "B", "No "),
    on.delta("m3", "B", "way"),
    on.message("m3", "B", "No way", { partial: true, reason: "stopped" }),
    on.unknown(),
    on.complete(),
    on.status(STATUS.COMPLETED, { usage: { prompt_tokens: 5, completion_tokens: 7, estimated: false } }),
  ];
}
