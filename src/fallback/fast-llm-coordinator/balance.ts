import { createHash } from 'node:crypto';

/**
 * An exponentially weighted moving average of latencies that jumps to a peak at once and forgets it slowly: the same
 * decision as `crates/balance`, after Finagle's `PeakEwma`. The caller passes the clock, in milliseconds.
 */
export class PeakEwma {
  readonly #decayMs: number;
  #estimateMs: number;
  #updatedMs: number;

  /** @param initialMs Stands in until the first observation. @param decayMs The time constant of forgetting. */
  constructor(initialMs: number, decayMs: number, nowMs: number) {
    this.#estimateMs = initialMs;
    this.#decayMs = decayMs;
    this.#updatedMs = nowMs;
  }

  observe(latencyMs: number, nowMs: number): void {
    const current = this.at(nowMs);
    const keep = this.#weightOfThePast(nowMs);
    this.#estimateMs = latencyMs > current ? latencyMs : this.#estimateMs * keep + latencyMs * (1 - keep);
    this.#updatedMs = Math.max(this.#updatedMs, nowMs);
  }

  at(nowMs: number): number {
    return this.#estimateMs * this.#weightOfThePast(nowMs);
  }

  #weightOfThePast(nowMs: number): number {
    return Math.exp(-Math.max(0, nowMs - this.#updatedMs) / this.#decayMs);
  }
}

/** A new value counts an eighth, as in TCP's estimate of the round trip (RFC 6298): about the last ten matter. */
const NEW = 1 / 8;

/** The mean of recent durations in milliseconds, each newer one counting more than the one before. */
export class RecentMean {
  /** `undefined` before the first duration. */
  value: number | undefined;

  observe(ms: number): void {
    this.value = this.value === undefined ? ms : this.value + (ms - this.value) * NEW;
  }
}

/**
 * The cheaper of two candidates drawn at random (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
 *
 * @param random Uniform in [0, 1).
 * @returns An index, or `undefined` without candidates.
 */
export function powerOfTwo(costs: readonly number[], random: () => number): number | undefined {
  if (costs.length < 2) return costs.length === 1 ? 0 : undefined;
  const first = Math.floor(random() * costs.length);
  // The second draw is among the others, so that two different candidates are always compared.
  const second = (first + 1 + Math.floor(random() * (costs.length - 1))) % costs.length;
  return (costs[second] ?? Infinity) < (costs[first] ?? Infinity) ? second : first;
}

/** One endpoint among those that may be asked. */
export interface Option {
  /** Unique among a model's endpoints. */
  name: string;
  /** What it is taken to bear compared with others; lower for a while after it came back. */
  weight: number;
  /** The expected wait times the load; lower is better. */
  cost: number;
  inFlight: number;
}

/**
 * Chooses one of several endpoints that may be asked; each model has its own.
 *
 * @param options At least one; a part of the model's endpoints, in the order of the configuration.
 * @param prefix What the conversation begins with.
 * @param random Uniform in [0, 1).
 * @returns An index into `options`.
 */
export type Strategy = (options: readonly Option[], prefix: () => string, random: () => number) => number;

/** The cheaper of two drawn at random. */
export const peakEwma: Strategy = (options, _, random) => powerOfTwo(options.map(option => option.cost), random) ?? 0;

/** The fewest requests under way by weight; among equals it is drawn by their weights, so that idle ones share as they say. */
export const leastInFlight: Strategy = (options, _, random) => {
  const shares = options.map(({ inFlight, weight }) => inFlight / weight);
  const least = Math.min(...shares);
  const best = [...shares.keys()].filter(index => shares[index] === least);
  let drawn = random() * best.reduce((sum, index) => sum + (options[index]?.weight ?? 0), 0);
  return best.find(index => (drawn -= options[index]?.weight ?? 0) < 0) ?? best[0] ?? 0;
};

/** The first of the list that can be asked. */
export const priority: Strategy = () => 0;

/**
 * One after the other, as often as their weights say and never several times in a row where that can be avoided: nginx's
 * smooth weighted round-robin (https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1).
 */
export function roundRobin(): Strategy {
  const credit = new Map<string, number>();
  return options => {
    let total = 0;
    let [best, most] = [0, -Infinity];
    options.forEach(({ name, weight }, index) => {
      const sum = (credit.get(name) ?? 0) + weight;
      credit.set(name, sum);
      total += weight;
      if (sum > most) [best, most] = [index, sum];
    });
    const chosen = options[best]?.name ?? '';
    credit.set(chosen, most - total);
    return best;
  };
}

/** An endpoint bears at most this much more than its share, so that one popular beginning does not drown it. */
const LOAD_BOUND = 1.25;

/**
 * Conversations that begin alike go to the same endpoint, whose prompt cache then holds their beginning: weighted
 * rendezvous hashing (Thaler & Ravishankar, "A Name-Based Mapping Scheme for Rendezvous") with bounded loads (Mirrokni,
 * Thorup & Zadimoghaddam, "Consistent Hashing with Bounded Loads").
 */
export const prefixAffinity: Strategy = (options, prefix) => {
  const beginning = prefix();
  const requests = options.reduce((sum, { inFlight }) => sum + inFlight, 1);
  const weights = options.reduce((sum, { weight }) => sum + weight, 0);
  const ranked = options.map(({ name, weight, inFlight }, index) => {
    const bound = Math.ceil((LOAD_BOUND * requests * weight) / weights);
    return { index, score: -weight / Math.log(uniform(name, beginning)), hasRoom: inFlight < bound };
  }).sort((a, b) => b.score - a.score);
  return (ranked.find(({ hasRoom }) => hasRoom) ?? ranked[0])?.index ?? 0;
};

/** A number in (0, 1) that depends on both texts alone. */
function uniform(name: string, beginning: string): number {
  const digest = createHash('sha256').update(name).update('\0').update(beginning).digest();
  return (Number(digest.readBigUInt64BE() >> 11n) + 0.5) / 2 ** 53;
}
