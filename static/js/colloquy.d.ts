/** Types of Colloquy's client. The wire contract behind them: docs/protocol.md. */

export type Status = "idle" | "initializing" | "active" | "paused" | "completed" | "stopped" | "error";
export type ContentType = "text" | "article" | "url";
export type Role = "user" | "agent" | "system";
/** words for the others, or an orchestrator's plan or ledger, or an agent's thinking */
export type MessageKind = "message" | "facts" | "plan" | "ledger" | "thought";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  /** the provider gave no figures; received deltas were counted */
  estimated: boolean;
  /** in US dollars; null: no price is known */
  cost_usd: number | null;
}

export interface AgentCard {
  name: string;
  description: string;
  emoji: string;
}

export interface Position {
  epoch: string;
  offset: number;
}

export interface MessageView {
  message_id: string;
  agent: string;
  role: Role;
  content: string;
  content_type: string;
  kind: MessageKind;
  state: "open" | "complete" | "partial";
  confidence: number | null;
  usage: Usage | null;
  model: string | null;
  /** why it broke off */
  reason: string | null;
  /** what the model read was condensed to its context */
  truncated: boolean;
  /** the reply has reached the length that it may have, and ends there */
  cut_off: boolean;
  demo: boolean;
  feedback: string | null;
  /** time of the last `message_updated` */
  updated_at: string | null;
  updated_by: string | null;
  timestamp: string;
}

export interface ProgressView {
  current_turn: number;
  max_turns: number | null;
  percentage: number | null;
  message: string | null;
}

export interface OutcomeView {
  consensus: string | null;
  summary: string | null;
  reason: string | null;
}

export interface ErrorView {
  error: string;
  code: string;
  retryable: boolean;
  fallback_mode: boolean;
  recovering: boolean;
}

export interface FallbackView {
  mode: "provider" | "demo";
  reason: string;
  from: string | null;
  to: string | null;
}

export type ToolFailure = "failed" | "timeout" | "unavailable" | "not_found" | "refused";

export interface ToolCallView {
  call_id: string;
  agent: string;
  tool: string;
  arguments: string;
  /** null while it runs */
  success: boolean | null;
  /** why it failed; null: it did not */
  code: ToolFailure | null;
  preview: string;
}

export interface ChartView {
  chart_id: string;
  url: string;
  symbol: string;
  title: string;
  agent: string | null;
  /** when it came */
  timestamp: string;
}

/** An agent waits for a person. */
export interface InputView {
  request_id: string;
  agent: string;
  prompt: string;
  kind: "text" | "permission";
  /** what is typed is not to be shown */
  secret: boolean;
  /** UTC, ISO 8601; after it the run goes on without */
  deadline: string | null;
}

/** A message that the server has taken while agents talk: it is said when they have finished. */
export interface QueuedView {
  /** for `unqueue`; it keeps it when it is said */
  message_id: string;
  content: string;
  content_type: ContentType;
  /** who has sent it */
  by: string;
  timestamp: string;
}

/** Everything that a page needs to draw a conversation, as it stands at (epoch, offset). */
export interface Snapshot {
  conversation_id: string;
  epoch: string;
  offset: number;
  title: string;
  team: string;
  content_type: ContentType;
  created_at: string;
  status: Status;
  session_id: string | null;
  agents: AgentCard[];
  model: string | null;
  demo: boolean;
  speaking: string | null;
  messages: MessageView[];
  omitted_messages: number;
  progress: ProgressView;
  outcome: OutcomeView | null;
  error: ErrorView | null;
  fallback: FallbackView | null;
  usage: Usage;
  /** of the latest run, the last 100 */
  tool_calls: ToolCallView[];
  /** the last 100 */
  charts: ChartView[];
  pending_inputs: InputView[];
  /** messages that wait for their turn, oldest first */
  queued: QueuedView[];
}

/** What every logged event carries. */
export interface Envelope extends Position {
  conversation_id: string;
  prev_offset: number;
  /** UTC, ISO 8601 */
  timestamp: string;
  demo: boolean;
}

interface Stamped {
  timestamp: string;
}

/** Payloads by event name. */
export interface EventPayloads {
  conversation_status: Envelope & {
    status: Status;
    session_id: string;
    team: string;
    agents: AgentCard[];
    model: string | null;
    code: string | null;
    reason: string | null;
    usage: Usage | null;
  };
  agent_step: Envelope & { agent: string; emoji: string; turn: number; max_turns: number | null };
  message_start: Envelope & { message_id: string; agent: string; role: Role; kind: MessageKind };
  message_delta: Envelope & { message_id: string; agent: string; delta: string; tokens: number };
  agent_message: Envelope & Omit<MessageView, "state" | "feedback" | "updated_at" | "updated_by"> & { partial: boolean };
  message_reset: Envelope & { message_id: string; agent: string; reason: string };
  /** without offset while a team is silent: then with silent_s, and not part of the log */
  progress: (Envelope & ProgressView) | (Stamped & ProgressView & { conversation_id: string; silent_s: number });
  conversation_complete: Envelope & OutcomeView & { usage: Usage };
  conversation_error: Envelope & ErrorView;
  fallback_mode: Envelope & FallbackView;
  message_updated: Envelope & {
    message_id: string;
    agent: string;
    changes: Partial<Omit<MessageView, "message_id">>;
    /** null: the run itself */
    updated_by: string | null;
  };
  tool_call: Envelope & { call_id: string; agent: string; tool: string; arguments: string };
  tool_result: Envelope & { call_id: string; agent: string; tool: string; success: boolean; code: ToolFailure | null; preview: string };
  chart_generated: Envelope & ChartView;
  input_request: Envelope & InputView;
  input_resolved: Envelope & {
    request_id: string;
    resolution: "answered" | "granted" | "denied" | "timeout" | "cancelled";
    by: string | null;
    /** null: there is none, or it is a secret */
    content: string | null;
  };
  message_queued: Envelope & { message_id: string; content: string; content_type: ContentType; by: string };
  message_unqueued: Envelope & { message_id: string; by: string };
  conversation_updated: Envelope & { changes: { title?: string }; updated_by: string | null };
  /** what the agents' framework has told in its own words; everything in it that concerns a page comes as another event */
  framework_event: Envelope & { framework: string; event: Record<string, unknown>; said: boolean };
  connected: Stamped & { sid: string; protocol: number; server: string; user: string; heartbeat_s: number };
  presence: Stamped & { conversation_id: string; watchers: number };
  heartbeat: Stamped & Position & { conversation_id: string; status: Status };
  resync: Stamped & { conversation_id: string; reason: string; snapshot: Snapshot };
  /** the client unpacks it: `ConversationStream.on` hears its entries */
  batch: Stamped &
    Position & { conversation_id: string; prev_offset: number; entries: { name: LoggedEventName; payload: Envelope }[] };
  /** the client asks its `auth` function for a new token by itself */
  auth_expiring: Stamped & { expires_at: string };
  /** the connection ends with this; with `refresh`, the client comes back by itself with a fresh token */
  signed_out: Stamped & {
    code: "token_expired" | "revoked" | "signed_out";
    message: string;
    action: "refresh" | "sign_in";
  };
  /** nothing more of this conversation follows */
  access_ended: Stamped & { conversation_id: string; message: string };
  conversation_deleted: Stamped & { conversation_id: string };
  storage: Stamped & { state: "ok" | "unavailable"; message: string | null; waiting: number };
  broadcast: Stamped & { message: string; level: "info" | "warning" | "error" };
}

export type LoggedEventName =
  | "conversation_status"
  | "agent_step"
  | "message_start"
  | "message_delta"
  | "agent_message"
  | "message_reset"
  | "progress"
  | "conversation_complete"
  | "conversation_error"
  | "fallback_mode"
  | "message_updated"
  | "tool_call"
  | "tool_result"
  | "chart_generated"
  | "input_request"
  | "input_resolved"
  | "message_queued"
  | "message_unqueued"
  | "conversation_updated"
  | "framework_event";

/** A message that a person has typed, and that waits to be sent. */
export interface QueuedMessage {
  /** by which the server knows it again; for `cancel` */
  client_id: string;
  kind: "message" | "start";
  /** null: a new conversation */
  conversation_id: string | null;
  content: string;
  content_type: ContentType;
  /** UTC, ISO 8601 */
  queued_at: string;
}

export interface QueueChange {
  /** oldest first */
  queued: readonly QueuedMessage[];
  /** a message that had waited, and that the server did not take */
  refused: { message: QueuedMessage; error: ColloquyError } | null;
}

export interface ClientEventPayloads {
  /** also when an attempt came to nothing, with the state unchanged: see `lastError` */
  "client:connection": ConnectionState;
  "client:latency": number;
  "client:queue": QueueChange;
}

export interface RunOptions {
  /** 0: unlimited */
  tokens_per_s?: number | null;
  max_turns?: number | null;
  /** tokens that this run may spend with models, prompts included */
  max_tokens?: number | null;
  word_delay_ms?: number | null;
}

export interface JoinAck {
  ok: true;
  conversation_id: string;
  epoch: string;
  offset: number;
  recovered: boolean;
  snapshot: Snapshot | null;
}

export interface StartAck extends JoinAck {
  session_id: string;
  status: Status;
}

export interface ControlAck {
  ok: true;
  conversation_id: string;
  session_id: string;
  status: Status;
}

export interface SendAck extends ControlAck {
  /** it waits until the agents have finished: see `state.queued` */
  queued: boolean;
  /** its place among those that wait, from 1 */
  place: number | null;
  /** by which it can be taken back */
  message_id: string | null;
}

export interface ProvideInputAck {
  ok: true;
  conversation_id: string;
  request_id: string;
  resolution: "answered" | "granted" | "denied";
}

export interface UnqueueAck {
  ok: true;
  conversation_id: string;
  message_id: string;
}

export interface StopAck extends ControlAck {
  tokens: Usage;
}

/** From where to follow, and what of it. At most one of position, snapshot and since; none: as it stands. */
export interface JoinOptions {
  /** on from here; what was before is not known */
  position?: Position | null;
  /** on from a state that was kept, for example over a reload */
  snapshot?: Snapshot | null;
  /** what was logged from then on, as far as it is kept; a string with its time zone */
  since?: Date | string | null;
  /** only these events; status, errors and the end always come */
  filter?: { types?: LoggedEventName[]; roles?: Role[]; agents?: string[] } | null;
  /** 0: live; else the events of so many ms come together */
  batch_ms?: number;
  /** whole messages come as `message_updated`, with only what their deltas did not say */
  changes_only?: boolean;
}

export interface StartPayload {
  team: string;
  content: string;
  content_type?: ContentType;
  /** continue this one; it must have ended */
  conversation_id?: string | null;
  options?: RunOptions;
  /** your own id of this start, by which the server knows it again; default: a random one */
  client_id?: string;
}

export type ConnectionState = "closed" | "opening" | "open" | "reopening";

export interface ClientOptions {
  /** socket.io-client's `io`; default: static/vendor in a page, npm in Node.js */
  io?: (url: string, options: object) => any;
  /** default: DEFAULT_URL */
  url?: string;
  /**
   * Who we are: a token, or an object to send along; or a function that gives one, which may be async. It is called before
   * each attempt to connect, and when the server says that the token ends soon or is not good any more. If it throws, that
   * is tried again, as a server that does not answer is; not, if what it throws says `retryable: false`.
   */
  auth?: string | object | (() => string | object | Promise<string | object>);
  /** called when the server has ended the sign-in and no new token can be had: the client is closed, sign in again */
  signedOut?: (event: EventPayloads["signed_out"]) => void;
  /** default: websocket first, then polling */
  transports?: string[];
  /** for each command, in ms; default 15000 */
  timeoutMs?: number;
  /** in ms; 0: never; default 10000 */
  pingIntervalMs?: number;
  /** the first wait before a connection is opened again, and the longest, in ms; of each, half to all at random */
  reconnectionDelayMs?: number;
  reconnectionDelayMaxMs?: number;
  /** messages that may wait for the connection; default 100; one more is refused with `queue_full` */
  maxQueued?: number;
  /** tell the server what has arrived; default true */
  acks?: boolean;
  /** catch up in batches; default true */
  batch?: boolean;
}

export class ColloquyError extends Error {
  constructor(error: { code: string; message: string; retryable?: boolean });
  /** the server's stable code, or the client's own: docs/clients/javascript.md has them */
  readonly code: string;
  readonly retryable: boolean;
}

export class ColloquyClient {
  constructor(options?: ClientOptions);
  readonly url: string;
  readonly connection: ConnectionState;
  readonly transport: string | null;
  readonly latencyMs: number | null;
  readonly clockSkewMs: number;
  readonly reconnects: number;
  readonly lastError: ColloquyError | null;
  /** what waits to be sent, oldest first */
  readonly queued: readonly QueuedMessage[];
  /** what each `join` asks for */
  readonly delivery: { acks: boolean; batch: boolean };
  connect(): Promise<void>;
  disconnect(): void;
  on<Name extends keyof EventPayloads>(name: Name, handler: (payload: EventPayloads[Name]) => void): () => void;
  on<Name extends keyof ClientEventPayloads>(
    name: Name,
    handler: (payload: ClientEventPayloads[Name]) => void,
  ): () => void;
  on(name: "*", handler: (payload: any, name: string) => void): () => void;
  off(name: string, handler: Function): void;
  request(name: string, payload?: object, options?: { timeoutMs?: number; onAck?: (ack: any) => void }): Promise<any>;
  /** fire and forget; dropped without a connection */
  tell(name: string, payload: object): void;
  /** take a message out of the queue; false: it is not there, or just being sent */
  cancel(clientId: string): boolean;
  ping(): Promise<number>;
  /** a tool's whole answer by its `artifact_id`, or a chart by its `url`, with this connection's credentials */
  artifact(conversationId: string, artifact: string): Promise<Blob>;
}

export interface StreamMetrics {
  /** model deltas received live */
  tokens: number;
  /** over the last five seconds */
  tokensPerS: number;
  /** round trip of the last ping */
  latencyMs: number | null;
  /** age of the last event when it arrived, with the clocks' difference taken out */
  deliveryMs: number | null;
  offset: number;
  epoch: string;
  /** events that the server is known to have beyond `offset` */
  behind: number;
  reconnects: number;
  /** holes that were noticed, and closed by joining again */
  gaps: number;
  /** events that came again, and were dropped */
  duplicates: number;
  /** acknowledgements that were sent */
  acks: number;
  /** `batch` events that came */
  batches: number;
  /** messages of this conversation that wait for the connection */
  queued: number;
  errors: number;
}

/** What has changed since the last drawing. */
export interface RenderChanges {
  /** a snapshot has replaced everything */
  whole: boolean;
  /** ids of messages whose text or fields changed */
  messages: ReadonlySet<string>;
  /** names of the events that came */
  events: ReadonlySet<string>;
}

export interface StreamHooks {
  onState?: ((status: Status, state: Snapshot) => void) | null;
  onText?: ((messageId: string, text: string, message: MessageView) => void) | null;
  onMessage?: ((message: MessageView) => void) | null;
  onError?: ((error: EventPayloads["conversation_error"] | ColloquyError) => void) | null;
  /** at most five times per second */
  onMetrics?: ((metrics: StreamMetrics) => void) | null;
  /** after each event; with null after a snapshot has replaced everything */
  onChange?: ((state: Snapshot, event: { name: string; payload: any } | null) => void) | null;
  /** draw: at most once per animation frame, a few times per second in a hidden tab */
  onRender?: ((state: Snapshot, changes: RenderChanges) => void) | null;
  onPresence?: ((watchers: number) => void) | null;
  /** this conversation's messages that wait to be sent, and one that was refused, if it is this that changed */
  onQueue?: ((queued: readonly QueuedMessage[], refused: QueueChange["refused"]) => void) | null;
  /** whom the agents wait for has changed: `state.pending_inputs` */
  onInput?: ((pending: readonly InputView[]) => void) | null;
  /** what the server keeps until the agents have finished has changed: `state.queued` */
  onQueued?: ((queued: readonly QueuedView[]) => void) | null;
}

/** One conversation. Several streams of one client may show the same one: the last that leaves it leaves it. */
export class ConversationStream implements StreamHooks {
  constructor(client: ColloquyClient, hooks?: StreamHooks);
  readonly state: Snapshot;
  readonly conversationId: string | null;
  readonly status: Status;
  readonly following: boolean;
  readonly position: Position | null;
  readonly watchers: number | null;
  readonly failure: ColloquyError | null;
  readonly queued: readonly QueuedMessage[];
  readonly metrics: StreamMetrics;
  onState: StreamHooks["onState"];
  onText: StreamHooks["onText"];
  onMessage: StreamHooks["onMessage"];
  onError: StreamHooks["onError"];
  onMetrics: StreamHooks["onMetrics"];
  onChange: StreamHooks["onChange"];
  onRender: StreamHooks["onRender"];
  onPresence: StreamHooks["onPresence"];
  onQueue: StreamHooks["onQueue"];
  onInput: StreamHooks["onInput"];
  onQueued: StreamHooks["onQueued"];
  /** logged events of this conversation, in order and without doubles, when `state` has taken them in */
  on<Name extends LoggedEventName>(name: Name, handler: (payload: EventPayloads[Name]) => void): () => void;
  on(name: "*", handler: (payload: any, name: LoggedEventName) => void): () => void;
  off(name: string, handler: Function): void;
  text(messageId: string): string | null;
  join(conversationId: string, options?: JoinOptions): Promise<JoinAck>;
  start(payload: StartPayload): Promise<StartAck>;
  pause(): Promise<ControlAck>;
  resume(): Promise<ControlAck>;
  stop(): Promise<StopAck>;
  /** go on with a run that was stopped or broke off, or with what waits */
  continue(): Promise<SendAck>;
  /** the next user turn; while agents talk the server keeps it, without a connection it waits here */
  send(content: string, contentType?: ContentType): Promise<SendAck>;
  /** take back what the server keeps: one of `state.queued` */
  unqueue(messageId: string): Promise<UnqueueAck>;
  /** answer an agent: one of `state.pending_inputs`; a text, or whether a permission is granted */
  provideInput(requestId: string, answer: string | boolean, options?: { client_id?: string }): Promise<ProvideInputAck>;
  leave(): Promise<void>;
  close(): Promise<void>;
}

export const DEFAULT_URL: string;
export const CONNECTION: Readonly<Record<"CLOSED" | "OPENING" | "OPEN" | "REOPENING", ConnectionState>>;
export const CLIENT_EVENTS: Readonly<{ CONNECTION: "client:connection"; LATENCY: "client:latency"; QUEUE: "client:queue" }>;
export function emptySnapshot(conversationId: string): Snapshot;
export function fold(
  state: Snapshot,
  event: { name: string; payload: any },
  bounds?: { maxMessages?: number; maxChars?: number },
): Snapshot;
/** What is left of a run that the server has forgotten: open messages are partial, the status is `error`. */
export function interrupted(state: Snapshot, sentence: string): Snapshot;
/** Run a task in the next animation frame, once, however often it is asked for; a little later in a hidden tab. */
export function perFrame(task: () => void): () => void;
export function isTerminal(status: string): boolean;
export function isRunning(status: string): boolean;

export const PROTOCOL_VERSION: number;
export const NAMESPACE: string;
export const COMMANDS: Readonly<Record<string, string>>;
export const EVENTS: Readonly<{ [Name in keyof EventPayloads as Uppercase<Name>]: Name }>;
export const LOGGED_EVENTS: readonly string[];
export const STATUS: Readonly<{ [Name in Status as Uppercase<Name>]: Name }>;
export const CONTENT_TYPES: Readonly<{ [Name in ContentType as Uppercase<Name>]: Name }>;
export const COMMAND_SCHEMAS: Readonly<Record<string, any>>;
