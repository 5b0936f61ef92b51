// @ts-check
/** One message of the transcript. */

import { h, icon } from "../ui/dom.js";
import { briefly, legible, spent, words } from "../ui/format.js";
import { MarkdownView } from "../ui/markdown.js";
import { Aside, isAside } from "./aside.js";
import { Editor, MessageActions, editedMark } from "./message_actions.js";

const CONTENT_KINDS = { article: "Article, quoted", url: "Web page" };
const LONG_TEXT = 1200;

/**
 * @param {any} message
 * @param {{color: number, emoji: string}} card
 * @param {string} kind of the user's content
 * @param {import("./message_actions.js").Acts} acts
 */
export function messageView(message, card, kind, acts) {
  if (isAside(message)) return new Aside(message, card);
  return message.role === "user" ? new UserMessage(message, kind, acts) : new AgentMessage(message, card, acts);
}

/** What all messages have in common: the buttons below them, once they are whole, and the field in which they are edited. */
class View {
  #actions = null;
  #editor = null;
  #acts;
  /** @type {any} */ message = null;
  /** @type {any} */ element = null;

  constructor(acts) {
    this.#acts = acts;
  }

  /** @param {any} message @param {any} text the element that shows it @param {any} edited where the mark of an edit stands */
  drawBelow(message, text, edited) {
    if (message.state !== "open" && !this.#actions) {
      this.#actions = new MessageActions(message, this.#acts, () => this.#edit(text));
      text.after(this.#actions.element);
    }
    this.#actions?.draw(message);
    this.#editor?.draw(message);
    const mark = editedMark(message, this.#acts);
    edited.replaceChildren(...(mark ? [mark] : []));
  }

  #edit(text) {
    if (this.#editor) return;
    const close = () => {
      const held = this.#editor?.element.contains(document.activeElement);
      this.#editor?.element.remove();
      this.#editor = null;
      text.hidden = false;
      if (this.#actions) this.#actions.element.hidden = false;
      this.element.classList.remove("editing");
      if (held) this.#actions?.element.querySelector("[data-edits]").focus();
    };
    this.#editor = new Editor(this.message, this.#acts, close);
    text.hidden = true;
    if (this.#actions) this.#actions.element.hidden = true;
    this.element.classList.add("editing");
    text.before(this.#editor.element);
    this.#editor.focus();
  }
}

class AgentMessage extends View {
  #body;
  #prose;
  #marks;
  #edited;
  #spent = h("span", { class: "spent", "data-testid": "message-usage" });
  #time;

  constructor(message, { color, emoji }, acts) {
    super(acts);
    this.#prose = h("div", { class: "prose" });
    this.#body = new MarkdownView(this.#prose);
    this.#marks = h("span", { class: "marks" });
    this.#edited = h("span", { class: "edited-at" });
    this.#time = h("time", { class: "when" });
    this.element = h(
      "article",
      { class: "message", "data-testid": "agent-message", "data-agent": message.agent, "data-color": color, "data-role": message.role, "data-message-id": message.message_id },
      avatar(message.agent, emoji),
      h("div", { class: "message-body" }, h("header", { class: "byline" }, h("span", { class: "name" }, message.agent), this.#marks, this.#edited, this.#spent, this.#time), this.#prose),
    );
  }

  /** @param {any} message */
  draw(message) {
    if (message === this.message) return;
    const before = this.message;
    this.message = message;
    this.#body.draw(legible(message.content, message.state === "open"));
    if (message.state === "open" && before) return; // it has only grown
    this.element.dataset.state = message.state;
    this.element.setAttribute("aria-busy", String(message.state === "open"));
    this.#time.dateTime = message.timestamp;
    this.#time.textContent = briefly(message.timestamp);
    this.#marks.replaceChildren(...marks(message));
    this.#spent.textContent = message.usage ? spent(message.usage) : "";
    this.drawBelow(message, this.#prose, this.#edited);
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
  if (message.cut_off) {
    yield h("span", { class: "chip", "data-testid": "cut-off", title: "The model stopped here: a reply may not be longer" }, "cut off");
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

class UserMessage extends View {
  #text;
  #more;
  #kind;
  #edited = h("span", { class: "edited-at" });

  constructor(message, kind, acts) {
    super(acts);
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
      this.#edited,
    );
  }

  draw(message) {
    if (message === this.message) return;
    const longBefore = !this.#more.hidden;
    this.message = message;
    const url = this.#kind === CONTENT_KINDS.url && /^https?:\/\/\S+$/.test(message.content.trim());
    this.#text.replaceChildren(
      url ? h("a", { href: message.content.trim(), target: "_blank", rel: "noopener noreferrer nofollow" }, message.content.trim()) : message.content,
    );
    this.element.dataset.state = message.state;
    const long = message.content.length > LONG_TEXT;
    if (long !== longBefore) this.#text.classList.toggle("folded", long);
    this.#more.hidden = !long;
    this.drawBelow(message, this.#text, this.#edited);
  }

  #toggle() {
    const folded = this.#text.classList.toggle("folded");
    this.#more.textContent = folded ? "Show all" : "Show less";
  }
}

const NOTE_SIGNS = { error: "alert", answer: "hand" };

/** A line between messages: a switch of models, an error that was survived. */
export function noteView(kind, text) {
  return h("p", { class: `note ${kind}`, "data-testid": "notice" }, icon(NOTE_SIGNS[kind] ?? "switch"), h("span", {}, text));
}
