// @ts-check
/** How figures, times and states are said. */

import { CONNECTION } from "../connection.js";
import { STATUS } from "../protocol.js";

/** The badge's words (FEATURES A3). */
export const STATUS_TEXT = Object.freeze({
  [STATUS.IDLE]: "Idle",
  [STATUS.INITIALIZING]: "Initializing",
  [STATUS.ACTIVE]: "Active",
  [STATUS.PAUSED]: "Paused",
  [STATUS.COMPLETED]: "Complete",
  [STATUS.STOPPED]: "Stopped",
  [STATUS.ERROR]: "Error",
});

export const CONNECTION_TEXT = Object.freeze({
  [CONNECTION.OPENING]: "Connecting…",
  [CONNECTION.OPEN]: "Connected",
  [CONNECTION.REOPENING]: "Reconnecting…",
  [CONNECTION.CLOSED]: "Offline",
});

const number = new Intl.NumberFormat("en");

/** @param {number} value */
export const count = (value) => number.format(value);

/** "≈ 1,234 tokens" @param {{prompt_tokens: number, completion_tokens: number, estimated: boolean}} usage */
export function tokens(usage) {
  const total = usage.prompt_tokens + usage.completion_tokens;
  return `${usage.estimated ? "≈ " : ""}${count(total)} ${total === 1 ? "token" : "tokens"}`;
}

/** "$0.0012", "$1.23"; "" where no price is known @param {{cost_usd?: number | null, estimated?: boolean}} usage */
export function cost({ cost_usd, estimated }) {
  if (cost_usd === null || cost_usd === undefined) return "";
  const digits = cost_usd > 0 && cost_usd < 0.1 ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return `${estimated ? "≈ " : ""}$${cost_usd.toLocaleString("en", digits)}`;
}

/** "≈ 1,234 tokens · ≈ $0.0012" @param {any} usage */
export const spent = (usage) => [tokens(usage), cost(usage)].filter(Boolean).join(" · ");

/** @param {number} bytes */
export function bytes(bytes) {
  return bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(bytes < 10_240 ? 1 : 0)} KB`;
}

const encoder = new TextEncoder();

/** Length as the server counts it. @param {string} text */
export const byteLength = (text) => encoder.encode(text).length;

/** "14:05" @param {string} timestamp */
export const clock = (timestamp) =>
  new Date(timestamp).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** "now", "4 min", "3 h", "Tue", "12 Mar" @param {string} timestamp @param {number} [nowMs] */
export function ago(timestamp, nowMs = Date.now()) {
  const at = new Date(timestamp);
  const minutes = Math.floor((nowMs - at.getTime()) / 60_000);
  if (Number.isNaN(minutes)) return "";
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h`;
  if (minutes < 6 * 24 * 60) return at.toLocaleDateString("en-GB", { weekday: "short" });
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

/** "1:02:03" or "2:03" @param {number} ms */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, at) => (at ? String(part).padStart(2, "0") : String(part))).join(":");
}

/** A sentence with a capital and a full stop. @param {string} text */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const capital = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/**
 * What the server says is going on, with dots behind it. An agent's name stays as it is: `lookup`, not `Lookup`.
 * @param {string} text @param {readonly {name: string}[]} agents
 */
export function doing(text, agents) {
  const named = agents.some(({ name }) => text.startsWith(`${name} `));
  return `${(named ? text.trim() : sentence(text)).replace(/[.…]$/, "")}…`;
}

/**
 * A message as Markdown: JSON, as agents with a structured output write it, becomes a block of code.
 * @param {string} content @param {boolean} open whether it still grows
 */
export function legible(content, open) {
  if (!/^\s*(\{\s*["}]|\[\s*[[{"\]\d-])/.test(content)) return content;
  try {
    return `\`\`\`json\n${JSON.stringify(JSON.parse(content), null, 2)}\n\`\`\``;
  } catch {
    return open ? `\`\`\`json\n${content}` : content;
  }
}

/** Whether a team's summary only repeats the last message: an orchestrator's answer is both. @param {any} state */
export function repeatsItself({ outcome, messages }) {
  const last = messages.findLast((message) => message.role === "agent" && message.kind === "message");
  return Boolean(outcome?.summary) && last?.content.trim() === outcome.summary.trim();
}

/** "backend_unavailable" → "backend unavailable" @param {string} code */
export const words = (code) => code.replaceAll("_", " ");

/** "20 seconds", "3 minutes", "2 hours" @param {number} seconds */
export function inWords(seconds) {
  const [value, unit] = seconds < 100 ? [Math.max(1, Math.ceil(seconds)), "second"] : seconds < 5400 ? [Math.round(seconds / 60), "minute"] : [Math.round(seconds / 3600), "hour"];
  return `${value} ${unit}${value === 1 ? "" : "s"}`;
}

/** Why something was refused, and when to try again, where that is known. @param {any} error */
export function reason(error) {
  const why = sentence(error.message || "Something went wrong");
  return error.retry_after_s > 0 ? `${why} Try again in ${inWords(error.retry_after_s)}.` : why;
}

/** "14 March 2026, 14:05" @param {string} timestamp */
export const moment = (timestamp) =>
  new Date(timestamp).toLocaleString("en-GB", { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" });

/** "14:05" today, else with the day: "14 Mar, 14:05" @param {string} timestamp */
export function briefly(timestamp) {
  const at = new Date(timestamp);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock(timestamp) : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${clock(timestamp)}`;
}

/** The day's name in a list: "Today", "Yesterday", "Tuesday", "14 March", "14 March 2025" @param {string} timestamp @param {Date} [now] */
export function dayName(timestamp, now = new Date()) {
  const at = new Date(timestamp);
  if (Number.isNaN(at.getTime())) return "Today";
  const dayOf = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((dayOf(now) - dayOf(at)) / 86_400_000); // rounded: a day may have 23 hours
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return at.toLocaleDateString("en-GB", { weekday: "long" });
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: /** @type {const} */ ("numeric") };
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "long", ...year });
}
