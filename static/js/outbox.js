// @ts-check
/**
 * What a person has typed, until the server has it. Messages that are typed without a connection wait here and are sent
 * once, in their order, when it is back. One whose answer was lost on the way is sent again under the same client_id, by
 * which the server knows it.
 */

import { CONNECTION } from "./connection.js";
import { CODE, ColloquyError, isUnanswered, notConnected } from "./errors.js";
import { feedsOf } from "./feeds.js";
import { isTerminal } from "./fold.js";

/** How often a message that had to wait is offered to a server that refuses it for the moment. */
const MAX_ATTEMPTS = 6;
const REST_MS = [500, 1000, 3000, 10_000];

/** @type {WeakMap<object, Outbox>} */
const outboxByClient = new WeakMap();

/** @param {import("./colloquy.js").ColloquyClient} client @returns {Outbox} */
export const outboxOf = (client) => /** @type {Outbox} */ (outboxByClient.get(client));

/**
 * @typedef {object} Letter
 * @property {import("./colloquy.d.ts").QueuedMessage} shown
 * @property {() => Promise<any>} deliver
 * @property {boolean} waited it could not go out at once
 * @property {boolean} sending
 * @property {boolean} held until its conversation has ended, or for a while
 * @property {number} attempts
 * @property {any} timer
 * @property {(ack: any) => void} resolve
 * @property {(error: any) => void} reject
 */

export class Outbox {
  #client;
  #max;
  #changed;
  /** @type {Letter[]} */
  #letters = [];

  /**
   * @param {import("./colloquy.js").ColloquyClient} client
   * @param {{max: number, changed: (change: import("./colloquy.d.ts").QueueChange) => void}} options max: messages that wait
   */
  constructor(client, { max, changed }) {
    this.#client = client;
    this.#max = max;
    this.#changed = changed;
    outboxByClient.set(client, this);
    feedsOf(client).onEnded((conversationId) => this.#ended(conversationId));
  }

  /** What had to wait, oldest first. */
  waiting() {
    return this.#letters.filter((letter) => letter.waited).map((letter) => letter.shown);
  }

  /**
   * Send now, or when the connection is back; resolves with the ack.
   * @param {Omit<import("./colloquy.d.ts").QueuedMessage, "queued_at">} message
   * @param {() => Promise<any>} deliver
   * @returns {Promise<any>}
   */
  add(message, deliver) {
    const { connection, lastError } = this.#client;
    if (connection === CONNECTION.CLOSED) return Promise.reject(lastError ?? notConnected("not connected"));
    const waited = connection !== CONNECTION.OPEN || this.#isBlocked(message.conversation_id, this.#letters.length);
    if (waited && this.waiting().length >= this.#max) {
      const full = { code: CODE.QUEUE_FULL, message: `${this.#max} messages are waiting for the connection already`, retryable: true };
      return Promise.reject(new ColloquyError(full));
    }
    return new Promise((resolve, reject) => {
      const shown = Object.freeze({ ...message, queued_at: new Date().toISOString() });
      this.#letters.push({ shown, deliver, waited, sending: false, held: false, attempts: 0, timer: null, resolve, reject });
      if (waited) this.#told();
      this.deliver();
    });
  }

  /** @param {string} clientId @returns {boolean} */
  cancel(clientId) {
    const letter = this.#letters.find(({ shown, sending }) => shown.client_id === clientId && !sending);
    if (!letter) return false;
    this.#remove(letter);
    letter.reject(new ColloquyError({ code: CODE.CANCELLED, message: "taken out of the queue" }));
    this.#told();
    return true;
  }

  /** @param {ColloquyError} error */
  refuseAll(error) {
    for (const letter of [...this.#letters]) this.#refuse(letter, error);
  }

  /** Send what can be sent. */
  deliver() {
    if (this.#client.connection !== CONNECTION.OPEN) return;
    for (const [at, letter] of [...this.#letters].entries()) {
      if (letter.sending || letter.held || this.#isBlocked(letter.shown.conversation_id, at)) continue;
      this.#send(letter);
    }
  }

  /** Whether something that had to wait stands before, for the same conversation. */
  #isBlocked(conversationId, before) {
    if (conversationId === null) return false;
    return this.#letters.slice(0, before).some(({ shown, waited }) => waited && shown.conversation_id === conversationId);
  }

  async #send(letter) {
    letter.sending = true;
    letter.attempts += 1;
    try {
      const ack = await letter.deliver();
      if (!this.#remove(letter)) return;
      letter.resolve(ack);
      if (letter.waited) this.#told();
    } catch (error) {
      letter.sending = false;
      if (this.#letters.includes(letter)) this.#failed(letter, error);
    }
    this.deliver();
  }

  #failed(letter, error) {
    if (isUnanswered(error)) {
      this.#wait(letter, error.code === CODE.TIMEOUT); // else the connection's return sends it
    } else if (!letter.waited) {
      this.#refuse(letter, error); // the caller is there, and is told
    } else if (error.code === CODE.INVALID_STATE) {
      const feed = feedsOf(this.#client).find(letter.shown.conversation_id);
      if (feed && !isTerminal(feed.state.status)) letter.held = true; // until #ended
      else if (feed && letter.attempts < MAX_ATTEMPTS) this.#wait(letter, true);
      else this.#refuse(letter, error);
    } else if (error.retryable && letter.attempts < MAX_ATTEMPTS) {
      this.#wait(letter, true);
    } else {
      this.#refuse(letter, error);
    }
  }

  /** @param {Letter} letter @param {boolean} resting not before a while */
  #wait(letter, resting) {
    if (resting) {
      letter.held = true;
      letter.timer = setTimeout(() => this.#release(letter), REST_MS[Math.min(letter.attempts, REST_MS.length) - 1]);
    }
    if (letter.waited) return;
    letter.waited = true;
    this.#told();
  }

  #release(letter) {
    clearTimeout(letter.timer);
    letter.held = false;
    this.deliver();
  }

  #ended(conversationId) {
    for (const letter of this.#letters) {
      if (letter.held && letter.shown.conversation_id === conversationId) this.#release(letter);
    }
  }

  #refuse(letter, error) {
    if (!this.#remove(letter)) return;
    letter.reject(error);
    if (letter.waited) this.#told({ message: letter.shown, error });
  }

  #remove(letter) {
    const at = this.#letters.indexOf(letter);
    if (at < 0) return false;
    clearTimeout(letter.timer);
    this.#letters.splice(at, 1);
    return true;
  }

  /** @param {{message: any, error: any} | null} refused */
  #told(refused = null) {
    this.#changed({ queued: this.waiting(), refused });
  }
}

/** An id that nobody else makes; also where the page's origin is not a secure one, and randomUUID is missing. */
export function newId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
