// @ts-check
/** What was typed and not sent, kept for this tab while somebody signs in on another page. */

import { byId } from "../ui/dom.js";

const KEY = "colloquy.drafts";
const FIELDS = ["content", "follow-up-content"];

/** Keep what stands in the fields now. */
export function keepDrafts() {
  const typed = Object.fromEntries(FIELDS.map((id) => [id, byId(id).value]).filter(([, text]) => text));
  try {
    if (Object.keys(typed).length > 0) sessionStorage.setItem(KEY, JSON.stringify({ path: location.pathname, typed }));
    else sessionStorage.removeItem(KEY);
  } catch {
    // no storage: the browser's own memory of forms has to do
  }
}

/** Put it back, once. @param {() => void} done called if something was put back */
export function restoreDrafts(done) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    sessionStorage.removeItem(KEY);
    if (kept?.path !== location.pathname) return;
    for (const id of FIELDS) if (kept.typed[id] && !byId(id).value) byId(id).value = kept.typed[id];
    done();
  } catch {
    // nothing was kept
  }
}
