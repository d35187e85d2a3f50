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
  /** The endpoint that answered. */
  endpoint: string;
  cache: 'hit' | 'miss' | 'bypass';
  /** In order; the last one answered. */
  attempts: Attempt[];
  /** Microseconds spent in this package rather than waiting for the endpoint. */
  overheadUs: number;
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
}

/** Counters since the coordinator was made. */
export interface CoordinatorStats {
  requests: number;
  /** Requests that ended in an error. */
  errors: number;
  /** Times another endpoint was asked after one had failed. */
  failovers: number;
  resumes: number;
  hedges: number;
  cacheHits: number;
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
  /** Whether the response cache may answer. */
  cache?: boolean;
  /** Milliseconds until the call ends with `UAT_TIMEOUT`; the endpoints' own timeouts hold besides. */
  timeoutMs?: number;
}

/** Options of {@link FastLLMCoordinator.stream}. */
export type StreamCallOptions = Omit<RouteCallOptions, 'cache'>;

/** Options of {@link FastLLMCoordinator.embed}. */
export type EmbedCallOptions = Pick<RouteCallOptions, 'signal'>;
