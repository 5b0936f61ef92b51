// @ts-check
/** Messages that are older than the snapshot holds: asked for in pages, and put before the others. */

import { messages } from "../ui/api.js";
import { h, icon, setText } from "../ui/dom.js";
import { count, reason } from "../ui/format.js";

const PAGE = 50;

export class Earlier {
  #changed;
  #state = null;
  #turn = 0; // grows with each conversation: the answers for others are ignored
  #button = h("button", { class: "button small", type: "button", "data-testid": "show-earlier", onclick: () => this.#load() });
  #text = h("span");
  #problem = h("p", { class: "problem", role: "alert", hidden: true });
  /** What has been loaded, oldest first. @type {any[]} */
  messages = [];

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
    this.#button.append(icon("up"), this.#text);
    this.element = h("div", { class: "earlier", hidden: true }, this.#button, this.#problem);
  }

  /** Begin with another conversation. */
  clear() {
    this.#turn += 1;
    this.#state = null;
    this.messages = [];
    this.element.hidden = this.#problem.hidden = true;
    this.#button.removeAttribute("aria-busy");
  }

  /** A snapshot has come: what it holds is not shown twice. @param {any} state */
  begin(state) {
    const held = new Set(state.messages.map((message) => message.message_id));
    this.messages = this.messages.filter((message) => !held.has(message.message_id));
  }

  /** How many are left that are not shown. @param {any} state */
  left(state) {
    return Math.max(0, state.omitted_messages - this.messages.length);
  }

  /** A message has changed. @param {any} event message_updated's payload */
  change({ message_id, changes, updated_by, timestamp }) {
    const edited = "content" in changes ? { updated_by, updated_at: timestamp } : {};
    this.messages = this.messages.map((message) => (message.message_id === message_id ? { ...message, ...changes, ...edited } : message));
  }

  /** @param {any} state */
  draw(state) {
    this.#state = state;
    const left = this.left(state);
    this.element.hidden = left === 0;
    setText(this.#text, `Show earlier messages (${count(left)})`);
  }

  async #load() {
    if (!this.#state || this.#button.getAttribute("aria-busy") === "true") return;
    const turn = this.#turn;
    const { conversation_id, messages: held } = this.#state;
    const before = (this.messages[0] ?? held[0])?.message_id;
    this.#button.setAttribute("aria-busy", "true");
    this.#problem.hidden = true;
    try {
      const page = await messages(conversation_id, { before, limit: PAGE });
      if (turn !== this.#turn) return;
      this.messages = [...page.messages.map(viewOf), ...this.messages];
      this.#changed();
    } catch (error) {
      if (turn !== this.#turn) return;
      setText(this.#problem, `They cannot be shown now. ${reason(error)}`);
      this.#problem.hidden = false;
    }
    this.#button.removeAttribute("aria-busy");
  }
}

/** A message as HTTP tells it (FEATURES E3), as a snapshot would. */
function viewOf({ id, role, message, timestamp, updated_at, updated_by, state, cut_off, kind, feedback }) {
  const user = role === "user";
  return {
    message_id: id,
    role: user ? "user" : "agent",
    agent: user ? "User" : role,
    content: message,
    content_type: user ? "text" : "markdown",
    kind,
    state,
    confidence: null,
    model: null,
    reason: null,
    truncated: false,
    cut_off,
    demo: false,
    feedback,
    timestamp,
    updated_at,
    updated_by,
  };
}
