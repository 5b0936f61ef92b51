// @ts-check
/** What agents do not say to anybody: facts, plans, ledgers, thoughts. Open while they are written, folded afterwards. */

import { h, icon } from "../ui/dom.js";
import { briefly } from "../ui/format.js";
import { MarkdownView } from "../ui/markdown.js";

const KINDS = {
  facts: { label: "Facts", writing: "is gathering the facts…", sign: "list" },
  plan: { label: "Plan", writing: "is planning…", sign: "list" },
  ledger: { label: "Progress", writing: "is looking at the progress…", sign: "list" },
  thought: { label: "Thought", writing: "is thinking…", sign: "bulb" },
};
const UNKNOWN = { label: "Note", writing: "is writing…", sign: "list" };

/** Whether a message is one of these, and no answer. @param {any} message */
export const isAside = ({ role, kind }) => role !== "user" && kind !== undefined && kind !== "message";

export class Aside {
  #message = null;
  #body;
  #label;
  #time;
  #details;
  #box;
  #kind;
  #chosen = false; // the reader has opened or closed it: it stays so

  /** @param {any} message @param {{color: number}} card */
  constructor(message, { color }) {
    this.#kind = KINDS[message.kind] ?? UNKNOWN;
    this.#label = h("span", { class: "aside-label" });
    this.#time = h("time", { class: "when" });
    const prose = h("div", { class: "prose" });
    this.#body = new MarkdownView(prose);
    this.#box = h("div", { class: "aside-body", tabindex: 0, role: "region", "aria-label": `${this.#kind.label} of ${message.agent}` }, prose);
    const summary = h("summary", { onclick: () => (this.#chosen = true) }, h("span", { class: "tool-mark", "aria-hidden": "true" }, icon(this.#kind.sign)), h("span", { class: "tool-agent" }, message.agent), this.#label, this.#time);
    this.#details = h("details", {}, summary, this.#box);
    this.element = h(
      "section",
      { class: "aside", "data-testid": "aside", "data-kind": message.kind, "data-color": color, "data-message-id": message.message_id, "aria-label": `${this.#kind.label} of ${message.agent}` },
      this.#details,
    );
  }

  /** @param {any} message */
  draw(message) {
    if (message === this.#message) return;
    const before = this.#message;
    this.#message = message;
    this.#body.draw(message.content);
    const open = message.state === "open";
    if (open) this.#box.scrollTop = this.#box.scrollHeight;
    if (open && before) return; // it has only grown
    this.element.dataset.state = message.state;
    this.element.setAttribute("aria-busy", String(open));
    this.#label.textContent = open ? this.#kind.writing : message.state === "partial" ? `${this.#kind.label}, broken off` : this.#kind.label;
    this.#time.dateTime = message.timestamp;
    this.#time.textContent = briefly(message.timestamp);
    if (!this.#chosen) this.#details.open = open;
  }
}
