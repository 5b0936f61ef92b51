// The real @ag-ui/client in Node.js against the real server: `node agui.mjs URL run|resume|once|watch|answer CONTENT`.
// Prints one line of JSON: what it has seen.
import { HttpAgent, buildResumeArray } from "@ag-ui/client";

const [url, kind, content, second] = process.argv.slice(2);

/** An agent of a thread, and what it is told. */
function makeAgent(team, threadId) {
  const agent = new HttpAgent({ url: `${url}/api/agui/${team}`, threadId });
  const seen = { types: [], custom: [], position: null, places: [], snapshots: 0 };
  const subscriber = {
    onEvent({ event }) {
      seen.types.push(event.type);
      const told = event.metadata?.colloquy;
      if (told?.offset !== undefined) {
        seen.position = { epoch: told.epoch, offset: told.offset };
        seen.places.push(told.offset);
      }
    },
    onMessagesSnapshotEvent: () => void (seen.snapshots += 1),
    onCustomEvent: ({ event }) => void seen.custom.push(event.name),
  };
  return { agent, seen, subscriber };
}

const count = (types) => types.reduce((found, type) => ({ ...found, [type]: (found[type] ?? 0) + 1 }), {});
const picture = (agent) =>
  agent.messages.map(({ id, role, name, content: text, metadata }) => ({
    id, role, name: name ?? null, content: text, state: metadata?.colloquy?.state ?? null,
  }));

/** A run, then the next one on the same thread. */
async function run() {
  const { agent, seen, subscriber } = makeAgent("debate", "thread-run");
  agent.setState({ mine: 1 });
  agent.addMessage({ id: "u1", role: "user", content });
  const first = await agent.runAgent({ runId: "run-1" }, subscriber);
  const types = count(seen.types);
  const state = agent.state;
  const messages = picture(agent);
  const steps = seen.types.filter((type) => type.startsWith("STEP"));
  seen.types = [];
  agent.addMessage({ id: "u2", role: "user", content: "And over ten years?" });
  const again = await agent.runAgent({ runId: "run-2" }, subscriber);
  return {
    types, steps, state, messages, custom: seen.custom, result: first.result, fresh: first.newMessages.length,
    later: { types: count(seen.types), messages: picture(agent), fresh: again.newMessages.length, state: agent.state },
    inOrder: seen.places.every((place, at) => at === 0 || place >= seen.places[at - 1]),
  };
}

/** `fetch` over a network that breaks in the middle of a response: once after each of these numbers of bytes. */
function breakingFetch(...afterBytes) {
  const network = { breaks: 0 };
  network.fetch = async (address, init) => {
    const cut = new AbortController();
    const response = await fetch(address, { ...init, signal: cut.signal });
    if (network.breaks >= afterBytes.length) return response;
    let left = afterBytes[network.breaks];
    const body = response.body.pipeThrough(
      new TransformStream({
        transform(chunk, controller) {
          controller.enqueue(chunk.subarray(0, left));
          left -= chunk.length;
          if (left > 0) return;
          network.breaks += 1;
          controller.error(new DOMException("the network is gone", "AbortError")); // any other name the client lets out
          cut.abort();
        },
      }),
    );
    return new Response(body, { status: response.status, headers: response.headers });
  };
  return network;
}

/** A run whose connection is cut several times, anywhere; what was missed comes back. */
async function resume() {
  const { agent, seen, subscriber } = makeAgent("debate", "thread-resume");
  const network = breakingFetch(4000, 600, 4000, 600); // even an answer that tells of the run's end alone has over 600
  agent.fetch = network.fetch;
  agent.addMessage({ id: "u1", role: "user", content });
  let runs = 0;
  for (let over = false; !over && runs < 20; runs += 1) {
    const forwardedProps = seen.position ? { position: seen.position } : {};
    seen.types = [];
    await agent.runAgent({ forwardedProps }, subscriber).catch(() => null);
    over = seen.types.includes("RUN_FINISHED");
  }
  return {
    breaks: network.breaks, runs, messages: picture(agent), state: agent.state, last: count(seen.types),
    position: seen.position, snapshots: seen.snapshots,
  };
}

/** One run, whatever becomes of it. */
async function once() {
  const { agent, seen, subscriber } = makeAgent("debate", "thread-once");
  agent.addMessage({ id: "u1", role: "user", content });
  await agent.runAgent({}, subscriber);
  return { messages: picture(agent), state: agent.state, custom: seen.custom, snapshots: seen.snapshots };
}

/** Somebody who knows nothing but the thread's id. */
async function watch() {
  const { agent, seen, subscriber } = makeAgent("debate", content);
  const failed = await agent.runAgent(second ? { forwardedProps: JSON.parse(second) } : {}, subscriber).then(
    () => null,
    (error) => ({ status: error.status ?? null, payload: error.payload ?? String(error) }),
  );
  return { types: count(seen.types), messages: picture(agent), state: agent.state, failed, custom: seen.custom };
}

/** A run whose agent asks; the answer is the next run. Then one that nobody wants to answer. */
async function answer() {
  const { agent, seen, subscriber } = makeAgent("asking", "thread-asking");
  const reply = (response) => buildResumeArray(agent.pendingInterrupts, { [agent.pendingInterrupts[0].id]: response });
  const go = async (resume) => {
    seen.types = [];
    await agent.runAgent(resume ? { resume, forwardedProps: { position: seen.position } } : {}, subscriber);
    return seen.types;
  };
  agent.addMessage({ id: "u1", role: "user", content });
  const asked = await go(null);
  const interrupts = agent.pendingInterrupts;
  const answered = await go(reply({ status: "resolved", payload: "in AG-UI" }));
  agent.addMessage({ id: "u2", role: "user", content: "Again" });
  await go(null);
  await go(reply({ status: "cancelled" }));
  return { asked, interrupts, answered, messages: picture(agent), left: agent.pendingInterrupts.length, snapshots: seen.snapshots };
}

console.log(JSON.stringify(await { run, resume, once, watch, answer }[kind]()));
process.exit(0);
