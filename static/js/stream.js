// @ts-check
/**
 * One conversation as a stream: what it holds now (`state`), hooks for a view, and the commands that steer it.
 *
 * Any number of streams may show one conversation: the client follows it once, and leaves it with the last of them.
 */

import { CLIENT_EVENTS } from "./connection.js";
import { Emitter, guarded } from "./emitter.js";
import { CODE, ColloquyError } from "./errors.js";
import { feedsOf } from "./feeds.js";
import { emptySnapshot } from "./fold.js";
import { perFrame } from "./frames.js";
import { Meter } from "./meter.js";
import { newId, outboxOf } from "./outbox.js";
import { COMMANDS, EVENTS } from "./protocol.js";

const METRICS_EVERY_MS = 200;
const NOTHING = Object.freeze(emptySnapshot(""));

export class ConversationStream {
  #client;
  /** @type {import("./feed.js").Feed | null} what this stream shows */
  #feed = null;
  #meter = new Meter();
  #emitter = new Emitter();
  #reader;
  #reconnectsBefore = 0;
  #metricsTimer = null;
  #listeners;
  /** The queued message that will begin this conversation. @type {string | null} */
  #beginning = null;
  #drawing = nothingDrawn();
  #askForFrame = perFrame(() => this.#render());

  /** @type {((status: string, state: any) => void) | null} the status changed */
  onState = null;
  /** @type {((messageId: string, text: string, message: any) => void) | null} an open message grew */
  onText = null;
  /** @type {((message: any) => void) | null} a message is whole, or broke off, or changed afterwards */
  onMessage = null;
  /** @type {((error: any) => void) | null} a run's error event, or a stream that cannot be followed */
  onError = null;
  /** @type {((metrics: any) => void) | null} at most five times per second */
  onMetrics = null;
  /** @type {((state: any, event: {name: string, payload: any} | null) => void) | null} null: a snapshot replaced all */
  onChange = null;
  /** @type {((state: any, changes: any) => void) | null} draw: at most once per animation frame */
  onRender = null;
  /** @type {((watchers: number) => void) | null} */
  onPresence = null;
  /** @type {((queued: readonly any[], refused: any) => void) | null} what waits to be sent */
  onQueue = null;
  /** @type {((pending: readonly any[]) => void) | null} whom the agents wait for has changed */
  onInput = null;
  /** @type {((queued: readonly any[]) => void) | null} what the server keeps until the agents have finished has changed */
  onQueued = null;

  /**
   * @param {import("./colloquy.js").ColloquyClient} client
   * @param {object} [hooks] any of the on… above
   */
  constructor(client, hooks = {}) {
    this.#client = client;
    this.#reconnectsBefore = client.reconnects;
    Object.assign(this, hooks);
    this.#reader = {
      meter: this.#meter,
      applied: (before, event) => this.#applied(before, event),
      replaced: (before) => this.#replaced(before),
      failed: (error) => this.#failed(error),
      presence: () => guarded(this.onPresence, this.watchers),
      measured: () => this.#metricsChanged(),
    };
    this.#listeners = [
      client.on(CLIENT_EVENTS.QUEUE, ({ refused }) => this.#queueChanged(refused)),
      client.on(CLIENT_EVENTS.LATENCY, () => this.#metricsChanged()),
    ];
  }

  /** The conversation as it stands: the server's snapshot and every event since. */
  get state() {
    return this.#feed?.state ?? NOTHING;
  }

  get conversationId() {
    return this.state.conversation_id || null;
  }

  get status() {
    return this.state.status;
  }

  /** Whether every new event reaches this stream. */
  get following() {
    return this.#feed?.following ?? false;
  }

  /** Where this reader stands, for `join`. */
  get position() {
    return this.#feed?.position ?? null;
  }

  /** Connections that watch, as last announced. @type {number | null} */
  get watchers() {
    return this.#feed?.watchers ?? null;
  }

  /** Why the stream gave up following, e.g. an unknown conversation. @type {Error | null} */
  get failure() {
    return this.#feed?.failure ?? null;
  }

  /** This conversation's messages that wait for the connection, oldest first. */
  get queued() {
    return this.#client.queued.filter((message) => this.#isMine(message));
  }

  /** The text of a message, or null. @param {string} messageId */
  text(messageId) {
    return this.state.messages.findLast((message) => message.message_id === messageId)?.content ?? null;
  }

  get metrics() {
    const { tokens, gaps, duplicates, errors, deliveryMs, acks, batches } = this.#meter;
    const { offset, epoch } = this.state;
    return {
      tokens,
      tokensPerS: this.#meter.perSecond(performance.now()),
      latencyMs: this.#client.latencyMs,
      deliveryMs,
      offset,
      epoch,
      behind: Math.max(0, (this.#feed?.head ?? 0) - offset),
      reconnects: this.#client.reconnects - this.#reconnectsBefore,
      gaps,
      duplicates,
      acks,
      batches,
      queued: this.queued.length,
      errors,
    };
  }

  /**
   * Hear the conversation's events, in order and without doubles, however they came; "*" hears all of them.
   * @param {string} name
   * @param {Function} handler as handler(payload, name), when `state` has taken it in
   * @returns {() => void} stops listening
   */
  on(name, handler) {
    return this.#emitter.on(name, handler);
  }

  /** @param {string} name @param {Function} handler */
  off(name, handler) {
    this.#emitter.off(name, handler);
  }

  // --- commands -------------------------------------------------------------------------------------------------------

  /**
   * Follow a conversation: as it stands now, or on from a position, a snapshot or a time.
   * @param {string} conversationId
   * @param {import("./colloquy.d.ts").JoinOptions} [options]
   */
  async join(conversationId, options = {}) {
    const feed = feedsOf(this.#client).of(conversationId);
    const shared = feed.readers.size > (feed.readers.has(this.#reader) ? 1 : 0);
    if (shared && Object.keys(options).length > 0) {
      const message = "another stream of this client follows this conversation; use a client of its own for another view";
      throw new ColloquyError({ code: CODE.INVALID_STATE, message });
    }
    if (feed !== this.#feed) this.#turnTo(feed);
    if (!shared) return feed.join(options);
    if (feed.following) this.#replaced(NOTHING);
    return feed.share();
  }

  /**
   * Start a conversation, or a further run of one, and follow it. Without a connection it waits for it.
   * @param {import("./colloquy.d.ts").StartPayload} payload of start_stream
   */
  async start(payload) {
    const { conversation_id = null, content, content_type } = payload;
    const feeds = feedsOf(this.#client);
    const feed = conversation_id === null ? feeds.begin() : feeds.of(conversation_id);
    if (feed !== this.#feed) this.#turnTo(feed);
    const client_id = payload.client_id ?? newId();
    if (conversation_id === null) this.#beginning = client_id;
    const message = { client_id, kind: /** @type {const} */ ("start"), conversation_id, content, content_type: content_type ?? "text" };
    return outboxOf(this.#client).add(message, () => {
      const followed = conversation_id === null ? null : feeds.find(conversation_id); // it may have been left meanwhile
      return (followed ?? feed).start({ ...payload, client_id });
    });
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

  /**
   * Answer an agent that waits (`state.pending_inputs`). The first answer wins, whoever gives it: a later one is refused
   * with `input_resolved`. Without a connection it is refused at once: another one may answer meanwhile.
   * @param {string} requestId
   * @param {string | boolean} answer a text, which may be empty; or whether a permission is granted
   * @param {{client_id?: string}} [options] client_id: that of an answer which is given again
   */
  async provideInput(requestId, answer, { client_id = newId() } = {}) {
    const given = typeof answer === "boolean" ? { granted: answer } : { content: answer };
    return this.#control(COMMANDS.PROVIDE_INPUT, { request_id: requestId, ...given, client_id });
  }

  /** Take back a message that the server keeps until the agents have finished (`state.queued`). @param {string} messageId */
  unqueue(messageId) {
    return this.#control(COMMANDS.UNQUEUE_MESSAGE, { message_id: messageId });
  }

  /** Go on with a run that was stopped or broke off, or with what waits, with nothing new said. */
  continue() {
    return this.#control(COMMANDS.CONTINUE_STREAM, { client_id: newId() });
  }

  /**
   * The next user turn. While agents talk the server keeps it (`queued` in the ack, and `state.queued`) until they have
   * finished. Without a connection it waits for it, and is sent once.
   * @param {string} content
   * @param {import("./colloquy.d.ts").ContentType} [contentType]
   */
  async send(content, contentType = "text") {
    const conversation_id = this.conversationId;
    const client_id = newId();
    const message = { client_id, kind: /** @type {const} */ ("message"), conversation_id, content, content_type: contentType };
    return outboxOf(this.#client).add(message, () =>
      this.#client.request(COMMANDS.SEND_MESSAGE, { conversation_id, content, content_type: contentType, client_id }),
    );
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

  // --- what the feed tells --------------------------------------------------------------------------------------------

  #applied(before, event) {
    const { name, payload } = event;
    const { state } = this;
    guarded(this.onChange, state, event);
    if (TEXT_EVENTS.has(name)) {
      const message = state.messages.findLast((each) => each.message_id === payload.message_id);
      this.#drawing.messages.add(payload.message_id);
      if (name === EVENTS.MESSAGE_DELTA) guarded(this.onText, message?.message_id, message?.content, message);
      else if (message && message.state !== "open") guarded(this.onMessage, message);
    }
    this.#emitter.emit(name, payload);
    if (name === EVENTS.CONVERSATION_ERROR) this.#failed(payload);
    this.#tellWhatChanged(before);
    this.#drawing.events.add(name);
    this.#draw();
  }

  #replaced(before) {
    const { state } = this;
    guarded(this.onChange, state, null);
    if (this.failure) {
      const open = new Set(before.messages.filter((message) => message.state === "open").map((message) => message.message_id));
      for (const message of state.messages) if (open.has(message.message_id)) guarded(this.onMessage, message);
    }
    this.#tellWhatChanged(before);
    this.#drawing.whole = true;
    this.#draw();
  }

  #tellWhatChanged(before) {
    const { state } = this;
    if (before.status !== state.status) guarded(this.onState, state.status, state);
    if (changed(before.pending_inputs, state.pending_inputs)) guarded(this.onInput, state.pending_inputs);
    if (changed(before.queued, state.queued)) guarded(this.onQueued, state.queued);
  }

  #failed(error) {
    this.#meter.errors += 1;
    guarded(this.onError, error);
    this.#metricsChanged();
  }

  #queueChanged(refused) {
    guarded(this.onQueue, this.queued, refused && this.#isMine(refused.message) ? refused : null);
    this.#metricsChanged();
    this.#draw();
  }

  #isMine({ client_id, conversation_id }) {
    return conversation_id === null ? client_id === this.#beginning : conversation_id === this.conversationId;
  }

  /** Turn to another conversation, or to none. Resolves, always, when the server has taken note. */
  async #turnTo(feed) {
    const left = this.#feed;
    this.#feed = feed;
    this.#beginning = null;
    feed?.readers.add(this.#reader);
    if (left) await feedsOf(this.#client).release(left, this.#reader);
  }

  // --- drawing and figures --------------------------------------------------------------------------------------------

  #draw() {
    if (this.onRender) this.#askForFrame();
    else this.#drawing = nothingDrawn();
  }

  #render() {
    const changes = this.#drawing;
    this.#drawing = { whole: false, messages: new Set(), events: new Set() };
    guarded(this.onRender, this.state, changes);
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

/** Whether a list is another one; an empty one is as good as any other. */
const changed = (before, now) => before !== now && before.length + now.length > 0;

/** What a first drawing has to draw. */
const nothingDrawn = () => ({ whole: true, messages: new Set(), events: new Set() });

/** @type {Set<string>} */
const TEXT_EVENTS = new Set([EVENTS.MESSAGE_DELTA, EVENTS.AGENT_MESSAGE, EVENTS.MESSAGE_UPDATED]);
