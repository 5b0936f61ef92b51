// @ts-check
/** The card that closes a run: what the agents agreed on, or why there is nothing to show. */

import { CODE } from "../errors.js";
import { STATUS } from "../protocol.js";
import { h, icon } from "../ui/dom.js";
import { cost, repeatsItself, sentence, tokens, words } from "../ui/format.js";
import { markdown } from "../ui/markdown.js";

/**
 * @param {any} state
 * @param {{onRetry: (() => void) | null, onContinue: (() => Promise<void>) | null}} options null: it cannot be done, or not by this reader
 * @returns {any} null while the conversation runs
 */
export function ending(state, { onRetry, onContinue }) {
  const spent = state.usage.prompt_tokens + state.usage.completion_tokens > 0 ? state.usage : null;
  if (state.status === STATUS.COMPLETED) return completed(state, spent);
  if (state.status === STATUS.STOPPED) return stopped(spent, onContinue);
  if (state.status === STATUS.ERROR) return failed(state, spent, { onRetry, onContinue });
  return null;
}

function completed(state, spent) {
  const { outcome, demo, model } = state;
  const { consensus, summary, reason } = outcome ?? {};
  const repeated = repeatsItself(state);
  const nothing = !consensus && !summary;
  return h(
    "section",
    { class: "ending", "data-testid": "conversation-ending", "aria-label": "Outcome" },
    h("header", {}, icon("scale"), h("h2", {}, nothing || (repeated && !consensus) ? "The conversation is complete" : "Where they landed")),
    consensus && part("Consensus", "consensus", markdown(consensus, "consensus-text")),
    summary && !repeated && part("Summary", "summary", markdown(summary, "")),
    repeated && h("p", { class: "why" }, "The last message is the answer."),
    nothing && h("p", { class: "why", "data-testid": "no-consensus" }, sentence(reason ?? "No consensus was drawn up")),
    !nothing && (!consensus || !summary) && reason && h("p", { class: "why" }, sentence(reason)),
    figures(spent, demo ? "Prepared demo, no model spoke" : model),
  );
}

function part(title, id, body) {
  return h("div", { class: `part ${id}`, "data-testid": id }, h("h3", {}, title), body);
}

function stopped(spent, onContinue) {
  return h(
    "section",
    { class: "ending slim", "data-testid": "conversation-ending", "aria-label": "Outcome" },
    h("header", {}, icon("stop"), h("h2", {}, "Stopped")),
    h("p", { class: "why" }, "The run was ended before the agents had finished."),
    onContinue && goOn(onContinue),
    figures(spent, null),
  );
}

function failed({ error }, spent, { onRetry, onContinue }) {
  const interrupted = error?.code === CODE.INTERRUPTED;
  return h(
    "section",
    { class: "ending slim bad", "data-testid": "conversation-ending", "aria-label": "Outcome" },
    h("header", {}, icon("alert"), h("h2", {}, interrupted ? "The conversation was interrupted" : "The conversation broke off")),
    h("p", { class: "why" }, sentence(error?.error ?? "The reason is not known"), error?.code && h("code", {}, error.code)),
    interrupted && onContinue && goOn(onContinue),
    !(interrupted && onContinue) && onRetry && error?.retryable && h("button", { class: "button small", type: "button", "data-testid": "try-again", onclick: onRetry }, icon("retry"), interrupted ? "Start again" : "Try again"),
    figures(spent, null),
  );
}

/** From the last finished turn, with nothing new. */
function goOn(onContinue) {
  const button = h("button", { class: "button small", type: "button", "data-testid": "continue" }, icon("play"), "Continue");
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    await onContinue(); // tells by itself what went wrong
    button.removeAttribute("aria-busy");
  });
  return button;
}

function figures(spent, label) {
  const parts = [];
  if (spent) {
    parts.push(h("span", { "data-testid": "usage" }, `${tokens(spent)} spent`));
    if (cost(spent)) parts.push(h("span", { "data-testid": "cost" }, cost(spent)));
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
