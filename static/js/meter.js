// @ts-check
/** What a stream counts, and its rate over the last seconds. Time is passed in. */

const WINDOW_MS = 5000;

export class Meter {
  tokens = 0;
  gaps = 0;
  duplicates = 0;
  batches = 0;
  acks = 0;
  errors = 0;
  /** @type {number | null} from an event's timestamp to its arrival, with the clocks' difference taken out */
  deliveryMs = null;
  /** @type {{at: number, tokens: number}[]} */
  #recent = [];

  /** @param {number} tokens @param {number} nowMs */
  add(tokens, nowMs) {
    this.tokens += tokens;
    this.#recent.push({ at: nowMs, tokens });
    this.#forget(nowMs);
  }

  /** Tokens per second over the last five seconds, or over the time since the first of them. @param {number} nowMs */
  perSecond(nowMs) {
    this.#forget(nowMs);
    if (this.#recent.length === 0) return 0;
    const spanMs = Math.max(nowMs - this.#recent[0].at, 1000);
    return (1000 * this.#recent.reduce((sum, each) => sum + each.tokens, 0)) / spanMs;
  }

  #forget(nowMs) {
    const fresh = this.#recent.findIndex((each) => each.at > nowMs - WINDOW_MS);
    this.#recent = fresh < 0 ? [] : fresh === 0 ? this.#recent : this.#recent.slice(fresh);
  }
}
