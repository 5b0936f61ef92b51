// @ts-check
/** Latency and throughput over the last two minutes. */

import uPlot from "../../vendor/uplot.js";

const KEPT_S = 120;
const HEIGHT_PX = 132;
const AXIS_S = [-KEPT_S, -90, -60, -30, 0];

export class Plot {
  /** @type {[number[], (number | null)[], (number | null)[], (number | null)[]]} seconds, ping, delivery, tokens/s */
  #series = [[], [], [], []];
  #plot;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.#make();
    new ResizeObserver(() => this.#plot.setSize({ width: element.clientWidth, height: HEIGHT_PX })).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
  }

  /** @param {{latencyMs: number | null, deliveryMs: number | null, tokensPerS: number}} metrics */
  add({ latencyMs, deliveryMs, tokensPerS }) {
    const nowS = Date.now() / 1000;
    [nowS, latencyMs, deliveryMs, tokensPerS].forEach((value, at) => this.#series[at].push(/** @type {any} */ (value)));
    const fresh = this.#series[0].findIndex((s) => s > nowS - KEPT_S);
    if (fresh > 0) for (const values of this.#series) values.splice(0, fresh);
    const [times, ...values] = this.#series;
    this.#plot.setData([times.map((s) => s - nowS), ...values], false);
    this.#plot.setScale("x", { min: -KEPT_S, max: 0 });
  }

  #make() {
    this.#plot?.destroy();
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--ink-3"), font: "11px Inter, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const line = (label, stroke, scale) => ({ label, stroke, scale, width: 1.5, points: { show: false }, spanGaps: true });
    const fromZero = (_plot, _low, high) => [0, Math.max(10, (high ?? 0) * 1.15)];
    this.#plot = new uPlot(
      {
        width: this.element.clientWidth || 400,
        height: HEIGHT_PX,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 12, 0, 0],
        scales: { x: { time: false, auto: false }, ms: { range: fromZero }, rate: { range: fromZero } },
        axes: [
          { ...axis, size: 24, splits: () => AXIS_S, values: () => AXIS_S.map((s) => (s ? `−${-s} s` : "now")) },
          { ...axis, scale: "ms", size: 44, space: 34 },
          { ...axis, scale: "rate", side: 1, size: 40, space: 34, grid: { show: false } },
        ],
        series: [{}, line("ping", colour("--accent"), "ms"), line("delivery", colour("--good"), "ms"), line("tokens/s", colour("--warn"), "rate")],
      },
      this.#series,
      this.element,
    );
    this.#plot.setScale("x", { min: -KEPT_S, max: 0 });
  }
}
