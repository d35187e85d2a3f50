import type { ChatChunk, CoordinatorStats, EmbedResponse, EndpointHealth, GatewayConfig, RoutingReport } from './fast-llm-coordinator-types.js';

/** A request that has passed the wrapper's checks, frozen as JSON at the time of the call. */
export interface PreparedRequest {
  model: string;
  /** The request as one JSON document with OpenAI's snake_case names, without `stream`. */
  json: string;
}

/** Texts to be embedded that have passed the wrapper's checks: at least one, none of them empty. */
export interface PreparedEmbeddings {
  model: string;
  input: string[];
}

/** Checked options of one call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  /** What the caller wishes of the response cache; absent: it answers where it may. Means nothing to embeddings. */
  cache?: boolean | undefined;
}

/** A complete answer: OpenAI's completion object, and how it was got. */
export interface Completion {
  body: Record<string, unknown>;
  routing: RoutingReport;
}

/** A streamed answer that the consumer pulls. */
export interface BackendStream {
  /**
   * The next chunks, at least one, in order; `null` once the answer is complete. A stream that breaks off rejects.
   * Called again only after the previous call has settled.
   */
  next(): Promise<ChatChunk[] | null>;
  /** How the request travelled; final once `next` has returned `null`. */
  report(): RoutingReport;
  /** Closes the upstream connection at once. Idempotent; a pending `next` rejects. */
  cancel(): void;
}

/**
 * What the native adapter and the TypeScript fallback each implement, so that the compiler tells when they drift.
 *
 * Everything rejects with a `UniversalAiError`. Arguments have been checked, and nothing is called after `close`.
 */
export interface FastLLMCoordinatorBackend {
  route(request: PreparedRequest, options: CallOptions): Promise<Completion>;
  /** Does nothing before the first `next`. */
  stream(request: PreparedRequest, options: CallOptions): BackendStream;
  embed(request: PreparedEmbeddings, options: CallOptions): Promise<EmbedResponse>;
  health(): EndpointHealth[];
  stats(): CoordinatorStats;
  /** Takes over another configuration, or rejects with `UAT_CONFIG` and keeps the old one. `undefined` as in the constructor. */
  reload(config: GatewayConfig | string | undefined): Promise<void>;
  /** Ends the calls under way with `UAT_CLOSED` and frees everything. */
  close(): Promise<void>;
}
