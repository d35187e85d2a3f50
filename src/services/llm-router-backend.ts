import type { BackendStream, CallOptions, Completion, PreparedRequest } from './fast-llm-coordinator-backend.js';
import type { ChatResponse } from './fast-llm-coordinator-types.js';
import type { RoutedModel, RoutePlan } from './llm-router-types.js';

/** What is wanted of whoever answers, checked. */
export interface RouteAsk {
  capabilities: string[];
  maxLatencyMs?: number;
  maxCostUsd?: number;
  /** A check of the core; its numbers are checked there. */
  cascade?: { check: string; k?: number; threshold?: number };
  context?: { sessionId?: string; documents: { id: string; text: string }[]; maxTokens?: number };
}

/** Whether the first answer of a cascade does. */
export type Predicate = (response: ChatResponse) => boolean | Promise<boolean>;

/** A question that has passed the wrapper's checks. */
export interface PreparedQuestion {
  /** Its model is `auto` or `tier:NAME`. */
  request: PreparedRequest;
  ask: RouteAsk;
  /** In place of a check. */
  predicate?: Predicate;
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
