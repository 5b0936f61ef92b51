// @ts-check
/** The form to add or change a provider. Nothing typed is lost when the server refuses it. */

import { byId } from "../ui/dom.js";
import { toast } from "../ui/notices.js";
import { ask } from "./api.js";
import { busy, mark, say } from "./fields.js";

const TEXTS = ["name", "kind", "base_url", "model", "api_version"];
const NUMBERS = ["context_tokens", "max_reply_tokens"];
const PRICES = ["prompt_price_usd", "reply_price_usd"];
const CHECKS = ["stream", "structured_output", "function_calling"];

const ADDRESSES = {
  openai: "Empty: OpenAI's own.",
  azure: "https://NAME.openai.azure.com",
  anthropic: "Empty: Anthropic's own.",
  ollama: "Empty: http://127.0.0.1:11434",
};

let editing = /** @type {any} */ (null); // the provider that is changed; null: a new one
let onSaved = /** @type {(id: string) => any} */ (() => {});

const form = () => byId("provider-form");
const field = (name) => form().elements.namedItem(name);

/** @param {(id: string) => any} saved called with the id of what was saved */
export function prepare(saved) {
  onSaved = saved;
  byId("add-provider").addEventListener("click", () => open(null));
  byId("cancel-provider").addEventListener("click", close);
  form().addEventListener("submit", (event) => {
    event.preventDefault();
    void busy(form().querySelector("[type=submit]"), submit);
  });
  form().addEventListener("keydown", (event) => event.key === "Escape" && close());
  field("kind").addEventListener("change", showKind);
}

/** Show the form: for a provider of the list, or for a new one (null). */
export function open(provider) {
  const again = !form().hidden && editing?.provider_id === provider?.provider_id;
  if (!again) fill(provider);
  form().hidden = false;
  form().scrollIntoView({ block: "nearest" });
  field("name").focus();
}

function fill(provider) {
  editing = provider;
  form().reset();
  complain({});
  byId("provider-form-title").textContent = provider ? `Change ${provider.name}` : "A new provider";
  for (const name of [...TEXTS, ...NUMBERS, ...PRICES]) if (provider) field(name).value = provider[name] ?? "";
  for (const name of CHECKS) if (provider) field(name).checked = provider[name];
  if (provider?.key_reference) field("api_key").value = `keyvault:${provider.key_reference}`;
  const kept = provider && provider.key !== "none" && !provider.key_reference;
  byId("provider-api_key-help").textContent = kept
    ? "A key is stored. Empty: it stays."
    : "It is stored encrypted and never shown again. keyvault:NAME takes it from Azure Key Vault.";
  byId("forget-key-line").hidden = !kept;
  showKind();
}

function showKind() {
  const azure = field("kind").value === "azure";
  for (const each of form().querySelectorAll("[data-only=azure]")) each.hidden = !azure;
  byId("provider-base_url-help").textContent = ADDRESSES[field("kind").value];
  byId("provider-model-help").textContent = azure ? "The name of the deployment." : "As the provider names it.";
}

function close() {
  const back = editing ? document.querySelector(`[data-key="${CSS.escape(`edit ${editing.provider_id}`)}"]`) : byId("add-provider");
  form().hidden = true;
  form().reset(); // a key does not wait in a hidden field
  editing = null;
  /** @type {any} */ (back)?.focus();
}

function entered() {
  const body = /** @type {Record<string, any>} */ ({});
  const wrong = /** @type {Record<string, string>} */ ({});
  for (const name of TEXTS) body[name] = field(name).value.trim();
  for (const name of NUMBERS) {
    const text = field(name).value.trim();
    body[name] = text === "" ? null : Number(text);
    if (text !== "" && !/^\d{1,12}$/.test(text)) wrong[name] = "a whole number is needed";
  }
  for (const name of PRICES) {
    const text = field(name).value.trim();
    body[name] = text === "" ? null : Number(text);
    if (text !== "" && !/^\d{1,7}(\.\d{1,9})?$/.test(text)) wrong[name] = "a number of US dollars is needed, such as 0.15";
  }
  for (const name of CHECKS) body[name] = field(name).checked;
  const key = field("api_key").value.trim();
  if (key && key !== `keyvault:${editing?.key_reference}`) body.api_key = key;
  else if (field("forget_key").checked || (editing?.key_reference && !key)) body.api_key = null;
  return { body, wrong };
}

async function submit() {
  const { body, wrong } = entered();
  if (Object.keys(wrong).length) return complain(wrong);
  try {
    const made = editing ? await ask("PATCH", `/api/providers/${encodeURIComponent(editing.provider_id)}`, body) : await ask("POST", "/api/providers", body);
    close();
    toast(`${made.name} is saved.`, "good");
    await onSaved(made.provider_id);
  } catch (error) {
    complain(error.fields ?? {}, error.message);
  }
}

/** Show what is wrong, beside its fields; the first one gets the focus. */
function complain(fields, message = "") {
  const known = [...TEXTS, ...NUMBERS, ...PRICES, "api_key"];
  for (const name of known) mark(field(name), byId(`provider-${name}-error`), fields[name]);
  const first = known.find((name) => fields[name]);
  say("provider-error", first ? "" : message);
  if (!first) return;
  if (field(first).closest("details")) field(first).closest("details").open = true;
  field(first).focus();
}
