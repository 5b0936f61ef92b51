// @ts-check
/** The card that closes a run: what the agents agreed on, or why there is nothing to show. */

import { STATUS } from "../protocol.js";
import { h, icon } from "../ui/dom.js";
import { sentence, tokens, words } from "../ui/format.js";
import { markdown } from "../ui/markdown.js";

/**
 * @param {any} state
 * @param {{onRetry: (() => void) | null}} options
 * @returns {any} null while the conversation runs
 */
export function ending(state, { onRetry }) {
  const spent = state.usage.prompt_tokens + state.usage.completion_tokens > 0 ? state.usage : null;
  if (state.status === STATUS.COMPLETED) return completed(state, spent);
  if (state.status === STATUS.STOPPED) return stopped(spent);
  if (state.status === STATUS.ERROR) return failed(state, spent, onRetry);
  return null;
}

function completed({ outcome, demo, model }, spent) {
  const { consensus, summary, reason } = outcome ?? {};
  const nothing = !consensus && !summary;
  return h(
    "section",
    { class: "ending", "data-testid": "conversation-ending", "aria-label": "Outcome" },
    h("header", {}, icon("scale"), h("h2", {}, nothing ? "The conversation is complete" : "Where they landed")),
    consensus && part("Consensus", "consensus", markdown(consensus, "consensus-text")),
    summary && part("Summary", "summary", markdown(summary, "")),
    nothing && h("p", { class: "why", "data-testid": "no-consensus" }, `No consensus was drawn up. ${sentence(reason ?? "")}`),
    !nothing && (!consensus || !summary) && reason && h("p", { class: "why" }, sentence(reason)),
    figures(spent, demo ? "Prepared demo, no model spoke" : model),
  );
}

function part(title, id, body) {
  return h("div", { class: `part ${id}`, "data-testid": id }, h("h3", {}, title), body);
}

function stopped(spent) {
  return h(
    "section",
    { class: "ending slim", "data-testid": "conversation-ending", "aria-label": "Outcome" },
    h("header", {}, icon("stop"), h("h2", {}, "Stopped")),
    h("p", { class: "why" }, "The run was ended before the agents had finished."),
    figures(spent, null),
  );
}

function failed({ error }, spent, onRetry) {
  return h(
    "section",
    { class: "ending slim bad", "data-testid": "conversation-ending", "aria-label": "Outcome" },
    h("header", {}, icon("alert"), h("h2", {}, "The conversation broke off")),
    h("p", { class: "why" }, sentence(error?.error ?? "The reason is not known"), error?.code && h("code", {}, error.code)),
    onRetry && error?.retryable && h("button", { class: "button small", type: "button", "data-testid": "try-again", onclick: onRetry }, icon("retry"), error.code === "interrupted" ? "Start again" : "Try again"),
    figures(spent, null),
  );
}

function figures(spent, label) {
  const parts = [];
  if (spent) {
    parts.push(h("span", { "data-testid": "usage" }, `${tokens(spent)} spent`));
    parts.push(h("span", {}, `${spent.prompt_tokens.toLocaleString("en")} read, ${spent.completion_tokens.toLocaleString("en")} written`));
  }
  if (label) parts.push(h("span", {}, label));
  return parts.length > 0 && h("footer", { class: "figures" }, ...parts);
}

/** What a notice in the stream says about a switch. @param {any} fallback */
export function fallbackText({ mode, reason, from, to }) {
  const why = reason ? ` (${words(reason)})` : "";
  if (mode === "demo") return `${from ?? "The model"} does not answer${why}. A prepared demo goes on from here: no model speaks.`;
  return `${from ?? "The model"} does not answer${why}. ${to ?? "Another model"} goes on.`;
}
