// @ts-check
/** What administrators ask of the server. A refusal carries a sentence for each field that it is about. */

const TIMEOUT_MS = 20_000; // a test of a provider takes up to eight seconds

export class Refused extends Error {
  /** @param {{message?: string, fields?: Record<string, string>}} [error] */
  constructor(error = {}) {
    super(error.message ?? "the server did not answer as expected");
    /** @type {Record<string, string>} */
    this.fields = error.fields ?? {};
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @returns {Promise<any>} the answer; null where there is none
 * @throws {Refused}
 */
export async function ask(method, path, body) {
  const token = document.querySelector('meta[name="csrf-token"]')?.getAttribute("content");
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers["X-CSRFToken"] = token;
  let response;
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(path, { method, headers, body: sent, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Refused({ message: "the server does not answer" });
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(answer?.error);
  return answer;
}
