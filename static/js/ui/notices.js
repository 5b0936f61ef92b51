// @ts-check
/** What is said beside the page's own matter: toasts that go by themselves, banners that stay. */

import { byId, h, icon } from "./dom.js";

const TOAST_MS = 6000;
const MAX_TOASTS = 4;
const ICONS = { error: "alert", good: "check", info: "info", warning: "alert" };

/** @param {string} text @param {"info" | "good" | "error"} [kind] */
export function toast(text, kind = "info") {
  const box = byId("toasts");
  const close = () => element.remove();
  const element = h(
    "div",
    { class: `toast ${kind}`, role: kind === "error" ? "alert" : null, "data-testid": "toast" },
    icon(ICONS[kind]),
    h("p", {}, text),
    h("button", { class: "button quiet icon-only small", type: "button", "aria-label": "Dismiss", onclick: close }, icon("close")),
  );
  box.append(element);
  while (box.children.length > MAX_TOASTS) box.firstElementChild.remove();
  let timer = setTimeout(close, TOAST_MS);
  element.addEventListener("pointerenter", () => clearTimeout(timer));
  element.addEventListener("pointerleave", () => (timer = setTimeout(close, TOAST_MS)));
}

/** Take the newest toast away. @returns {boolean} whether there was one */
export function dismissToast() {
  const last = byId("toasts").lastElementChild;
  last?.remove();
  return Boolean(last);
}

/**
 * Show a banner; one of the same key is replaced.
 * @param {string} key
 * @param {string} text
 * @param {{level?: "info" | "warning" | "error", dismissible?: boolean, act?: any}} [options] act: a link or a button beside it
 */
export function banner(key, text, { level = "info", dismissible = true, act = null } = {}) {
  removeBanner(key);
  const close = () => removeBanner(key);
  byId("banners").append(
    h(
      "div",
      { class: `banner ${level}`, "data-key": key, "data-testid": "banner", role: level === "error" ? "alert" : null },
      icon(ICONS[level]),
      h("p", {}, text),
      act,
      dismissible &&
        h("button", { class: "button quiet icon-only small", type: "button", "aria-label": "Dismiss", onclick: close }, icon("close")),
    ),
  );
}

/** @param {string} key */
export function removeBanner(key) {
  for (const each of [...byId("banners").children]) if (each.dataset.key === key) each.remove();
}
