// @ts-check
/** Small helpers around the DOM. Text is set as text, never as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** The element of this id; it has to exist. @param {string} id @returns {any} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element;
}

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} [properties] "onclick" and the like are listeners, all else attributes; null leaves out
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An icon of the sprite in templates/_icons.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Set an element's text, if it differs: an unchanged live region is not read again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Put children in this order, and move none that is already in its place. */
export function arrange(element, wanted) {
  const keep = new Set(wanted);
  for (const child of [...element.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, at) => {
    if (element.children[at] !== child) element.insertBefore(child, element.children[at] ?? null);
  });
}

/** Put text on the clipboard, also where the page's origin is not a secure one. @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = h("textarea", { class: "sr-only", readonly: true });
  area.value = text;
  (document.activeElement?.closest("dialog") ?? document.body).append(area); // beside an open dialog, nothing can be selected
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser did not allow it");
}
