// @ts-check
/** What the reader may do with the conversation that is shown. The server decides; this says what the page offers. */

import { role } from "../ui/api.js";

const OWNER = "owner";
const VIEWER = "viewer";

export class Standing {
  #id = null;
  #role = null;
  #known;
  #changed;

  /** @param {{known: (conversationId: string) => string | undefined, changed: () => void}} hooks known: by the list */
  constructor({ known, changed }) {
    this.#known = known;
    this.#changed = changed;
  }

  /** "owner", "editor", "viewer"; null: not known yet. @returns {string | null} */
  get role() {
    return this.#role;
  }

  /** Nothing is offered that is known to be refused. */
  get maySteer() {
    return this.#role !== VIEWER;
  }

  /** @param {string | null} conversationId */
  turnTo(conversationId) {
    this.#id = conversationId;
    this.#role = (conversationId && this.#known(conversationId)) ?? null;
  }

  /** The conversation is there: what the list does not know is asked for. */
  joined() {
    if (!this.#role) this.ask();
  }

  /** The reader has just begun it. @param {string} conversationId */
  own(conversationId) {
    this.#id = conversationId;
    this.#role = OWNER;
    this.#changed();
  }

  /** Ask the server. */
  async ask() {
    const asked = this.#id;
    if (!asked) return;
    try {
      const found = await role(asked);
      if (asked !== this.#id) return;
      this.#role = found;
      this.#changed();
    } catch {
      // unknown as before: what is refused is told then
    }
  }
}
