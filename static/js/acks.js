// @ts-check
/**
 * Tells the server what has arrived, so that it knows how much a lagging connection still has under way.
 *
 * On receipt, and never after drawing: a hidden tab draws nothing, and would seem to have stalled. By the events
 * themselves and not by a timer, wherever one more event comes, since browsers slow down the timers of hidden tabs.
 */

/** At most one acknowledgement in so many ms … */
export const ACK_EVERY_MS = 250;
/** … or for so many bytes, whichever comes first. */
export const ACK_EVERY_BYTES = 65_536;

export class Acknowledger {
  #send;
  #offset = /** @type {number | null} */ (null);
  #bytes = 0;
  #sentAt = -Infinity;
  #timer = null;

  /** @param {(offset: number) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /**
   * Everything up to `offset` is here.
   * @param {number} offset
   * @param {number} bytes that came with it, about
   */
  received(offset, bytes) {
    this.#offset = offset;
    this.#bytes += bytes;
    this.flush();
  }

  /** Send what is due now; the rest within ACK_EVERY_MS. */
  flush() {
    if (this.#offset === null) return;
    const waitMs = this.#sentAt + ACK_EVERY_MS - performance.now();
    if (waitMs <= 0 || this.#bytes >= ACK_EVERY_BYTES) {
      const offset = this.#offset;
      this.forget();
      this.#sentAt = performance.now();
      this.#send(offset);
    } else if (this.#timer === null) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.flush();
      }, waitMs);
      this.#timer?.unref?.();
    }
  }

  /** Nothing is to be told: another connection, or nobody follows any more. */
  forget() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#offset = null;
    this.#bytes = 0;
  }
}

/** About how many bytes a value takes on the wire. @param {any} value @returns {number} */
export function roughBytes(value) {
  if (typeof value === "string") return value.length + 3;
  if (value === null || typeof value !== "object") return 8;
  let bytes = 2;
  for (const name in value) bytes += name.length + 3 + roughBytes(value[name]);
  return bytes;
}
