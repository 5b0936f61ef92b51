// @ts-check
/** The HTTP doors that the pages use. Errors are ColloquyErrors, as those of commands are. */

import { ColloquyError } from "../colloquy.js";

const TIMEOUT_MS = 10_000;

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS), headers: { Accept: "application/json", ...options.headers } });
  } catch {
    throw new ColloquyError({ code: "unreachable", message: "the server does not answer", retryable: true });
  }
  const body = await response.json().catch(() => null);
  if (body?.error?.code) throw new ColloquyError(body.error);
  return { ok: response.ok, body };
}

async function get(path) {
  const { ok, body } = await call(path);
  if (!ok || body === null) throw new ColloquyError({ code: "bad_answer", message: `${path} did not answer as expected` });
  return body;
}

/** Newest first. */
export const conversations = async () => (await get("/api/conversations")).conversations;

export const teams = () => get("/api/teams");

/** Also answers, with 503, when no model does. */
export const readiness = async () => (await call("/api/v1/health/ready")).body ?? {};
