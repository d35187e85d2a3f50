import type { Belief } from './question.js';

/** What remains of a judgement's weight once another one of the model has come, so that a change is noticed. As in the core. */
const DISCOUNT = 0.99;
const HALF_LIFE_MS = 14 * 86_400_000;

/** The mean of each model's judgements, whatever the question, of which older ones count less. */
export class Judgements {
  readonly #models = new Map<string, { sum: number; weight: number; at: number; samples: number }>();

  /** @param now Milliseconds since any moment, the same for all calls. */
  quality(model: string, now: number): Belief | undefined {
    const judged = this.#models.get(model);
    if (judged === undefined) return undefined;
    const { sum, weight, at } = judged;
    return weight > 0 ? { mean: sum / weight, weight: weight * keep(now - at) } : undefined;
  }

  feedback(model: string, score: number, now: number): void {
    const { sum, weight, at, samples } = this.#models.get(model) ?? { sum: 0, weight: 0, at: now, samples: 0 };
    const kept = keep(now - at) * DISCOUNT;
    this.#models.set(model, { sum: sum * kept + score, weight: weight * kept + 1, at: now, samples: samples + 1 });
  }

  samples(model: string): number {
    return this.#models.get(model)?.samples ?? 0;
  }
}

function keep(ageMs: number): number {
  return 2 ** (-Math.max(0, ageMs) / HALF_LIFE_MS);
}
