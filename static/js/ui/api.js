// @ts-check
/** The HTTP doors that the pages use. Errors are ColloquyErrors, as those of commands are. */

import { ColloquyError } from "../colloquy.js";

const TIMEOUT_MS = 10_000;
const CSRF_FAILED = "csrf_failed";
const UNAUTHENTICATED = new Set(["unauthenticated", "token_expired"]);

/** What a sign-in's cookie needs beside it to change something. @type {string | null} */
let csrfToken = null;
/** @type {((error: any) => void) | null} */
let onSignedOut = null;

/** Hear of every answer that says: sign in first. @param {(error: any) => void} hear */
export function whenSignedOut(hear) {
  onSignedOut = hear;
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS), headers: { Accept: "application/json", ...options.headers } });
  } catch {
    throw new ColloquyError({ code: "unreachable", message: "the server does not answer", retryable: true });
  }
  const body = response.status === 204 ? {} : await response.json().catch(() => null);
  if (body?.error?.code) {
    const error = Object.assign(new ColloquyError(body.error), { retry_after_s: body.error.retry_after_s });
    if (UNAUTHENTICATED.has(error.code)) onSignedOut?.(error);
    throw error;
  }
  return { ok: response.ok, body };
}

async function get(path, options = {}) {
  const { ok, body } = await call(path, options);
  if (!ok || body === null) throw new ColloquyError({ code: "bad_answer", message: `${path.split("?")[0]} did not answer as expected` });
  return body;
}

/** Change something. With a CSRF token that is no good any more, once again with a fresh one. */
async function change(method, path, payload = {}) {
  const send = () =>
    get(path, {
      method,
      body: JSON.stringify(payload),
      headers: { "Content-Type": "application/json", ...(csrfToken ? { "X-CSRFToken": csrfToken } : {}) },
    });
  try {
    return await send();
  } catch (error) {
    if (error.code !== CSRF_FAILED) throw error;
    await me();
    return send();
  }
}

const at = (conversationId, ...rest) => ["/api/conversations", conversationId, ...rest].map((part, place) => (place ? encodeURIComponent(part) : part)).join("/");

/** Only what is set. @param {Record<string, any>} wishes */
function query(wishes) {
  const set = Object.entries(wishes).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return set.length > 0 ? `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}` : "";
}

// --- who is asking ----------------------------------------------------------------------------------------------------

/** Who this is, for the server. */
export async function me() {
  const answer = await get("/api/me");
  csrfToken = answer.csrf_token ?? null;
  return answer;
}

export const logOut = () => change("POST", "/api/logout");

// --- conversations ----------------------------------------------------------------------------------------------------

/**
 * One page, the last changed first.
 * @param {{search?: string, status?: string, team?: string, limit?: number, cursor?: string | null}} [wishes]
 * @returns {Promise<{conversations: any[], total: number, next_cursor: string | null}>}
 */
export const conversations = (wishes = {}) => get(`/api/conversations${query(wishes)}`);

export const rename = (conversationId, title) => change("PATCH", at(conversationId), { title });

export const remove = (conversationId) => change("DELETE", at(conversationId));

/** @param {string} conversationId @param {"markdown" | "json" | "html"} format */
export const exportAddress = (conversationId, format) => at(conversationId, "export") + query({ format });

/** What the caller may do with a conversation: "owner", "editor" or "viewer". */
export const role = async (conversationId) => (await get(at(conversationId, "role"))).role;

// --- messages ---------------------------------------------------------------------------------------------------------

/** @param {string} conversationId @param {{before?: string, limit?: number}} [wishes] oldest first; `before`: the last ones before that message */
export const messages = (conversationId, wishes = {}) => get(at(conversationId, "messages") + query(wishes));

export const editMessage = (conversationId, messageId, content) => change("PATCH", at(conversationId, "messages", messageId), { content });

/** @param {string} conversationId @param {string} messageId @param {"up" | "down" | null} value */
export const rate = (conversationId, messageId, value) => change("PUT", at(conversationId, "messages", messageId, "feedback"), { value });

// --- sharing ----------------------------------------------------------------------------------------------------------

/** @returns {Promise<{shares: any[], links: any[]}>} */
export const shares = (conversationId) => get(at(conversationId, "shares"));

/** @param {string} conversationId @param {string} user their id, or what they log in with @param {string} role */
export const shareWith = (conversationId, user, role) => change("PUT", at(conversationId, "shares", user), { role });

export const unshare = (conversationId, user) => change("DELETE", at(conversationId, "shares", user));

/** The answer's `url` is told only this once. @param {string} conversationId @param {{role: string, expires_in_s?: number}} wish */
export const makeLink = (conversationId, wish) => change("POST", at(conversationId, "links"), wish);

export const revokeLink = (conversationId, linkId) => change("DELETE", at(conversationId, "links", linkId));

// --- the server -------------------------------------------------------------------------------------------------------

export const teams = () => get("/api/teams");

/** Also answers, with 503, when no model does. */
export const readiness = async () => (await call("/api/v1/health/ready")).body ?? {};
