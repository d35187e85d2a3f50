import type { RoutePlan } from './llm-router-types.js';

/** One message of a conversation, in OpenAI's shape; unknown fields pass through. */
export interface ChatMessage {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content: string | { type: string; [k: string]: unknown }[] | null;
  [k: string]: unknown;
}

/** OpenAI's chat-completion request; unknown fields pass through. `maxTokens`/`topP` are accepted beside their snake_case names. */
export interface ChatRequest {
  /** A public model name, for example `smollm2-135m`. */
  model: string;
  /** At least one. */
  messages: ChatMessage[];
  /** 0 to 2. */
  temperature?: number;
  /** Most tokens of the answer, at least 1. */
  maxTokens?: number;
  /** 0 to 1. */
  topP?: number;
  /** At most four. */
  stop?: string | string[];
  tools?: unknown[];
  response_format?: unknown;
  [k: string]: unknown;
}

/** One try at one endpoint. */
export interface Attempt {
  endpoint: string;
  /** The model as the endpoint calls it. */
  model: string;
  /** `resumed`: it went on with an answer that another attempt had begun. */
  outcome: 'ok' | 'error' | 'timeout' | 'cancelled' | 'resumed';
  /** HTTP status, where one arrived. */
  status?: number;
  error?: string;
  /** Milliseconds until the first content. */
  firstTokenMs?: number;
  totalMs: number;
}

/** How a request travelled. */
export interface RoutingReport {
  requestId: string;
  /** The model as the caller named it. */
  model: string;
  /** The endpoint that answered; of an answer from the cache, the one that gave it first. */
  endpoint: string;
  /**
   * `hit`: the response cache answered, or another call that asked the same at the same time. `miss`: it was asked and had
   * no answer. `bypass`: it was not asked, because it is switched off, the caller said `cache: false`, or the request may be
   * answered differently each time (a temperature other than 0 without `cache: true`, or several choices).
   */
  cache: 'hit' | 'miss' | 'bypass';
  /** In order; the last one answered. Empty where the cache did. */
  attempts: Attempt[];
  /**
   * Fields of the request that the endpoint was not told, because its dialect has no word for them and the answer means the
   * same without; absent if there are none. A field that does change the meaning is refused instead.
   */
  dropped?: string[];
  /** Microseconds spent in this package rather than waiting for the endpoint. */
  overheadUs: number;
  /** Why this model was asked, where {@link LLMRouter} chose it. */
  plan?: RoutePlan;
}

/** OpenAI's chat completion plus the first choice's text and the routing report; unknown fields pass through. */
export interface ChatResponse {
  id: string;
  model: string;
  choices: { index: number; message: ChatMessage; finish_reason: string }[];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
  /** Text of the first choice. */
  content: string;
  routing: RoutingReport;
  [k: string]: unknown;
}

/** One piece of a streamed answer, in OpenAI's shape; unknown fields pass through. The last one carries `routing`. */
export interface ChatChunk {
  choices: { index: number; delta: Partial<ChatMessage>; finish_reason: string | null }[];
  usage?: ChatResponse['usage'];
  routing?: RoutingReport;
  [k: string]: unknown;
}

/** The shapes of uat.toml; every section optional. */
export interface GatewayConfig {
  endpoints?: Record<string, unknown>[];
  models?: Record<string, unknown>[];
  routing?: Record<string, unknown>;
  cache?: Record<string, unknown>;
  redis?: Record<string, unknown>;
  engine?: Record<string, unknown>;
  voice?: Record<string, unknown>;
  gpu?: Record<string, unknown>;
  parameters?: Record<string, unknown>;
  context_providers?: Record<string, unknown>[];
  [section: string]: unknown;
}

/** The vectors of {@link FastLLMCoordinator.embed}. */
export interface EmbedResponse {
  /** One for each text, in their order. */
  embeddings: Float32Array[];
  /** Tokens of all texts together, as the endpoint counted them; 0 where it does not count. */
  usage: { prompt_tokens: number };
}

/** What passive observation says of one endpoint. */
export interface EndpointHealth {
  endpoint: string;
  state: 'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined';
  /** Milliseconds to the first content, peak-sensitive moving average; 0 before the first observation. */
  ewmaFirstTokenMs: number;
  /** Requests under way. */
  inFlight: number;
  /** Share of recent attempts that failed, 0 to 1. */
  errorRate: number;
  lastError?: string;
  /** How the state has changed, oldest first; at most the last 16 changes. */
  history: StateChange[];
}

/** A change of an endpoint's state. */
export interface StateChange {
  /** Milliseconds since 1970. */
  at: number;
  from: EndpointHealth['state'];
  to: EndpointHealth['state'];
  /** Why, for people; nothing of a request in it. */
  reason: string;
}

/** Counters since the coordinator was made. */
export interface CoordinatorStats {
  requests: number;
  /** Requests that ended in an error. */
  errors: number;
  /** Times another endpoint was asked after one had failed. */
  failovers: number;
  /** Streams that broke off and were continued, without a word lost or said twice. */
  resumes: number;
  /** Requests that were sent to a second endpoint because the first took long; none, as long as that is not configured. */
  hedges: number;
  /** Calls that the response cache answered, or another call that asked the same at the same time. */
  cacheHits: number;
  /** Calls that the response cache was asked for in vain. */
  cacheMisses: number;
  /** Requests under way. */
  inFlight: number;
  /** Microseconds spent in this package rather than waiting for endpoints. */
  p50OverheadUs: number;
  p99OverheadUs: number;
}

/** Options of {@link FastLLMCoordinator.route}. */
export interface RouteCallOptions {
  /** Aborting ends the call with `UAT_CANCELLED` and closes the upstream connection. */
  signal?: AbortSignal;
  /**
   * `true`: the response cache may answer, whatever the temperature, and keeps the answer. `false`: it is not used. Absent:
   * it is used where the temperature is 0.
   */
  cache?: boolean;
  /** Milliseconds until the call ends with `UAT_TIMEOUT`; the endpoints' own timeouts hold besides. */
  timeoutMs?: number;
}

/** Options of {@link FastLLMCoordinator.stream}. */
export type StreamCallOptions = RouteCallOptions;

/** Options of {@link FastLLMCoordinator.embed}. */
export type EmbedCallOptions = Pick<RouteCallOptions, 'signal'>;
