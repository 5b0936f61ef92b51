// @ts-check
/** The list of providers: their state, their order, their test; the form is provider_form.js. */

import { byId, h, icon, setText } from "../ui/dom.js";
import { toast } from "../ui/notices.js";
import { ask } from "./api.js";
import { announce, busy, sentence } from "./fields.js";
import { open } from "./provider_form.js";

const KEYS = { none: "no key", kept: "key stored", reference: "key from the Key Vault", unreadable: "key unreadable", unavailable: "key not available" };
const KINDS = { openai: "OpenAI-compatible", azure: "Azure OpenAI", anthropic: "Anthropic", ollama: "Ollama", local: "Bundled" };
const HOMES = { openai: "api.openai.com", anthropic: "api.anthropic.com", ollama: "127.0.0.1:11434" };
const SOURCES = { environment: "from the environment", bundled: "comes with Colloquy" };

const LOOK_AGAIN_MS = 3000;

let shown = /** @type {any[]} */ ([]);
let timer = 0;
const verdicts = new Map(); // provider_id → how its last test went

export async function load() {
  show(await ask("GET", "/api/providers"));
}

function show(answer) {
  shown = answer.providers;
  setText(byId("model-label"), `Now: ${answer.label}.`);
  const focused = document.activeElement?.getAttribute("data-key");
  const stored = shown.filter((each) => each.source === "stored");
  const empty = h("li", { class: "row-note" }, "No model is configured: conversations are prepared demos. Add a provider.");
  byId("providers").replaceChildren(...(shown.length ? shown.map((each) => row(each, stored)) : [empty]));
  byId("providers").setAttribute("aria-busy", "false");
  if (focused) restoreFocus(focused);
  clearTimeout(timer);
  if (answer.key_vault && shown.some((each) => each.key === "unavailable")) timer = window.setTimeout(lookAgain, LOOK_AGAIN_MS);
}

/** A key that the server fetches from the Key Vault comes by itself. What has not changed is not drawn anew. */
async function lookAgain() {
  const answer = await ask("GET", "/api/providers").catch(() => null);
  if (answer && JSON.stringify(answer.providers) !== JSON.stringify(shown)) show(answer);
  else timer = window.setTimeout(lookAgain, LOOK_AGAIN_MS);
}

/** A button that has moved with its row keeps the focus; at an end of the list, its neighbour takes it. */
function restoreFocus(key) {
  const wanted = /** @type {any} */ (document.querySelector(`[data-key="${CSS.escape(key)}"]`));
  if (wanted && !wanted.disabled) return wanted.focus();
  const other = key.startsWith("up ") ? key.replace("up ", "down ") : key.replace("down ", "up ");
  /** @type {any} */ (document.querySelector(`[data-key="${CSS.escape(other)}"]`))?.focus();
}

function row(provider, stored) {
  const own = provider.source === "stored";
  const place = stored.indexOf(provider);
  const key = provider.key_reference ? `${KEYS[provider.key]} (${provider.key_reference})` : `${KEYS[provider.key]}${provider.key_hint ? ` …${provider.key_hint}` : ""}`;
  const where = provider.base_url ?? HOMES[provider.kind];
  const last = verdicts.get(provider.provider_id);
  const element = h(
    "li",
    { class: `provider${provider.enabled ? "" : " off"}`, "data-testid": "provider", "data-id": provider.provider_id },
    h(
      "div",
      { class: "row-text" },
      h("p", { class: "row-title" }, provider.name, !own && h("span", { class: "chip" }, SOURCES[provider.source]), !provider.enabled && h("span", { class: "chip" }, "off")),
      h("p", { class: "row-note" }, `${provider.model} · ${KINDS[provider.kind]} · ${where} · ${key}`),
    ),
    h("div", { class: "provider-tools" }, testButton(provider), ...(own ? ownTools(provider, place, stored) : [])),
    provider.problem && said("bad", provider.problem),
    last && last.message !== provider.problem && verdict(last),
  );
  return element;
}

function ownTools(provider, place, stored) {
  const { name, provider_id: id } = provider;
  return [
    tool("up", "up", id, `Move ${name} up`, place === 0, () => move(stored, place, -1)),
    tool("down", "down", id, `Move ${name} down`, place === stored.length - 1, () => move(stored, place, 1)),
    h("button", { class: "button quiet small", type: "button", "data-key": `toggle ${id}`, "aria-label": `Switch ${name} ${provider.enabled ? "off" : "on"}`, onclick: (event) => act(event, () => ask("PATCH", path(id), { enabled: !provider.enabled })) }, provider.enabled ? "Switch off" : "Switch on"),
    h("button", { class: "button quiet small", type: "button", "data-key": `edit ${id}`, "aria-label": `Edit ${name}`, onclick: () => open(provider) }, "Edit"),
    h("button", { class: "button quiet danger small", type: "button", "data-key": `delete ${id}`, "aria-label": `Delete ${name}`, onclick: (event) => confirmDeletion(event.currentTarget, provider) }, "Delete"),
  ];
}

function tool(name, picture, id, label, disabled, onclick) {
  return h("button", { class: "button quiet icon-only small", type: "button", "data-key": `${name} ${id}`, "aria-label": label, disabled, onclick: (event) => act(event, onclick) }, icon(picture));
}

const path = (id) => `/api/providers/${encodeURIComponent(id)}`;

/** Do something, and show the list as it is then. */
async function act(event, work) {
  await busy(event.currentTarget, async () => {
    try {
      await work();
    } catch (error) {
      toast(sentence(error.message), "error");
    }
    await load().catch((error) => toast(sentence(error.message), "error")); // also when it failed: somebody else may have changed it
  });
}

async function move(stored, place, by) {
  const ids = stored.map((each) => each.provider_id);
  [ids[place], ids[place + by]] = [ids[place + by], ids[place]];
  await ask("PUT", "/api/providers/order", { provider_ids: ids });
  announce(`${stored[place].name} is number ${place + by + 1} now`);
}

function testButton(provider) {
  const test = async (event) => {
    await busy(event.currentTarget, async () => {
      try {
        verdicts.set(provider.provider_id, await ask("POST", `${path(provider.provider_id)}/test`));
        await load();
      } catch (error) {
        toast(sentence(error.message), "error");
      }
    });
  };
  return h("button", { class: "button small", type: "button", "data-key": `test ${provider.provider_id}`, "data-testid": "test-provider", "aria-label": `Test ${provider.name}`, onclick: test }, "Test");
}

function verdict({ outcome, message, latency_ms: latencyMs }) {
  const kind = { ok: "good", uncertain: "warn", failed: "bad" }[outcome];
  return said(kind, outcome === "ok" && latencyMs !== null ? `${message} (${Math.round(latencyMs)} ms)` : message);
}

function said(kind, text) {
  return h("div", { class: `said ${kind}`, role: "status", "data-testid": "provider-said" }, icon(kind === "good" ? "check" : "alert"), h("p", {}, sentence(text)));
}

function confirmDeletion(button, provider) {
  const line = button.closest("li");
  if (line.querySelector(".confirm")) return;
  const box = h("div", { class: "confirm", role: "group", "aria-label": `Delete ${provider.name}?` }, h("p", {}, `Delete ${provider.name}, with its key?`));
  const keep = () => {
    box.remove();
    button.focus();
  };
  const remove = (event) =>
    act(event, async () => {
      await ask("DELETE", path(provider.provider_id));
      verdicts.delete(provider.provider_id);
      announce(`${provider.name} is deleted`);
      byId("add-provider").focus();
    });
  const no = h("button", { class: "button small", type: "button", onclick: keep }, "Keep it");
  box.append(h("button", { class: "button danger small", type: "button", "data-testid": "confirm-delete", onclick: remove }, "Delete"), no);
  box.addEventListener("keydown", (event) => event.key === "Escape" && keep());
  line.append(box);
  no.focus();
}

/** After the form was saved: what an earlier test said no longer counts. @param {string} id */
export async function changed(id) {
  verdicts.delete(id);
  await load();
}
