/**
 * A FAKE of socket.io-client's `io`, for tests without a server: the test plays the server's part.
 * The real client against a real server is tested in tests/integration.
 */

export function fakeIo() {
  /** @type {FakeSocket[]} */
  const sockets = [];
  const io = (url, options) => {
    const socket = new FakeSocket(url, options);
    sockets.push(socket);
    return socket;
  };
  return { io, sockets, get socket() { return sockets.at(-1); } };
}

class FakeSocket {
  disconnects = 0;
  io = { engine: { transport: { name: "fake" } } };
  /** @type {{name: string, payload: any, ack: Function}[]} commands that wait for the test's answer */
  sent = [];
  /** how many times connect() was called */
  dials = 0;
  /** what was sent along each time */
  credentials = [];
  #handlers = {};
  #any = [];

  constructor(url, options) {
    this.url = url;
    this.options = options;
  }

  on(name, handler) { (this.#handlers[name] ??= []).push(handler); }
  onAny(handler) { this.#any.push(handler); }
  connect() {
    this.dials += 1;
    this.options.auth((credentials) => this.credentials.push(credentials));
  }
  disconnect() { this.disconnects += 1; }
  emit(name, payload, ack) { this.sent.push({ name, payload, ack }); }

  // --- the server's part

  #fire(name, ...args) { for (const handler of this.#handlers[name] ?? []) handler(...args); }
  opens() { this.#fire("connect"); }
  drops(reason = "transport close") { this.#fire("disconnect", reason); }
  refuses(data) { this.#fire("connect_error", Object.assign(new Error("refused"), { data })); }
  says(name, payload) { for (const handler of this.#any) handler(name, payload); }

  /** The oldest unanswered command of this name; it is taken off the list. */
  take(name) {
    const at = this.sent.findIndex((each) => each.name === name);
    if (at < 0) throw new Error(`the client has not sent ${name}, only: ${this.sent.map((each) => each.name)}`);
    return this.sent.splice(at, 1)[0];
  }
}

/** Waits until a condition holds. @param {() => unknown} holds */
export async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Lets promises that are already settled run on. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));
