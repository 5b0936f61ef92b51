// @ts-check
/**
 * Colloquy's client: one connection (ColloquyClient) and any number of conversations on it (ConversationStream).
 *
 * Works in a page, where socket.io-client is taken from static/vendor, and in Node.js, where it is taken from npm;
 * `new ColloquyClient({io})` takes any other. Types: colloquy.d.ts.
 */

import { CLIENT_EVENTS, CONNECTION } from "./connection.js";
import { Emitter } from "./emitter.js";
import { COMMANDS, NAMESPACE } from "./protocol.js";

export { CLIENT_EVENTS, CONNECTION } from "./connection.js";
export { ConversationStream } from "./stream.js";
export { emptySnapshot, fold, isRunning, isTerminal } from "./fold.js";
export * from "./protocol.js";

/** The page's own server inside a page, else the server's default address. */
export const DEFAULT_URL = globalThis.location?.origin?.startsWith("http")
  ? globalThis.location.origin
  : "http://127.0.0.1:5000";

/** A command that failed, at the server or on the way to it. */
export class ColloquyError extends Error {
  /** @param {{code: string, message: string, retryable?: boolean}} error */
  constructor({ code, message, retryable = false }) {
    super(message);
    this.name = "ColloquyError";
    this.code = code;
    this.retryable = retryable;
  }
}

const DEFAULTS = {
  transports: ["websocket", "polling"],
  timeoutMs: 15_000,
  pingIntervalMs: 10_000,
  reconnectionDelayMs: 500,
  reconnectionDelayMaxMs: 10_000,
};

export class ColloquyClient {
  /** @type {any} the Socket.IO socket */
  #socket = null;
  #emitter = new Emitter();
  #settings;
  #connection = /** @type {string} */ (CONNECTION.CLOSED);
  #wanted = false;
  #refusals = 0;
  /** @type {Set<(error: ColloquyError) => void>} commands without an answer yet */
  #unanswered = new Set();
  #pingTimer = null;
  #retryTimer = null;

  /** Round trip of the last ping, in ms. @type {number | null} */
  latencyMs = null;
  /** The server's clock minus ours, in ms, as the last ping estimated it. */
  clockSkewMs = 0;
  /** How often the connection came back. */
  reconnects = 0;
  /** What went wrong last with the connection. @type {ColloquyError | null} */
  lastError = null;

  /** @param {import("./colloquy.d.ts").ClientOptions} [options] */
  constructor(options = {}) {
    this.#settings = { ...DEFAULTS, url: DEFAULT_URL, ...options };
  }

  get url() {
    return this.#settings.url;
  }

  /** One of CONNECTION. */
  get connection() {
    return this.#connection;
  }

  /** "websocket" or "polling", or null without a connection. */
  get transport() {
    return this.#connection === CONNECTION.OPEN ? (this.#socket?.io?.engine?.transport?.name ?? null) : null;
  }

  /**
   * Hear an event: a protocol event by its name, a client event, or "*" for everything that the server sends.
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
    if (!this.#wanted) {
      this.#wanted = true;
      this.#move(CONNECTION.OPENING);
      const io = this.#settings.io ?? (await defaultIo());
      if (!this.#wanted) throw notConnected("the connection was closed while it was being opened");
      this.#socket ??= this.#open(io);
      this.#socket.connect();
    }
    await this.#whenOpen(Infinity);
  }

  /** Close the connection for good; `connect` opens it again. */
  disconnect() {
    this.#wanted = false;
    clearTimeout(this.#retryTimer);
    this.#socket?.disconnect();
    this.#lose(notConnected("the connection was closed"));
    this.#move(CONNECTION.CLOSED);
  }

  /**
   * Send a command; resolves with its ack.
   * @param {string} name one of COMMANDS
   * @param {object} [payload]
   * @param {{timeoutMs?: number, onAck?: (ack: any) => void}} [options] onAck is called before any event that follows
   * @returns {Promise<any>} rejects with a ColloquyError: the server's, or `timeout`, `disconnected`, `not_connected`
   */
  async request(name, payload = {}, { timeoutMs = this.#settings.timeoutMs, onAck } = {}) {
    await this.#whenOpen(timeoutMs);
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.#unanswered.delete(fail);
        settle(value);
      };
      const fail = (error) => finish(reject, error);
      const timer = setTimeout(
        () => fail(new ColloquyError({ code: "timeout", message: `no answer to ${name}`, retryable: true })),
        timeoutMs,
      );
      this.#unanswered.add(fail);
      this.#socket.emit(name, payload, (ack) => {
        if (!this.#unanswered.has(fail)) return; // too late
        if (ack?.ok === true) {
          onAck?.(ack);
          finish(resolve, ack);
        } else {
          fail(new ColloquyError(ack?.error ?? { code: "bad_ack", message: `${name} was answered without a result` }));
        }
      });
    });
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

  // --- the connection -------------------------------------------------------------------------------------------------

  #open(io) {
    const { url, auth, transports, reconnectionDelayMs, reconnectionDelayMaxMs } = this.#settings;
    const socket = io(new URL(NAMESPACE, url).href, {
      autoConnect: false,
      forceNew: true,
      transports,
      tryAllTransports: true,
      auth,
      reconnection: true,
      reconnectionDelay: reconnectionDelayMs,
      reconnectionDelayMax: reconnectionDelayMaxMs,
      randomizationFactor: 0.5, // so that the clients of a server that restarts do not all come at once
    });
    socket.on("connect", () => {
      this.#refusals = 0;
      this.lastError = null;
      if (this.#connection === CONNECTION.REOPENING) this.reconnects += 1;
      this.#move(CONNECTION.OPEN);
      this.#keepPinging();
    });
    socket.on("disconnect", (reason) => {
      this.#lose(new ColloquyError({ code: "disconnected", message: "the connection was lost", retryable: true }));
      if (!this.#wanted) return;
      this.#move(CONNECTION.REOPENING);
      if (!socket.active) this.#retry(); // the server closed it: the library leaves coming back to us
    });
    socket.on("connect_error", (error) => {
      const refusal = error.data?.error ?? error.data;
      this.lastError = new ColloquyError({
        code: refusal?.code ?? "unreachable",
        message: refusal?.message ?? error.message,
        retryable: refusal?.retryable ?? true,
      });
      if (!this.#wanted || socket.active) {
        this.#emitter.emit(CLIENT_EVENTS.CONNECTION, this.#connection);
      } else if (this.lastError.retryable) {
        this.#retry();
      } else {
        this.#wanted = false;
        this.#lose(this.lastError);
        this.#move(CONNECTION.CLOSED);
      }
    });
    socket.onAny((name, payload) => this.#emitter.emit(name, payload ?? {}));
    return socket;
  }

  #retry() {
    const { reconnectionDelayMs, reconnectionDelayMaxMs } = this.#settings;
    const longestMs = Math.min(reconnectionDelayMs * 2 ** this.#refusals, reconnectionDelayMaxMs);
    this.#refusals += 1;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#wanted && this.#socket.connect(), longestMs * (0.5 + Math.random() / 2));
  }

  #move(connection) {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.#emitter.emit(CLIENT_EVENTS.CONNECTION, connection);
  }

  #lose(error) {
    clearInterval(this.#pingTimer);
    this.latencyMs = null;
    for (const fail of [...this.#unanswered]) fail(error);
  }

  /** Resolves when the connection stands; a command that has to wait longer than its timeout is never sent. */
  #whenOpen(timeoutMs) {
    if (this.#connection === CONNECTION.OPEN) return Promise.resolve();
    if (!this.#wanted) return Promise.reject(this.lastError ?? notConnected("not connected"));
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

  #keepPinging() {
    clearInterval(this.#pingTimer);
    if (!this.#settings.pingIntervalMs) return;
    const measure = () => this.ping().catch(() => {}); // a ping that fails says nothing that `connection` does not
    measure();
    this.#pingTimer = setInterval(measure, this.#settings.pingIntervalMs);
    this.#pingTimer?.unref?.();
  }
}

/** @param {string} message */
function notConnected(message) {
  return new ColloquyError({ code: "not_connected", message, retryable: true });
}

async function defaultIo() {
  const inPage = typeof document !== "undefined";
  const module = inPage ? new URL("../vendor/socket.io.js", import.meta.url).href : "socket.io-client";
  return (await import(module)).io;
}
