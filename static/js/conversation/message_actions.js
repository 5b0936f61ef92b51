// @ts-check
/** What can be done with one message: copy it, say what one thinks of it, edit it. */

import { copyText, h, icon, setText } from "../ui/dom.js";
import { briefly, byteLength, bytes, moment, reason } from "../ui/format.js";

/**
 * @typedef {object} Acts what the page does for a message
 * @property {(messageId: string, value: "up" | "down" | null) => Promise<any>} rate
 * @property {(messageId: string, content: string) => Promise<any>} edit
 * @property {(userId: string) => string} nameOf how a person is named
 * @property {number} maxBytes of a message
 */

/** The row of small buttons below a message. */
export class MessageActions {
  #message = null;
  #up = null;
  #down = null;

  /** @param {any} message @param {Acts} acts @param {() => void} onEdit */
  constructor(message, acts, onEdit) {
    this.acts = acts;
    this.element = h("div", { class: "message-actions", role: "group", "aria-label": "This message" }, tool("copy", "Copy", "copy-message", () => this.#copy()));
    if (message.role === "agent") {
      this.#up = tool("thumb-up", "A good answer", "feedback-up", () => this.#rate("up"));
      this.#down = tool("thumb-down", "Not a good answer", "feedback-down", () => this.#rate("down"));
      this.element.append(this.#up, this.#down);
    }
    const edit = tool("pencil", "Edit", "edit-message", onEdit);
    edit.dataset.edits = "";
    this.element.append(edit);
    this.draw(message);
  }

  /** @param {any} message */
  draw(message) {
    this.#message = message;
    this.#up?.setAttribute("aria-pressed", String(message.feedback === "up"));
    this.#down?.setAttribute("aria-pressed", String(message.feedback === "down"));
  }

  async #copy() {
    const button = /** @type {any} */ (this.element.firstElementChild);
    try {
      await copyText(this.#message.content);
      button.replaceChildren(icon("check"));
      button.setAttribute("aria-label", "Copied");
      setTimeout(() => {
        button.replaceChildren(icon("copy"));
        button.setAttribute("aria-label", "Copy");
      }, 1600);
    } catch {
      button.setAttribute("aria-label", "The browser did not allow copying");
    }
  }

  /** Pressed again, it is taken back. */
  async #rate(value) {
    const { message_id, feedback } = this.#message;
    await this.acts.rate(message_id, feedback === value ? null : value).catch(() => {}); // the page has said why
  }
}

function tool(sign, label, testid, onclick) {
  return h("button", { class: "button quiet icon-only tiny", type: "button", "aria-label": label, title: label, "data-testid": testid, onclick }, icon(sign));
}

/** "edited by Ann at 14:05", or nothing. @param {any} message @param {Acts} acts */
export function editedMark({ updated_by, updated_at }, acts) {
  if (!updated_by || !updated_at) return null;
  return h("span", { class: "edited", "data-testid": "edited-mark", title: moment(updated_at) }, `edited by ${acts.nameOf(updated_by)} at ${briefly(updated_at)}`);
}

/** A message's text as a field. Nothing that was typed is lost by an error, or by what others do meanwhile. */
export class Editor {
  #before;
  #area;
  #save;
  #problem = h("p", { class: "problem", role: "alert", hidden: true });

  /** @param {any} message @param {Acts} acts @param {() => void} onDone */
  constructor(message, acts, onDone) {
    this.#before = message.content;
    this.acts = acts;
    this.onDone = onDone;
    this.messageId = message.message_id;
    this.#area = h("textarea", { class: "input edit-area", rows: 3, "aria-label": "The message's text", "data-testid": "edit-area" });
    this.#area.value = message.content;
    this.#save = h("button", { class: "button primary small", type: "submit", "data-testid": "save-edit" }, "Save");
    const cancel = h("button", { class: "button small", type: "button", "data-testid": "cancel-edit", onclick: () => onDone() }, "Cancel");
    this.element = h("form", { class: "message-edit" }, this.#area, this.#problem, h("div", { class: "edit-foot" }, this.#save, cancel, h("span", { class: "help" }, "Ctrl+Enter saves, Escape leaves it as it was")));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#area.addEventListener("input", () => this.#look());
    this.#area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#submit();
      else if (event.key === "Escape") onDone();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  focus() {
    this.#area.focus();
    this.#area.setSelectionRange(this.#area.value.length, this.#area.value.length);
  }

  /** Somebody else may have changed it meanwhile. @param {any} message */
  draw({ content }) {
    if (content === this.#before || this.#save.getAttribute("aria-busy") === "true") return;
    this.#before = content;
    this.#say("Somebody has changed this message meanwhile. Saving puts your text in the place of theirs.");
  }

  #look() {
    const used = byteLength(this.#area.value);
    const over = used > this.acts.maxBytes;
    this.#save.disabled = over || !this.#area.value.trim();
    this.#area.setAttribute("aria-invalid", String(over));
    this.#say(over ? `${bytes(used)} of at most ${bytes(this.acts.maxBytes)}.` : "");
  }

  #say(text) {
    setText(this.#problem, text);
    this.#problem.hidden = !text;
  }

  async #submit() {
    if (this.#save.disabled || this.#save.getAttribute("aria-busy") === "true") return;
    const content = this.#area.value.trim();
    if (content === this.#before) {
      this.onDone();
      return;
    }
    this.#save.setAttribute("aria-busy", "true");
    this.#say("");
    try {
      await this.acts.edit(this.messageId, content);
      this.#save.removeAttribute("aria-busy");
      this.onDone();
    } catch (error) {
      this.#save.removeAttribute("aria-busy");
      this.#say(`Not saved. ${reason(error)}`);
      this.#area.focus();
    }
  }
}
