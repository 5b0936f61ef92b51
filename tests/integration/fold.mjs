// Folds logs with the JavaScript client's reducer: `node fold.mjs < LOGS.json`.
// In: [{first: snapshot, max_messages, events: [{name, payload}]}]. Out: for each log, the state after each event.
import { readFileSync } from "node:fs";
import { fold } from "../../static/js/fold.js";

const logs = JSON.parse(readFileSync(0, "utf8"));
const states = logs.map(({ first, max_messages, events }) => {
  let state = first;
  return events.map((event) => (state = fold(state, event, { maxMessages: max_messages })));
});
process.stdout.write(JSON.stringify(states));
