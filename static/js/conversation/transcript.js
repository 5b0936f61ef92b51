// @ts-check
/** The scrolling part of the page: messages, notices between them, who is about to speak, and the end. */

import { isRunning, isTerminal } from "../fold.js";
import { perFrame } from "../frames.js";
import { EVENTS, STATUS } from "../protocol.js";
import { arrange, h } from "../ui/dom.js";
import { doing, sentence } from "../ui/format.js";
import { ChartFigure } from "./chart.js";
import { Earlier } from "./earlier.js";
import { ending, fallbackText } from "./ending.js";
import { avatar, messageView, noteView } from "./message.js";
import { Timeline, precedes } from "./timeline.js";
import { ToolCallCard } from "./tool_call.js";

/** A frame's drawing may take this long; after a longer one, the next waits for as long as it took, times four. */
const FRAME_BUDGET_MS = 8;

export class Transcript {
  /** @type {Map<string, any>} message id → its view */
  #views = new Map();
  /** @type {Map<string, any>} a happening's key → its view */
  #happenings = new Map();
  #timeline = new Timeline();
  /** When the latest run began, as far as it is known. */
  #begunAt = "";
  /** @type {{after: string | null, element: HTMLElement}[]} notices, each after a message */
  #notes = [];
  #state = null;
  #emojis = new Map();
  #waitingFor = "";
  #silence = "";
  #endingFor = null;
  #end = null;
  #restUntil = 0;
  #draw = perFrame(() => this.draw());
  #waiting = h("div", { class: "waiting", hidden: true });
  #earlier;
  #maySteer = true;

  /**
   * @param {HTMLElement} element
   * @param {{
   *   onDrawn: () => void, onRetry: (content: string) => void, onContinue: () => Promise<void>,
   *   isGone: () => boolean, acts: import("./message_actions.js").Acts, keepPlace: (change: () => void) => void,
   *   fetch: (artifact: string) => Promise<Blob>,
   * }} hooks fetch: what is too large for an event
   */
  constructor(element, { onDrawn, onRetry, onContinue, isGone, acts, keepPlace, fetch }) {
    this.element = element;
    this.onDrawn = onDrawn;
    this.onRetry = onRetry;
    this.onContinue = onContinue;
    this.isGone = isGone;
    this.acts = acts;
    this.fetch = fetch;
    this.#earlier = new Earlier(() => keepPlace(() => this.draw()));
  }

  /** Whether the reader may steer and edit; the server asks again. @param {boolean} may */
  allow(may) {
    this.element.classList.toggle("read-only", !may);
    if (may === this.#maySteer) return;
    this.#maySteer = may;
    this.#endingFor = null; // it has a button, or has none
    this.#draw();
  }

  /** Begin with another conversation. */
  clear() {
    this.#views.clear();
    for (const view of this.#happenings.values()) view.dispose?.();
    this.#happenings.clear();
    this.#begunAt = "";
    this.#notes = [];
    this.#state = null;
    this.#endingFor = null;
    this.#end = null;
    this.#waitingFor = "";
    this.#earlier.clear();
    this.element.replaceChildren(this.#earlier.element, this.#waiting);
    this.#waiting.hidden = true;
  }

  /**
   * Take in what has come; `draw` shows it.
   * @param {any} state
   * @param {{name: string, payload: any} | null} event what led to it; null: a snapshot
   */
  take(state, event) {
    if (event === null && this.#notes.length === 0 && state.fallback) this.#noteOfSnapshot(state);
    if (event?.name === EVENTS.FALLBACK_MODE) this.#note(state, "switch", fallbackText(state.fallback));
    if (event?.name === EVENTS.CONVERSATION_ERROR && state.error.recovering) {
      this.#note(state, "switch", sentence(state.error.error));
    }
    if (event?.name === EVENTS.AGENT_STEP && event.payload.emoji) this.#emojis.set(event.payload.agent, event.payload.emoji);
    if (event?.payload.status === STATUS.INITIALIZING) this.#begunAt = event.payload.timestamp;
    if (event === null) this.#begunAt = state.messages.findLast(({ message_id }) => message_id === `${state.session_id}-user`)?.timestamp ?? "";
    if (event === null) this.#earlier.begin(state);
    else if (event.name === EVENTS.MESSAGE_UPDATED) this.#earlier.change(event.payload);
    this.#state = state;
    this.#silence = "";
  }

  /** Say that a team is silent, but alive; until the next event. @param {string} message what goes on @param {number} silentS */
  stillWorking(message, silentS) {
    this.#silence = `${doing(message, this.#state?.agents ?? [])} (${Math.round(silentS)} s)`;
    this.#draw();
  }

  /** A line at the end of what is there. @param {string} kind @param {string} text */
  remark(kind, text) {
    if (this.#state) this.#note(this.#state, kind, text);
    this.#draw();
  }

  // --- drawing --------------------------------------------------------------------------------------------------------

  /** Show what has come; call it once per frame. */
  draw() {
    if (!this.#state) return;
    const startedAt = performance.now();
    if (startedAt < this.#restUntil && isRunning(this.#state.status)) {
      setTimeout(this.#draw, this.#restUntil - startedAt);
      return;
    }
    const state = this.#state;
    this.#earlier.draw(state);
    this.#drawMessages(state);
    this.#drawWaiting(state);
    this.#drawEnding(state);
    const tookMs = performance.now() - startedAt;
    this.#restUntil = tookMs > FRAME_BUDGET_MS ? startedAt + 5 * tookMs : 0;
    this.onDrawn();
  }

  #drawMessages(state) {
    const cards = this.#cards(state);
    const wanted = [this.#earlier.element];
    const kept = new Set();
    const notes = [...this.#notes];
    const takeNotes = (after) => {
      for (const note of notes) if (note.after === after) wanted.push(note.element);
    };
    takeNotes(null);
    const happenings = this.#timeline.of(state);
    const drawn = new Set();
    let next = 0;
    const takeHappening = () => {
      const { key } = happenings[next];
      wanted.push(this.#drawHappening(happenings[next], state, cards).element);
      drawn.add(key);
      next += 1;
    };
    let first = true; // the conversation's content type is that of its first message
    const all = this.#earlier.messages.length > 0 ? [...this.#earlier.messages, ...state.messages] : state.messages;
    for (const message of all) {
      let view = this.#views.get(message.message_id);
      if (!view) {
        const kind = first && this.#earlier.left(state) === 0 ? state.content_type : message.content_type;
        view = messageView(message, cards(message.agent), kind, this.acts);
        this.#views.set(message.message_id, view);
      }
      if (message.role === "user") first = false;
      view.draw(message);
      while (next < happenings.length && precedes(happenings[next], message)) takeHappening();
      kept.add(message.message_id);
      wanted.push(view.element);
      takeNotes(message.message_id);
    }
    while (next < happenings.length) takeHappening();
    for (const id of [...this.#views.keys()]) if (!kept.has(id)) this.#views.delete(id);
    for (const [key, view] of [...this.#happenings]) {
      if (drawn.has(key)) continue;
      view.dispose?.();
      this.#happenings.delete(key);
    }
    for (const note of notes) if (note.after !== null && !kept.has(note.after)) note.after = state.messages.at(-1)?.message_id ?? null;
    wanted.push(this.#waiting);
    if (this.#end) wanted.push(this.#end);
    arrange(this.element, wanted);
  }

  #drawHappening({ key, kind, view: what }, state, cards) {
    let view = this.#happenings.get(key);
    if (!view) {
      const card = cards(what.agent ?? "");
      view = kind === "call" ? new ToolCallCard(what, card, this.fetch) : new ChartFigure(what, card, this.fetch, this.onDrawn);
      this.#happenings.set(key, view);
    }
    if (kind === "call") view.draw(what, !isRunning(state.status) || what.timestamp < this.#begunAt);
    return view;
  }

  /** Colour and emoji of an agent: by its place in the team, or by the order of appearance. */
  #cards(state) {
    const order = state.agents.map((agent) => agent.name);
    for (const { agent, role } of state.messages) if (role === "agent" && !order.includes(agent)) order.push(agent);
    for (const { agent } of state.tool_calls) if (!order.includes(agent)) order.push(agent);
    return (name) => ({
      color: Math.max(0, order.indexOf(name)) % 8,
      emoji: state.agents.find((agent) => agent.name === name)?.emoji || this.#emojis.get(name) || "",
    });
  }

  /** The row at the end that says what is being waited for. */
  #drawWaiting(state) {
    const speaker = state.speaking;
    const note = state.progress.message && doing(state.progress.message, state.agents);
    let thinks = false;
    const writes = state.messages.some((message) => message.state === "open");
    let text = "";
    if (state.pending_inputs.length > 0) text = ""; // the question says what is waited for
    else if (this.#silence && isRunning(state.status)) text = this.#silence;
    else if (state.status === STATUS.INITIALIZING) text = note || "Getting the panel together…";
    else if (state.status === STATUS.ACTIVE && !writes) {
      thinks = speaker && state.messages.at(-1)?.agent !== speaker;
      text = thinks ? `${speaker} is thinking…` : (note ?? "");
    }
    const key = `${text}|${thinks}`;
    this.#waiting.hidden = !text;
    if (key === this.#waitingFor) return;
    this.#waitingFor = key;
    const card = this.#cards(state)(speaker ?? "");
    const dots = h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
    if (thinks) this.#waiting.dataset.color = String(card.color);
    else delete this.#waiting.dataset.color;
    this.#waiting.replaceChildren(thinks ? avatar(speaker, card.emoji) : dots, h("span", { class: "waiting-text" }, text));
    if (thinks) this.#waiting.append(dots);
  }

  #drawEnding(state) {
    const key = isTerminal(state.status) ? [state.status, state.session_id, state.outcome, state.error, state.usage] : null;
    if (key === this.#endingFor || key?.every((part, at) => part === this.#endingFor?.[at])) return;
    this.#endingFor = key;
    this.#end?.remove();
    const asked = state.messages.findLast((message) => message.role === "user");
    this.#end = ending(state, {
      onRetry: asked && this.#maySteer ? () => this.onRetry(asked.content) : null,
      onContinue: this.#maySteer && !this.isGone() ? this.onContinue : null,
    });
    if (this.#end) this.element.append(this.#end);
  }

  // --- notices --------------------------------------------------------------------------------------------------------

  #note(state, kind, text) {
    const last = state.messages.at(-1);
    this.#notes.push({ after: last?.message_id ?? null, element: noteView(kind, text) });
  }

  /** A snapshot tells of a switch, but not when: it stands before the first message that came from it. */
  #noteOfSnapshot(state) {
    const { fallback, messages } = state;
    const first = messages.findIndex((message) => (fallback.mode === "demo" ? message.demo : message.model === fallback.to));
    const after = first < 0 ? messages.at(-1) : messages[first - 1];
    this.#notes.push({ after: after?.message_id ?? null, element: noteView("switch", fallbackText(fallback)) });
  }
}
