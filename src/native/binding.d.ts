/* Generated from crates/node-addon by scripts/package.mjs; not edited by hand. */

/** One try at one endpoint. */
export declare interface Attempt {
  /** Its name. */
  endpoint: string
  /** The model's name there. */
  model: string
  /** How it ended. */
  outcome: 'ok' | 'error' | 'timeout' | 'cancelled'
  /** HTTP status. */
  status?: number
  /** Why it failed. */
  error?: string
  /** Milliseconds. */
  firstTokenMs?: number
  /** Milliseconds. */
  totalMs: number
}

/**
 * Cancels one call. napi takes an `AbortSignal` only for work on its thread pool, not for futures; the wrapper drives
 * this from the signal's event.
 */
export declare class CancelHandle {
  /** For one call. */
  constructor()
  /** Ends the call with `UAT_CANCELLED` and closes its upstream connection. Idempotent. */
  cancel(): void
}

/**
 * A streamed answer. A task reads it ahead, at most [`READ_AHEAD`] chunks, and closes the connection as soon as the
 * call is cancelled, whether or not somebody waits in `next` then.
 */
export declare class ChatStream {
  /** The next chunks as one JSON array in UTF-8; null once the answer is whole. */
  next(): Promise<Buffer | null>
  /** How the request travelled. Throws before `next` has resolved to null. */
  report(): RoutingReport
}

/** A whole answer. */
export declare interface Completion {
  /** OpenAI's completion object as JSON in UTF-8. */
  body: Buffer
  /** How the request travelled. */
  routing: RoutingReport
}

/** Counts since the start. */
export declare interface CoordinatorStats {
  /** Accepted. */
  requests: number
  /** Ended in an error. */
  errors: number
  /** Attempts beyond the first of a request. */
  failovers: number
  /** Streams continued elsewhere. */
  resumes: number
  /** Sent twice. */
  hedges: number
  /** Answers from the response cache. */
  cacheHits: number
  /** Questions that it could not answer. */
  cacheMisses: number
  /** Under way. */
  inFlight: number
  /** Microseconds. */
  p50OverheadUs: number
  /** Microseconds. */
  p99OverheadUs: number
}

/** Outcomes as they cross: three numbers and a value each. */
export declare interface Drained {
  /** Who waits, what came, and how long it lives in ms. */
  numbers: Float64Array
  /** The values. */
  values: unknown[]
}

/** The vectors of some texts. */
export declare interface Embeddings {
  /** One for each text, in their order. */
  embeddings: Array<Float32Array>
  /** Of all texts together, as the endpoint counted them. */
  promptTokens: number
}

/** What is known of one endpoint. */
export declare interface EndpointHealth {
  /** Its name. */
  endpoint: string
  /** Whether it is asked. */
  state: 'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'
  /** Milliseconds. */
  ewmaFirstTokenMs: number
  /** Requests under way. */
  inFlight: number
  /** 0 to 1. */
  errorRate: number
  /** The last reason for which it counted as failed. */
  lastError?: string
}

/** The coordinator of the core. */
export declare class FastLlmCoordinator {
  /** Only validates: starts no process and opens no connection. */
  constructor(options: FastLlmCoordinatorOptions)
  /** Asks for a whole answer. `request` is a chat-completion request as JSON in UTF-8. */
  route(request: Uint8Array, cancel?: CancelHandle | undefined | null, timeoutMs?: number | undefined | null): Promise<Completion>
  /** Asks for one vector for each of the texts. */
  embed(model: string, input: Array<string>, cancel?: CancelHandle | undefined | null, timeoutMs?: number | undefined | null): Promise<Embeddings>
  /** Asks for a streamed answer; resolves when its first content is there. `request` says `"stream": true`. */
  stream(request: Uint8Array, cancel: CancelHandle, timeoutMs?: number | undefined | null): Promise<ChatStream>
  /** What is known of each endpoint. */
  health(): Array<EndpointHealth>
  /** Counts since the start. */
  stats(): CoordinatorStats
  /** Ends the calls that are under way and lets the engine go. */
  close(): Promise<undefined>
}

/** Where the configuration comes from, and the engine. */
export declare interface FastLlmCoordinatorOptions {
  /** A file in the form of uat.toml. */
  configPath?: string
  /** The same as one JSON document; with neither, `UAT_CONFIG`, `./uat.toml` or the defaults. */
  configJson?: string
  /** Folders in which the engine may lie besides the usual places. */
  engineSearch: Array<string>
}

/** What JavaScript passes; the wrapper has filled in the defaults. */
export declare interface RedisOptions {
  /** The address; absent for the embedded tier. */
  url?: string
  /** See `Options` of the crate redis-service, as are the following. */
  maxConnections: number
  /** Goes before every key. */
  keyPrefix: string
  /** Whether JavaScript keeps values that it reads, so that it wants to know what changes. */
  nearCache: boolean
  /** Bytes kept while Redis is away. */
  fallbackMaxBytes: number
  /** Milliseconds. */
  connectTimeoutMs: number
  /** Milliseconds. */
  commandTimeoutMs: number
  /** Milliseconds. */
  readBudgetMs: number
}

/** The service of the core. */
export declare class RedisService {
  /** `wake` is called, from the event loop, when outcomes have come: then call `drain`. */
  constructor(wake: () => void)
  /** Connects. */
  open(options: RedisOptions): Promise<undefined>
  /** Starts the operations of a tick; whether some have been answered already. */
  submit(numbers: Float64Array, count: number, keys: string, payloads: unknown[]): boolean
  /** The outcomes that have come. */
  drain(): Drained
  /** The keys whose values have changed since the last call; `null` stands for all. */
  takeChanged(): Array<string> | null
  /** One number in shared memory that grows with each change. */
  changes(): Uint32Array
  /** Ends connections. */
  close(): Promise<undefined>
}

/** How a request travelled. */
export declare interface RoutingReport {
  /** Names the request in reports and logs. */
  requestId: string
  /** As the caller named it. */
  model: string
  /** Who answered. */
  endpoint: string
  /** Whether the response cache answered. */
  cache: 'bypass'
  /** Every try, in order. */
  attempts: Array<Attempt>
  /** Microseconds. */
  overheadUs: number
}

/** The version of the addon, which the loader compares with that of the package. */
export declare function version(): string
