// @ts-check
/** The limits that may be changed while the server runs. */

import { byId, h } from "../ui/dom.js";
import { toast } from "../ui/notices.js";
import { ask } from "./api.js";
import { busy, mark, say, sentence } from "./fields.js";

const SOURCES = { default: "default", environment: "from the environment", stored: "set here" };

let shown = /** @type {any[]} */ ([]);

const id = (name) => `limit-${name}`;

export function prepare() {
  byId("limits-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void busy(byId("limits-form").querySelector("[type=submit]"), save);
  });
}

export async function load() {
  show(await ask("GET", "/api/settings"), new Set());
}

/** @param {any} answer @param {Set<string>} keep what was typed into these stays */
function show(answer, keep) {
  const typed = new Map([...keep].map((name) => [name, byId(id(name)).value]));
  shown = answer.settings;
  byId("limit-rows").replaceChildren(...shown.map((each) => row(each, typed.get(each.name))));
  byId("limit-rows").setAttribute("aria-busy", "false");
}

function row(limit, typed) {
  const { name } = limit;
  const reset = h("button", { class: "button quiet small", type: "button", "aria-label": `Take ${name} back to ${limit.otherwise}`, onclick: (event) => void busy(event.currentTarget, () => takeBack(name)) }, `Back to ${limit.otherwise}`);
  const input = h("input", { class: "input", id: id(name), name, type: "text", inputmode: limit.kind === "integer" ? "numeric" : "decimal", autocomplete: "off", "aria-describedby": `${id(name)}-error ${id(name)}-help` });
  input.value = typed ?? String(limit.value);
  return h(
    "div",
    { class: "limit", "data-testid": "limit", "data-name": name },
    h("div", {}, h("label", { for: id(name) }, name), h("p", { class: "help", id: `${id(name)}-help` }, sentence(limit.meaning.replaceAll("`", ""))), h("p", { class: "limit-note" }, h("span", { class: "chip" }, SOURCES[limit.source]), limit.source === "stored" && reset)),
    input,
    h("p", { class: "field-error", id: `${id(name)}-error`, hidden: true }),
  );
}

/** What was typed and differs from what is in force. @returns {string[]} */
const changed = () => shown.filter((each) => byId(id(each.name)).value.trim() !== String(each.value)).map((each) => each.name);

async function save() {
  const names = changed();
  const wrong = /** @type {Record<string, string>} */ ({});
  const settings = /** @type {Record<string, number>} */ ({});
  for (const name of names) {
    const text = byId(id(name)).value.trim();
    settings[name] = Number(text);
    if (text === "" || !Number.isFinite(settings[name])) wrong[name] = "a number is needed";
  }
  if (Object.keys(wrong).length) return complain(wrong);
  if (!names.length) return toast("Nothing was changed.");
  try {
    show(await ask("PUT", "/api/settings", { settings }), new Set());
    complain({});
    toast("The limits are in force.", "good");
  } catch (error) {
    complain(error.fields ?? {}, error.message);
  }
}

async function takeBack(name) {
  const others = new Set(changed().filter((each) => each !== name));
  try {
    show(await ask("PUT", "/api/settings", { settings: { [name]: null } }), others);
    byId(id(name)).focus();
  } catch (error) {
    toast(sentence(error.message), "error");
  }
}

function complain(fields, message = "") {
  for (const { name } of shown) mark(byId(id(name)), byId(`${id(name)}-error`), fields[name]);
  const first = shown.find(({ name }) => fields[name]);
  say("limits-error", first ? "" : message);
  if (first) byId(id(first.name)).focus();
}
