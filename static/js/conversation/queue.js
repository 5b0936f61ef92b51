// @ts-check
/** What will be said, below the messages: it waits for its turn, or for the connection, or was refused. */

import { arrange, h, icon, setText } from "../ui/dom.js";
import { sentence } from "../ui/format.js";

export class Queue {
  #onDiscard;
  #onRetry;
  #onTakeBack;
  #nameOf;
  /** @type {readonly any[]} */
  #waiting = [];
  /** @type {{message: any, error: any}[]} */
  #refused = [];
  /** @type {readonly any[]} what the server keeps until the agents have finished */
  #kept = [];
  #standing = { running: false, mayRemove: (_) => false };
  /** @type {Map<any, any>} message, or its id → its row: one that stays is not read out again */
  #rows = new Map();

  /**
   * @param {any} element
   * @param {{onDiscard: (clientId: string) => void, onRetry: (content: string) => void, onTakeBack: (messageId: string) => Promise<any>, nameOf: (userId: string) => string}} hooks
   */
  constructor(element, { onDiscard, onRetry, onTakeBack, nameOf }) {
    this.element = element;
    this.#onTakeBack = onTakeBack;
    this.#nameOf = nameOf;
    this.#onDiscard = onDiscard;
    this.#onRetry = onRetry;
  }

  /** Begin with another conversation. */
  clear() {
    this.#waiting = [];
    this.#refused = [];
    this.#kept = [];
    this.#draw();
  }

  /**
   * What the server keeps until the agents have finished.
   * @param {readonly any[]} kept
   * @param {{running: boolean, mayRemove: (by: string) => boolean}} standing
   */
  showKept(kept, standing) {
    if (kept === this.#kept && standing.running === this.#standing.running) return;
    this.#kept = kept;
    this.#standing = standing;
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
      ...this.#kept.map((message, at) => /** @type {[any, any]} */ ([message.message_id, this.#keptRow(message, at, before.get(message.message_id))])),
      ...this.#refused.map((each) => [each, before.get(each) ?? this.#refusedRow(each)]),
      ...this.#waiting.map((message) => [message, before.get(message) ?? this.#waitingRow(message)]),
    ]);
    const held = this.element.contains(document.activeElement);
    arrange(this.element, [...this.#rows.values()]);
    if (held && !this.element.contains(document.activeElement)) this.element.querySelector("button")?.focus();
  }

  /** One that the server keeps; drawn again, it stays the same element. */
  #keptRow({ message_id, content, by }, at, before) {
    const element = before ?? row("kept", content, "clock", "", ...(this.#standing.mayRemove(by) ? [takeBack(() => this.#onTakeBack(message_id))] : []));
    const name = this.#nameOf(by);
    element.firstElementChild.textContent = name === "you" ? "You will say" : `${name} will say`;
    const turn = at > 0 ? "After that" : this.#standing.running ? "Said when the agents have finished" : "Waits until the conversation goes on";
    setText(element.querySelector(".queued-foot span"), name === "you" ? turn : `${turn} · from ${name}`);
    return element;
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

function takeBack(act) {
  const element = button("Take back", async () => {
    if (element.getAttribute("aria-busy") === "true") return;
    element.setAttribute("aria-busy", "true");
    await act().catch(() => {}); // the page has said why
    element.removeAttribute("aria-busy");
  });
  element.dataset.testid = "take-back";
  return element;
}

function button(text, onclick) {
  return h("button", { class: "button quiet small", type: "button", onclick }, text);
}
