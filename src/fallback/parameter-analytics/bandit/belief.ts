/** What an arm's mean reward may be, given what came of it: `bandit/belief.rs` of the Rust core, where the reasons of its constants stand. */

import type { Totals } from './evidence.js';
import type { Draws } from './random.js';

export type Rewards = 'bernoulli' | 'gaussian';

/** A distribution of a mean. Student's is the mean's part of a Normal-Inverse-Gamma distribution. */
export type Belief =
  | { kind: 'beta'; a: number; b: number }
  | { kind: 'student'; at: number; scale: number; freedom: number }
  | { kind: 'normal'; mean: number; deviation: number };

/** The variance of one arm's rewards is InverseGamma(3/2, 1) at first: worth three observations. */
const SHAPE = 1.5;
const RATE = 1;
/** An arm that was never rewarded is believed to be like the others, as if a quarter of a reward had shown it. */
const LEAST_PULLS = 0.25;

/** @param others The mean reward of all arms, the only thing that is known of an arm without any. */
export function beliefOf(totals: Totals, rewards: Rewards, others: number): Belief {
  if (rewards === 'bernoulli') {
    const sum = Math.min(Math.max(totals.sum, 0), Math.max(totals.pulls, 0));
    return { kind: 'beta', a: 1 + sum, b: 1 + Math.max(totals.pulls - sum, 0) };
  }
  const pulls = Math.max(totals.pulls, LEAST_PULLS);
  const shape = SHAPE + 0.5 * Math.max(pulls - 1, 0);
  return { kind: 'student', at: totals.pulls > 0 ? totals.mean() : others, scale: Math.sqrt(variance(totals) / pulls), freedom: 2 * shape };
}

export function meanOf(belief: Belief): number {
  switch (belief.kind) {
    case 'beta': return belief.a / (belief.a + belief.b);
    case 'student': return belief.at;
    case 'normal': return belief.mean;
  }
}

/** The standard deviation. */
export function deviationOf(belief: Belief): number {
  switch (belief.kind) {
    case 'beta': return Math.sqrt((belief.a * belief.b) / (belief.a + belief.b + 1)) / (belief.a + belief.b);
    case 'student': return belief.scale * Math.sqrt(belief.freedom / (belief.freedom - 2));
    case 'normal': return belief.deviation;
  }
}

export function drawn(belief: Belief, draws: Draws): number {
  switch (belief.kind) {
    case 'beta': return draws.beta(belief.a, belief.b);
    case 'student': {
      const half = 0.5 * belief.freedom;
      const normal = draws.normal();
      return belief.at + belief.scale * normal * Math.sqrt(half / draws.gamma(half));
    }
    case 'normal': return belief.mean + belief.deviation * draws.normal();
  }
}

/** The variance of one arm's rewards: the inverse of its precision's expectation. */
export function variance(totals: Totals): number {
  return (RATE + 0.5 * totals.scatter()) / (SHAPE + 0.5 * Math.max(totals.pulls - 1, 0));
}
