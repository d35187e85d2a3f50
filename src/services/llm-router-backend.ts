import type { BackendStream, CallOptions, Completion, PreparedRequest } from './fast-llm-coordinator-backend.js';
import type { RoutedModel, RoutePlan } from './llm-router-types.js';

/** What is wanted of whoever answers, checked. */
export interface RouteAsk {
  capabilities: string[];
  maxLatencyMs?: number;
  maxCostUsd?: number;
}

/** A question that has passed the wrapper's checks. */
export interface PreparedQuestion {
  /** Its model is `auto` or `tier:NAME`. */
  request: PreparedRequest;
  ask: RouteAsk;
  call: CallOptions;
}

/** A whole answer, and why this model gave it. */
export interface RoutedCompletion extends Completion {
  plan: RoutePlan;
}

/**
 * What the native adapter and the TypeScript fallback each implement, so that the compiler tells when they drift.
 *
 * Everything throws or rejects with a `UniversalAiError`. Arguments have been checked, and nothing is called after `close`.
 */
export interface LLMRouterBackend {
  generate(question: PreparedQuestion): Promise<RoutedCompletion>;
  /** Does nothing before the first `next`. Its report has the plan. */
  stream(question: PreparedQuestion): BackendStream;
  plan(question: PreparedQuestion): RoutePlan;
  explain(requestId: string): RoutePlan | null;
  feedback(requestId: string, score: number): Promise<void>;
  models(): RoutedModel[];
  /** Ends the calls under way with `UAT_CLOSED` and frees everything. */
  close(): Promise<void>;
}
