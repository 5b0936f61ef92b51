// @ts-check
/**
 * One Socket.IO connection that is kept open: it asks for a token before each attempt, and comes back after a wait that
 * doubles from attempt to attempt, with a random part, so that the clients of a server that restarts do not all come at
 * once. Socket.IO's own reconnection is off: there is one way back, whoever ended the connection.
 */

import { CONNECTION } from "./connection.js";
import { CODE, ColloquyError, disconnected, notConnected, wantsCredentials } from "./errors.js";
import { NAMESPACE } from "./protocol.js";

/** A connection that stood for so long was a good one: after it, the waits begin anew. */
const STABLE_MS = 5000;
/** Refusals of fresh tokens in a row, after which no more are asked for. */
const LONGEST_WAIT_S = 3600;
const MAX_REFUSED_TOKENS = 3;

export class Link {
  /** @type {any} the Socket.IO socket */
  #socket = null;
  #settings;
  #hooks;
  #state = /** @type {string} */ (CONNECTION.CLOSED);
  #wanted = false;
  #turn = 0; // grows with each attempt, so that what belongs to an earlier one is ignored
  #attempts = 0;
  #refusedTokens = 0;
  #openedAt = 0;
  /** What the next attempt sends along. @type {any} */
  #credentials = null;
  /** A token that was asked for ahead of time. @type {{credentials: any} | null} */
  #fresh = null;
  /** @type {Promise<boolean> | null} */
  #renewing = null;
  #retryTimer = null;
  #dialTimer = null;
  #wake = (event) => this.#hurry(event.type);

  /** How often the connection came back. */
  reconnects = 0;
  /** What went wrong last. @type {ColloquyError | null} */
  lastError = null;

  /**
   * @param {any} settings of the client, complete
   * @param {{moved: (state: string) => void, lost: (error: ColloquyError) => void, heard: (name: string, payload: any) => void}} hooks
   */
  constructor(settings, hooks) {
    this.#settings = settings;
    this.#hooks = hooks;
  }

  /** One of CONNECTION. */
  get state() {
    return this.#state;
  }

  /** Whether the connection is open, or on its way. */
  get wanted() {
    return this.#wanted;
  }

  /** "websocket" or "polling", or null without a connection. */
  get transport() {
    return this.#state === CONNECTION.OPEN ? (this.#socket?.io?.engine?.transport?.name ?? null) : null;
  }

  /** What the connection was last opened with. @type {any} */
  get credentials() {
    return this.#credentials;
  }

  /** Whether a new token can be had. */
  get canRenew() {
    return typeof this.#settings.auth === "function";
  }

  /** Open the connection, and keep it open. */
  async open() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempts = this.#refusedTokens = 0;
    this.#move(CONNECTION.OPENING);
    const io = this.#settings.io ?? (await defaultIo());
    if (!this.#wanted) throw notConnected("the connection was closed while it was being opened");
    this.#socket ??= this.#make(io);
    this.#listenToThePage(true);
    await this.#dial();
  }

  /** Close the connection for good. */
  close() {
    this.#end(notConnected("the connection was closed"));
  }

  /** Close the connection for good, for a reason. @param {ColloquyError} error */
  giveUp(error) {
    this.lastError = error;
    this.#end(error);
  }

  /**
   * Ask for a new token, to hand it over the connection that stands.
   * @returns {Promise<string | null>} null: what is sent along is no token, or none can be had now
   */
  async freshToken() {
    try {
      const credentials = await this.#ask();
      return typeof credentials?.token === "string" ? credentials.token : null;
    } catch (error) {
      this.lastError = authFailed(error);
      return null;
    }
  }

  /** Hand a command to the connection, which must be open. @param {string} name @param {any[]} rest payload, ack */
  emit(name, ...rest) {
    this.#socket.emit(name, ...rest);
  }

  /**
   * Ask for a new token, and come back with it. Positions make this invisible to whoever follows a conversation.
   * @returns {Promise<boolean>} false: no new token can be had; the connection stays as it is
   */
  renew() {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renew() {
    if (!this.canRenew) return false;
    try {
      this.#fresh = { credentials: await this.#ask() };
    } catch (error) {
      this.lastError = authFailed(error);
      return false;
    }
    if (this.#state !== CONNECTION.OPEN) return this.#wanted;
    this.#turn += 1;
    this.#socket.disconnect();
    this.#hooks.lost(disconnected("the connection is opened again with a new token"));
    this.#move(CONNECTION.REOPENING);
    await this.#dial();
    return true;
  }

  // --- attempts -------------------------------------------------------------------------------------------------------

  #make(io) {
    const { url, transports, timeoutMs } = this.#settings;
    const socket = io(new URL(NAMESPACE, url).href, {
      autoConnect: false,
      forceNew: true,
      transports,
      tryAllTransports: true,
      timeout: timeoutMs,
      reconnection: false,
      auth: (send) => send(this.#credentials ?? {}),
    });
    socket.on("connect", () => this.#opened());
    socket.on("disconnect", () => this.#dropped());
    socket.on("connect_error", (error) => this.#refused(refusalOf(error)));
    socket.onAny((name, payload) => this.#hooks.heard(name, payload ?? {}));
    return socket;
  }

  async #dial() {
    const turn = ++this.#turn;
    this.#stopTimers();
    try {
      this.#credentials = this.#fresh ? this.#fresh.credentials : await this.#ask();
      this.#fresh = null;
    } catch (error) {
      if (turn === this.#turn) this.#refused(authFailed(error));
      return;
    }
    if (turn !== this.#turn || !this.#wanted || this.#state === CONNECTION.OPEN) return;
    this.#dialTimer = setTimeout(() => {
      this.#socket.disconnect();
      this.#refused(new ColloquyError({ code: CODE.UNREACHABLE, message: "the server does not answer", retryable: true }));
    }, this.#settings.timeoutMs);
    this.#socket.connect();
  }

  /** @returns {Promise<any>} what Socket.IO sends along; a bare string is a token */
  async #ask() {
    const { auth } = this.#settings;
    const credentials = typeof auth === "function" ? await auth() : auth;
    return typeof credentials === "string" ? { token: credentials } : credentials;
  }

  #opened() {
    this.#stopTimers();
    this.#refusedTokens = 0;
    this.#openedAt = performance.now();
    this.lastError = null;
    if (this.#state === CONNECTION.REOPENING) this.reconnects += 1;
    this.#move(CONNECTION.OPEN);
  }

  #dropped() {
    if (!this.#wanted || this.#state !== CONNECTION.OPEN) return; // we did it ourselves
    if (performance.now() - this.#openedAt >= STABLE_MS) this.#attempts = 0;
    this.#hooks.lost(disconnected("the connection was lost"));
    this.#move(CONNECTION.REOPENING);
    this.#retry();
  }

  /** @param {ColloquyError} error why an attempt came to nothing */
  #refused(error) {
    clearTimeout(this.#dialTimer);
    if (!this.#wanted) return;
    this.lastError = error;
    const another = wantsCredentials(error) && this.canRenew && ++this.#refusedTokens < MAX_REFUSED_TOKENS;
    if (!error.retryable && !another) {
      this.#end(error);
      return;
    }
    this.#hooks.moved(this.#state); // the same state, for another reason
    this.#retry(Math.min(error.retryAfterS ?? 0, LONGEST_WAIT_S) * 1000);
  }

  /** @param {number} leastMs how long the server wants us to stay away */
  #retry(leastMs = 0) {
    const { reconnectionDelayMs, reconnectionDelayMaxMs } = this.#settings;
    const longestMs = Math.min(reconnectionDelayMs * 2 ** this.#attempts, reconnectionDelayMaxMs);
    this.#attempts += 1;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#wanted && this.#dial(), Math.max(leastMs, longestMs * (0.5 + Math.random() / 2)));
  }

  /** Do not wait any longer: the network is back, or somebody looks at the page, whose timers were slowed down. */
  #hurry(reason) {
    if (reason === "visibilitychange" && document.visibilityState === "hidden") return;
    if (this.#retryTimer !== null) this.#dial();
  }

  /** @param {ColloquyError} error */
  #end(error) {
    this.#wanted = false;
    this.#turn += 1;
    this.#fresh = null;
    this.#stopTimers();
    this.#listenToThePage(false);
    this.#socket?.disconnect();
    this.#hooks.lost(error);
    this.#move(CONNECTION.CLOSED);
  }

  #stopTimers() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#dialTimer);
    this.#retryTimer = null;
  }

  #move(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#hooks.moved(state);
  }

  /** @param {boolean} listen */
  #listenToThePage(listen) {
    const change = listen ? "addEventListener" : "removeEventListener";
    globalThis.window?.[change]("online", this.#wake);
    globalThis.document?.[change]("visibilitychange", this.#wake);
  }
}

function refusalOf(error) {
  const refusal = error.data?.error ?? error.data;
  return new ColloquyError({
    code: refusal?.code ?? CODE.UNREACHABLE,
    message: refusal?.message ?? error.message,
    retryable: refusal?.retryable ?? true,
    retry_after_s: refusal?.retry_after_s,
  });
}

function authFailed(error) {
  return new ColloquyError({
    code: CODE.AUTH_FAILED,
    message: `no token could be had: ${error?.message ?? error}`,
    retryable: error?.retryable ?? true,
  });
}

async function defaultIo() {
  const inPage = typeof document !== "undefined";
  const module = inPage ? new URL("../vendor/socket.io.js", import.meta.url).href : "socket.io-client";
  return (await import(module)).io;
}
