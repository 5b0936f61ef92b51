// @ts-check
/**
 * Colloquy's client: one connection (ColloquyClient) and any number of conversations on it (ConversationStream).
 *
 * Works in a page, where socket.io-client is taken from static/vendor, and in Node.js, where it is taken from npm;
 * `new ColloquyClient({io})` takes any other. Types: colloquy.d.ts. Guide: docs/clients/javascript.md.
 */

import { artifactPath, fetchArtifact, isArtifact } from "./artifacts.js";
import { CLIENT_EVENTS, CONNECTION } from "./connection.js";
import { Emitter } from "./emitter.js";
import { CODE, ColloquyError, isUnanswered, notConnected, wantsCredentials } from "./errors.js";
import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { COMMANDS, EVENTS } from "./protocol.js";

export { CLIENT_EVENTS, CONNECTION } from "./connection.js";
export { ColloquyError } from "./errors.js";
export { ConversationStream } from "./stream.js";
export { emptySnapshot, fold, interrupted, isRunning, isTerminal } from "./fold.js";
export { perFrame } from "./frames.js";
export * from "./protocol.js";

/** The page's own server inside a page, else the server's default address. */
export const DEFAULT_URL = globalThis.location?.origin?.startsWith("http")
  ? globalThis.location.origin
  : "http://127.0.0.1:5000";

const DEFAULTS = {
  transports: ["websocket", "polling"],
  timeoutMs: 15_000,
  pingIntervalMs: 10_000,
  reconnectionDelayMs: 500,
  reconnectionDelayMaxMs: 10_000,
  maxQueued: 100,
  acks: true,
  batch: true,
};

/** How long a connection whose token expires waits for commands that are under way. */
const QUIET_MS = 2000;

export class ColloquyClient {
  #emitter = new Emitter();
  #settings;
  #link;
  #outbox;
  /** @type {Set<(error: ColloquyError) => void>} commands without an answer yet */
  #unanswered = new Set();
  #pingTimer = null;

  /** Round trip of the last ping, in ms. @type {number | null} */
  latencyMs = null;
  /** The server's clock minus ours, in ms, as the last ping estimated it. */
  clockSkewMs = 0;

  /** @param {import("./colloquy.d.ts").ClientOptions} [options] */
  constructor(options = {}) {
    this.#settings = { ...DEFAULTS, url: DEFAULT_URL, ...options };
    this.#link = new Link(this.#settings, {
      moved: (state) => this.#moved(state),
      lost: (error) => this.#lost(error),
      heard: (name, payload) => this.#heard(name, payload),
    });
    this.#outbox = new Outbox(this, {
      max: this.#settings.maxQueued,
      changed: (change) => this.#emitter.emit(CLIENT_EVENTS.QUEUE, change),
    });
  }

  get url() {
    return this.#settings.url;
  }

  /** One of CONNECTION. */
  get connection() {
    return this.#link.state;
  }

  /** "websocket" or "polling", or null without a connection. */
  get transport() {
    return this.#link.transport;
  }

  /** How often the connection came back. */
  get reconnects() {
    return this.#link.reconnects;
  }

  /** What went wrong last with the connection. @type {ColloquyError | null} */
  get lastError() {
    return this.#link.lastError;
  }

  /** What each `join` and `start_stream` of this client asks for. */
  get delivery() {
    return { acks: this.#settings.acks, batch: this.#settings.batch };
  }

  /** What waits to be sent, oldest first. */
  get queued() {
    return this.#outbox.waiting();
  }

  /**
   * Take a message that waits out of the queue; its promise rejects with `cancelled`.
   * @param {string} clientId
   * @returns {boolean} false: it is not there, or just being sent
   */
  cancel(clientId) {
    return this.#outbox.cancel(clientId);
  }

  /**
   * Hear an event as it comes over the wire: a protocol event by its name, a client event, or "*" for everything. What a
   * conversation says, in order and without doubles, is heard with `ConversationStream.on`.
   * @param {string} name
   * @param {Function} handler
   * @returns {() => void} stops listening
   */
  on(name, handler) {
    return this.#emitter.on(name, handler);
  }

  /** @param {string} name @param {Function} handler */
  off(name, handler) {
    this.#emitter.off(name, handler);
  }

  /** Open the connection and keep it open. Resolves when it stands for the first time. */
  async connect() {
    await this.#link.open();
    await this.#whenOpen(Infinity);
  }

  /** Close the connection for good; `connect` opens it again. What waits in the queue is refused. */
  disconnect() {
    this.#link.close();
    this.#outbox.refuseAll(notConnected("the connection was closed"));
  }

  /**
   * Send a command; resolves with its ack. Refused as `unauthenticated`, it is sent once more with a new token.
   * @param {string} name one of COMMANDS
   * @param {object} [payload]
   * @param {{timeoutMs?: number, onAck?: (ack: any) => void}} [options] onAck is called before any event that follows
   * @returns {Promise<any>} rejects with a ColloquyError: the server's, or `timeout`, `disconnected`, `not_connected`
   */
  async request(name, payload = {}, options = {}) {
    try {
      return await this.#ask(name, payload, options);
    } catch (error) {
      if (!wantsCredentials(error) || !(await this.#link.renew())) throw error;
      return this.#ask(name, payload, options);
    }
  }

  /**
   * Send a command that needs no answer; without a connection it is dropped.
   * @param {string} name one of COMMANDS
   * @param {object} payload
   */
  tell(name, payload) {
    if (this.connection === CONNECTION.OPEN) this.#link.emit(name, payload);
  }

  /**
   * Fetch what is too large for an event, with the credentials of this connection: a tool's whole answer by its
   * `artifact_id`, or a chart by its `url`.
   * @param {string} conversationId
   * @param {string} artifact an id, or a chart's url
   * @returns {Promise<Blob>} rejects with a ColloquyError, for example `not_found`, `store_unavailable`
   */
  async artifact(conversationId, artifact) {
    const path = isArtifact(artifact) ? artifact : artifactPath(conversationId, artifact);
    const ask = (credentials) => fetchArtifact(this.url, path, credentials, this.#settings.timeoutMs);
    try {
      return await ask(this.#link.credentials);
    } catch (error) {
      const token = wantsCredentials(error) && this.#link.canRenew ? await this.#link.freshToken() : null;
      if (token === null) throw error;
      return ask({ token });
    }
  }

  /** Measure the way to the server and back. @returns {Promise<number>} ms */
  async ping() {
    const sentAt = performance.now();
    const ack = await this.request(COMMANDS.PING, { echo: Math.round(sentAt) });
    this.latencyMs = performance.now() - sentAt;
    const serverNow = Date.parse(ack.timestamp);
    if (!Number.isNaN(serverNow)) this.clockSkewMs = serverNow + this.latencyMs / 2 - Date.now();
    this.#emitter.emit(CLIENT_EVENTS.LATENCY, this.latencyMs);
    return this.latencyMs;
  }

  // --- commands and their answers -------------------------------------------------------------------------------------

  /** @param {string} name @param {object} payload @param {{timeoutMs?: number, onAck?: (ack: any) => void}} options */
  async #ask(name, payload, { timeoutMs = this.#settings.timeoutMs, onAck }) {
    await this.#whenOpen(timeoutMs);
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.#unanswered.delete(fail);
        settle(value);
      };
      const fail = (error) => finish(reject, error);
      const timer = setTimeout(
        () => fail(new ColloquyError({ code: CODE.TIMEOUT, message: `no answer to ${name}`, retryable: true })),
        timeoutMs,
      );
      this.#unanswered.add(fail);
      this.#link.emit(name, payload, (ack) => {
        if (!this.#unanswered.has(fail)) return; // too late
        if (ack?.ok === true) {
          onAck?.(ack);
          finish(resolve, ack);
        } else {
          const message = `${name} was answered without a result`;
          fail(new ColloquyError(ack?.error ?? { code: CODE.BAD_ACK, message }));
        }
      });
    });
  }

  /** Resolves when the connection stands; a command that has to wait longer than its timeout is never sent. */
  #whenOpen(timeoutMs) {
    if (this.connection === CONNECTION.OPEN) return Promise.resolve();
    if (!this.#link.wanted) return Promise.reject(this.lastError ?? notConnected("not connected"));
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        stop();
        settle(value);
      };
      const stop = this.on(CLIENT_EVENTS.CONNECTION, (connection) => {
        if (connection === CONNECTION.OPEN) finish(resolve);
        if (connection === CONNECTION.CLOSED) finish(reject, this.lastError ?? notConnected("the connection was closed"));
      });
      const timer = Number.isFinite(timeoutMs)
        ? setTimeout(() => finish(reject, notConnected("no connection to the server")), timeoutMs)
        : undefined;
    });
  }

  // --- the connection -------------------------------------------------------------------------------------------------

  #moved(state) {
    if (state === CONNECTION.OPEN) this.#keepPinging();
    this.#emitter.emit(CLIENT_EVENTS.CONNECTION, state);
    if (state === CONNECTION.OPEN) this.#outbox.deliver();
  }

  #lost(error) {
    clearInterval(this.#pingTimer);
    this.latencyMs = null;
    for (const fail of [...this.#unanswered]) fail(error);
  }

  #heard(name, payload) {
    if (name === EVENTS.AUTH_EXPIRING) this.#authenticate();
    this.#emitter.emit(name, payload);
    if (name === EVENTS.SIGNED_OUT && (payload.action === "sign_in" || !this.#link.canRenew)) this.#signedOut(payload);
  }

  /** Hand over a new token; where the server does not take it, come back with another one. */
  async #authenticate() {
    if (!this.#link.canRenew) return;
    const token = await this.#link.freshToken();
    if (this.connection !== CONNECTION.OPEN) return; // whoever comes back asks for a token anyway
    try {
      if (token !== null) await this.#ask(COMMANDS.AUTHENTICATE, { token }, {});
      else await this.#renewSoon();
    } catch (error) {
      if (!isUnanswered(error)) await this.#renewSoon();
    }
  }

  /** There is nothing to come back with: stop, and tell whoever may ask the user to sign in. */
  #signedOut(payload) {
    this.#link.giveUp(new ColloquyError({ code: payload.code, message: payload.message }));
    this.#settings.signedOut?.(payload);
  }

  /** Come back with a new token, once the commands that are under way are answered; soon in any case. */
  async #renewSoon() {
    const until = performance.now() + QUIET_MS;
    while (this.#unanswered.size > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
    await this.#link.renew();
  }

  #keepPinging() {
    clearInterval(this.#pingTimer);
    if (!this.#settings.pingIntervalMs) return;
    const measure = () => this.ping().catch(() => {}); // a ping that fails says nothing that `connection` does not
    measure();
    this.#pingTimer = setInterval(measure, this.#settings.pingIntervalMs);
    this.#pingTimer?.unref?.();
  }
}
