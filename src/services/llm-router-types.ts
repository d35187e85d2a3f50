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
  /** Not available yet: refused with `UAT_UNSUPPORTED`. */
  context?: { sessionId?: string; documents?: { id: string; text: string }[]; maxTokens?: number };
  /** Not available yet: anything but `false` is refused with `UAT_UNSUPPORTED`. */
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
  /** What was added to the conversation; nothing as yet. */
  contextAdded: { source: string; tokens: number }[];
  /** Of the chosen one. The tokens are an upper estimate; `NaN`: its price is unknown, or it has not answered yet. */
  estimate: { promptTokens: number; costUsd: number; latencyMs: number };
  /** Microseconds. */
  decidedInUs: number;
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
