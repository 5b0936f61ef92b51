// @ts-check
/** What agents ask people, as forms in the conversation. The prompt is a model's: text, and nothing but text. */

import { newId } from "../outbox.js";
import { arrange, h, icon, setText } from "../ui/dom.js";
import { duration, reason } from "../ui/format.js";

const PERMISSION = "permission";
const HURRY_MS = 30_000;
const EVERY_MS = 1000;

/** What became of a question, for those who watch. */
const RESOLVED = {
  answered: (who, agent) => `${who} answered ${agent}.`,
  granted: (who, agent) => `${who} allowed what ${agent} had asked for.`,
  denied: (who, agent) => `${who} refused what ${agent} had asked for.`,
  timeout: (_, agent) => `Nobody answered ${agent} in time. It goes on without.`,
};

/** Who has answered, at the beginning of a sentence. @param {string} name */
const capital = (name) => (name ? name[0].toUpperCase() + name.slice(1) : "Somebody");

export class Inputs {
  /** @type {Map<string, Question>} by the request's id */
  #questions = new Map();
  /** @type {Set<Question>} answered by another one, while somebody was typing here */
  #late = new Set();
  #timer = null;
  #hooks;

  /**
   * @param {any} element
   * @param {{
   *   answer: (requestId: string, answer: string | boolean, clientId: string) => Promise<any>,
   *   now: () => number, nameOf: (userId: string) => string,
   *   onAsked: (text: string) => void, onResolved: (text: string) => void, onLeft: () => void,
   * }} hooks now: the server's time, in ms; onLeft: the form that had the focus is gone
   */
  constructor(element, hooks) {
    this.element = element;
    this.#hooks = hooks;
  }

  /** Begin with another conversation. */
  clear() {
    this.#questions.clear();
    this.#late.clear();
    this.#draw();
  }

  /** @param {readonly any[]} pending @param {{maySteer: boolean, paused: boolean}} standing */
  show(pending, { maySteer, paused }) {
    const held = this.element.contains(document.activeElement);
    const wanted = new Map();
    for (const request of pending) {
      let question = this.#questions.get(request.request_id);
      if (!question || question.maySteer !== maySteer) {
        question = new Question(request, maySteer, this.#hooks);
        if (!this.#questions.has(request.request_id)) this.#hooks.onAsked(`${request.agent} asks: ${request.prompt || "for an answer"}`);
      }
      question.draw(request, paused);
      wanted.set(request.request_id, question);
    }
    for (const [id, question] of this.#questions) if (wanted.get(id) !== question && question.typed && !question.given) this.#keep(question);
    const fresh = [...wanted.values()].find((question) => !this.#questions.has(question.id));
    this.#questions = wanted;
    this.#draw();
    if (held && !this.element.contains(document.activeElement)) this.#focusNext();
    else if (fresh && nothingFocused()) fresh.focus();
  }

  /** @param {{request_id: string, resolution: string, by: string | null}} event */
  resolved({ request_id, resolution, by }) {
    const question = this.#questions.get(request_id);
    const said = RESOLVED[resolution]?.(capital(this.#hooks.nameOf(by ?? "")), question?.agent || "the agent");
    if (said) this.#hooks.onResolved(said);
    if (question) question.outcome = said ?? "";
  }

  /** Another one was quicker, or nobody waits any more: what was typed here is not lost. */
  #keep(question) {
    question.tooLate(() => {
      this.#late.delete(question);
      this.#draw();
      this.#focusNext();
    });
    this.#late.add(question);
  }

  #draw() {
    arrange(this.element, [...[...this.#late].map(({ element }) => element), ...[...this.#questions.values()].map(({ element }) => element)]);
    this.element.hidden = this.#late.size + this.#questions.size === 0;
    if (this.#questions.size > 0) this.#timer ??= setInterval(() => this.#tick(), EVERY_MS);
    else {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  #tick() {
    for (const question of this.#questions.values()) question.tick();
  }

  #focusNext() {
    const next = this.#questions.values().next().value;
    if (next?.maySteer) next.focus();
    else this.#hooks.onLeft();
  }
}

/** Whether somebody would lose their place by a focus that moves. */
function nothingFocused() {
  const { activeElement } = document;
  return !activeElement || activeElement === document.body || activeElement.id === "display";
}

class Question {
  #request;
  #hooks;
  #paused = false;
  #clientId = newId(); // sent again after a lost connection, it is the same answer
  #prompt = h("p", { class: "ask-prompt", "data-testid": "input-prompt" });
  #left = h("span", { class: "ask-left", "data-testid": "input-deadline" });
  #problem = h("p", { class: "problem", role: "alert", hidden: true });
  #field = null;
  #buttons = [];
  #foot = h("div", { class: "ask-foot" });
  #sending = false;
  /** Whether it was answered here. */
  given = false;
  /** What became of it, in words, where that is known. */
  outcome = "";

  constructor(request, maySteer, hooks) {
    this.#request = request;
    this.#hooks = hooks;
    this.maySteer = maySteer;
    const id = `ask-${newId()}`;
    this.#prompt.id = id;
    const permission = request.kind === PERMISSION;
    const title = permission ? "asks for permission" : "asks";
    this.element = h(
      maySteer ? "form" : "section",
      { class: "ask", "data-testid": "input-form", "data-kind": request.kind, "data-request-id": request.request_id, "aria-labelledby": id, tabindex: -1, novalidate: maySteer },
      h("header", { class: "ask-head" }, h("span", { class: "ask-mark", "aria-hidden": "true" }, icon(permission ? "lock" : "hand")), h("h2", {}, h("strong", {}, request.agent || "An agent"), ` ${title}`), this.#left),
      this.#prompt,
    );
    if (maySteer) this.#offer(permission, id);
    else this.element.append(h("p", { class: "help", "data-testid": "input-awaited" }, "An answer is awaited, from somebody who may steer this conversation."));
  }

  get id() {
    return this.#request.request_id;
  }

  get agent() {
    return this.#request.agent;
  }

  /** Whether something stands in the field that was not sent. */
  get typed() {
    return Boolean(this.#field?.value.trim());
  }

  /** @param {any} request @param {boolean} paused */
  draw(request, paused) {
    this.#request = request;
    this.#paused = paused;
    setText(this.#prompt, request.prompt || (request.kind === PERMISSION ? "It does not say for what." : "It waits for your words."));
    this.tick();
  }

  /** The time that is left. */
  tick() {
    const { deadline } = this.#request;
    const leftMs = deadline ? Date.parse(deadline) - this.#hooks.now() : NaN;
    const text = Number.isNaN(leftMs) ? "" : this.#paused ? "paused" : leftMs > 0 ? `${duration(leftMs)} left` : "time is over";
    setText(this.#left, text);
    this.#left.classList.toggle("hurry", leftMs < HURRY_MS && !this.#paused);
  }

  /** Where the answer is given; for a permission the question itself, so that no key answers it by mistake. */
  focus() {
    const touch = !matchMedia("(pointer: fine)").matches; // a keyboard would cover the page
    (this.#field && !touch ? this.#field : this.element).focus({ preventScroll: true });
  }

  /** It cannot be answered any more. @param {() => void} onClose */
  tooLate(onClose) {
    this.element.dataset.state = "late";
    this.#field.readOnly = true;
    setText(this.#left, "");
    setText(this.#problem, `${this.outcome || "It is not asked any more."} What you had typed was not sent.`);
    this.#problem.hidden = false;
    this.#foot.replaceChildren(h("button", { class: "button small", type: "button", "data-testid": "input-dismiss", onclick: onClose }, "Dismiss"));
  }

  #offer(permission, describedby) {
    if (permission) {
      this.#foot.append(this.#button("Allow", "primary", "input-allow", () => this.#answer(true)), this.#button("Deny", "danger", "input-deny", () => this.#answer(false)));
      this.element.append(this.#problem, this.#foot);
      this.element.addEventListener("submit", (event) => event.preventDefault());
      return;
    }
    const { secret, agent } = this.#request;
    const hints = { class: "input", "aria-label": `Your answer to ${agent || "the agent"}`, "aria-describedby": describedby, "data-testid": "input-field", autocomplete: "off" };
    this.#field = secret ? h("input", { ...hints, type: "password", autocomplete: "one-time-code" }) : h("textarea", { ...hints, class: "input ask-area", rows: 2, placeholder: "Your answer…" });
    const send = this.#button("Answer", "primary", "input-send", null);
    const look = () => setText(send, this.#field.value.trim() || secret ? "Answer" : "Answer with nothing");
    this.#field.addEventListener("input", look);
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.element.requestSubmit();
    });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#answer(secret ? this.#field.value : this.#field.value.trim());
    });
    look();
    this.#foot.append(send, h("span", { class: "help" }, secret ? "What you type is not shown, and not kept." : "Ctrl+Enter sends it."));
    this.element.append(this.#field, this.#problem, this.#foot);
  }

  #button(text, look, testid, onclick) {
    const button = h("button", { class: `button ${look}`, type: onclick ? "button" : "submit", "data-testid": testid, onclick }, text);
    this.#buttons.push(button);
    return button;
  }

  async #answer(answer) {
    if (this.#sending || this.element.dataset.state === "late") return;
    const button = this.#buttons[answer === false ? 1 : 0];
    this.#sending = this.given = true;
    this.#problem.hidden = true;
    button.setAttribute("aria-busy", "true");
    try {
      await this.#hooks.answer(this.id, answer, this.#clientId);
    } catch (error) {
      this.given = false;
      setText(this.#problem, reason(error));
      this.#problem.hidden = false;
    }
    this.#sending = false;
    button.removeAttribute("aria-busy");
  }
}
