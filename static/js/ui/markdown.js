// @ts-check
/**
 * Markdown from a model, drawn safely. Model output is hostile: raw HTML is shown as text, images become links, and what
 * marked makes of the rest passes DOMPurify with a short list of what is allowed.
 *
 * A text that grows is drawn block by block: blocks that did not change keep their nodes, so that a reader's selection
 * survives and a long message costs no more per frame than its last paragraph.
 */

import { Marked } from "../../vendor/marked.js";
import DOMPurify from "../../vendor/purify.js";

const escaped = (text) => text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);

const marked = new Marked({
  gfm: true,
  breaks: false,
  renderer: {
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || "image")}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "p", "br", "hr", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
  ],
  ALLOWED_ATTR: ["href", "title", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ["align", "start"], // no addresses
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  if (!node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

/** Draws one growing text into an element. */
export class MarkdownView {
  /** @type {{raw: string, nodes: Node[]}[]} */
  #blocks = [];
  #text = "";

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {string} text */
  draw(text) {
    if (text === this.#text) return;
    this.#text = text;
    const blocks = marked.lexer(text);
    let same = 0;
    while (same < blocks.length && this.#blocks[same]?.raw === blocks[same].raw) same += 1;
    for (const { nodes } of this.#blocks.splice(same)) for (const node of nodes) this.element.removeChild(node);
    for (const block of blocks.slice(same)) {
      const fragment = purify.sanitize(marked.parser([block]), ALLOWED);
      const nodes = [...fragment.childNodes];
      this.element.append(fragment);
      this.#blocks.push({ raw: block.raw, nodes });
    }
  }
}

/** A finished text in an element of its own. @param {string} text @param {string} className */
export function markdown(text, className) {
  const element = document.createElement("div");
  element.className = `prose ${className}`;
  new MarkdownView(element).draw(text);
  return element;
}
