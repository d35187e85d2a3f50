/**
 * How much each parameter tells good trials from others: PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023, arXiv 2304.10255). In each
 * dimension the density of the best tenth is compared with that of all trials, by Pearson's divergence, on the coordinates of the space.
 */

import type { Space, Point } from '../space/space.js';

/** The share of trials that are good, as in the paper. */
const GOOD = 0.1;
/** Cells of a number's range, as in Optuna's evaluator. */
const CELLS = 50;
/** Fewer trials have no best tenth to speak of. */
const LEAST_TRIALS = 10;

/** @param ranked The points of the complete trials, the best first. In sum 1; all alike where too little is known. */
export function importance(space: Space, ranked: readonly Point[]): Record<string, number> {
  const divergences = space.parameters.map((_, place) => (ranked.length < LEAST_TRIALS ? 0 : divergence(space, ranked, place)));
  const sum = divergences.reduce((sum, one) => sum + one, 0);
  return Object.fromEntries(space.parameters.map(({ name }, place) => [name, sum > 0 ? divergences[place]! / sum : 1 / divergences.length]));
}

/** Of the trials in which the parameter is active. */
function divergence(space: Space, ranked: readonly Point[], place: number): number {
  const active = ranked.filter(point => !Number.isNaN(point[place]!)).map(point => space.encode(point)[place]!);
  if (active.length < LEAST_TRIALS) return 0;
  const { domain } = space.parameters[place]!;
  const good = active.slice(0, Math.max(Math.ceil(GOOD * active.length), 2));
  const shares = (values: number[]): number[] => (domain.type === 'categorical' ? counted(values, domain.choices.length) : smoothed(values));
  const [top, all] = [shares(good), shares(active)];
  return all.reduce((sum, share, cell) => sum + share * (top[cell]! / share - 1) ** 2, 0);
}

/** Shares of categories, with one observation more spread over all. */
function counted(values: readonly number[], categories: number): number[] {
  return Array.from({ length: categories }, (_, category) => (values.filter(value => value === category).length + 1 / categories) / (values.length + 1));
}

/** Shares of cells: a kernel estimate with Scott's width, and one observation more spread over all. */
function smoothed(values: readonly number[]): number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  const width = Math.max(deviation * 1.059 * values.length ** -0.2, 1 / CELLS);
  const shares = Array<number>(CELLS).fill(1 / CELLS / (values.length + 1));
  for (const value of values) {
    const kernel = shares.map((_, cell) => Math.exp(-0.5 * (((cell + 0.5) / CELLS - value) / width) ** 2));
    const all = kernel.reduce((sum, one) => sum + one, 0);
    for (const [cell, one] of kernel.entries()) shares[cell]! += one / all / (values.length + 1);
  }
  return shares;
}
