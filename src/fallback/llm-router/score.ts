import { type Estimate, type Belief, type Model, type Price, type Question, type Standing, TERMS, type Terms } from './question.js';

/** The terms of a score, with the constants of `crates/llm-router`. Each is made of the model and the question alone. */

/** The length of an answer that is reckoned with where the question does not limit it, in tokens. */
const EXPECTED_ANSWER_TOKENS = 512;
/** The prior counts as much as so many judgements. */
const PRIOR_WEIGHT = 8;
const UNKNOWN_QUALITY = 0.5;
/** Where the terms of the price and of latency are a half. */
const HALF_COST_USD = 0.01;
const HALF_LATENCY_MS = 5_000;
const UNKNOWN_LATENCY = 0.5;

/** What the answer is expected to take. */
export function estimate({ promptTokens: { tokens }, outputTokens }: Question, model: Model, health: Standing['health']): Estimate {
  const longest = Math.min(outputTokens ?? EXPECTED_ANSWER_TOKENS, model.maxOutputTokens ?? Infinity);
  const usual = Math.min(longest, EXPECTED_ANSWER_TOKENS);
  const writingMs = health.tokensPerS !== undefined && health.tokensPerS > 0 ? (usual / health.tokensPerS) * 1e3 : 0;
  return {
    promptTokens: tokens,
    ...(model.price === undefined ? {} : { costUsd: mostNanoUsd(model.price, tokens, longest) / 1e9 }),
    ...(health.firstTokenMs === undefined ? {} : { latencyMs: health.firstTokenMs + writingMs }),
  };
}

/** @param tier How well the model's tier fits, 0 to 1. */
export function terms(model: Model, { health, quality: learned }: Standing, { costUsd, latencyMs }: Estimate, tier: number): Terms {
  return {
    tier,
    quality: quality(model.quality, learned),
    price: costUsd === undefined ? 0 : HALF_COST_USD / (HALF_COST_USD + costUsd),
    latency: latencyMs === undefined ? UNKNOWN_LATENCY : HALF_LATENCY_MS / (HALF_LATENCY_MS + latencyMs),
    health: health.isUp ? 1 - Math.min(1, Math.max(0, health.errorRate)) : 0,
  };
}

/** How good a model's answers are taken to be, 0 to 1: the prior, and what was learnt in proportion to its weight. */
export function quality(prior = UNKNOWN_QUALITY, learned?: Belief): number {
  if (learned === undefined || !(learned.weight > 0)) return prior;
  return (prior * PRIOR_WEIGHT + learned.mean * learned.weight) / (PRIOR_WEIGHT + learned.weight);
}

/** The weighted mean of the terms; 0 where nothing counts. */
export function score(all: Terms, weights: Terms): number {
  let [sum, whole] = [0, 0];
  for (const term of TERMS) {
    sum += all[term] * weights[term];
    whole += weights[term];
  }
  return whole > 0 ? sum / whole : 0;
}

/** The most that so many tokens can cost, in nano-USD: nobody knows beforehand what a provider has read before. In whole numbers, as the core counts. */
function mostNanoUsd({ input = 0, output = 0, cached_input: cached, long_prompt: long }: Price, prompt: number, completion: number): number {
  const at = (input: number, cached: number | undefined, output: number): bigint => rounded(of(prompt, Math.max(input, cached ?? input)) + of(completion, output));
  const short = at(input, cached, output);
  if (long === undefined || prompt <= long.above) return Number(short);
  const longer = at(long.input, long.cached_input, long.output);
  return Number(longer > short ? longer : short);
}

/** Pico-USD. */
function of(tokens: number, usdPerMillion: number): bigint {
  return rounded(BigInt(tokens) * BigInt(Math.round(usdPerMillion * 1e9)));
}

/** A thousandth, rounded up. */
function rounded(amount: bigint): bigint {
  return (amount + 999n) / 1000n;
}
