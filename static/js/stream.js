// @ts-check
/**
 * One conversation as a stream: what it holds now (`state`), hooks for a view, and the commands that steer it.
 *
 * Nothing is lost and nothing is seen twice: an event counts only if it follows on the last one. What was seen is
 * dropped, a hole is answered by joining again from the last position, and so is a connection that came back.
 */

import { CLIENT_EVENTS, CONNECTION } from "./connection.js";
import { guarded } from "./emitter.js";
import { emptySnapshot, fold } from "./fold.js";
import { Meter } from "./meter.js";
import { COMMANDS, EVENTS } from "./protocol.js";

const METRICS_EVERY_MS = 200;
const MAX_HELD_EVENTS = 10_000;
/** Joins in a row that brought nothing forward, after which the whole snapshot is asked for. */
const MAX_FRUITLESS_JOINS = 2;
const RETRY_JOIN_MS = [250, 1000, 3000, 10_000];
/** How long an event that a heartbeat has announced may take. */
const HEARTBEAT_GRACE_MS = 2000;

/** Phases of following: only in FOLLOWING do events count. */
const PHASE = Object.freeze({ IDLE: "idle", JOINING: "joining", FOLLOWING: "following" });

export class ConversationStream {
  #client;
  #phase = /** @type {string} */ (PHASE.IDLE);
  #turn = 0; // grows with each join, so that a late answer to an earlier one is ignored
  #fruitless = 0;
  /** @type {{name: string, payload: any}[]} events that came while joining */
  #held = [];
  #meter = new Meter();
  #reconnectsBefore = 0;
  #metricsTimer = null;
  #graceTimer = null;
  #retryTimer = null;
  #listeners;

  /** The conversation as it stands: the server's snapshot and every event since. */
  state = emptySnapshot("");
  /** Connections that watch, as last announced. @type {number | null} */
  watchers = null;
  /** Why the stream gave up following, e.g. an unknown conversation. @type {Error | null} */
  failure = null;

  /** @type {((status: string, state: any) => void) | null} the status changed */
  onState = null;
  /** @type {((messageId: string, text: string, message: any) => void) | null} an open message grew */
  onText = null;
  /** @type {((message: any) => void) | null} a message is whole, or broke off */
  onMessage = null;
  /** @type {((error: any) => void) | null} a run's error event, or a stream that cannot be followed */
  onError = null;
  /** @type {((metrics: any) => void) | null} at most five times per second */
  onMetrics = null;
  /** @type {((state: any, event: {name: string, payload: any} | null) => void) | null} null: a snapshot replaced all */
  onChange = null;
  /** @type {((watchers: number) => void) | null} */
  onPresence = null;

  /**
   * @param {import("./colloquy.js").ColloquyClient} client
   * @param {object} [hooks] any of the on… above
   */
  constructor(client, hooks = {}) {
    this.#client = client;
    this.#reconnectsBefore = client.reconnects;
    Object.assign(this, hooks);
    this.#listeners = [
      client.on("*", (payload, name) => this.#hear(name, payload)),
      client.on(CLIENT_EVENTS.CONNECTION, (connection) => this.#connectionChanged(connection)),
      client.on(CLIENT_EVENTS.LATENCY, () => this.#metricsChanged()),
    ];
  }

  get conversationId() {
    return this.state.conversation_id || null;
  }

  get status() {
    return this.state.status;
  }

  /** Whether every new event reaches this stream. */
  get following() {
    return this.#phase === PHASE.FOLLOWING;
  }

  /** Where this reader stands, for `join`. */
  get position() {
    return this.state.epoch ? { epoch: this.state.epoch, offset: this.state.offset } : null;
  }

  /** The text of a message, or null. @param {string} messageId */
  text(messageId) {
    return this.state.messages.findLast((message) => message.message_id === messageId)?.content ?? null;
  }

  get metrics() {
    const { tokens, gaps, duplicates, errors, deliveryMs } = this.#meter;
    return {
      tokens,
      tokensPerS: this.#meter.perSecond(performance.now()),
      latencyMs: this.#client.latencyMs,
      deliveryMs,
      offset: this.state.offset,
      epoch: this.state.epoch,
      reconnects: this.#client.reconnects - this.#reconnectsBefore,
      gaps,
      duplicates,
      errors,
    };
  }

  // --- commands -------------------------------------------------------------------------------------------------------

  /**
   * Follow a conversation, from a position or as it stands now.
   * @param {string} conversationId
   * @param {{epoch: string, offset: number} | null} [position]
   */
  async join(conversationId, position = null) {
    if (this.conversationId !== conversationId) this.#turnTo(conversationId);
    return this.#follow(COMMANDS.JOIN, { conversation_id: conversationId, ...(position && { position }) });
  }

  /** Start a conversation and follow it. @param {object} payload of start_stream: team, content, content_type, … */
  async start(payload) {
    const continued = payload.conversation_id ?? null;
    if (this.conversationId !== continued) this.#turnTo(continued);
    const followed = this.following;
    try {
      return await this.#follow(COMMANDS.START_STREAM, payload);
    } catch (error) {
      if (followed && this.#phase === PHASE.IDLE) this.#rejoin(); // refused, for example because it runs: watch on
      throw error;
    }
  }

  /** Stop reading from the model. */
  pause() {
    return this.#control(COMMANDS.PAUSE_STREAM);
  }

  /** Go on where the pause began. */
  resume() {
    return this.#control(COMMANDS.RESUME_STREAM);
  }

  /** End the run; the ack tells the tokens spent. */
  stop() {
    return this.#control(COMMANDS.STOP_STREAM);
  }

  /** The next user turn of a conversation that has ended. @param {string} content @param {string} [contentType] */
  send(content, contentType) {
    return this.#control(COMMANDS.SEND_MESSAGE, contentType ? { content, content_type: contentType } : { content });
  }

  /** Stop following. The conversation goes on. */
  async leave() {
    await this.#turnTo(null);
  }

  /** Leave, and let go of the client. */
  async close() {
    for (const stop of this.#listeners) stop();
    clearTimeout(this.#metricsTimer);
    await this.leave();
  }

  async #control(name, more = {}) {
    return this.#client.request(name, { conversation_id: this.conversationId, ...more });
  }

  // --- following ------------------------------------------------------------------------------------------------------

  /** Send a command that makes this connection a reader, and take its answer before anything that follows it. */
  async #follow(name, payload) {
    const turn = ++this.#turn;
    clearTimeout(this.#retryTimer);
    this.#phase = PHASE.JOINING;
    this.failure = null;
    try {
      return await this.#client.request(name, payload, { onAck: (ack) => turn === this.#turn && this.#joined(ack) });
    } catch (error) {
      if (turn === this.#turn && this.#phase === PHASE.JOINING) {
        this.#phase = PHASE.IDLE;
        this.#held = [];
      }
      throw error;
    }
  }

  #joined(ack) {
    const held = this.#held;
    this.#held = [];
    this.#phase = PHASE.FOLLOWING;
    if (ack.snapshot) {
      this.#replace(ack.snapshot);
    } else if (ack.epoch !== this.state.epoch || ack.offset !== this.state.offset) {
      this.#rejoin({ whole: true }); // recovered, but not from where we stand
      return;
    }
    // what came before the answer and does not follow on comes again after it
    for (const { name, payload } of held) {
      if (payload.conversation_id === this.conversationId && this.#follows(payload)) this.#apply(name, payload);
    }
    this.#metricsChanged();
  }

  #hear(name, payload) {
    if (name === EVENTS.CONNECTED || name === EVENTS.BROADCAST || name.startsWith("client:")) return;
    const starting = this.#phase === PHASE.JOINING && !this.conversationId;
    if (!starting && payload.conversation_id !== this.conversationId) return;
    if (name === EVENTS.RESYNC) {
      if (!starting) this.#resync(payload.snapshot);
    } else if (payload.prev_offset === undefined) {
      if (!starting) this.#hearTransient(name, payload);
    } else if (this.#phase === PHASE.JOINING) {
      if (this.#held.length < MAX_HELD_EVENTS) this.#held.push({ name, payload });
    } else if (this.#phase === PHASE.FOLLOWING) {
      this.#accept(name, payload);
    }
  }

  #follows(payload) {
    return payload.epoch === this.state.epoch && payload.prev_offset === this.state.offset;
  }

  #accept(name, payload) {
    if (this.#follows(payload)) {
      this.#apply(name, payload);
    } else if (payload.epoch === this.state.epoch && payload.offset <= this.state.offset) {
      this.#meter.duplicates += 1;
    } else {
      this.#meter.gaps += 1;
      this.#rejoin();
    }
    this.#metricsChanged();
  }

  #hearTransient(name, payload) {
    if (name === EVENTS.PRESENCE) {
      this.watchers = payload.watchers;
      guarded(this.onPresence, payload.watchers);
    } else if (name === EVENTS.HEARTBEAT && this.#phase === PHASE.FOLLOWING) {
      if (payload.epoch !== this.state.epoch) this.#rejoin();
      else if (payload.offset > this.state.offset) this.#expect(payload.offset);
    }
  }

  /** The log's head is known to be at `offset`: if it does not come, ask for it. */
  #expect(offset) {
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => {
      if (this.#phase !== PHASE.FOLLOWING || this.state.offset >= offset) return;
      this.#meter.gaps += 1;
      this.#rejoin();
    }, HEARTBEAT_GRACE_MS);
    this.#graceTimer?.unref?.();
  }

  /** Join again from the last position; from a snapshot, when that has brought nothing forward. */
  #rejoin({ whole = false, attempt = 0 } = {}) {
    const conversationId = this.conversationId;
    if (!conversationId || this.#client.connection !== CONNECTION.OPEN) return;
    const position = whole || this.#fruitless >= MAX_FRUITLESS_JOINS ? null : this.position;
    this.#fruitless = position ? this.#fruitless + 1 : 0;
    this.join(conversationId, position).catch((error) => {
      if (conversationId !== this.conversationId || this.#phase !== PHASE.IDLE) return;
      if (error.retryable !== false) {
        this.#retryTimer = setTimeout(
          () => this.#phase === PHASE.IDLE && this.#rejoin({ attempt: attempt + 1 }),
          RETRY_JOIN_MS[Math.min(attempt, RETRY_JOIN_MS.length - 1)],
        );
      } else {
        this.failure = error;
        this.#failed(error);
      }
    });
  }

  #connectionChanged(connection) {
    if (connection === CONNECTION.OPEN && this.#phase === PHASE.IDLE && this.conversationId && !this.failure) {
      this.#rejoin();
    } else if (connection !== CONNECTION.OPEN && this.#phase === PHASE.FOLLOWING) {
      this.#phase = PHASE.IDLE;
    }
    this.#metricsChanged();
  }

  // --- the state ------------------------------------------------------------------------------------------------------

  #apply(name, payload) {
    const before = this.state;
    this.state = fold(before, { name, payload });
    this.#fruitless = 0;
    this.#meter.deliveryMs = Math.max(0, Date.now() + this.#client.clockSkewMs - Date.parse(payload.timestamp));
    if (name === EVENTS.MESSAGE_DELTA) this.#meter.add(payload.tokens ?? 1, performance.now());
    guarded(this.onChange, this.state, { name, payload });
    if (name === EVENTS.MESSAGE_DELTA || name === EVENTS.AGENT_MESSAGE) {
      const message = this.state.messages.findLast((each) => each.message_id === payload.message_id);
      if (name === EVENTS.MESSAGE_DELTA) guarded(this.onText, message?.message_id, message?.content, message);
      else guarded(this.onMessage, message);
    }
    if (name === EVENTS.CONVERSATION_ERROR) this.#failed(payload);
    if (before.status !== this.state.status) guarded(this.onState, this.state.status, this.state);
  }

  #resync(snapshot) {
    this.#turn += 1; // an answer to a join that is under way would be older
    this.#held = [];
    this.#phase = PHASE.FOLLOWING;
    this.#replace(snapshot);
    this.#metricsChanged();
  }

  #replace(snapshot) {
    const before = this.state;
    this.state = { ...emptySnapshot(snapshot.conversation_id), ...snapshot };
    this.#fruitless = 0;
    guarded(this.onChange, this.state, null);
    if (before.status !== this.state.status) guarded(this.onState, this.state.status, this.state);
  }

  #failed(error) {
    this.#meter.errors += 1;
    guarded(this.onError, error);
    this.#metricsChanged();
  }

  /** Turn to another conversation, or to none. Resolves, always, when the server has taken note. */
  async #turnTo(conversationId) {
    const left = this.conversationId;
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#retryTimer);
    this.#turn += 1;
    this.#phase = PHASE.IDLE;
    this.#held = [];
    this.#fruitless = 0;
    this.watchers = null;
    this.failure = null;
    this.state = emptySnapshot(conversationId ?? "");
    if (!left || this.#client.connection !== CONNECTION.OPEN) return;
    await this.#client.request(COMMANDS.LEAVE, { conversation_id: left }).catch(() => {}); // gone is gone
  }

  #metricsChanged() {
    if (!this.onMetrics || this.#metricsTimer) return;
    this.#metricsTimer = setTimeout(() => {
      this.#metricsTimer = null;
      guarded(this.onMetrics, this.metrics);
    }, METRICS_EVERY_MS);
    this.#metricsTimer?.unref?.();
  }
}
