// @ts-check
/** The list of conversations, newest first, and the drawer that it is on a narrow screen. */

import { conversations } from "../ui/api.js";
import { byId, h } from "../ui/dom.js";
import { ago, STATUS_TEXT } from "../ui/format.js";

const REFRESH_EVERY_MS = 30_000;
const AT_MOST_EVERY_MS = 800;
const DAY_MS = 24 * 3600 * 1000;

export class Sidebar {
  #list = byId("list");
  #rows = [];
  #current = null;
  #asked = null;
  #failed = false;

  constructor() {
    byId("open-sidebar").addEventListener("click", () => this.toggle(true));
    byId("close-sidebar").addEventListener("click", () => this.toggle(false));
    byId("scrim").addEventListener("click", () => this.toggle(false));
    addEventListener("focus", () => this.refresh());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.refresh());
    setInterval(() => document.visibilityState === "visible" && this.refresh(), REFRESH_EVERY_MS);
  }

  get isOpen() {
    return document.body.classList.contains("sidebar-open");
  }

  /** @param {boolean} open */
  toggle(open) {
    document.body.classList.toggle("sidebar-open", open);
    byId("scrim").hidden = !open;
    byId("open-sidebar").setAttribute("aria-expanded", String(open));
    byId(open ? "close-sidebar" : "open-sidebar").focus({ preventScroll: true });
  }

  /** @param {string | null} conversationId */
  mark(conversationId) {
    this.#current = conversationId;
    this.#draw();
  }

  /** Ask the server again, soon; many calls are one. */
  refresh() {
    this.#asked ??= setTimeout(async () => {
      this.#asked = null;
      try {
        this.#rows = await conversations();
        this.#failed = false;
      } catch {
        this.#failed = true;
      }
      this.#draw();
    }, this.#rows.length ? AT_MOST_EVERY_MS : 0);
  }

  /** Show what is known of a conversation before the server is asked. @param {any} row */
  update(row) {
    const at = this.#rows.findIndex((each) => each.conversation_id === row.conversation_id);
    const next = { updated_at: new Date().toISOString(), ...this.#rows[at], ...row };
    if (at >= 0) this.#rows[at] = next;
    else this.#rows.unshift(next);
    this.#draw();
  }

  #draw() {
    const focused = document.activeElement?.getAttribute("href");
    const groups = new Map();
    for (const row of this.#rows) {
      const title = dayOf(row.updated_at);
      groups.set(title, [...(groups.get(title) ?? []), row]);
    }
    this.#list.replaceChildren(
      ...[...groups].map(([title, rows]) => h("section", { class: "group" }, h("h2", {}, title), h("ul", { class: "rows" }, ...rows.map((row) => h("li", {}, this.#row(row)))))),
    );
    if (this.#rows.length === 0) {
      this.#list.append(h("p", { class: "empty" }, this.#failed ? "The list cannot be loaded now." : "Conversations will appear here."));
    }
    if (focused) this.#list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #row({ conversation_id, title, status, demo, updated_at, watchers }) {
    const state = STATUS_TEXT[status] ?? status;
    return h(
      "a",
      {
        class: "row",
        href: `/c/${encodeURIComponent(conversation_id)}`,
        "data-conversation": conversation_id,
        "data-status": status,
        "aria-current": conversation_id === this.#current ? "page" : null,
        title: `${title}\n${state}${watchers ? `, ${watchers} watching` : ""}`,
      },
      h("span", { class: "dot", "aria-hidden": "true" }),
      h("span", { class: "row-title" }, title || "Untitled"),
      h("span", { class: "sr-only" }, `, ${state}, `),
      h("span", { class: "row-when" }, demo ? "Demo" : ago(updated_at)),
    );
  }
}

function dayOf(timestamp) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const at = Date.parse(timestamp);
  if (at >= midnight || Number.isNaN(at)) return "Today";
  return at >= midnight - DAY_MS ? "Yesterday" : "Earlier";
}
