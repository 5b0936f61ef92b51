// @ts-check
/** How a model is named to people. */

const KINDS = { local: " (bundled small model)" };

/** @param {string} label @param {string | undefined} kind */
export function modelName(label, kind) {
  const addition = KINDS[kind] ?? "";
  return label.includes("bundled") ? label : `${label}${addition}`;
}

/** The line that says who will answer. @param {any} ready the body of /api/v1/health/ready */
export function modelLine(ready) {
  const { model } = ready;
  if (!model || model.kind === "demo") return "No model answers now: a prepared demo will play.";
  return `Answered by ${modelName(model.label, model.kind)}`;
}
