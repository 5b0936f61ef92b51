// @ts-check
/** One message of the transcript. */

import { h, icon } from "../ui/dom.js";
import { clock, words } from "../ui/format.js";
import { MarkdownView } from "../ui/markdown.js";

const CONTENT_KINDS = { article: "Article, quoted", url: "Web page" };
const LONG_TEXT = 1200;

/** @param {any} message @param {{color: number, emoji: string}} card @param {string} kind of the user's content */
export function messageView(message, card, kind) {
  return message.role === "user" ? new UserMessage(message, kind) : new AgentMessage(message, card);
}

class AgentMessage {
  #message = null;
  #body;
  #prose;
  #marks;
  #time;

  constructor(message, { color, emoji }) {
    this.#prose = h("div", { class: "prose" });
    this.#body = new MarkdownView(this.#prose);
    this.#marks = h("span", { class: "marks" });
    this.#time = h("time", { class: "when" });
    this.element = h(
      "article",
      { class: "message", "data-testid": "agent-message", "data-agent": message.agent, "data-color": color, "data-role": message.role, "data-message-id": message.message_id },
      avatar(message.agent, emoji),
      h("div", { class: "message-body" }, h("header", { class: "byline" }, h("span", { class: "name" }, message.agent), this.#marks, this.#time), this.#prose),
    );
  }

  /** @param {any} message */
  draw(message) {
    if (message === this.#message) return;
    const before = this.#message;
    this.#message = message;
    this.#body.draw(message.content);
    if (before && before.state === message.state && before.timestamp === message.timestamp) return;
    this.element.dataset.state = message.state;
    this.element.setAttribute("aria-busy", String(message.state === "open"));
    this.#time.dateTime = message.timestamp;
    this.#time.textContent = clock(message.timestamp);
    this.#marks.replaceChildren(...marks(message));
  }
}

function* marks(message) {
  if (message.confidence !== null && message.confidence !== undefined) {
    const percent = Math.round(message.confidence * 100);
    yield h("span", { class: "chip confidence", "data-testid": "confidence", title: "How sure the agent says it is" }, meter(percent), `${percent} % confident`);
  }
  if (message.demo) yield h("span", { class: "chip warn" }, "Demo");
  if (message.state === "partial") {
    const why = message.reason ? `broke off: ${words(message.reason)}` : "broke off";
    yield h("span", { class: "chip warn", "data-testid": "broke-off" }, why);
  }
  if (message.truncated) {
    yield h("span", { class: "chip", title: "What the model read was shortened to fit its context" }, "read a condensed text");
  }
}

function meter(percent) {
  const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
  bar.firstElementChild.style.width = `${percent}%`;
  return bar;
}

export function avatar(name, emoji) {
  const initials = name.split(/\s+/).map((word) => word[0]).join("").slice(0, 2).toUpperCase();
  return h("span", { class: emoji ? "avatar" : "avatar letters", "aria-hidden": "true" }, emoji || initials);
}

class UserMessage {
  #text;
  #more;
  #kind;

  constructor(message, kind) {
    this.#text = h("div", { class: "said" });
    this.#kind = CONTENT_KINDS[kind];
    this.#more = h("button", { class: "button quiet small more", type: "button", hidden: true, onclick: () => this.#toggle() }, "Show all");
    this.element = h(
      "article",
      { class: "message from-user", "data-testid": "user-message", "data-message-id": message.message_id },
      h("h2", { class: "sr-only" }, "You said"),
      this.#kind && h("span", { class: "chip" }, this.#kind),
      this.#text,
      this.#more,
    );
  }

  draw(message) {
    const url = this.#kind === CONTENT_KINDS.url && /^https?:\/\/\S+$/.test(message.content.trim());
    this.#text.replaceChildren(
      url ? h("a", { href: message.content.trim(), target: "_blank", rel: "noopener noreferrer nofollow" }, message.content.trim()) : message.content,
    );
    this.element.dataset.state = message.state;
    const long = message.content.length > LONG_TEXT;
    this.#text.classList.toggle("folded", long);
    this.#more.hidden = !long;
  }

  #toggle() {
    const folded = this.#text.classList.toggle("folded");
    this.#more.textContent = folded ? "Show all" : "Show less";
  }
}

/** A line between messages: a switch of models, an error that was survived. */
export function noteView(kind, text) {
  return h("p", { class: `note ${kind}`, "data-testid": "notice" }, icon(kind === "error" ? "alert" : "switch"), h("span", {}, text));
}
