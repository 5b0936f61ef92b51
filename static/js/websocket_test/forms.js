// @ts-check
/** A form for each command, made from its JSON Schema. */

import { COMMAND_SCHEMAS } from "../protocol.js";
import { h } from "../ui/dom.js";

/**
 * @param {(name: string, payload: object) => Promise<any>} send
 * @param {(name: string) => Record<string, any>} known what a command's required fields are filled with where they are left empty
 * @returns {any[]} one element for each command
 */
export function commandForms(send, known) {
  return Object.entries(COMMAND_SCHEMAS).map(([name, schema]) => commandForm(name, schema, send, known));
}

function commandForm(name, schema, send, known) {
  const fields = fieldsOf(schema, schema);
  const raw = h("textarea", { class: "input mono", rows: 4, hidden: true, spellcheck: "false", "aria-label": `Payload of ${name} as JSON` });
  const grid = h("div", { class: "command-fields" }, ...fields.map((field) => field.element));
  const switcher = h("button", { class: "button quiet small", type: "button", "aria-pressed": "false" }, "Raw JSON");
  const answer = h("pre", { class: "answer", hidden: true, "aria-live": "polite", "data-testid": `ack-${name}` });
  const submit = h("button", { class: "button small", type: "submit", "data-testid": `send-${name}` }, "Send");

  const payload = () => {
    if (!raw.hidden) return JSON.parse(raw.value || "{}");
    const made = valuesOf(fields);
    const given = known(name);
    for (const field of schema.required ?? []) if (made[field] === undefined && given[field]) made[field] = given[field];
    return made;
  };
  const tell = (text, failed) => {
    answer.hidden = false;
    answer.classList.toggle("failed", failed);
    answer.textContent = text;
  };
  switcher.addEventListener("click", () => {
    if (raw.hidden) raw.value = JSON.stringify(payload(), null, 2);
    raw.hidden = !raw.hidden;
    grid.hidden = !raw.hidden;
    switcher.setAttribute("aria-pressed", String(!raw.hidden));
  });
  const form = h("form", { class: "command-form", novalidate: true }, grid, raw, h("div", { class: "command-foot" }, submit, switcher), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.setAttribute("aria-busy", "true");
    try {
      const ack = await send(name, payload());
      tell(JSON.stringify(ack, null, 2), false);
    } catch (error) {
      tell(error instanceof SyntaxError ? `not JSON: ${error.message}` : JSON.stringify({ ok: false, error: { code: error.code, message: error.message, retryable: error.retryable } }, null, 2), true);
    } finally {
      submit.removeAttribute("aria-busy");
    }
  });
  return h("details", { class: "command", "data-command": name, name: "command" }, h("summary", {}, h("code", {}, name), h("span", {}, schema.description ?? "")), form);
}

/** Follow $ref and the one type of "this or null". */
function resolved(schema, root) {
  if (schema.$ref) return { ...root.$defs[schema.$ref.split("/").at(-1)], ...schema, $ref: undefined };
  const options = schema.anyOf?.filter((option) => option.type !== "null");
  if (!options) return schema;
  const own = { description: schema.description, title: schema.title };
  if (options.length === 1) return { ...resolved(options[0], root), ...own };
  return { ...own, types: options.map((option) => option.type) };
}

function fieldsOf(schema, root, path = []) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, given]) => {
    const property = resolved(given, root);
    const at = [...path, name];
    if (property.properties) return fieldsOf(property, root, at);
    const required = path.length === 0 && Boolean(schema.required?.includes(name));
    return [{ path: at, property, ...fieldElement(at.join("."), property, required, given.default) }];
  });
}

function fieldElement(name, property, required, fallback) {
  const hints = { class: "input", name, "aria-label": name, placeholder: fallback ?? (required ? "required" : ""), autocomplete: "off" };
  let input;
  if (property.enum) {
    input = h("select", { ...hints, class: "select" }, h("option", { value: "" }, fallback ? `default: ${fallback}` : ""), ...property.enum.map((value) => h("option", { value }, value)));
  } else if (property.type === "boolean") {
    input = h("select", { ...hints, class: "select" }, ...["", "true", "false"].map((value) => h("option", { value }, value)));
  } else if (property.type === "array") {
    input = h("input", { ...hints, type: "text", spellcheck: "false", placeholder: "one, two" });
  } else if (property.type === "integer" || property.type === "number") {
    input = h("input", { ...hints, type: "number", step: property.type === "integer" ? 1 : "any", min: property.minimum, max: property.maximum });
  } else if (name === "content") {
    input = h("textarea", { ...hints, rows: 2 });
  } else {
    input = h("input", { ...hints, type: "text", maxlength: property.maxLength, spellcheck: "false" });
  }
  const element = h("label", { class: "field" }, h("span", { class: "label" }, h("code", {}, name), required ? " *" : ""), input, property.description && h("span", { class: "help" }, property.description));
  return { element, input };
}

function valuesOf(fields) {
  const payload = {};
  for (const { path, property, input } of fields) {
    if (input.value === "") continue;
    const parents = path.slice(0, -1);
    const holder = parents.reduce((object, name) => (object[name] ??= {}), payload);
    holder[path.at(-1)] = valueOf(property, input.value);
  }
  return payload;
}

function valueOf(property, text) {
  if (property.type === "array") return text.split(",").map((each) => each.trim()).filter(Boolean);
  const types = property.types ?? [property.type];
  const numeric = types.includes("number") || types.includes("integer");
  if (numeric && text.trim() !== "" && !Number.isNaN(Number(text))) return Number(text);
  if (types.includes("boolean")) return text === "true";
  return text;
}
