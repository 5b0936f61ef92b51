// @ts-check
/** The form that starts a conversation: what about, by which team, of which kind. */

import { CONTENT_TYPES } from "../protocol.js";
import { byId, h } from "../ui/dom.js";
import { byteLength, bytes } from "../ui/format.js";
import { TeamChooser } from "./team_chooser.js";

/** The counter appears when this much of what is allowed is used. */
const NEAR = 0.8;

const KINDS = {
  [CONTENT_TYPES.TEXT]: {
    help: "A question or a piece of news, in your own words.",
    placeholder: "A question, a claim, a piece of news…",
  },
  [CONTENT_TYPES.ARTICLE]: {
    help: "A longer text that the agents discuss. It is quoted to them, not obeyed: instructions inside it have no effect.",
    placeholder: "Paste the article here…",
  },
  [CONTENT_TYPES.URL]: {
    help: "The server fetches the page and hands its text to the agents.",
    placeholder: "https://…",
  },
};

const EXAMPLES = {
  magentic: ["What does one bitcoin cost now, and how does that compare with ether?", "Which of the large cryptocurrencies has moved most?"],
  debate: [
    "NVIDIA beats expectations and raises its guidance. Is the stock still worth buying at 31 times earnings?",
    "The central bank holds rates for longer than expected. What does that do to regional banks?",
    "A retailer wants to buy back 10 % of its shares with new debt. Good idea?",
  ],
};

/**
 * Bind a textarea, its counter and its button together: what is empty or too long cannot be sent.
 * @param {{area: any, counter: any, button: any, maxBytes: number, form: any, isReady?: (text: string) => boolean}} parts
 * @returns {() => void} looks again
 */
export function bindContent({ area, counter, button, maxBytes, form, isReady = () => true }) {
  const look = () => {
    const used = byteLength(area.value);
    const over = used > maxBytes;
    counter.textContent = used >= maxBytes * NEAR ? `${bytes(used)} of ${bytes(maxBytes)}` : "";
    counter.classList.toggle("over", over);
    area.setAttribute("aria-invalid", String(over));
    button.disabled = over || !area.value.trim() || !isReady(area.value.trim());
  };
  area.addEventListener("input", look);
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!button.disabled && button.getAttribute("aria-busy") !== "true") form.requestSubmit();
  });
  look();
  return look;
}

export class Composer {
  #teams;
  #area = byId("content");
  #button = byId("start");
  #available;

  /**
   * @param {{maxBytes: number, available: boolean, onStart: (wish: {team: string, content: string, content_type: string}) => Promise<boolean>}} options
   */
  constructor({ maxBytes, available, onStart }) {
    this.#available = available;
    const form = byId("composer");
    this.look = bindContent({
      area: this.#area,
      counter: byId("content-count"),
      button: this.#button,
      maxBytes,
      form,
      isReady: (text) => this.#available && (this.kind !== CONTENT_TYPES.URL || isAddress(text)),
    });
    this.#teams = new TeamChooser({ cards: byId("teams"), about: byId("team-chosen"), broken: byId("teams-broken") }, () => this.#showExamples(EXAMPLES[this.team] ?? []));
    form.addEventListener("change", (event) => {
      if (event.target.name === "content_type") this.#kindChanged();
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (this.#button.disabled || this.#button.getAttribute("aria-busy") === "true") return; // a double click
      this.#button.setAttribute("aria-busy", "true");
      try {
        const began = await onStart({ team: this.team, content: this.#area.value.trim(), content_type: this.kind });
        if (began) this.#area.value = "";
      } finally {
        this.#button.removeAttribute("aria-busy");
        this.look();
      }
    });
    if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("start-key").textContent = "⌘ ↵";
    this.#kindChanged();
  }

  get kind() {
    return /** @type {any} */ (document.querySelector('input[name="content_type"]:checked')).value;
  }

  get team() {
    return this.#teams.team;
  }

  focus() {
    this.#area.focus({ preventScroll: true });
  }

  /** @param {{teams: any[], broken?: any[], default: string}} answer of /api/teams */
  showTeams(answer) {
    this.#teams.show(answer);
  }

  #kindChanged() {
    const { help, placeholder } = KINDS[this.kind];
    byId("content-help").textContent = help;
    this.#area.placeholder = placeholder;
    this.look();
  }

  #showExamples(examples) {
    byId("examples").hidden = examples.length === 0;
    byId("example-list").replaceChildren(
      ...examples.map((text) => h("li", {}, h("button", { class: "example", type: "button", onclick: () => this.#take(text) }, text))),
    );
  }

  #take(text) {
    /** @type {any} */ (document.querySelector(`input[name="content_type"][value="${CONTENT_TYPES.TEXT}"]`)).checked = true;
    this.#area.value = text;
    this.#kindChanged();
    this.focus();
  }
}

function isAddress(text) {
  try {
    return /^https?:$/.test(new URL(text).protocol);
  } catch {
    return false;
  }
}
