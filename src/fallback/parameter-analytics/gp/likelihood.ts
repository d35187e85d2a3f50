/**
 * How well hyperparameters explain what was observed, and which do best: the marginal likelihood (Rasmussen and Williams 2006, eqs. 5.8
 * and 5.9) with the priors of `gp/likelihood.rs` of the Rust core, where their source stands. Where that one has a quasi-Newton method,
 * here the signs of the gradient alone lead (Rprop-, Igel and Huesken 2003).
 */

import { type Hyperparameters, maternSlope, Model, squaresOf } from './model.js';

/** Logarithms: of each length scale, of the scale, of the noise. */
export type Logs = number[];

/** The cube's side is 1 and observations have variance 1; outside of these a function is noise, or does not depend at all. */
const LENGTH_BOUNDS = [-5.3, 7] as const;
const SCALE_BOUNDS = [-6, 8] as const;
const NOISE_BOUNDS = [-16.5, 0.5] as const;
/** Evaluations of a fit; steps grow and shrink by the factors that Rprop's authors give. */
const EVALUATIONS = 40;
const FIRST_STEP = 0.3;
const GREATEST_STEP = 1;
const GROW = 1.2;
const SHRINK = 0.5;

/** Where a fit starts when nothing is known: the mode of each prior, roughly. */
export function start(dimensions: number): Logs {
  const length = Math.log(0.5) + 0.5 * Math.log(Math.max(dimensions, 1) / 6);
  return [...Array<number>(dimensions).fill(Math.max(length, -1.5)), 0, -7];
}

export function hyperparameters(logs: Logs): Hyperparameters {
  return { weights: logs.slice(0, -2).map(length => Math.exp(-2 * length)), scale: Math.exp(logs.at(-2) ?? 0), noise: Math.exp(logs.at(-1) ?? 0) };
}

/** The logarithm of the marginal likelihood and of the prior, and its gradient. O(n^3). */
export function logPosterior(logs: Logs, categorical: readonly boolean[], inputs: readonly (readonly number[])[], observed: readonly number[]): { value: number; gradient: number[] } {
  const n = inputs.length;
  const settings = hyperparameters(logs);
  const { fit, logDeterminant, alpha, inverse } = new Model(settings, categorical, inputs, observed).evidence(observed);
  const gradient = logs.map(() => 0);
  let trace = 0;
  for (let i = 0; i < n; i++) {
    trace += alpha[i]! ** 2 - inverse[i]![i]!;
    for (let j = 0; j < i; j++) {
      const squares = squaresOf(settings, categorical, inputs[i]!, inputs[j]!);
      const pull = (alpha[i]! * alpha[j]! - inverse[i]![j]!) * maternSlope(squares.reduce((sum, square) => sum + square, 0), settings.scale);
      for (let p = 0; p < squares.length; p++) gradient[p]! += pull * squares[p]!;
    }
  }
  const noiseSlope = 0.5 * settings.noise * trace;
  // The trace of (alpha alpha' - K^-1) K is y' alpha - n, and the kernel is K without the noise.
  gradient[logs.length - 2]! += 0.5 * (fit - n) - noiseSlope;
  gradient[logs.length - 1]! += noiseSlope;
  return { value: -0.5 * (fit + logDeterminant + n * Math.log(2 * Math.PI)) + logPrior(logs, gradient), gradient };
}

/** Without constants; adds its gradient. */
function logPrior(logs: Logs, gradient: number[]): number {
  const d = logs.length - 2;
  const location = Math.SQRT2 + 0.5 * Math.log(Math.max(d, 1));
  let sum = 0;
  for (const [place, log] of logs.entries()) {
    if (place < d) {
      // Log-normal with variance 3 of the logarithm, as a density of the length itself.
      sum -= (log - location) ** 2 / 6 + log;
      gradient[place]! -= (log - location) / 3 + 1;
    } else {
      // Gamma(2, 1) for the scale, Gamma(1.1, 5) for the noise.
      const [power, rate] = place === d ? [1, 1] : [0.1, 5];
      sum += power * log - rate * Math.exp(log);
      gradient[place]! += power - rate * Math.exp(log);
    }
  }
  return sum;
}

/** The hyperparameters that explain the observations best of those that a search from `from` comes by. */
export function fitted(from: Logs, categorical: readonly boolean[], inputs: readonly (readonly number[])[], observed: readonly number[]): Logs {
  const bounds = from.map((_, place) => (place < from.length - 2 ? LENGTH_BOUNDS : place === from.length - 2 ? SCALE_BOUNDS : NOISE_BOUNDS));
  let here = [...from];
  let best = { value: -Infinity, logs: from };
  const steps = from.map(() => FIRST_STEP);
  let before = from.map(() => 0);
  for (let evaluation = 0; evaluation < EVALUATIONS; evaluation++) {
    const { value, gradient } = logPosterior(here, categorical, inputs, observed);
    if (!Number.isFinite(value)) break;
    if (value > best.value) best = { value, logs: here };
    const slopes = gradient.map((slope, place) => {
      const turn = slope * before[place]!;
      steps[place] = Math.min(steps[place]! * (turn > 0 ? GROW : turn < 0 ? SHRINK : 1), GREATEST_STEP);
      return slope;
    });
    here = here.map((log, place) => Math.min(Math.max(log + Math.sign(slopes[place]!) * steps[place]!, bounds[place]![0]), bounds[place]![1]));
    before = slopes;
  }
  return best.logs;
}
