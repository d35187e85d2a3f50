/**
 * What is expected of configurations: a Gaussian process of the mean reward, one of the logarithm of the latency, one of that of the cost,
 * over pooled configurations, each counting by how many outcomes it has. Limits are about single calls, so that how far calls of one
 * configuration lie apart counts as well, as it was seen.
 */

import type { PreparedOptimize } from '../../../services/parameter-analytics-backend.js';
import { Model, type Prediction } from '../gp/model.js';
import { logBelow } from '../gp/normal.js';
import { standardised } from '../gp/outcome.js';
import type { Configuration, Pool, Tally } from './pool.js';

/** Configurations of a model; of more, those with the most outcomes. */
const MOST = 120;
/** Length scales that are tried, in terms of the cube's side and the root of its dimensions, then shares of the variance that are more than noise; the marginal likelihood decides. */
const LENGTHS = [0.1, 0.2, 0.4, 0.8, 1.6];
const SCALES = [0.3, 0.1, 0.03];
/** What calls of one configuration scatter by is known from so many pairs; before, a quarter of all variance is taken for noise. */
const PAIRS = 8;
const GUESSED_NOISE = 0.25;
/** Distances from the configuration's mean that stand for what the next call may be, the latest ones. */
const RESIDUALS = 200;

type Outcome = 'reward' | 'logLatency' | 'logCost';

/** One quantity, over the space. */
export interface Belief {
  at(coordinates: readonly number[]): Prediction;
  /** How far single calls lie from the mean of their configuration. */
  residuals: number[];
}

/** `undefined` where nothing was told. */
export type Beliefs = Record<Outcome, Belief | undefined>;

export function believe(pool: Pool): Beliefs {
  const value = { reward: ({ reward }: Pool['outcomes'][number]) => reward, logLatency: ({ latencyMs }: Pool['outcomes'][number]) => logarithm(latencyMs), logCost: ({ costUsd }: Pool['outcomes'][number]) => logarithm(costUsd) };
  const of = (what: Outcome): Belief | undefined => {
    const latest = pool.outcomes.slice(-RESIDUALS).filter(({ configuration }) => configuration[what].count > 1);
    const residuals = latest.flatMap(outcome => {
      const [own, tally] = [value[what](outcome), outcome.configuration[what]];
      // Its own part in the mean makes it look nearer than the next one will be.
      return own === undefined ? [] : [(own - tally.mean()) * Math.sqrt(tally.count / (tally.count - 1))];
    });
    return modelled(pool, configuration => configuration[what], residuals);
  };
  return { reward: of('reward'), logLatency: of('logLatency'), logCost: of('logCost') };
}

function logarithm(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.log(Math.max(value, 1e-9));
}

function modelled(pool: Pool, tallyOf: (configuration: Configuration) => Tally, residuals: number[]): Belief | undefined {
  const known = pool.configurations.filter(configuration => tallyOf(configuration).count > 0).sort((a, b) => tallyOf(b).count - tallyOf(a).count).slice(0, MOST);
  if (known.length === 0) return undefined;
  const tallies = known.map(tallyOf);
  const { values, scale, back } = standardised(tallies.map(tally => tally.mean()));
  const pairs = tallies.reduce((sum, { count }) => sum + count - 1, 0);
  const within = tallies.reduce((sum, tally) => sum + tally.scatter(), 0) / Math.max(pairs, 1);
  const noise = Math.max(pairs >= PAIRS ? within / (scale * scale) : GUESSED_NOISE, 1e-6);
  const inputs = known.map(({ coordinates }) => coordinates);
  const counts = tallies.map(({ count }) => count);
  const settled = (length: number, signal: number): { model: Model; length: number; surprise: number } => {
    const weights = pool.space.parameters.map(() => 1 / (length * length * pool.space.dimensions));
    const model = new Model({ weights, scale: signal, noise }, pool.space.categorical, inputs, values, counts);
    return { model, length, surprise: model.surprise(values) };
  };
  const least = <T extends { surprise: number }>(all: T[]): T => all.reduce((least, one) => (one.surprise < least.surprise ? one : least));
  const smooth = least(LENGTHS.map(length => settled(length, 1)));
  const { model } = least([smooth, ...SCALES.map(signal => settled(smooth.length, signal))]);
  return {
    at(coordinates) {
      const { mean, deviation } = model.predict(coordinates);
      return { mean: back(mean), deviation: deviation * scale };
    },
    residuals: residuals.length >= PAIRS ? residuals : [-1, 0, 1].map(step => step * Math.sqrt(noise) * scale),
  };
}

/** The chance that a call meets all limits: its latency and its cost for itself, the quality in the mean. A half of what nothing is known of. */
export function feasible({ reward, logLatency, logCost }: Beliefs, coordinates: readonly number[], { maxLatency, maxCost, minQuality }: NonNullable<PreparedOptimize['constraints']>): number {
  let chance = 1;
  for (const [belief, limit] of [[logLatency, maxLatency], [logCost, maxCost]] as const) {
    if (limit !== undefined) chance *= belief === undefined ? UNKNOWN : callBelow(belief, coordinates, Math.log(Math.max(limit, 1e-9)));
  }
  if (minQuality !== undefined) {
    const expected = reward?.at(coordinates);
    chance *= expected === undefined ? UNKNOWN : below((expected.mean - minQuality) / expected.deviation);
  }
  return chance;
}

const UNKNOWN = 0.5;

/** The chance that a single call lies below a limit: over what calls scatter by, as it was seen, so that heavy tails count. */
function callBelow({ at, residuals }: Belief, coordinates: readonly number[], limit: number): number {
  const { mean, deviation } = at(coordinates);
  return residuals.reduce((sum, residual) => sum + below((limit - mean - residual) / deviation), 0) / residuals.length;
}

function below(z: number): number {
  return Math.exp(logBelow(z));
}
