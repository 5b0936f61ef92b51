// @ts-check
/** The conversations that the list shows, in pages: asked for, brought up to date, and merged. No DOM. */

import { isRunning } from "../fold.js";

const PAGE = 50;

/** @typedef {{search: string, status: string, team: string}} Wish */

export class Listing {
  #ask;
  #turn = 0; // grows with each new wish: the answers to earlier ones are ignored
  #refresh = 0; // the same for refreshes
  /** @type {Wish} */
  #wish = { search: "", status: "", team: "" };
  #cursor = null;

  /** @type {any[]} the last changed first */
  rows = [];
  /** How many match. @type {number} */
  total = 0;
  /** Whether nothing is known yet of what is wished for. */
  loading = true;
  /** Whether a further page is on its way. */
  loadingMore = false;
  /** Why it could not be loaded. @type {any} */
  error = null;

  /** @param {(wishes: any) => Promise<{conversations: any[], total: number, next_cursor: string | null}>} ask @param {() => void} changed */
  constructor(ask, changed) {
    this.#ask = ask;
    this.changed = changed;
  }

  get wish() {
    return this.#wish;
  }

  get hasMore() {
    return this.#cursor !== null;
  }

  /** Whether one of them runs: its badge will change soon. */
  get lively() {
    return this.rows.some((row) => isRunning(row.status));
  }

  /** Whether anything is left out on purpose. */
  get isNarrowed() {
    return Object.values(this.#wish).some(Boolean);
  }

  /** Show others. @param {Partial<Wish>} wish */
  async turnTo(wish) {
    this.#wish = { ...this.#wish, ...wish };
    this.#turn += 1;
    this.loading = true;
    this.loadingMore = false;
    this.error = null;
    await this.refresh();
  }

  /** Ask for the first page again. Those behind it stay, as they are known. */
  async refresh() {
    const turn = ++this.#refresh;
    const starting = this.loading;
    if (starting) this.changed();
    try {
      const page = await this.#ask({ ...this.#wish, limit: PAGE });
      if (turn !== this.#refresh) return;
      this.#takeFirst(page, starting);
      this.error = null;
    } catch (error) {
      if (turn !== this.#refresh) return;
      this.error = error;
    }
    this.loading = false;
    this.changed();
  }

  /** The next page. */
  async more() {
    if (!this.hasMore || this.loadingMore || this.loading) return;
    const turn = this.#turn;
    this.loadingMore = true;
    this.changed();
    try {
      const page = await this.#ask({ ...this.#wish, limit: PAGE, cursor: this.#cursor });
      if (turn !== this.#turn) return;
      const known = new Set(this.rows.map((row) => row.conversation_id));
      this.rows = [...this.rows, ...page.conversations.filter((row) => !known.has(row.conversation_id))];
      this.#cursor = page.next_cursor ?? null;
      this.total = page.total;
      this.error = null;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.error = error;
    }
    this.loadingMore = false;
    this.changed();
  }

  /** What is known of a row before the server is asked; of one that is not in the list, nothing. @param {any} row with its conversation_id */
  update(row) {
    const at = this.rows.findIndex((each) => each.conversation_id === row.conversation_id);
    if (at < 0) return; // where it belongs, only the server knows
    this.rows = this.rows.with(at, { ...this.rows[at], ...row });
    this.changed();
  }

  /** @param {string} conversationId */
  drop(conversationId) {
    const before = this.rows.length;
    this.rows = this.rows.filter((row) => row.conversation_id !== conversationId);
    if (this.rows.length === before) return;
    this.total -= 1;
    this.changed();
  }

  /** @param {string} conversationId */
  find(conversationId) {
    return this.rows.find((row) => row.conversation_id === conversationId);
  }

  #takeFirst({ conversations, total, next_cursor = null }, starting) {
    const last = conversations.at(-1);
    const inPage = new Set(conversations.map((row) => row.conversation_id));
    // what is not on the page, although it would have a place there, is gone
    const behind = starting || next_cursor === null || !last ? [] : this.rows.filter((row) => !inPage.has(row.conversation_id) && row.updated_at <= last.updated_at);
    this.rows = [...conversations, ...behind];
    this.total = total;
    if (behind.length === 0) this.#cursor = next_cursor;
  }
}
