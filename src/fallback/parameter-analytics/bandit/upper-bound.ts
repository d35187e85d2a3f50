/** How great an arm's mean may be at most: `bandit/upper_bound.rs` of the Rust core. */

import { type Rewards, variance } from './belief.js';
import type { Totals } from './evidence.js';
import { exp, log } from './msun.js';

/**
 * KL-UCB (Garivier and Cappe, COLT 2011), or the bound of Cowan, Honda and Katehakis (JMLR 2018), `all` rewards having come; infinite
 * for an arm that has too few to tell.
 */
export function upperBound(totals: Totals, rewards: Rewards, all: number): number {
  const logAll = log(Math.max(all, 1));
  if (rewards === 'bernoulli') return totals.pulls > 0 ? klUpperBound(Math.min(Math.max(totals.mean(), 0), 1), logAll / totals.pulls) : Infinity;
  if (totals.pulls <= 2) return Infinity;
  const stretch = exp((2 * logAll) / (totals.pulls - 2)) - 1;
  return totals.mean() + Math.sqrt(variance(totals) * stretch);
}

/** The Kullback-Leibler divergence between Bernoulli distributions of these means, in nats. */
export function kl(p: number, mean: number): number {
  // An end of 0..1 would make a difference of infinities.
  const q = Math.min(Math.max(mean, 1e-15), 1 - Number.EPSILON);
  const term = (p: number, q: number): number => (p > 0 ? p * log(p / q) : 0);
  return Math.max(term(p, q) + term(1 - p, 1 - q), 0);
}

/** Usually five are enough. */
const STEPS = 50;

/** The greatest q with kl(p, q) <= `most`, to 1e-9: Newton's steps in v = -ln(1 - q), from a v that is too great. */
function klUpperBound(p: number, most: number): number {
  if (p >= 1) return 1;
  // Pinsker's inequality says where the divergence is too great; so does its last term alone, as the others lose ln 2 at most.
  const pinsker = p + Math.sqrt(0.5 * most);
  const lastTerm = (most + Math.LN2) / (1 - p);
  let v = pinsker < 1 ? Math.min(-log(1 - pinsker), lastTerm) : lastTerm;
  for (let steps = 0; steps < STEPS; steps++) {
    const q = 1 - exp(-v);
    if (q <= p || q >= 1) break;
    const step = ((kl(p, q) - most) * q) / (q - p);
    v -= step;
    if (Math.abs(step) < 1e-9) break;
  }
  return Math.max(1 - exp(-v), p);
}
