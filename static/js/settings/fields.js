// @ts-check
/** Errors beside the fields that they are about, and buttons that wait. */

import { byId, icon, setText } from "../ui/dom.js";

/** A sentence of the server, as it begins on a page. @param {string} text */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/**
 * Show an error beside an input, or take it away.
 * @param {any} input
 * @param {any} place the element for it
 * @param {string | undefined} text
 */
export function mark(input, place, text) {
  place.replaceChildren(...(text ? [icon("alert"), sentence(text)] : []));
  place.hidden = !text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** Say, above a form, what belongs to no field of it. @param {string} id @param {string} [text] */
export function say(id, text) {
  byId(id).hidden = !text;
  setText(byId(id), text ? sentence(text) : "");
}

/** Hold a button while something is under way. @param {any} button @param {() => Promise<any>} work */
export async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** For those who hear the page. @param {string} text */
export const announce = (text) => setText(byId("announcer"), text);
