/** The policies: which arm, and how probable that choice was. `bandit/choose.rs` of the Rust core, where each one's paper stands. */

import type { PreparedBandit } from '../../../services/parameter-analytics-backend.js';
import { type Arms, believedMean, greatest } from './arms.js';
import { type Belief, drawn, meanOf } from './belief.js';
import { type Draw, chance, Curve } from './best.js';
import { runnerUp, verdict } from './best-arm.js';
import type { Draws } from './random.js';
import { upperBound } from './upper-bound.js';

/** The share of choices that go to the leader; a half is never far from what is best (Russo 2016). */
const LEADER = 0.5;
/** The share of choices at random; the usual one. */
const EPSILON = 0.1;
/** The probability with which the verdict may be wrong; the usual one. */
const ERROR = 0.05;

/** The place of an arm, and the probability with which it was chosen. */
export interface Chosen {
  place: number;
  probability: number;
}

export function choose(arms: Arms, policy: PreparedBandit['policy'], context: Float64Array, draws: Draws): Chosen {
  switch (policy) {
    case 'thompson': {
      const place = greatestDraw(arms.list.map(arm => arm.belief), 'optimistic', draws);
      return { place, probability: arms.chance(place, 'optimistic') };
    }
    case 'lin-thompson': {
      const beliefs = arms.beliefs(context);
      const place = greatestDraw(beliefs, 'optimistic', draws);
      const curves = beliefs.map(belief => new Curve(belief));
      return { place, probability: chance(curves[place]!, curves.filter((_, other) => other !== place), 'optimistic') };
    }
    case 'ucb': {
      let all = -0;
      for (const { totals } of arms.list) all += totals.pulls;
      return anyOf(greatest(arms, arm => upperBound(arm.totals, arms.rewards, all)), draws);
    }
    case 'epsilon-greedy': {
      const best = greatest(arms, believedMean);
      const { place } = anyOf(draws.uniform() < EPSILON ? [...arms.list.keys()] : best, draws);
      return { place, probability: (best.includes(place) ? (1 - EPSILON) / best.length : 0) + EPSILON / arms.list.length };
    }
    case 'top-two-thompson': return topTwo(arms, draws);
  }
}

function topTwo(arms: Arms, draws: Draws): Chosen {
  const rivals = arms.list.map(({ totals }, place) => ({ place, totals }));
  const known = verdict(rivals, rivals.length, arms.rewards, ERROR);
  if (known !== undefined) return { place: known, probability: 1 };
  const leader = greatestDraw(arms.list.map(arm => arm.belief), 'plain', draws);
  const follower = (leader: number): number => runnerUp(leader, rivals, arms.rewards);
  const place = draws.uniform() < LEADER ? leader : follower(leader);
  let probability = 0;
  for (const leader of arms.list.keys()) {
    const share = (leader === place ? LEADER : 0) + (follower(leader) === place ? 1 - LEADER : 0);
    if (share > 0) probability += share * arms.chance(leader, 'plain');
  }
  return { place, probability: Math.min(probability, 1) };
}

/** The belief of which the greatest value is drawn; of those that count for the same mean, the one that drew more. */
function greatestDraw(beliefs: Belief[], draw: Draw, draws: Draws): number {
  let best = { place: 0, counted: -Infinity, value: -Infinity };
  for (const [place, belief] of beliefs.entries()) {
    const value = drawn(belief, draws);
    const counted = draw === 'plain' ? value : Math.max(value, meanOf(belief));
    if (counted > best.counted || (counted === best.counted && value > best.value)) best = { place, counted, value };
  }
  return best.place;
}

function anyOf(places: number[], draws: Draws): Chosen {
  return { place: places[draws.below(places.length)]!, probability: 1 / places.length };
}
