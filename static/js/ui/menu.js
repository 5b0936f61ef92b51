// @ts-check
/** A menu that a button opens: arrows move in it, a letter finds, Escape and a click elsewhere close it. */

import { h, icon } from "./dom.js";

const GAP_PX = 4;

/**
 * @typedef {object} Item
 * @property {string} text
 * @property {string} [icon]
 * @property {() => void} [act] else it is a link
 * @property {string} [href] to a file that is downloaded
 * @property {boolean} [danger]
 * @property {string} [testid]
 */

/** Open a menu below a button; the focus comes back to it. @param {any} button @param {(Item | null)[]} items null: a line */
export function openMenu(button, items) {
  const menu = h("div", { class: "menu", role: "menu", popover: "auto", "aria-label": button.getAttribute("aria-label") ?? button.textContent.trim(), "data-testid": "menu" });
  const close = () => menu.hidePopover();
  for (const item of items) menu.append(item ? entry(item, close) : h("hr", {}));
  menu.addEventListener("keydown", (event) => steer(menu, event));
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    button.setAttribute("aria-expanded", "false");
    const held = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (held && button.isConnected) button.focus();
  });
  (button.closest("dialog") ?? document.body).append(menu);
  button.setAttribute("aria-expanded", "true");
  menu.showPopover();
  place(menu, button);
  menu.querySelector('[role="menuitem"]')?.focus();
}

function entry({ text, icon: sign, act, href, danger, testid }, close) {
  const properties = { class: danger ? "menu-item danger" : "menu-item", role: "menuitem", tabindex: -1, "data-testid": testid };
  const inside = [sign && icon(sign), h("span", {}, text)];
  if (href) return h("a", { ...properties, href, download: "", onclick: close }, ...inside);
  const chosen = () => {
    close();
    act?.();
  };
  return h("button", { ...properties, type: "button", onclick: chosen }, ...inside);
}

function steer(menu, event) {
  const entries = [...menu.querySelectorAll('[role="menuitem"]')];
  const now = entries.indexOf(document.activeElement);
  const to = (index) => {
    event.preventDefault();
    entries.at(index % entries.length)?.focus();
  };
  if (event.key === "ArrowDown") to(now + 1);
  else if (event.key === "ArrowUp") to(now < 0 ? -1 : now - 1);
  else if (event.key === "Home") to(0);
  else if (event.key === "End") to(-1);
  else if (event.key === "Tab") menu.hidePopover();
  else if (event.key === "Escape") event.stopPropagation(); // closes the menu, and nothing behind it
  else if (/^\S$/.test(event.key)) {
    const order = [...entries.slice(now + 1), ...entries.slice(0, now + 1)];
    order.find((each) => each.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
  }
}

/** Below the button, or above it; never outside the window. */
function place(menu, button) {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const { clientWidth, clientHeight } = document.documentElement;
  const x = left + width <= clientWidth - GAP_PX ? left : right - width;
  const y = bottom + GAP_PX + height <= clientHeight ? bottom + GAP_PX : top - GAP_PX - height;
  menu.style.left = `${Math.max(GAP_PX, x)}px`;
  menu.style.top = `${Math.max(GAP_PX, y)}px`;
}
