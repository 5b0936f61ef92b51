// @ts-check
/** What can go wrong, as one class; the codes that the client itself gives, or acts on. */

/** A command that failed, at the server or on the way to it. */
export class ColloquyError extends Error {
  /**
   * @param {{code: string, message: string, retryable?: boolean, retry_after_s?: number}} error retry_after_s: when it
   *   is worth trying again, where the server knows
   */
  constructor({ code, message, retryable = false, retry_after_s: retryAfterS }) {
    super(message);
    this.name = "ColloquyError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterS = typeof retryAfterS === "number" ? retryAfterS : null;
  }
}

export const CODE = Object.freeze({
  // the server's
  UNAUTHENTICATED: "unauthenticated",
  TOKEN_EXPIRED: "token_expired",
  CONVERSATION_UNKNOWN: "conversation_unknown",
  INVALID_STATE: "invalid_state",
  INTERRUPTED: "interrupted",
  // the client's own
  TIMEOUT: "timeout",
  DISCONNECTED: "disconnected",
  NOT_CONNECTED: "not_connected",
  UNREACHABLE: "unreachable",
  AUTH_FAILED: "auth_failed",
  QUEUE_FULL: "queue_full",
  CANCELLED: "cancelled",
  BAD_ACK: "bad_ack",
});

/** Whether a refusal says that other credentials are needed. @param {any} error */
export const wantsCredentials = (error) => error?.code === CODE.UNAUTHENTICATED || error?.code === CODE.TOKEN_EXPIRED;

/** @type {ReadonlySet<string>} no answer has come: whether the command was carried out is not known */
const UNANSWERED = new Set([CODE.TIMEOUT, CODE.DISCONNECTED, CODE.NOT_CONNECTED]);

/** Whether an error says nothing but that there was no answer. @param {any} error */
export const isUnanswered = (error) => UNANSWERED.has(error?.code);

/** @param {string} message */
export const notConnected = (message) => new ColloquyError({ code: CODE.NOT_CONNECTED, message, retryable: true });

/** @param {string} message */
export const disconnected = (message) => new ColloquyError({ code: CODE.DISCONNECTED, message, retryable: true });
