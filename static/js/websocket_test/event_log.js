// @ts-check
/** The raw event log: what went over the wire, newest last, bounded. */

import { perFrame } from "../frames.js";
import { byId, copyText, h, setText } from "../ui/dom.js";
import { toast } from "../ui/notices.js";

/** Rows kept; the oldest go first. */
const MAX_ROWS = 2000;
const NEAR_END_PX = 30;

/** @typedef {{at: Date, direction: "in" | "out" | "ack" | "fail" | "note", name: string, text: string, row: any}} Entry */

export class EventLog {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Entry[]} not drawn yet */
  #fresh = [];
  #dropped = 0;
  #missed = 0;
  #paused = false;
  #filter = "";
  #following = true;
  #box = byId("log");
  #draw = perFrame(() => this.#drawNow());

  constructor() {
    this.#box.addEventListener("scroll", () => {
      const { scrollHeight, clientHeight, scrollTop } = this.#box;
      this.#following = scrollHeight - clientHeight - scrollTop < NEAR_END_PX;
    });
    this.#box.addEventListener("click", (event) => this.#unfold(event.target.closest(".log-row")));
    byId("log-filter").addEventListener("input", (event) => this.#filterBy(event.target.value));
    byId("log-pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("log-copy").addEventListener("click", () => this.#copy());
    byId("log-clear").addEventListener("click", () => this.clear());
    this.#drawNow();
  }

  /**
   * @param {Entry["direction"]} direction
   * @param {string} name
   * @param {unknown} content
   */
  add(direction, name, content) {
    if (this.#paused) {
      this.#missed += 1;
      this.#draw();
      return;
    }
    const text = typeof content === "string" ? content : JSON.stringify(content);
    const entry = { at: new Date(), direction, name, text, row: null };
    this.#entries.push(entry);
    this.#fresh.push(entry);
    while (this.#entries.length > MAX_ROWS) {
      this.#entries.shift()?.row?.remove();
      this.#dropped += 1;
    }
    this.#draw();
  }

  clear() {
    this.#entries = [];
    this.#fresh = [];
    this.#dropped = this.#missed = 0;
    this.#box.replaceChildren();
    this.#drawNow();
  }

  #matches({ name, text, direction }) {
    return !this.#filter || `${direction} ${name} ${text}`.toLowerCase().includes(this.#filter);
  }

  #filterBy(text) {
    this.#filter = text.trim().toLowerCase();
    for (const entry of this.#entries) if (entry.row) entry.row.hidden = !this.#matches(entry);
    this.#draw();
  }

  #pause(paused) {
    this.#paused = paused;
    byId("log-pause").setAttribute("aria-pressed", String(paused));
    byId("log-pause").textContent = paused ? "Resume log" : "Pause log";
    if (!paused && this.#missed) {
      const missed = this.#missed;
      this.#missed = 0;
      this.add("note", "log", `${missed} events were not logged while the log was paused`);
    }
    this.#draw();
  }

  /** Show all of a row, set out in lines; or in one line again. A selection is left alone. */
  #unfold(row) {
    const entry = this.#entries.find((each) => each.row === row);
    if (!entry || String(getSelection())) return;
    const open = row.classList.toggle("open");
    row.querySelector(".log-text").textContent = open ? pretty(entry.text) : entry.text;
  }

  async #copy() {
    const lines = this.#entries.filter((entry) => this.#matches(entry)).map(({ at, direction, name, text }) => `${at.toISOString()}\t${direction}\t${name}\t${text}`);
    try {
      await copyText(lines.join("\n"));
      toast(`${lines.length} lines copied.`, "good");
    } catch (error) {
      toast(`Copying failed: ${error.message}.`, "error");
    }
  }

  #drawNow() {
    for (const entry of this.#fresh) {
      entry.row = rowOf(entry);
      entry.row.hidden = !this.#matches(entry);
      this.#box.append(entry.row);
    }
    this.#fresh = [];
    while (this.#box.children.length > MAX_ROWS) this.#box.firstElementChild.remove();
    if (this.#following) this.#box.scrollTop = this.#box.scrollHeight;
    const shown = this.#filter ? `${this.#entries.filter((entry) => this.#matches(entry)).length} of ` : "";
    const notes = [this.#dropped && `${this.#dropped} older dropped`, this.#missed && `${this.#missed} while paused`].filter(Boolean);
    setText(byId("log-count"), `${shown}${this.#entries.length} rows${notes.length ? ` (${notes.join(", ")})` : ""}`);
  }
}

const SIGNS = { in: "←", out: "→", ack: "✓", fail: "✗", note: "·" };

function rowOf({ at, direction, name, text }) {
  const time = `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}:${String(at.getSeconds()).padStart(2, "0")}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return h(
    "div",
    { class: `log-row ${direction}`, "data-name": name },
    h("time", {}, time),
    h("span", { class: "sign", title: direction }, SIGNS[direction]),
    h("span", { class: "log-name" }, name),
    h("span", { class: "log-text" }, text),
  );
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
