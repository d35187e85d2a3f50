/**
 * When enough is known to say which arm is the best, and which one to try until then: `bandit/best_arm.rs` of the Rust core, where the
 * papers stand (Kaufmann and Koolen, JMLR 2021; T3C of Shang et al., AISTATS 2020).
 */

import type { Rewards } from './belief.js';
import type { Totals } from './evidence.js';
import { exp, log } from './msun.js';
import { kl } from './upper-bound.js';

/** An arm that may be chosen. */
export interface Rival {
  place: number;
  totals: Totals;
}

/** How much the rewards speak for `a` being better than `b`, in nats; 0 where they do not. */
function evidence(a: Totals, b: Totals, rewards: Rewards): number {
  const [meanA, meanB] = [a.mean(), b.mean()];
  if (a.pulls <= 0 || b.pulls <= 0 || meanA <= meanB) return 0;
  if (rewards === 'bernoulli') {
    const both = (a.sum + b.sum) / (a.pulls + b.pulls);
    return a.pulls * kl(Math.min(meanA, 1), both) + b.pulls * kl(Math.max(meanB, 0), both);
  }
  const gap = meanA - meanB;
  return (0.5 * gap * gap) / (1 / a.pulls + 1 / b.pulls);
}

/** The place of the arm that is the best, if the others are told from it; `ever`: all arms that there were. */
export function verdict(arms: Rival[], ever: number, rewards: Rewards, error: number): number | undefined {
  // Of equals the last one, as in Rust.
  const leader = arms.reduce<Rival | undefined>((best, arm) => (best === undefined || arm.totals.mean() >= best.totals.mean() ? arm : best), undefined);
  if (leader === undefined) return undefined;
  const beats = (rival: Rival): boolean => evidence(leader.totals, rival.totals, rewards) > threshold(leader.totals.pulls, rival.totals.pulls, ever, error);
  return arms.every(arm => arm === leader || beats(arm)) ? leader.place : undefined;
}

/** The rival that is hardest to tell from the arm at `leader`; among equals the one that was tried least. */
export function runnerUp(leader: number, arms: Rival[], rewards: Rewards): number {
  const leading = arms.find(({ place }) => place === leader);
  let found: { place: number; cost: number; pulls: number } | undefined;
  for (const { place, totals } of arms) {
    if (leading === undefined || place === leader) continue;
    const cost = evidence(leading.totals, totals, rewards);
    if (found === undefined || cost < found.cost || (cost === found.cost && totals.pulls < found.pulls)) found = { place, cost, pulls: totals.pulls };
  }
  return found?.place ?? leader;
}

/** Below it the evidence for the best among `arms` may still be chance. */
function threshold(pulls: number, rivalPulls: number, arms: number, error: number): number {
  const pairs = Math.max(arms - 1, 1);
  const times = (pulls: number): number => 3 * log(1 + log(Math.max(pulls, 1)));
  return 2 * calibration(0.5 * log(pairs / error)) + times(pulls) + times(rivalPulls);
}

/** ln(2 zeta(2)), h(1 / ln(3/2)) and ln(ln(3/2)). */
const MIXTURE = 1.190_847_483_030_69;
const TURN = 1.563_583_006_658_551_9;
const LOG_LOG = -0.902_720_455_717_879_8;

/** The function T of Kaufmann and Koolen (2021, equation 12). */
function calibration(x: number): number {
  const y = 0.5 * (inverseH(1 + x) + MIXTURE);
  if (y < TURN) return 2 * (1.5 * (y - LOG_LOG));
  const u = inverseH(y);
  return 2 * (exp(1 / u) * u);
}

/** From its start Newton's steps double the digits at once. */
const STEPS = 20;

/** The u >= 1 with u - ln u = y, for y >= 1. */
function inverseH(y: number): number {
  let u = y + Math.sqrt(2 * Math.max(y - 1, 0));
  for (let steps = 0; steps < STEPS; steps++) {
    if (u <= 1) return 1;
    const step = (u - log(u) - y) / (1 - 1 / u);
    u = Math.max(u - step, 1);
    if (Math.abs(step) < 1e-12 * u) break;
  }
  return u;
}
