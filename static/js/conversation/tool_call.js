// @ts-check
/** A tool that an agent has called: what with, how it went, and what it answered. All of it is text, never HTML. */

import { h, icon, setText } from "../ui/dom.js";
import { briefly, count, reason } from "../ui/format.js";

/** How a call stands, in words. */
const STANDING = Object.freeze({ running: "running", ok: "done", failed: "failed", unanswered: "no answer" });
const SIGNS = Object.freeze({ running: null, ok: "check", failed: "alert", unanswered: "clock" });
/** Why a call has failed, by the code of its result. */
const FAILURES = Object.freeze({ timeout: "timed out", unavailable: "unavailable", not_found: "not found", refused: "refused" });
const NO_ANSWER = "It did not answer before the run ended.";
const MAX_BRIEF = 160;
/** The server cuts what a model wrote at this many characters. */
const ARGUMENTS_CUT_AT = 4000;

/** @param {any} call @param {boolean} over whether the run that called it has ended @returns {keyof typeof STANDING} */
export function standingOf({ success }, over) {
  if (success === null || success === undefined) return over ? "unanswered" : "running";
  return success ? "ok" : "failed";
}

/** The same in words: why it failed, where that is known. @param {keyof typeof STANDING} standing */
export function inWords(standing, { code }) {
  return (standing === "failed" && FAILURES[code]) || STANDING[standing];
}

export class ToolCallCard {
  #call = null;
  #standing = "";
  #fetch;
  #parts;

  /**
   * @param {any} call
   * @param {{color: number}} card of its agent
   * @param {(artifactId: string) => Promise<Blob>} fetch
   */
  constructor(call, { color }, fetch) {
    this.#fetch = fetch;
    this.#parts = {
      state: h("span", { class: "tool-state", "data-testid": "tool-state" }),
      brief: h("span", { class: "tool-brief" }),
      answer: h("span", { class: "tool-answer" }),
      time: h("time", { class: "when" }),
      given: text("tool-arguments", `What ${call.tool} was called with`),
      result: text("tool-result", `What ${call.tool} answered`),
      cut: h("p", { class: "help", hidden: true }, "The rest of it was too long to be kept."),
      note: h("p", { class: "tool-note", hidden: true }),
      problem: h("p", { class: "problem", role: "alert", hidden: true }),
      all: h("button", { class: "button small", type: "button", hidden: true, "data-testid": "tool-show-all", onclick: () => this.#showAll() }),
    };
    const { state, brief, answer, time, given, result, cut, note, problem, all } = this.#parts;
    this.element = h(
      "section",
      { class: "tool", "data-testid": "tool-call", "data-call-id": call.call_id, "data-color": color, "aria-label": `Tool call of ${call.agent}` },
      h(
        "details",
        {},
        h(
          "summary",
          {},
          h("span", { class: "tool-mark", "aria-hidden": "true" }, icon("wrench")),
          h("span", { class: "tool-line" }, h("span", { class: "tool-agent" }, call.agent), h("code", { class: "tool-name" }, call.tool), brief, state, time),
          answer,
        ),
        h("div", { class: "tool-body" }, h("h3", {}, "Arguments"), given, cut, h("h3", {}, "Answer"), note, result, problem, all),
      ),
    );
  }

  /** @param {any} call @param {boolean} over whether the run that called it has ended */
  draw(call, over) {
    const standing = standingOf(call, over);
    if (call === this.#call && standing === this.#standing) return;
    const before = this.#call;
    this.#call = call;
    this.#standing = standing;
    const { state, time, note } = this.#parts;
    this.element.dataset.state = standing;
    state.replaceChildren(SIGNS[standing] ? icon(SIGNS[standing]) : h("i", { class: "spinner", "aria-hidden": "true" }), inWords(standing, call));
    setText(note, standing === "unanswered" ? NO_ANSWER : standing === "running" ? "It has not answered yet." : "It answered with nothing.");
    if (call !== before) {
      time.dateTime = call.timestamp;
      setText(time, call.timestamp ? briefly(call.timestamp) : "");
      this.#drawArguments(call.arguments);
      this.#drawAnswer(call);
    }
    note.hidden = Boolean(call.preview);
  }

  #drawArguments(written) {
    const parsed = json(written);
    const { brief, given, cut } = this.#parts;
    setText(brief, inOneLine(parsed, written));
    setText(given, parsed === undefined ? written || "none" : JSON.stringify(parsed, null, 2));
    cut.hidden = written.length < ARGUMENTS_CUT_AT;
  }

  #drawAnswer({ preview, length, artifact_id }) {
    const { answer, result, all, problem } = this.#parts;
    const more = length > preview.length;
    setText(answer, shortened(preview.trim().split("\n", 1)[0]));
    setText(result, more ? `${preview}…` : preview);
    result.hidden = !preview;
    all.hidden = !(more && artifact_id);
    setText(all, `Show all (${count(length)} characters)`);
    setText(problem, more && !artifact_id ? `Only the beginning was kept, of ${count(length)} characters.` : "");
    problem.hidden = !problem.textContent;
  }

  async #showAll() {
    const { all, result, problem } = this.#parts;
    if (all.getAttribute("aria-busy") === "true") return;
    all.setAttribute("aria-busy", "true");
    problem.hidden = true;
    try {
      setText(result, await (await this.#fetch(this.#call.artifact_id)).text());
      all.hidden = true;
      result.focus({ preventScroll: true });
    } catch (error) {
      setText(problem, `The whole answer cannot be shown. ${reason(error)}`);
      problem.hidden = false;
    }
    all.removeAttribute("aria-busy");
  }
}

/** A text as it is; long ones scroll, also by keyboard. */
const text = (testid, label) => h("pre", { class: "tool-text", tabindex: 0, role: "region", "aria-label": label, "data-testid": testid });

/** @returns {any} undefined: it is no JSON, or was cut */
function json(written) {
  try {
    return JSON.parse(written);
  } catch {
    return undefined;
  }
}

/** Arguments beside the tool's name: `symbol: "AAPL", months: 12`. */
function inOneLine(parsed, written) {
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return shortened(written);
  return shortened(Object.entries(parsed).map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", "));
}

const shortened = (line) => (line.length > MAX_BRIEF ? `${line.slice(0, MAX_BRIEF)}…` : line);
