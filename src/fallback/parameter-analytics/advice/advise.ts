/**
 * Which parameters are recommended: usual ones until each was tried, then the best of those by their draws (Thompson 1933), then what
 * Gaussian processes over all configurations expect. Smaller than the Rust core's: there are no contexts, and drift is not followed.
 */

import type { PreparedOptimize } from '../../../services/parameter-analytics-backend.js';
import type { OptimizeResult } from '../../../services/parameter-analytics-types.js';
import type { Draws } from '../bandit/random.js';
import type { Prediction } from '../gp/model.js';
import { logExcess } from '../gp/normal.js';
import { scattered } from '../study/scatter.js';
import { type Beliefs, feasible } from './beliefs.js';
import type { Configuration, Pool } from './pool.js';

/** From so many outcomes for each prior on, models of the whole space are asked. */
const GROUNDED = 3;
/** What a recommendation's chance of meeting the limits should be. */
const SURE = 0.95;
/** What is tried must be as probable as not to meet them. */
const PROBABLE = 0.5;
/** The share of calls that try something: 3 / sqrt(n), a half at most; 7 % at 2,000 outcomes. */
const TRIED = 3;
const MOST_TRIED = 0.5;
/** Places that are looked at for something to try: all over the space, and beside the best. */
const SCATTERED = 128;
const BESIDE = 64;

export interface Advice {
  configuration: Configuration;
  source: OptimizeResult['source'];
}

/** A configuration that was tried, and what is expected of it. */
export interface Rated {
  configuration: Configuration;
  /** That a call meets the limits. */
  chance: number;
  reward: Prediction;
}

type Constraints = NonNullable<PreparedOptimize['constraints']>;

/** Those with the most outcomes; the others are as good as forgotten. */
const RATED = 200;

/** What is expected of the configurations that were tried. */
export function rate(pool: Pool, beliefs: Beliefs, constraints: Constraints): Rated[] {
  const count = ({ reward, logLatency }: Configuration): number => Math.max(reward.count, logLatency.count);
  const tried = pool.configurations.filter(configuration => count(configuration) > 0).sort((a, b) => count(b) - count(a)).slice(0, RATED);
  return tried.map(configuration => ({
    configuration,
    chance: feasible(beliefs, configuration.coordinates, constraints),
    reward: beliefs.reward?.at(configuration.coordinates) ?? { mean: 0, deviation: 1 },
  }));
}

/** @param known What is believed, and {@link rate} of it; asked for where something is known. */
export function advise(pool: Pool, known: () => { beliefs: Beliefs; rated: Rated[] }, { constraints = {}, mode }: PreparedOptimize, draws: Draws): Advice {
  const tries = ({ reward, logLatency, pending }: Configuration): number => Math.max(reward.count, logLatency.count) + pending;
  const least = pool.priors.reduce((least, one) => (tries(one) < tries(least) ? one : least));
  if (tries(least) === 0 || pool.observations === 0) return { configuration: least, source: 'prior' };
  const { beliefs, rated } = known();
  if (rated.length === 0) return { configuration: least, source: 'prior' };
  const isGrounded = pool.observations >= GROUNDED * pool.priors.length;
  const source = isGrounded ? 'bayesian' : 'bandit';
  // Where nothing is sure to meet the limits, what is about as probable as the most probable one.
  const mostSure = rated.reduce((most, { chance }) => Math.max(most, chance), 0);
  const sure = rated.filter(({ chance }) => chance >= Math.min(SURE, 0.98 * mostSure));
  const best = (value: (reward: Prediction) => number): Configuration => {
    const valued = sure.map(({ configuration, reward }) => ({ configuration, value: value(reward) }));
    return valued.reduce((best, one) => (one.value > best.value ? one : best)).configuration;
  };
  const exploits = (): Advice => ({ configuration: best(({ mean }) => mean), source });
  if (mode === 'recommend') return exploits();
  if (!isGrounded) return { configuration: best(({ mean, deviation }) => mean + deviation * draws.normal()), source };
  if (draws.uniform() >= Math.min(TRIED / Math.sqrt(pool.observations), MOST_TRIED)) return exploits();
  const tried = worthTrying(pool, beliefs, exploits().configuration, constraints, draws);
  return tried === undefined ? exploits() : { configuration: pool.at(tried), source };
}

/** The point with the most expected improvement on the best mean, by the chance that it meets the limits; known ones are looked at too. */
function worthTrying(pool: Pool, beliefs: Beliefs, best: Configuration, constraints: Constraints, draws: Draws): readonly number[] | undefined {
  const { space } = pool;
  if (beliefs.reward === undefined) return undefined;
  const seed = draws.below(2 ** 31);
  const points = Array.from({ length: SCATTERED }, (_, number) => space.sample(scattered(number, space.dimensions, seed)));
  for (let n = 0; n < BESIDE; n++) {
    const width = 0.25 * 10 ** (-1.5 * draws.uniform());
    points.push(space.decode(best.coordinates.map((coordinate, place) => {
      const { domain } = space.parameters[place]!;
      if (domain.type === 'categorical') return draws.uniform() < 0.2 ? draws.below(domain.choices.length) : coordinate;
      return Math.min(Math.max(coordinate + width * draws.normal(), 0), 1);
    })));
  }
  points.push(...pool.configurations.slice(-RATED).map(({ point }) => point));
  const { mean: most } = beliefs.reward.at(best.coordinates);
  let found: { point: readonly number[]; worth: number } | undefined;
  for (const point of points) {
    const coordinates = space.encode(point);
    const chance = feasible(beliefs, coordinates, constraints);
    if (chance < PROBABLE) continue;
    const { mean, deviation } = beliefs.reward.at(coordinates);
    const worth = Math.log(deviation) + logExcess((mean - most) / deviation) + Math.log(chance);
    if (found === undefined || worth > found.worth) found = { point, worth };
  }
  return found?.point;
}
