// @ts-check
/** Who shall talk: the teams as cards, the chosen one's agents below, and which teams cannot be used, and why. */

import { h, icon } from "../ui/dom.js";
import { sentence } from "../ui/format.js";
import { avatar } from "./message.js";

const KEY = "colloquy.team";

const GENERATIONS = {
  agentchat: ["AgentChat", "Runs on autogen-agentchat"],
  classic: ["Classic AG2", "Runs on classic AG2 (autogen)"],
  ag2: ["ag2 1.x", "Runs on ag2 1.x"],
};
const SOURCES = {
  bundled: "Comes with Colloquy",
  python: "From Python",
  studio: "From AutoGen Studio",
  rounds: "A round of prompts",
};

export class TeamChooser {
  /** @type {any[]} */
  #teams = [];
  #cards;
  #about;
  #broken;
  #onChange;

  /**
   * @param {{cards: any, about: any, broken: any}} places where they are shown
   * @param {() => void} onChange another one was chosen
   */
  constructor({ cards, about, broken }, onChange) {
    this.#cards = cards;
    this.#about = about;
    this.#broken = broken;
    this.#onChange = onChange;
    cards.addEventListener("change", () => this.#chosen(true));
  }

  /** The chosen team's name. */
  get team() {
    return this.#cards.querySelector("input:checked")?.value || "debate";
  }

  /** @param {{teams: any[], broken?: any[], default: string}} answer of /api/teams */
  show({ teams, broken = [], default: usual }) {
    const wanted = this.#teams.length > 0 ? this.team : remembered();
    this.#teams = teams;
    const focused = this.#cards.contains(document.activeElement);
    this.#cards.replaceChildren(...teams.map(option));
    this.#drawBroken(broken);
    const chosen = [wanted, usual, teams[0]?.name].find((name) => teams.some((team) => team.name === name));
    const input = [...this.#cards.querySelectorAll("input")].find(({ value }) => value === chosen);
    if (input) input.checked = true;
    this.#cards.parentElement.hidden = teams.length === 0;
    this.#chosen(false);
    if (focused) input?.focus();
    else if (input) this.#cards.scrollTop = input.closest(".team-option").offsetTop - this.#cards.offsetTop;
  }

  /** @param {boolean} byHand remember it, then */
  #chosen(byHand) {
    const team = this.#teams.find((each) => each.name === this.team);
    if (byHand) remember(this.team);
    this.#drawAbout(team);
    this.#onChange();
  }

  #drawAbout(team) {
    if (!team) {
      this.#about.replaceChildren();
      return;
    }
    const { title, description, agents, generation, source, file, pending } = team;
    const parts = [
      description && h("p", { class: "team-about" }, sentence(description)),
      agents.length > 0 &&
        h(
          "ul",
          { class: "team-agents", "aria-label": `Agents of ${title}`, "data-testid": "team-agents" },
          ...agents.map((agent, at) => h("li", { class: "agent-card", "data-color": at % 8 }, avatar(agent.name, agent.emoji), h("div", {}, h("strong", {}, agent.name), h("span", {}, agent.description)))),
        ),
      pending && h("p", { class: "help" }, "Who is in it is still being asked."),
      h(
        "p",
        { class: "team-facts", "data-testid": "team-facts" },
        GENERATIONS[generation] && h("span", {}, GENERATIONS[generation][1]),
        SOURCES[source] && h("span", {}, SOURCES[source]),
        file && h("code", {}, file),
      ),
    ];
    this.#about.replaceChildren(...parts.filter(Boolean));
  }

  #drawBroken(broken) {
    this.#broken.hidden = broken.length === 0;
    this.#broken.replaceChildren(
      h("summary", {}, icon("alert"), broken.length === 1 ? "One team cannot be used" : `${broken.length} teams cannot be used`),
      h("ul", { class: "broken-list" }, ...broken.map(({ name, error, file }) => h("li", { "data-testid": "broken-team" }, h("strong", {}, name), file && h("code", {}, file), h("p", {}, sentence(error))))),
    );
  }
}

/** One team, as a radio button of its own looks. */
function option({ name, title, description, agents, generation }) {
  const faces = agents.slice(0, 5).map((agent, at) => h("span", { "data-color": at % 8 }, avatar(agent.name, agent.emoji)));
  return h(
    "label",
    { class: "team-option", "data-testid": "team-option", "data-team": name },
    h("input", { type: "radio", name: "team", value: name }),
    h(
      "span",
      { class: "team-card" },
      h("span", { class: "team-card-head" }, h("strong", {}, title), GENERATIONS[generation] && h("span", { class: "chip generation", title: GENERATIONS[generation][1] }, GENERATIONS[generation][0])),
      description && h("span", { class: "team-card-about" }, sentence(description)),
      faces.length > 0 && h("span", { class: "faces", "aria-hidden": "true" }, ...faces, agents.length > faces.length && h("span", { class: "faces-more" }, `+${agents.length - faces.length}`)),
    ),
  );
}

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // no storage
  }
}

function remember(team) {
  try {
    localStorage.setItem(KEY, team);
  } catch {
    // no storage: the server's choice is offered again
  }
}
