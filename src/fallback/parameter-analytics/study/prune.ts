/** Which trials are ended early, by what they and others reported on the way: `study/prune.rs` of the Rust core. */

/** Steps and values, in the order of steps. */
export type Reports = readonly (readonly [step: number, value: number])[];

/** Trials that have to be complete before one is compared with them (Optuna's `n_startup_trials`). */
const STARTUP = 5;
/** One of so many goes on from each rung. */
const REDUCTION = 4;

/**
 * The median stopping rule (Golovin et al., "Google Vizier", KDD 2017): whether the best value so far is worse than the median of the
 * best ones that others had by the same step. `sign` is -1 where large values are good.
 */
export function byMedian(own: Reports, others: readonly Reports[], sign: number): boolean {
  const last = own.at(-1);
  if (last === undefined) return false;
  const best = (reports: Reports): number => Math.min(...reports.filter(([step]) => step <= last[0]).map(([, value]) => sign * value));
  const bests = others.map(best).filter(Number.isFinite).sort((a, b) => a - b);
  const median = bests[Math.floor(bests.length / 2)];
  return bests.length >= STARTUP && median !== undefined && best(own) > median;
}

/**
 * Asynchronous successive halving (Li et al., MLSys 2020): whether the trial, at the last rung that it has reached (steps 1, 4, 16, ...),
 * is not among the best quarter of those that reached it.
 */
export function byHalving(own: Reports, others: readonly Reports[], sign: number): boolean {
  const step = own.at(-1)?.[0] ?? 0;
  if (step < 1) return false;
  let rung = 1;
  while (rung * REDUCTION <= step) rung *= REDUCTION;
  const atRung = (reports: Reports): number[] => reports.filter(([at]) => at >= rung).slice(0, 1).map(([, value]) => sign * value);
  const [value] = atRung(own);
  if (value === undefined) return false;
  const there = [value, ...others.flatMap(atRung)].sort((a, b) => a - b);
  const worst = there[Math.max(Math.floor(there.length / REDUCTION), 1) - 1];
  return worst !== undefined && value > worst;
}
