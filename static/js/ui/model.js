// @ts-check
/** How a model is named to people. */

const KINDS = { local: " (bundled small model)" };

/** @param {string} label @param {string | undefined} kind */
export function modelName(label, kind) {
  const addition = KINDS[kind] ?? "";
  return label.includes("bundled") ? label : `${label}${addition}`;
}

/** Whether a model would answer now. @param {any} ready the body of /api/v1/health/ready */
export const answers = ({ model }) => Boolean(model?.answering);

/** The line that says who will answer. @param {any} ready the body of /api/v1/health/ready */
export function modelLine(ready) {
  if (!answers(ready)) return "No model answers now: a prepared demo will play.";
  return `Answered by ${modelName(ready.model.label, ready.model.answering)}`;
}
