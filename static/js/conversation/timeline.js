// @ts-check
/** Tool calls and charts, in the order in which they came: they stand between the messages, at their place in time. */

/** @typedef {{key: string, kind: "call" | "chart", timestamp: string, view: any}} Happening */

export class Timeline {
  #calls = null;
  #charts = null;
  /** @type {Happening[]} */
  #happenings = [];

  /** @param {any} state @returns {readonly Happening[]} oldest first; the same list, while nothing has changed */
  of({ tool_calls, charts }) {
    if (tool_calls === this.#calls && charts === this.#charts) return this.#happenings;
    this.#calls = tool_calls;
    this.#charts = charts;
    this.#happenings = [
      ...tool_calls.map((view) => ({ key: `call ${view.call_id}`, kind: /** @type {const} */ ("call"), timestamp: view.timestamp, view })),
      ...charts.map((view) => ({ key: `chart ${view.chart_id}`, kind: /** @type {const} */ ("chart"), timestamp: view.timestamp, view })),
    ].sort((one, other) => (one.timestamp < other.timestamp ? -1 : Number(one.timestamp > other.timestamp)));
    return this.#happenings;
  }
}

/**
 * Whether something stands above a message. Of the same millisecond, it led to an agent's words, and followed from a
 * thought or from what a person has said.
 * @param {{timestamp: string}} happening
 * @param {any} message
 */
export function precedes({ timestamp }, message) {
  if (timestamp !== message.timestamp) return timestamp < message.timestamp;
  return message.role !== "user" && message.kind === "message";
}
