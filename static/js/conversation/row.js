// @ts-check
/** One conversation in the list: a link, a menu, and the field in which it gets another title. */

import { h, icon, setText } from "../ui/dom.js";
import { ago, STATUS_TEXT } from "../ui/format.js";

export const MAX_TITLE = 200;

export class Row {
  #row = null;
  #current = false;
  #title = h("span", { class: "row-title" });
  #state = h("span", { class: "sr-only" });
  #shared = h("span", { class: "row-shared", hidden: true, title: "Shared with you" }, icon("people"), h("span", { class: "sr-only" }, "shared with you, "));
  #when = h("span", { class: "row-when" });
  #menu;
  #form = null;

  /**
   * @param {any} row
   * @param {{onMenu: (row: any, button: any) => void, onRename: (row: any, title: string) => Promise<void>}} hooks
   */
  constructor(row, { onMenu, onRename }) {
    this.onRename = onRename;
    this.link = h(
      "a",
      { class: "row", href: `/c/${encodeURIComponent(row.conversation_id)}`, "data-conversation": row.conversation_id },
      h("span", { class: "dot", "aria-hidden": "true" }),
      this.#title,
      this.#state,
      this.#shared,
      this.#when,
    );
    this.#menu = h(
      "button",
      { class: "button quiet icon-only row-menu", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "data-testid": "row-menu", onclick: () => onMenu(this.#row, this.#menu) },
      icon("dots"),
    );
    this.element = h("li", { class: "row-item" }, this.link, this.#menu);
    this.draw(row, false);
  }

  get row() {
    return this.#row;
  }

  /** @param {any} row @param {boolean} current whether it is the one that is shown */
  draw(row, current) {
    const when = row.demo ? "Demo" : ago(row.updated_at);
    setText(this.#when, when); // grows old by itself
    if (row === this.#row && current === this.#current) return;
    this.#row = row;
    this.#current = current;
    const { title, status, watchers, role } = row;
    const state = STATUS_TEXT[status] ?? status;
    this.link.dataset.status = status;
    if (current) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
    this.link.title = `${title}\n${state}${watchers ? `, ${watchers} watching` : ""}`;
    setText(this.#title, title || "Untitled");
    setText(this.#state, `, ${state}, `);
    this.#shared.hidden = !role || role === "owner";
    this.#menu.setAttribute("aria-label", `More for “${title || "Untitled"}”`);
  }

  /** Put a field in the title's place. */
  edit() {
    if (this.#form) return;
    const before = this.#row.title;
    const input = h("input", { class: "input row-input", type: "text", maxlength: MAX_TITLE, "aria-label": "Title of the conversation", "data-testid": "title-input", autocomplete: "off" });
    input.value = before;
    this.#form = h("form", { class: "row-form" }, input);
    const close = (refocus) => {
      if (!this.#form) return;
      const form = this.#form;
      this.#form = null;
      this.link.hidden = this.#menu.hidden = false;
      form.remove();
      if (refocus) this.link.focus();
    };
    const save = async (refocus) => {
      const title = input.value.replace(/\s+/g, " ").trim();
      if (!title || title === before) return close(refocus);
      if (input.disabled) return undefined;
      input.disabled = true;
      try {
        await this.onRename(this.#row, title);
        close(refocus);
      } catch {
        input.disabled = false; // what was typed stays
        input.focus();
      }
      return undefined;
    };
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      save(true);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      close(true);
    });
    input.addEventListener("blur", () => this.#form?.isConnected && !input.disabled && document.hasFocus() && save(false));
    this.link.hidden = this.#menu.hidden = true;
    this.element.append(this.#form);
    input.focus();
    input.select();
  }
}
