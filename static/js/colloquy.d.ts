/** Types of Colloquy's client. The wire contract behind them: docs/protocol.md. */

export type Status = "idle" | "initializing" | "active" | "paused" | "completed" | "stopped" | "error";
export type ContentType = "text" | "article" | "url";
export type Role = "user" | "agent" | "system";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  /** the provider gave no figures; received deltas were counted */
  estimated: boolean;
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
  state: "open" | "complete" | "partial";
  confidence: number | null;
  usage: Usage | null;
  model: string | null;
  /** why it broke off */
  reason: string | null;
  /** what the model read was condensed to its context */
  truncated: boolean;
  demo: boolean;
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
  message_start: Envelope & { message_id: string; agent: string; role: Role };
  message_delta: Envelope & { message_id: string; agent: string; delta: string; tokens: number };
  agent_message: Envelope & Omit<MessageView, "state"> & { partial: boolean };
  message_reset: Envelope & { message_id: string; agent: string; reason: string };
  /** without offset while a team is silent: then with silent_s, and not part of the log */
  progress: (Envelope & ProgressView) | (Stamped & ProgressView & { conversation_id: string; silent_s: number });
  conversation_complete: Envelope & OutcomeView & { usage: Usage };
  conversation_error: Envelope & ErrorView;
  fallback_mode: Envelope & FallbackView;
  connected: Stamped & { protocol: number; server: string; user: string; heartbeat_s: number };
  presence: Stamped & { conversation_id: string; watchers: number };
  heartbeat: Stamped & Position & { conversation_id: string; status: Status };
  resync: Stamped & { conversation_id: string; reason: string; snapshot: Snapshot };
  broadcast: Stamped & { message: string; level: "info" | "warning" | "error" };
}

export interface ClientEventPayloads {
  "client:connection": ConnectionState;
  "client:latency": number;
}

export interface RunOptions {
  /** 0: unlimited */
  tokens_per_s?: number | null;
  max_turns?: number | null;
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

export interface StopAck extends ControlAck {
  tokens: Usage;
}

export interface StartPayload {
  team: string;
  content: string;
  content_type?: ContentType;
  /** continue this one; it must have ended */
  conversation_id?: string | null;
  options?: RunOptions;
}

export type ConnectionState = "closed" | "opening" | "open" | "reopening";

export interface ClientOptions {
  /** socket.io-client's `io`; default: static/vendor in a page, npm in Node.js */
  io?: (url: string, options: object) => any;
  /** default: DEFAULT_URL */
  url?: string;
  /** what Socket.IO sends along when it connects */
  auth?: object | ((send: (auth: object) => void) => void);
  /** default: websocket first, then polling */
  transports?: string[];
  /** for each command, in ms; default 15000 */
  timeoutMs?: number;
  /** in ms; 0: never; default 10000 */
  pingIntervalMs?: number;
  /** shortest and longest wait before a connection is opened again, in ms; halved to one and a half times at random */
  reconnectionDelayMs?: number;
  reconnectionDelayMaxMs?: number;
}

export class ColloquyError extends Error {
  constructor(error: { code: string; message: string; retryable?: boolean });
  /** the server's stable code, or `timeout`, `disconnected`, `not_connected`, `unreachable`, `bad_ack` */
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
  ping(): Promise<number>;
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
  reconnects: number;
  gaps: number;
  duplicates: number;
  errors: number;
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
  onPresence?: ((watchers: number) => void) | null;
}

/** One conversation. Do not follow the same conversation with two streams of one client: leaving one leaves both. */
export class ConversationStream implements StreamHooks {
  constructor(client: ColloquyClient, hooks?: StreamHooks);
  readonly state: Snapshot;
  readonly conversationId: string | null;
  readonly status: Status;
  readonly following: boolean;
  readonly position: Position | null;
  readonly watchers: number | null;
  readonly failure: ColloquyError | null;
  readonly metrics: StreamMetrics;
  onState: StreamHooks["onState"];
  onText: StreamHooks["onText"];
  onMessage: StreamHooks["onMessage"];
  onError: StreamHooks["onError"];
  onMetrics: StreamHooks["onMetrics"];
  onChange: StreamHooks["onChange"];
  onPresence: StreamHooks["onPresence"];
  text(messageId: string): string | null;
  join(conversationId: string, position?: Position | null): Promise<JoinAck>;
  start(payload: StartPayload): Promise<StartAck>;
  pause(): Promise<ControlAck>;
  resume(): Promise<ControlAck>;
  stop(): Promise<StopAck>;
  send(content: string, contentType?: ContentType): Promise<ControlAck>;
  leave(): Promise<void>;
  close(): Promise<void>;
}

export const DEFAULT_URL: string;
export const CONNECTION: Readonly<Record<"CLOSED" | "OPENING" | "OPEN" | "REOPENING", ConnectionState>>;
export const CLIENT_EVENTS: Readonly<{ CONNECTION: "client:connection"; LATENCY: "client:latency" }>;
export function emptySnapshot(conversationId: string): Snapshot;
export function fold(
  state: Snapshot,
  event: { name: string; payload: any },
  bounds?: { maxMessages?: number },
): Snapshot;
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
