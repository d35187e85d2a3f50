/** USD per million tokens. */
export interface Price {
  input?: number;
  output?: number;
  cached_input?: number;
  long_prompt?: { above: number; input: number; output: number; cached_input?: number };
}

/** A model that can be asked, as it is configured. Whatever is absent is unknown. */
export interface Model {
  name: string;
  tier?: string;
  capabilities?: string[];
  /** Prompt and answer together, in tokens. */
  contextTokens?: number;
  /** The longest answer, in tokens. */
  maxOutputTokens?: number;
  price?: Price;
  /** How good its answers are taken to be before anything is learnt, 0 to 1. */
  quality?: number;
}

/** In the order of the configuration, and the tiers that list theirs in an order of their own. */
export interface Catalogue {
  models: Model[];
  tiers?: Record<string, string[]>;
}

/** What is known of a model at a moment. */
export interface Standing {
  health: { isUp: boolean; firstTokenMs?: number; tokensPerS?: number; errorRate: number; samples: number };
  quality?: Belief;
}

/** A quality that was learnt: the mean, 0 to 1, and how many observations it is worth. */
export interface Belief {
  mean: number;
  weight: number;
}

/** What is asked, as far as it decides on who answers. */
export interface Question {
  /** `auto`, or `tier:NAME`. */
  target: string;
  promptTokens: { tokens: number; isEstimate: boolean };
  /** The longest answer that is wanted, in tokens. */
  outputTokens?: number;
  capabilities?: string[];
  constraints?: { maxLatencyMs?: number; maxCostUsd?: number };
  /** The models that may be asked; absent: all. */
  allowed?: string[];
  /** The kind of task: a tier of that name fits it. */
  class?: string;
}

export const TERMS = ['tier', 'quality', 'price', 'latency', 'health'] as const;
/** Each from 0 to 1, and the higher the better. */
export type Terms = Record<(typeof TERMS)[number], number>;

/** How a decision is made. */
export interface Policy {
  weights: Terms;
  maxCandidates: number;
}

/** What an answer is expected to take; absent: nobody knows. */
export interface Estimate {
  promptTokens: number;
  costUsd?: number;
  latencyMs?: number;
}

/** Why a model cannot be asked: the first filter that it does not pass. */
export type Rejection =
  | { reason: 'notAllowed' }
  | { reason: 'capability'; missing: string[] }
  | { reason: 'context'; needed: number; has: number; isEstimate: boolean }
  | { reason: 'output'; needed: number; has: number }
  | { reason: 'cost'; expected: number | null; allowed: number }
  | { reason: 'latency'; expected: number; allowed: number };

/** A model that was considered. */
export interface Candidate {
  model: string;
  score: number;
  terms: Terms;
  isUp: boolean;
  estimate: Estimate;
  rejected?: Rejection;
}

/** Who is asked, and why. */
export interface Decision {
  /** Those that are asked, in this order. */
  plan: string[];
  tier: string;
  chosen?: string;
  order: 'score' | 'listed';
  candidates: Candidate[];
  estimate: Estimate;
}

const TIER = 'tier:';

/** Whether this leaves the choice to the router. */
export function isTarget(model: string): boolean {
  return model === 'auto' || model.startsWith(TIER);
}

/** The tier that is asked for; `undefined`: all models. */
export function tierOf(target: string): string | undefined {
  return target.startsWith(TIER) ? target.slice(TIER.length) : undefined;
}
