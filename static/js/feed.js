// @ts-check
/**
 * One conversation as it comes over one connection, for all streams of the client that follow it.
 *
 * Nothing is lost and nothing is seen twice: an event counts only if it follows on the last one. What was seen is
 * dropped, a hole is answered by joining again from the last position, and so is a connection that came back.
 */

import { Acknowledger, roughBytes } from "./acks.js";
import { sortOut } from "./chain.js";
import { CONNECTION } from "./connection.js";
import { CODE } from "./errors.js";
import { emptySnapshot, fold, interrupted, isRunning, isTerminal } from "./fold.js";
import { COMMANDS, EVENTS } from "./protocol.js";

const MAX_HELD_EVENTS = 10_000;
/** Joins in a row that brought nothing forward, after which the whole snapshot is asked for. */
const MAX_FRUITLESS_JOINS = 2;
const RETRY_JOIN_MS = [250, 1000, 3000, 10_000];
/** How long nothing may come, when a heartbeat has told that something is there. */
const HEARTBEAT_GRACE_MS = 2000;
const FORGOTTEN = "The server no longer knows this conversation; it was probably restarted. What you see is what had arrived.";

/** Phases of following: only in FOLLOWING do events count. */
const PHASE = Object.freeze({ IDLE: "idle", JOINING: "joining", FOLLOWING: "following" });

/**
 * @typedef {object} Reader what a stream wants to hear
 * @property {import("./meter.js").Meter} meter
 * @property {(before: any, event: {name: string, payload: any}) => void} applied
 * @property {(before: any) => void} replaced
 * @property {(error: any) => void} failed
 * @property {() => void} presence
 * @property {() => void} measured
 */

export class Feed {
  #client;
  #hooks;
  #phase = /** @type {string} */ (PHASE.IDLE);
  #turn = 0; // grows with each join, so that a late answer to an earlier one is ignored
  #fruitless = 0;
  /** @type {Promise<any> | null} the join that is under way */
  #joining = null;
  /** @type {any} the join's wishes: filter, batch_ms, changes_only */
  #view = {};
  #acking = false;
  /** the next answer tells where we stand, not we */
  #adopts = false;
  /** @type {{name: string, payload: any}[]} events that came while joining */
  #held = [];
  #acks;
  #graceTimer = null;
  #retryTimer = null;

  /** @type {Set<Reader>} */
  readers = new Set();
  /** Connections that watch, as last announced. @type {number | null} */
  watchers = null;
  /** Why following was given up. @type {Error | null} */
  failure = null;
  /** Where the log's end is, as far as is known. */
  head = 0;

  /**
   * @param {import("./colloquy.js").ColloquyClient} client
   * @param {string | null} conversationId null: the server will name it
   * @param {{named: (feed: Feed, conversationId: string) => void, ended: (conversationId: string) => void}} hooks
   *   the server has named it; a run of it has ended
   */
  constructor(client, conversationId, hooks) {
    this.#client = client;
    this.#hooks = hooks;
    this.state = emptySnapshot(conversationId ?? "");
    this.#acks = new Acknowledger((offset) => {
      client.tell(COMMANDS.ACK, { conversation_id: this.conversationId, offset });
      this.#count("acks");
    });
  }

  get conversationId() {
    return this.state.conversation_id || null;
  }

  get following() {
    return this.#phase === PHASE.FOLLOWING;
  }

  /** Where this reader stands, for `join`. */
  get position() {
    return this.state.epoch ? { epoch: this.state.epoch, offset: this.state.offset } : null;
  }

  // --- joining --------------------------------------------------------------------------------------------------------

  /**
   * Follow the conversation: as it stands now, or on from a place.
   * @param {import("./colloquy.d.ts").JoinOptions} [options]
   */
  join({ position, snapshot, since, ...view } = {}) {
    this.#view = view;
    let place = {};
    if (since) {
      this.#adopts = true;
      place = { since: since instanceof Date ? since.toISOString() : since };
    } else if (snapshot) {
      this.#replace(snapshot);
      place = { position: this.position };
    } else if (position) {
      const { epoch, offset } = position;
      if (epoch !== this.state.epoch || offset !== this.state.offset) this.#begin(epoch, offset);
      place = { position };
    }
    return this.follow(COMMANDS.JOIN, { conversation_id: this.conversationId, ...place, ...view });
  }

  /** Start it, or a new run of it, and follow it. @param {any} payload of start_stream */
  async start(payload) {
    const followed = this.following;
    this.#view = {};
    try {
      return await this.follow(COMMANDS.START_STREAM, payload);
    } catch (error) {
      if (followed && this.#phase === PHASE.IDLE) this.#rejoin(); // refused, for example because it runs: watch on
      throw error;
    }
  }

  /** For a further stream: as it stands, with what the streams before it have asked for. */
  async share() {
    if (this.#phase === PHASE.JOINING) await this.#joining;
    else if (this.#phase === PHASE.IDLE) await this.join(this.#view);
    const { conversation_id, epoch, offset } = this.state;
    return { ok: true, conversation_id, epoch, offset, recovered: false, snapshot: this.state };
  }

  /** Send a command that makes this connection a reader, and take its answer before anything that follows it. */
  follow(name, payload) {
    const joining = this.#follow(name, payload).finally(() => {
      if (this.#joining === joining) this.#joining = null;
    });
    this.#joining = joining;
    return joining;
  }

  async #follow(name, payload) {
    const turn = ++this.#turn;
    clearTimeout(this.#retryTimer);
    this.#phase = PHASE.JOINING;
    this.failure = null;
    const asked = { ...this.#client.delivery, ...payload };
    try {
      return await this.#client.request(name, asked, {
        onAck: (ack) => {
          if (turn === this.#turn) this.#joined(ack, asked.acks);
          else if (!payload.conversation_id) this.#hooks.named(this, ack.conversation_id); // nobody waits for it any more
        },
      });
    } catch (error) {
      if (turn === this.#turn && this.#phase === PHASE.JOINING) {
        this.#phase = PHASE.IDLE;
        this.#held = [];
        if (name === COMMANDS.JOIN && error.retryable === false) this.#giveUp(error);
      }
      throw error;
    }
  }

  #joined(ack, acking) {
    const held = this.#held;
    this.#held = [];
    this.#phase = PHASE.FOLLOWING;
    this.#acking = acking;
    this.#acks.forget();
    this.#hooks.named(this, ack.conversation_id);
    if (ack.snapshot) {
      this.#replace(ack.snapshot);
    } else if (this.#adopts) {
      this.#begin(ack.epoch, ack.offset);
    } else if (ack.epoch !== this.state.epoch || ack.offset !== this.state.offset) {
      this.#rejoin({ whole: true }); // recovered, but not from where we stand
      return;
    }
    this.#adopts = false;
    for (const { name, payload } of held) {
      if (this.#phase !== PHASE.FOLLOWING) return;
      // what came before the answer and does not follow on comes again after it
      if (payload.conversation_id === this.conversationId) this.#take(name, payload, { early: true });
    }
    this.#measured();
  }

  /** Join again from the last position; from a snapshot, when that has brought nothing forward. */
  #rejoin({ whole = false, attempt = 0 } = {}) {
    if (!this.conversationId || this.#client.connection !== CONNECTION.OPEN) return;
    const position = whole || this.#fruitless >= MAX_FRUITLESS_JOINS ? null : this.position;
    this.#fruitless = position ? this.#fruitless + 1 : 0;
    const place = position ? { position } : {};
    this.follow(COMMANDS.JOIN, { conversation_id: this.conversationId, ...place, ...this.#view }).catch((error) => {
      if (this.#phase !== PHASE.IDLE || this.readers.size === 0) return;
      if (this.failure) {
        for (const reader of [...this.readers]) reader.failed(error);
        return;
      }
      clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(
        () => this.#phase === PHASE.IDLE && this.#rejoin({ attempt: attempt + 1 }),
        RETRY_JOIN_MS[Math.min(attempt, RETRY_JOIN_MS.length - 1)],
      );
    });
  }

  /** The conversation cannot be followed any more: keep what has arrived. */
  #giveUp(error) {
    this.failure = error;
    if (error.code !== CODE.CONVERSATION_UNKNOWN) return;
    const before = this.state;
    if (!isRunning(before.status) && !before.messages.some((message) => message.state === "open")) return;
    this.state = interrupted(before, FORGOTTEN);
    for (const reader of [...this.readers]) reader.replaced(before);
  }

  // --- hearing --------------------------------------------------------------------------------------------------------

  /** Something has come for this conversation, or while its id is not known yet. @param {string} name @param {any} payload */
  hear(name, payload) {
    this.#acks.flush();
    if (name === EVENTS.RESYNC) {
      if (this.conversationId) this.#resync(payload.snapshot);
    } else if (payload.prev_offset === undefined) {
      if (this.conversationId) this.#hearTransient(name, payload);
    } else if (this.#phase === PHASE.JOINING) {
      if (this.#held.length < MAX_HELD_EVENTS) this.#held.push({ name, payload });
    } else if (this.#phase === PHASE.FOLLOWING) {
      this.#take(name, payload);
      this.#measured();
    }
  }

  /** Take an event, or those of a batch; when it is early, a hole is to be expected. */
  #take(name, payload, { early = false } = {}) {
    const batch = name === EVENTS.BATCH;
    if (batch) this.#count("batches");
    const { fresh, seen, offset, hole } = sortOut(this.state, batch ? payload.entries : [{ name, payload }], payload);
    if (!early) this.#count("duplicates", seen);
    if (this.#acking && (offset > this.state.offset || seen > 0)) this.#acks.received(offset, roughBytes(payload));
    const turn = this.#turn;
    for (const event of fresh) {
      this.#apply(event);
      if (turn !== this.#turn) return; // a hook has turned away, or joined again
    }
    if (offset > this.state.offset) this.state = { ...this.state, offset };
    if (hole && !early) {
      this.#count("gaps");
      this.#rejoin();
    }
  }

  #hearTransient(name, payload) {
    if (name === EVENTS.PRESENCE) {
      this.watchers = payload.watchers;
      for (const reader of [...this.readers]) reader.presence();
    } else if (name === EVENTS.HEARTBEAT && this.#phase === PHASE.FOLLOWING) {
      if (payload.epoch !== this.state.epoch) this.#rejoin();
      else this.#expect(payload.offset);
    }
  }

  /** The log's head is known to be at `offset`: if nothing comes, ask for it. */
  #expect(offset) {
    this.head = Math.max(offset, this.head);
    clearTimeout(this.#graceTimer);
    if (offset <= this.state.offset || this.#view.filter) return; // what is left out by a filter does not come
    const before = this.state.offset;
    this.#graceTimer = setTimeout(() => {
      if (this.#phase !== PHASE.FOLLOWING || this.state.offset >= offset) return;
      if (this.state.offset > before) {
        this.#expect(offset); // behind, but on its way
        return;
      }
      this.#count("gaps");
      this.#rejoin();
    }, HEARTBEAT_GRACE_MS);
    this.#graceTimer?.unref?.();
  }

  /** @param {string} connection */
  connectionChanged(connection) {
    if (connection === CONNECTION.OPEN && this.#phase === PHASE.IDLE && this.conversationId && !this.failure) {
      this.#rejoin();
    } else if (connection !== CONNECTION.OPEN) {
      this.#acks.forget();
      this.#fruitless = 0; // a lost connection says nothing about the position
      if (this.#phase === PHASE.FOLLOWING) this.#phase = PHASE.IDLE;
    }
    this.#measured();
  }

  /** Nobody follows any more. @returns {boolean} whether the server may count us among the readers */
  close() {
    const followed = this.#phase !== PHASE.IDLE;
    this.#turn += 1;
    this.#phase = PHASE.IDLE;
    this.#held = [];
    this.#acks.forget();
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#retryTimer);
    return followed;
  }

  // --- the state ------------------------------------------------------------------------------------------------------

  #apply(event) {
    const { name, payload } = event;
    const before = this.state;
    this.state = fold(before, event);
    this.head = Math.max(this.head, payload.offset);
    this.#fruitless = 0;
    const deliveryMs = Math.max(0, Date.now() + this.#client.clockSkewMs - Date.parse(payload.timestamp));
    for (const reader of [...this.readers]) {
      reader.meter.deliveryMs = deliveryMs;
      if (name === EVENTS.MESSAGE_DELTA) reader.meter.add(payload.tokens ?? 1, performance.now());
      reader.applied(before, event);
    }
    if (isTerminal(this.state.status) && this.state.status !== before.status) this.#hooks.ended(payload.conversation_id);
  }

  #resync(snapshot) {
    this.#turn += 1; // an answer to a join that is under way would be older
    this.#held = [];
    this.#phase = PHASE.FOLLOWING;
    this.#replace(snapshot);
    if (this.#acking) this.#acks.received(this.state.offset, roughBytes(snapshot));
    this.#measured();
  }

  /** From here on, and nothing of what was before. */
  #begin(epoch, offset) {
    this.#replace({ ...emptySnapshot(this.state.conversation_id), epoch, offset });
  }

  #replace(snapshot) {
    const before = this.state;
    this.state = { ...emptySnapshot(snapshot.conversation_id), ...snapshot };
    this.head = this.state.offset;
    this.#fruitless = 0;
    for (const reader of [...this.readers]) reader.replaced(before);
    if (isTerminal(this.state.status)) this.#hooks.ended(snapshot.conversation_id);
  }

  #count(figure, by = 1) {
    for (const { meter } of this.readers) meter[figure] += by;
  }

  #measured() {
    for (const reader of [...this.readers]) reader.measured();
  }
}
