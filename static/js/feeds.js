// @ts-check
/** The conversations that one client follows: each once, however many streams show it. */

import { CLIENT_EVENTS, CONNECTION } from "./connection.js";
import { guarded } from "./emitter.js";
import { Feed } from "./feed.js";
import { COMMANDS } from "./protocol.js";

/** @type {WeakMap<object, Feeds>} */
const feedsByClient = new WeakMap();

/** @param {import("./colloquy.js").ColloquyClient} client @returns {Feeds} */
export function feedsOf(client) {
  const known = feedsByClient.get(client);
  if (known) return known;
  const made = new Feeds(client);
  feedsByClient.set(client, made);
  return made;
}

class Feeds {
  #client;
  /** @type {Map<string, Feed>} */
  #byId = new Map();
  /** @type {Set<Feed>} those that the server has not named yet */
  #starting = new Set();
  /** @type {Set<(conversationId: string) => void>} */
  #endedHandlers = new Set();

  constructor(client) {
    this.#client = client;
    client.on("*", (payload, name) => this.#hear(name, payload));
    client.on(CLIENT_EVENTS.CONNECTION, (connection) => {
      for (const feed of [...this.#byId.values()]) feed.connectionChanged(connection);
    });
  }

  /** Hear of each conversation whose run has ended. @param {(conversationId: string) => void} handler */
  onEnded(handler) {
    this.#endedHandlers.add(handler);
  }

  /** The feed of a conversation. @param {string} conversationId */
  of(conversationId) {
    const known = this.#byId.get(conversationId);
    if (known) return known;
    const made = this.#make(conversationId);
    this.#byId.set(conversationId, made);
    return made;
  }

  /** The feed of a conversation, if it is followed. @param {string} conversationId */
  find(conversationId) {
    return this.#byId.get(conversationId) ?? null;
  }

  /** The feed of a conversation that is about to be started. */
  begin() {
    const made = this.#make(null);
    this.#starting.add(made);
    return made;
  }

  /**
   * One reader less; the last one leaves the conversation. Resolves, always, when the server has taken note.
   * @param {Feed} feed
   * @param {import("./feed.js").Reader} reader
   */
  async release(feed, reader) {
    feed.readers.delete(reader);
    if (feed.readers.size > 0) return;
    this.#starting.delete(feed);
    const id = feed.conversationId;
    if (id && this.#byId.get(id) === feed) this.#byId.delete(id);
    if (feed.close() && id) await this.#leave(id);
  }

  async #leave(conversationId) {
    if (this.#client.connection !== CONNECTION.OPEN) return; // it has left us
    await this.#client.request(COMMANDS.LEAVE, { conversation_id: conversationId }).catch(() => {}); // gone is gone
  }

  #make(conversationId) {
    return new Feed(this.#client, conversationId, {
      named: (feed, id) => this.#named(feed, id),
      ended: (id) => {
        for (const handler of this.#endedHandlers) guarded(handler, id);
      },
    });
  }

  /** The server has answered a join or a start. */
  #named(feed, conversationId) {
    this.#starting.delete(feed);
    if (feed.readers.size > 0) this.#byId.set(conversationId, feed);
    else if (!this.#byId.has(conversationId)) this.#leave(conversationId); // it was given up before the answer came
  }

  #hear(name, payload) {
    const id = payload?.conversation_id;
    if (!id || name.startsWith("client:")) return;
    const feed = this.#byId.get(id);
    if (feed) feed.hear(name, payload);
    else for (const starting of this.#starting) starting.hear(name, payload);
  }
}
