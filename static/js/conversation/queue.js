// @ts-check
/** What was typed without a connection, below the messages: it waits, or was refused. */

import { arrange, h, icon } from "../ui/dom.js";
import { sentence } from "../ui/format.js";

export class Queue {
  #onDiscard;
  #onRetry;
  /** @type {readonly any[]} */
  #waiting = [];
  /** @type {{message: any, error: any}[]} */
  #refused = [];
  /** @type {Map<any, any>} message → its row: one that stays is not read out again */
  #rows = new Map();

  /**
   * @param {any} element
   * @param {{onDiscard: (clientId: string) => void, onRetry: (content: string) => void}} hooks
   */
  constructor(element, { onDiscard, onRetry }) {
    this.element = element;
    this.#onDiscard = onDiscard;
    this.#onRetry = onRetry;
  }

  /** Begin with another conversation. */
  clear() {
    this.#waiting = [];
    this.#refused = [];
    this.#draw();
  }

  /** @param {readonly any[]} waiting @param {{message: any, error: any} | null} refused one more */
  show(waiting, refused) {
    this.#waiting = waiting;
    if (refused) this.#refused.push(refused);
    this.#draw();
  }

  #draw() {
    const before = this.#rows;
    this.#rows = new Map([
      ...this.#refused.map((each) => [each, before.get(each) ?? this.#refusedRow(each)]),
      ...this.#waiting.map((message) => [message, before.get(message) ?? this.#waitingRow(message)]),
    ]);
    for (const [key, gone] of before) if (!this.#rows.has(key)) gone.remove();
    arrange(this.element, [...this.#rows.values()]);
  }

  #waitingRow({ client_id, content }) {
    const discard = () => this.#onDiscard(client_id);
    return row("waiting", content, "clock", "Waiting for the connection", button("Discard", discard));
  }

  #refusedRow(refusal) {
    const { message, error } = refusal;
    const drop = () => {
      this.#refused = this.#refused.filter((each) => each !== refusal);
      this.#draw();
    };
    const again = () => {
      drop();
      this.#onRetry(message.content);
    };
    const why = `Not sent. ${sentence(error.message)}`;
    return row("refused", message.content, "alert", why, button("Send again", again), button("Discard", drop));
  }
}

function row(kind, content, sign, text, ...buttons) {
  return h(
    "article",
    { class: "message from-user queued", "data-kind": kind, "data-testid": `${kind}-message` },
    h("h2", { class: "sr-only" }, kind === "waiting" ? "You will say" : "You wanted to say"),
    h("div", { class: "said" }, content),
    h("p", { class: "queued-foot" }, icon(sign), h("span", {}, text), ...buttons),
  );
}

function button(text, onclick) {
  return h("button", { class: "button quiet small", type: "button", onclick }, text);
}
