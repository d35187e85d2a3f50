import type { ChatResponse } from './fast-llm-coordinator-types.js';

/** What a caller wants of whoever answers. Any other field of OpenAI's request (`topP`, `stop`, `tools`, `response_format`) passes through. */
export interface RouteOptions {
  /** 0 to 2. */
  temperature?: number;
  /** Most tokens of the answer, at least 1. Also what the longest and dearest answer is reckoned by. */
  maxTokens?: number;
  /** What the model must be able to do, in the words of `[[models]] capabilities`. */
  capabilities?: string[];
  /** Models that are expected to take more are not asked. `maxLatencyMs`: until the answer is whole. */
  constraints?: { maxLatencyMs?: number; maxCostUsd?: number };
  /** What is added to the messages: the latest exchanges of a session, which remembers this one, and of the documents what the question is about. The TypeScript backend refuses it with `UAT_UNSUPPORTED`. */
  context?: { sessionId?: string; documents?: { id: string; text: string }[]; maxTokens?: number };
  /**
   * A cheap model is asked first, and its answer given where it does; otherwise the best one is asked. `schema`: it is the JSON that
   * `response_format` asks for. `self-consistency`: of `k` answers (2 to 10, default 3) the share `threshold` (default 0.6) says the same
   * in the end. `logprob`: the model was `threshold` nats (default 1) surer of its tokens than of the next best. A function: it returns
   * `true`. `true`: `schema` where the request has one, else `self-consistency`. The TypeScript backend refuses it with `UAT_UNSUPPORTED`.
   */
  cascade?: boolean | { check: 'schema' | 'self-consistency' | 'logprob' | ((response: ChatResponse) => boolean | Promise<boolean>); k?: number; threshold?: number };
  /** Aborting ends the call with `UAT_CANCELLED` and closes the upstream connection. */
  signal?: AbortSignal;
  [k: string]: unknown;
}

/** A model that was considered. */
export interface Candidate {
  model: string;
  /** The weighted mean of the terms, 0 to 1. */
  score: number;
  /** `tier`, `quality`, `price`, `latency` and `health`, each 0 to 1, the higher the better. */
  terms: Record<string, number>;
  /** Why it cannot be asked, in words. */
  rejected?: string;
}

/** Who is asked, and why. */
export interface RoutePlan {
  requestId: string;
  /** As asked for, or `auto`. */
  tier: string;
  /** The model that is asked first; empty where nobody can be asked. */
  chosen: string;
  /** Those that can be asked, the best first, then those that were rejected. */
  candidates: Candidate[];
  /** What was added to the conversation. */
  contextAdded: { source: string; tokens: number }[];
  /** Of the chosen one. The tokens are an upper estimate; `NaN`: its price is unknown, or it has not answered yet. */
  estimate: { promptTokens: number; costUsd: number; latencyMs: number };
  /** Where a cascade was asked for: its stages, or why there is one, and what came of the first. */
  cascade?: CascadePlan;
  /** Microseconds. */
  decidedInUs: number;
}

/** The two stages of a request. */
export interface CascadePlan {
  check: 'schema' | 'self-consistency' | 'logprob' | 'predicate';
  k?: number;
  threshold?: number;
  /** The model that is asked first. */
  first?: string;
  /** The model that is asked where that answer does not do. */
  second?: string;
  /** Why there is one stage. */
  without?: string;
  /** The first answer was given. Absent until it was judged. */
  accepted?: boolean;
  /** What the check found: the share that agrees, the margin in nats, 1 or 0. */
  measured?: number;
  /** Why it was not given. */
  why?: string;
  /** What all answers of the first stage took. */
  firstUsage?: { promptTokens: number; completionTokens: number };
  firstCostUsd?: number;
}

/** A model that is chosen among, and what is known of it. */
export interface RoutedModel {
  name: string;
  /** The tier that it names; empty for none. */
  tier: string;
  capabilities: string[];
  /** How good its answers are taken to be, 0 to 1: the configured `quality`, and what was learnt. */
  quality: number;
  /** Judgements that were taken in. */
  samples: number;
  /** Whether an endpoint may be asked at present. */
  healthy: boolean;
}
