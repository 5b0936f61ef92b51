// @ts-check
/** The list of conversations, newest first, and the drawer that it is on a narrow screen. */

import { CODE } from "../errors.js";
import { conversations } from "../ui/api.js";
import { arrange, byId, h, icon } from "../ui/dom.js";
import { dayName, reason } from "../ui/format.js";
import { Listing } from "./listing.js";
import { Row } from "./row.js";

const REFRESH_EVERY_MS = 30_000;
/** While one of them runs, its badge is asked after more often. */
const LIVELY_EVERY_MS = 4000;
const AT_MOST_EVERY_MS = 800;
const TYPING_MS = 220;

export class Sidebar {
  #list = byId("list");
  #search = byId("search");
  #listing = new Listing(conversations, () => this.#draw());
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Map<string, any>} day → its section */
  #days = new Map();
  #current = null;
  #asked = null;
  #timer = null;
  #typed = null;
  #hooks;
  #said = h("div", { class: "list-said" });
  #more = h("button", { class: "button quiet small list-more", type: "button", "data-testid": "more-conversations", onclick: () => this.#listing.more() }, "Show more");
  #skeleton = h("div", { class: "skeleton", "aria-hidden": "true" }, ...Array.from({ length: 6 }, () => h("span")));

  /**
   * @param {{onMenu: (row: any, button: any) => void, onRename: (row: any, title: string) => Promise<void>, onDelete: (row: any) => void}} hooks
   */
  constructor(hooks) {
    this.#hooks = hooks;
    byId("open-sidebar").addEventListener("click", () => this.toggle(true));
    byId("close-sidebar").addEventListener("click", () => this.toggle(false));
    byId("scrim").addEventListener("click", () => this.toggle(false));
    addEventListener("focus", () => this.refresh());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.refresh());
    this.#bindSearch();
    this.#list.addEventListener("keydown", (event) => this.#steer(event));
    new IntersectionObserver(([seen]) => seen.isIntersecting && !this.#listing.error && this.#listing.more(), { root: this.#list, rootMargin: "400px" }).observe(this.#more);
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
    this.#asked ??= setTimeout(
      async () => {
        await this.#listing.refresh();
        this.#asked = null;
        this.#again();
      },
      this.#listing.rows.length ? AT_MOST_EVERY_MS : 0,
    );
  }

  /** Show what is known of a conversation before the server is asked. @param {any} row */
  update(row) {
    this.#listing.update(row);
  }

  /** @param {string} conversationId */
  drop(conversationId) {
    this.#listing.drop(conversationId);
  }

  /** What the list knows of a conversation. @param {string} conversationId */
  find(conversationId) {
    return this.#listing.find(conversationId);
  }

  /** Change a title where it stands. @param {string} conversationId @returns {boolean} false: it is not in the list */
  editTitle(conversationId) {
    const row = this.#rows.get(conversationId);
    if (!row || getComputedStyle(byId("sidebar")).visibility === "hidden") return false;
    row.element.scrollIntoView({ block: "nearest" });
    row.edit();
    return true;
  }

  /** Go to the search field. */
  search() {
    if (getComputedStyle(byId("sidebar")).visibility === "hidden") this.toggle(true);
    this.#search.focus();
    this.#search.select();
  }

  /** @param {{name: string, title: string}[]} teams */
  showTeams(teams) {
    byId("filter-team").append(...teams.map(({ name, title }) => h("option", { value: name }, title)));
  }

  #again() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (document.visibilityState === "visible" ? this.refresh() : this.#again()), this.#listing.lively ? LIVELY_EVERY_MS : REFRESH_EVERY_MS);
  }

  // --- search and filters ---------------------------------------------------------------------------------------------

  #bindSearch() {
    const filters = byId("filters");
    const toggle = byId("toggle-filters");
    const look = () => {
      clearTimeout(this.#typed);
      const wish = { search: this.#search.value.trim(), status: byId("filter-status").value, team: byId("filter-team").value };
      toggle.classList.toggle("on", Boolean(wish.status || wish.team));
      if (JSON.stringify(wish) !== JSON.stringify(this.#listing.wish)) this.#listing.turnTo(wish);
    };
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typed);
      this.#typed = setTimeout(look, TYPING_MS);
    });
    this.#search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") look();
      else if (event.key === "ArrowDown") this.#list.querySelector("a.row")?.focus();
      else if (event.key === "Escape" && this.#search.value) {
        this.#search.value = "";
        look();
      } else return;
      event.preventDefault();
    });
    filters.addEventListener("change", look);
    toggle.addEventListener("click", () => {
      filters.hidden = !filters.hidden;
      toggle.setAttribute("aria-expanded", String(!filters.hidden));
      if (!filters.hidden) byId("filter-status").focus();
    });
    this.clear = () => {
      this.#search.value = "";
      byId("filter-status").value = byId("filter-team").value = "";
      look();
    };
  }

  /** Arrows move along the list; F2 renames, Delete deletes. */
  #steer(event) {
    const link = event.target.closest?.("a.row");
    if (!link) return;
    const links = [...this.#list.querySelectorAll("a.row")];
    const now = links.indexOf(link);
    const row = this.#rows.get(link.dataset.conversation)?.row;
    const owned = row?.role === undefined || row.role === "owner";
    if (event.key === "ArrowDown") links[Math.min(now + 1, links.length - 1)].focus();
    else if (event.key === "ArrowUp") (links[now - 1] ?? this.#search).focus();
    else if (event.key === "Home") links[0].focus();
    else if (event.key === "End") links.at(-1).focus();
    else if (event.key === "F2" && owned) this.editTitle(row.conversation_id);
    else if (event.key === "Delete" && owned) this.#hooks.onDelete(row);
    else return;
    event.preventDefault();
  }

  // --- drawing --------------------------------------------------------------------------------------------------------

  #draw() {
    const { rows, loading, error, isNarrowed, hasMore, loadingMore, total } = this.#listing;
    const focused = /** @type {any} */ (document.activeElement);
    const wanted = [];
    const days = new Map();
    if (!loading) {
      for (const row of rows) {
        const day = dayName(row.updated_at);
        if (!days.has(day)) days.set(day, []);
        days.get(day).push(this.#rowOf(row).element);
      }
    }
    const kept = new Set(rows.map((row) => row.conversation_id));
    for (const id of [...this.#rows.keys()]) if (!kept.has(id)) this.#rows.delete(id);
    for (const [day, elements] of days) {
      const section = this.#dayOf(day);
      arrange(section.lastElementChild, elements);
      wanted.push(section);
    }
    for (const day of [...this.#days.keys()]) if (!days.has(day)) this.#days.delete(day);
    this.#list.setAttribute("aria-busy", String(loading));
    if (loading) wanted.push(this.#skeleton);
    this.#say({ rows, loading, error, isNarrowed });
    wanted.push(this.#said);
    this.#more.hidden = loading || !hasMore;
    this.#more.setAttribute("aria-busy", String(loadingMore));
    wanted.push(this.#more);
    arrange(this.#list, wanted);
    byId("list-count").textContent = !loading && !error && isNarrowed ? `${total} found` : "";
    if (focused?.isConnected && this.#list.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
  }

  #rowOf(row) {
    let view = this.#rows.get(row.conversation_id);
    if (!view) {
      view = new Row(row, this.#hooks);
      this.#rows.set(row.conversation_id, view);
    }
    view.draw(row, row.conversation_id === this.#current);
    return view;
  }

  #dayOf(day) {
    let section = this.#days.get(day);
    if (!section) {
      section = h("section", { class: "group" }, h("h2", {}, day), h("ul", { class: "rows" }));
      this.#days.set(day, section);
    }
    return section;
  }

  /** What stands in the place of rows, or below them. */
  #say({ rows, loading, error, isNarrowed }) {
    const key = loading ? "" : error ? `error ${error.code} ${rows.length > 0}` : rows.length > 0 ? "" : isNarrowed ? "none found" : "none";
    if (key === this.#said.dataset.key) return;
    this.#said.dataset.key = key;
    const again = () => this.#listing.turnTo({});
    if (key === "") this.#said.replaceChildren();
    else if (error && rows.length > 0) this.#said.replaceChildren(said("stale-list", "alert", "The list is not up to date", reason(error), button("Try again", () => this.refresh())));
    else if (error?.code === CODE.UNAUTHENTICATED) this.#said.replaceChildren(said("list-sign-in", "person", "No conversations of your own", "Log in to begin one. It will stand here.", null));
    else if (error) this.#said.replaceChildren(said("list-unavailable", "alert", "The list cannot be loaded now", reason(error), button("Try again", again)));
    else if (isNarrowed) this.#said.replaceChildren(said("nothing-found", "search", "Nothing found", "Other words, or fewer filters, may help.", button("Show all", () => this.clear())));
    else this.#said.replaceChildren(said("no-conversations", "chat", "No conversations yet", "Those that you start will stand here.", null));
  }
}

function said(testid, sign, title, text, act) {
  return h("div", { class: "list-empty", "data-testid": testid, role: "status" }, icon(sign), h("strong", {}, title), h("p", {}, text), act);
}

const button = (text, onclick) => h("button", { class: "button small", type: "button", onclick }, text);
