// @ts-check
/** A chart that an agent's tool has drawn. Only pictures of this server are shown, and only as <img>: nothing in them runs. */

import { isArtifact } from "../artifacts.js";
import { openDialog } from "../ui/dialog.js";
import { h, icon, setText } from "../ui/dom.js";
import { briefly, reason } from "../ui/format.js";

const GONE = "not_found";
/** A narrower picture is shown in its own size; one that has none, as some SVGs, counts as 300 wide. */
const SMALL_PX = 300;

export class ChartFigure {
  #chart;
  #fetch;
  #picture = null;
  /** A blob's address, where the picture had to be fetched. */
  #own = null;
  #frame = h("div", { class: "chart-frame" });

  /**
   * @param {any} chart
   * @param {{color: number}} card of its agent
   * @param {(url: string) => Promise<Blob>} fetch
   * @param {() => void} onSized its height has changed
   */
  constructor(chart, { color }, fetch, onSized) {
    this.#chart = chart;
    this.#fetch = fetch;
    this.onSized = onSized;
    this.element = h(
      "figure",
      { class: "chart", "data-testid": "chart", "data-chart-id": chart.chart_id, "data-color": color },
      h(
        "figcaption",
        {},
        h("span", { class: "tool-mark", "aria-hidden": "true" }, icon("chart")),
        chart.agent && h("span", { class: "tool-agent" }, chart.agent),
        h("span", { class: "chart-title" }, titleOf(chart)),
        h("time", { class: "when", datetime: chart.timestamp }, chart.timestamp ? briefly(chart.timestamp) : ""),
      ),
      this.#frame,
    );
    if (isArtifact(chart.url)) this.#load(chart.url, () => this.#fetchIt());
    else this.#say("Its address does not lead to a picture of this server.", null);
  }

  /** Let go of what the browser holds for it. */
  dispose() {
    if (this.#own) URL.revokeObjectURL(this.#own);
    this.#own = null;
  }

  #load(address, onError) {
    const image = h("img", { alt: altOf(this.#chart), decoding: "async" });
    image.addEventListener("error", onError, { once: true });
    image.addEventListener("load", () => this.#shown(image), { once: true });
    this.#picture = image;
    this.element.dataset.state = "loading";
    this.#frame.setAttribute("aria-busy", "true");
    this.#frame.replaceChildren(h("button", { class: "chart-open", type: "button", "data-testid": "chart-open", title: "Enlarge", onclick: () => this.#enlarge(address) }, image, h("span", { class: "sr-only" }, " (enlarge)")));
    image.src = address;
  }

  #shown(image) {
    this.element.dataset.state = "shown";
    image.classList.toggle("small", image.naturalWidth < SMALL_PX);
    this.#frame.removeAttribute("aria-busy");
    this.onSized();
  }

  /** With the connection's credentials, where the browser's own are not enough; this also says what is wrong. */
  async #fetchIt() {
    try {
      const blob = await this.#fetch(this.#chart.url);
      if (!blob.type.startsWith("image/")) throw new Error("it is no picture");
      this.dispose();
      this.#own = URL.createObjectURL(blob);
      this.#load(this.#own, () => this.#say("It cannot be drawn.", null));
    } catch (error) {
      const again = () => this.#load(this.#chart.url, () => this.#fetchIt());
      if (/** @type {any} */ (error).code === GONE) this.#say("It is not kept any more.", null);
      else this.#say(reason(error), again);
    }
  }

  #say(why, again) {
    this.element.dataset.state = "missing";
    this.#frame.removeAttribute("aria-busy");
    this.#frame.replaceChildren(
      h(
        "div",
        { class: "chart-missing", "data-testid": "chart-missing" },
        icon("chart"),
        h("p", {}, h("strong", {}, "This chart cannot be shown. "), why),
        again && h("button", { class: "button small", type: "button", "data-testid": "chart-again", onclick: again }, icon("retry"), "Try again"),
      ),
    );
    this.onSized();
  }

  #enlarge(address) {
    const picture = this.#picture.cloneNode();
    const link = { href: address, target: "_blank", rel: "noopener noreferrer", class: "button small" };
    openDialog({
      title: titleOf(this.#chart),
      body: [h("div", { class: "chart-large" }, picture), h("footer", { class: "dialog-foot" }, h("a", { ...link, "data-testid": "chart-tab" }, "Open in a new tab"), h("a", { href: address, download: "", class: "button small" }, "Save"))],
      className: "wide",
      testid: "chart-dialog",
    });
  }
}

const titleOf = ({ title, symbol }) => title || symbol || "Chart";

/** @param {any} chart */
export const altOf = (chart) => `Chart: ${[titleOf(chart), chart.symbol && chart.symbol !== chart.title && chart.title ? chart.symbol : ""].filter(Boolean).join(", ")}${chart.agent ? `, drawn by ${chart.agent}` : ""}`;
