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
