// @ts-check
/** Handlers by name. A handler that throws is reported and harms no other. */
export class Emitter {
  /** @type {Map<string, Set<Function>>} */
  #handlers = new Map();

  /**
   * @param {string} name "*" hears everything, as handler(payload, name)
   * @param {Function} handler
   * @returns {() => void} stops listening
   */
  on(name, handler) {
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    this.#handlers.get(name)?.add(handler);
    return () => this.off(name, handler);
  }

  /** @param {string} name @param {Function} handler */
  off(name, handler) {
    this.#handlers.get(name)?.delete(handler);
  }

  /** @param {string} name @param {unknown} [payload] */
  emit(name, payload) {
    for (const heard of new Set([name, "*"])) {
      for (const handler of [...(this.#handlers.get(heard) ?? [])]) guarded(handler, payload, name);
    }
  }
}

/** Call a stranger's function. @param {Function | null | undefined} handler @param {unknown[]} args */
export function guarded(handler, ...args) {
  if (!handler) return;
  try {
    handler(...args);
  } catch (error) {
    console.error("colloquy: a handler failed", error);
  }
}
