// @ts-check
/** What is too large for an event: charts, and the whole answers of tools, fetched over HTTP as the socket's credentials allow. */

import { CODE, ColloquyError } from "./errors.js";

/** Where a chart may lie: nothing else is asked for, whatever an event says. */
const ADDRESS = /^\/api\/conversations\/(?!\.+\/)[\w~.:-]+\/artifacts\/(?!\.+$)[\w~.:-]+$/;

/** Whether a chart's `url` is an artifact of the server that has named it. @param {unknown} url */
export const isArtifact = (url) => typeof url === "string" && ADDRESS.test(url);

/** @param {string} conversationId @param {string} artifactId */
export const artifactPath = (conversationId, artifactId) =>
  `/api/conversations/${encodeURIComponent(conversationId)}/artifacts/${encodeURIComponent(artifactId)}`;

/**
 * @param {string} server its address
 * @param {string} path of the artifact
 * @param {any} credentials what the connection brings along: `{token}`, `{link}`, or nothing
 * @param {number} timeoutMs
 * @returns {Promise<Blob>} rejects with a ColloquyError: the server's, `unreachable`, or `timeout`
 */
export async function fetchArtifact(server, path, credentials, timeoutMs) {
  const address = new URL(path, server);
  if (typeof credentials?.link === "string") address.searchParams.set("share", credentials.link);
  const headers = typeof credentials?.token === "string" ? { Authorization: `Bearer ${credentials.token}` } : {};
  try {
    const answer = await fetch(address, { headers, signal: AbortSignal.timeout(timeoutMs) });
    if (answer.ok) return await answer.blob();
    const body = await answer.json().catch(() => null);
    throw new ColloquyError(body?.error ?? { code: CODE.BAD_ACK, message: `the server answered with ${answer.status}` });
  } catch (error) {
    if (error instanceof ColloquyError) throw error;
    if (/** @type {any} */ (error).name === "TimeoutError") throw new ColloquyError({ code: CODE.TIMEOUT, message: "it took too long", retryable: true });
    throw new ColloquyError({ code: CODE.UNREACHABLE, message: "the server does not answer", retryable: true });
  }
}
