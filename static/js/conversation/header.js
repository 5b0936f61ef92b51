// @ts-check
/** The top of the page: heading, badge, connection, who takes part, and the buttons that steer. */

import { isRunning } from "../fold.js";
import { STATUS } from "../protocol.js";
import { byId, h, setText } from "../ui/dom.js";
import { CONNECTION_TEXT, STATUS_TEXT, reason, spent, tokens } from "../ui/format.js";
import { modelName } from "../ui/model.js";
import { toast } from "../ui/notices.js";
import { isAside } from "./aside.js";
import { avatar } from "./message.js";
import { MAX_TITLE } from "./row.js";

/** @param {{demo: boolean, title: string}} state */
export const headingText = ({ demo, title }) => `${demo ? "Demo" : "Live"}: ${title || "Untitled"}`;

export class Header {
  #panelKey = "";

  /** @param {{kindOf: (label: string) => string | undefined}} options kind of the model of this label, where known */
  constructor({ kindOf }) {
    this.kindOf = kindOf;
  }

  /**
   * @param {any} state null: no conversation is shown
   * @param {any} step the agent_step that was seen last, if any
   * @param {boolean} maySteer the reader is whom the agents wait for
   */
  show(state, step, maySteer) {
    byId("heading").hidden = !state;
    byId("controls").hidden = !state;
    this.#badge(state?.status ?? STATUS.IDLE);
    this.#answeredBy(state);
    this.#spent(state);
    if (state) setText(byId("heading"), headingText(state));
    byId("demo-note").hidden = !state?.demo;
    const wanted = (state?.pending_inputs.length ?? 0) > 0;
    byId("wanted").hidden = !wanted;
    setText(byId("wanted-text"), maySteer ? "Your answer is wanted" : "Awaits an answer");
    document.title = state ? `${wanted && maySteer ? "● Your answer is wanted · " : ""}${headingText(state)} · Colloquy` : "Colloquy";
    this.#panel(state, step);
  }

  /** @param {string} connection @param {string} detail */
  connection(connection, detail = "") {
    const element = byId("connection");
    element.dataset.connection = connection;
    element.title = detail;
    setText(element, CONNECTION_TEXT[connection]);
  }

  /** @param {number | null} watchers */
  watchers(watchers) {
    byId("watchers").hidden = !watchers;
    if (watchers) setText(byId("watchers"), `${watchers} watching`);
  }

  /** What the reader may do here; null: not known, or nothing is shown. @param {string | null} role */
  standing(role) {
    const watches = role === "viewer";
    byId("standing").hidden = !watches;
    byId("steering").hidden = watches;
    byId("share").hidden = role !== "owner";
  }

  /** Put a field in the heading's place. @param {string} title @param {(title: string) => Promise<void>} save */
  editTitle(title, save) {
    const heading = byId("heading");
    if (heading.nextElementSibling?.matches("form")) return;
    const input = h("input", { class: "input heading-input", maxlength: MAX_TITLE, "aria-label": "Title of the conversation", "data-testid": "title-input", autocomplete: "off" });
    const form = h("form", { class: "heading-form" }, input, h("button", { class: "button primary small", type: "submit" }, "Save"), h("button", { class: "button small", type: "button", onclick: () => close() }, "Cancel"));
    input.value = title;
    const close = () => {
      form.remove();
      heading.classList.remove("sr-only");
      byId("more").focus();
    };
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      close();
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const wanted = input.value.replace(/\s+/g, " ").trim();
      if (!wanted || wanted === title) return close();
      await save(wanted).then(close, () => input.focus()); // what was typed stays
      return undefined;
    });
    heading.classList.add("sr-only");
    heading.after(form);
    input.focus();
    input.select();
  }

  #badge(status) {
    byId("status").dataset.status = status;
    setText(byId("status"), STATUS_TEXT[status]);
  }

  #answeredBy(state) {
    const element = byId("answered-by");
    element.hidden = !state || !(state.model || state.demo);
    if (element.hidden) return;
    setText(element, state.demo ? "Prepared demo, no model" : `Answered by ${modelName(state.model, this.kindOf(state.model))}`);
  }

  #spent(state) {
    const element = byId("spent");
    const { usage } = state ?? {};
    element.hidden = !usage || usage.prompt_tokens + usage.completion_tokens === 0;
    if (!element.hidden) setText(element, spent(usage));
  }

  #panel(state, step) {
    const agents = state?.agents ?? [];
    byId("panel").hidden = agents.length === 0;
    if (agents.length === 0) return;
    const spoken = new Set(state.messages.filter((message) => message.state === "complete" && !isAside(message)).map((message) => message.agent));
    const standing = ({ name }) => (state.speaking === name && isRunning(state.status) ? "speaks" : spoken.has(name) ? "spoke" : "waits");
    const key = agents.map((agent) => `${agent.name} ${standing(agent)}`).join();
    if (key !== this.#panelKey) {
      this.#panelKey = key;
      byId("panel-agents").replaceChildren(
        ...agents.map((agent, at) =>
          h(
            "li",
            { class: "panel-agent", "data-color": at % 8, "data-standing": standing(agent), title: agent.description },
            avatar(agent.name, agent.emoji),
            h("span", {}, agent.name),
            standing(agent) === "speaks" && h("span", { class: "sr-only" }, " is speaking"),
          ),
        ),
      );
    }
    this.#progress(state, step);
  }

  #progress({ progress, status, messages }, step) {
    const { current_turn, max_turns, percentage } = progress;
    const running = isRunning(status);
    const asked = messages.findLastIndex((message) => message.role === "user");
    const turn = step?.turn ?? Math.max(current_turn, messages.slice(asked + 1).filter((message) => !isAside(message)).length);
    const turns = step?.max_turns ?? max_turns;
    setText(byId("turn"), running && turn ? `Turn ${turn}${turns ? ` of ${turns}` : ""}` : "");
    const done = percentage ?? (turns ? (100 * current_turn) / turns : 0);
    byId("turn-bar").value = status === STATUS.COMPLETED ? 100 : Math.min(100, done);
    byId("turn-bar").hidden = !running;
  }
}

/** Pause, resume and stop: enabled as the status allows, busy until the server has answered. */
export class Controls {
  #status = STATUS.IDLE;
  #busy = false;
  #following = false;

  /** @param {import("../stream.js").ConversationStream} stream */
  constructor(stream) {
    const buttons = {
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      stop: async () => {
        const { tokens: spent } = await stream.stop();
        toast(`Stopped. ${tokens(spent)} spent.`, "good");
      },
    };
    for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", () => this.#run(byId(id), act));
  }

  /** @param {string} status @param {boolean} following whether commands would reach the server now */
  show(status, following) {
    this.#status = status;
    this.#following = following;
    this.#enable();
  }

  async #run(button, act) {
    if (this.#busy) return;
    this.#busy = true;
    button.setAttribute("aria-busy", "true");
    this.#enable();
    try {
      await act();
    } catch (error) {
      toast(reason(error), "error");
    } finally {
      this.#busy = false;
      button.removeAttribute("aria-busy");
      this.#enable();
    }
  }

  #enable() {
    const ready = this.#following && !this.#busy;
    const paused = this.#status === STATUS.PAUSED;
    const focused = document.activeElement;
    byId("pause").disabled = !ready || !isRunning(this.#status) || paused;
    byId("resume").disabled = !ready || !paused;
    byId("stop").disabled = !ready || !isRunning(this.#status);
    const busy = (id) => byId(id).getAttribute("aria-busy") === "true";
    byId("pause").hidden = paused && !busy("pause");
    byId("resume").hidden = !byId("pause").hidden;
    // the focus stays on the button that has taken the other's place
    if (focused === byId("pause") && byId("pause").hidden) byId("resume").focus();
    if (focused === byId("resume") && byId("resume").hidden) byId("pause").focus();
  }
}
