// @ts-check
/** The audit log, a page at a time. */

import { byId, h } from "../ui/dom.js";
import { toast } from "../ui/notices.js";
import { ask } from "./api.js";
import { busy, sentence } from "./fields.js";

const PAGE = 20;
const GUEST = "local";

let cursor = /** @type {string | null} */ (null);

export function prepare() {
  byId("older").addEventListener("click", () => busy(byId("older"), () => more().catch((error) => toast(sentence(error.message), "error"))));
}

/** From the newest on. */
export async function load() {
  cursor = null;
  byId("entries").replaceChildren();
  await more();
}

async function more() {
  const query = new URLSearchParams({ limit: String(PAGE), ...(cursor ? { cursor } : {}) });
  const page = await ask("GET", `/api/audit?${query}`);
  cursor = page.next_cursor;
  byId("entries").append(...page.entries.map((entry) => row(entry, page.logins)));
  byId("entries").setAttribute("aria-busy", "false");
  byId("no-entries").hidden = byId("entries").children.length > 0;
  byId("older").hidden = cursor === null;
}

/** @param {any} entry @param {Record<string, string>} logins */
function row(entry, logins) {
  const known = (id) => (id === GUEST ? "the guest" : logins[id] ?? id);
  const details = Object.entries(entry.details).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") : known(value)}`);
  const about = [known(entry.actor) || "somebody unknown", entry.address, known(entry.target), ...details].filter(Boolean).join(" · ");
  const time = new Date(entry.at);
  return h(
    "li",
    { class: "entry", "data-testid": "audit-entry" },
    h("p", { class: "row-title" }, sentence(entry.action.replaceAll("_", " ")).slice(0, -1), entry.outcome !== "ok" && h("span", { class: "chip bad" }, entry.outcome)),
    h("time", { datetime: entry.at, title: entry.at }, time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })),
    h("p", { class: "row-note" }, about),
  );
}
