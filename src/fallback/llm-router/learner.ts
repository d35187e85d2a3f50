import type { Learned } from './question.js';

/** What remains of a judgement's weight once another one has come, so that models that change are noticed. */
const DISCOUNT = 0.98;

/** The mean of each model's judgements, whatever the question, of which older ones count less. */
export class DiscountedMeans {
  readonly #means = new Map<string, { sum: number; weight: number; samples: number }>();

  quality(model: string): Learned | undefined {
    const mean = this.#means.get(model);
    return mean === undefined ? undefined : { mean: mean.sum / mean.weight, weight: mean.weight };
  }

  feedback(model: string, score: number): void {
    const { sum, weight, samples } = this.#means.get(model) ?? { sum: 0, weight: 0, samples: 0 };
    this.#means.set(model, { sum: sum * DISCOUNT + score, weight: weight * DISCOUNT + 1, samples: samples + 1 });
  }

  samples(model: string): number {
    return this.#means.get(model)?.samples ?? 0;
  }
}
