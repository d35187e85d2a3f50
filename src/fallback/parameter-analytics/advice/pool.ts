/** What is known of one model's work on one kind of task in one space: configurations, each with all its outcomes pooled. */

import type { OptimizeRequest, Outcome, ParameterValues } from '../../../services/parameter-analytics-types.js';
import { type SpaceDocument } from '../space/check.js';
import { keyOf, type Point, Space } from '../space/space.js';
import { scattered } from '../study/scatter.js';

/** What may be set where the caller says nothing. */
export const USUAL: SpaceDocument = {
  temperature: { type: 'float', low: 0, high: 1.5 },
  top_p: { type: 'float', low: 0.5, high: 1 },
  max_tokens: { type: 'int', low: 64, high: 4_096, log: true },
};
/** What people use, the most usual first; of another space its middle, and points that leave no part of it out. */
const USED: ParameterValues[] = [[0.7, 1, 1_024], [0.2, 1, 1_024], [0, 1, 512], [1, 0.95, 1_024], [0.5, 0.9, 256], [0.3, 0.95, 2_048], [0.8, 0.9, 512], [0.2, 0.9, 128]]
  .map(([temperature, topP, maxTokens]) => ({ temperature: temperature!, top_p: topP!, max_tokens: maxTokens! }));
/** Priors are few, so that each is tried soon. */
const PRIORS = USED.length;
/** Outcomes that are remembered one by one, for percentiles and scatter. */
const REMEMBERED = 10_000;

/** Count, sum and sum of squares. */
export class Tally {
  count = 0;
  sum = 0;
  squares = 0;

  add(value: number): void {
    this.count += 1;
    this.sum += value;
    this.squares += value * value;
  }

  mean(): number {
    return this.sum / this.count;
  }

  /** The sum of squared distances from the mean. */
  scatter(): number {
    return this.count === 0 ? 0 : Math.max(this.squares - (this.sum * this.sum) / this.count, 0);
  }
}

/** One point of the space that was recommended. Latency and cost as logarithms: they are above 0 and skewed. */
export interface Configuration {
  readonly point: Point;
  readonly coordinates: readonly number[];
  readonly reward: Tally;
  readonly logLatency: Tally;
  readonly logCost: Tally;
  /** Recommendations of it of which nothing was told. */
  pending: number;
}

/** An outcome as it is remembered. */
export interface Remembered {
  at: number;
  reward: number | undefined;
  latencyMs: number | undefined;
  costUsd: number | undefined;
  isError: boolean;
  configuration: Configuration;
}

/** Below it a latency (ms) or a cost (USD) is counted as this much, since 0 has no logarithm. */
const LEAST = 1e-9;

export class Pool {
  readonly model: string;
  readonly taskType: string;
  readonly space: Space;
  readonly priors: readonly Configuration[];
  readonly outcomes: Remembered[] = [];
  /** Outcomes that ever came. */
  observations = 0;
  readonly #configurations = new Map<string, Configuration>();

  /** @throws `UAT_INVALID_INPUT` names what does not fit in the space. */
  constructor({ model, taskType, space }: Pick<OptimizeRequest, 'model' | 'taskType' | 'space'>) {
    [this.model, this.taskType] = [model, taskType];
    this.space = new Space(space ?? USUAL);
    const middle = this.space.sample([]);
    const points = space === undefined ? USED.map(values => this.space.point(values)) : [middle, ...Array.from({ length: PRIORS - 1 }, (_, number) => this.space.sample(scattered(number + 1, this.space.dimensions, 0)))];
    this.priors = [...new Set(points.map(point => this.at(point)))];
  }

  get configurations(): Configuration[] {
    return [...this.#configurations.values()];
  }

  /** The configuration at a point, which is there from then on. */
  at(point: Point): Configuration {
    const key = keyOf(point);
    let found = this.#configurations.get(key);
    if (found === undefined) {
      found = { point, coordinates: this.space.encode(point), reward: new Tally(), logLatency: new Tally(), logCost: new Tally(), pending: 0 };
      this.#configurations.set(key, found);
    }
    return found;
  }

  /** An error counts as the worst reward that was ever told, at best 0. */
  record(configuration: Configuration, { reward, latencyMs, costUsd, error }: Outcome, at: number): void {
    const isError = error !== undefined;
    const counted = isError ? Math.min(0, ...this.outcomes.map(outcome => outcome.reward ?? 0)) : reward;
    if (counted !== undefined) configuration.reward.add(counted);
    if (latencyMs !== undefined) configuration.logLatency.add(Math.log(Math.max(latencyMs, LEAST)));
    if (costUsd !== undefined) configuration.logCost.add(Math.log(Math.max(costUsd, LEAST)));
    configuration.pending = Math.max(configuration.pending - 1, 0);
    this.observations += 1;
    this.outcomes.push({ at, reward: counted, latencyMs, costUsd, isError, configuration });
    if (this.outcomes.length > REMEMBERED) this.outcomes.shift();
  }
}
