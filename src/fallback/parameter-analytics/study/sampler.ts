/** Which point is tried next: `sampler/mod.rs` and `sampler/gp.rs` of the Rust core, with less effort. */

import { UniversalAiError } from '../../../errors.js';
import { Draws } from '../bandit/random.js';
import { fitted, hyperparameters, type Logs, start } from '../gp/likelihood.js';
import { Model } from '../gp/model.js';
import { standardised, tamed } from '../gp/outcome.js';
import { type Below, maximise } from '../gp/search.js';
import { levels } from '../space/domain.js';
import type { Point } from '../space/space.js';
import type { Fit } from './event.js';
import type { Observations } from './observations.js';
import { scattered } from './scatter.js';
import type { StudyState } from './state.js';

/** What a model is made of at most: the best trials and the latest ones. A fit to so many takes some 0.2 s. */
const MOST_BEST = 40;
const MOST_LATEST = 80;
/** Trials that are out, and trials without a value: of each the last so many are kept clear of by the model. */
const PENDING = 32;
const FRUITLESS = 32;
/** The best known points whose neighbours are looked at. */
const ANCHORS = 4;
/** The share of noise in the variance of the values from which on the model is believed more than a value. */
const NOISY = 0.01;
/** With constraints, the trials that lay the ground are no more than these. */
const CONSTRAINED_GROUNDWORK = 6;
/** Random points among which one that was not tried is looked for, before every point is counted; a space with more is not gone through. */
const DRAWS = 64;
const COUNTABLE = 65_536;

export interface Suggestion {
  point: Point;
  by: 'random' | 'sobol' | 'gp';
  /** Where hyperparameters were fitted for it. */
  fit?: Fit;
}

/** Whether {@link suggest} has it. */
export function isSupported(sampler: string): boolean {
  return ['auto', 'gp', 'random', 'sobol'].includes(sampler);
}

export function unsupported(sampler: string): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', `the TypeScript backend has no sampler \`${sampler}\`; use the native one, or gp, sobol or random`);
}

/** The point for the next trial: never one that was tried before, as long as the space has others. Its sampler is one that is supported. */
export function suggest(state: StudyState): Suggestion {
  const { options: { sampler, seed }, space, known, count: trial } = state;
  const draws = new Draws(seed, trial);
  const cube = (): number[] => Array.from({ length: space.dimensions }, () => draws.uniform());
  // Trials that lay the ground before a model is asked: twice the dimensions and some; a half of it is enough once all of it is out.
  const needed = Math.min(Math.max(2 * space.dimensions + 2, 5), known.constraints.length > 0 ? CONSTRAINED_GROUNDWORK : 12);
  const isGrounded = trial >= needed && 2 * known.inputs.length >= Math.min(needed, 4);
  if (sampler === 'random') return { by: 'random', point: newOne([space.sample(cube())], state, cube) };
  if (sampler === 'sobol' || !isGrounded) return { by: 'sobol', point: newOne([space.sample(scattered(trial, space.dimensions, seed))], state, cube) };
  const { points, fit } = modelled(state, draws);
  return { by: 'gp', point: newOne(points, state, cube), ...(fit === undefined ? {} : { fit }) };
}

/** The points that a Gaussian process expects the most of, the best first, and the fit where a new one was made. */
function modelled(state: StudyState, draws: Draws): { points: Point[]; fit: Fit | undefined } {
  const { space, known } = state;
  const { ranked, chosen, inputs } = chosenOf(known);
  const limits = known.constraints.map(values => standardised(chosen.map(place => values[place]!)));
  const observed = [tamed(chosen.map(place => known.objective[place]!)), ...limits.map(({ values }) => values)];
  const fit = refitted(state, inputs, observed);
  const logs = (fit ?? state.fit)!.logs;
  const models = observed.map((values, place) => new Model(hyperparameters(logs[place]!), space.categorical, inputs, values));
  const [objective, ...constraints] = models as [Model, ...Model[]];
  const means = objective.meansAt(observed[0]!).filter((_, place) => known.violation(chosen[place]!) <= 0);
  for (const coordinates of [...[...known.pending.values()].slice(-PENDING), ...known.fruitless.slice(-FRUITLESS)]) for (const model of models) model.believe(coordinates);
  const acquisition = {
    objective: means.length === 0 ? undefined : { model: objective, limit: Math.min(...means) },
    constraints: constraints.map((model, place): Below => ({ model, limit: limits[place]!.place(0) })),
  };
  const anchors = ranked.slice(0, ANCHORS).map(place => known.inputs[place]!);
  return { points: maximise(acquisition, space, anchors, draws).map(coordinates => space.decode(coordinates)), fit };
}

/** What a model is made of, by place. */
function chosenOf(known: Observations): { ranked: number[]; chosen: number[]; inputs: number[][] } {
  const ranked = known.ranked();
  const chosen = [...new Set([...ranked.slice(0, MOST_BEST), ...[...known.inputs.keys()].slice(-MOST_LATEST)])].sort((a, b) => a - b);
  return { ranked, chosen, inputs: chosen.map(place => known.inputs[place]!) };
}

/**
 * What is expected of trials, by their numbers; small is good. `undefined` where there is no model yet, and where it explains the values
 * without noise.
 */
export function beliefs({ space, known, fit }: StudyState): Map<number, number> | undefined {
  const logs = fit?.logs[0];
  if (logs === undefined || logs.length !== space.dimensions + 2 || known.inputs.length === 0) return undefined;
  const settings = hyperparameters(logs);
  if (settings.noise < NOISY) return undefined;
  const { chosen, inputs } = chosenOf(known);
  const observed = tamed(chosen.map(place => known.objective[place]!));
  const means = new Model(settings, space.categorical, inputs, observed).meansAt(observed);
  return new Map(chosen.map((place, n) => [known.trials[place]!, means[n]!]));
}

/** New hyperparameters where enough was told since the last fit, by the number of observations alone. */
function refitted({ space, known, fit: last }: StudyState, inputs: number[][], observed: number[][]): Fit | undefined {
  const n = known.inputs.length;
  const isUsable = last !== undefined && last.logs.length === observed.length && last.observations <= n && last.logs.every(logs => logs.length === space.dimensions + 2);
  if (isUsable && n < last.observations + refitAfter(last.observations)) return undefined;
  const fit = (values: number[], place: number): Logs => fitted(isUsable ? last.logs[place]! : start(space.dimensions), space.categorical, inputs, values);
  return { observations: n, logs: observed.map(fit) };
}

/** After how many observations a fit to `n` is made anew. */
function refitAfter(n: number): number {
  if (n < 50) return 1;
  if (n < 100) return 2;
  if (n < 200) return 5;
  return Math.max(10, Math.floor(n / 12));
}

/** The first that was not tried; else a random one that was not; else any that was not; else the first. */
function newOne(points: Point[], { space, known }: StudyState, cube: () => number[]): Point {
  const isNew = (point: Point): boolean => !known.visited(point);
  const found = points.find(isNew);
  if (found !== undefined) return found;
  for (let draw = 0; draw < DRAWS; draw++) {
    const point = space.sample(cube());
    if (isNew(point)) return point;
  }
  const counts = space.parameters.map(({ domain }) => levels(domain) ?? 0);
  const all = space.cardinality ?? Infinity;
  for (let number = 0; all <= COUNTABLE && number < all; number++) {
    let rest = number;
    const point = space.sample(counts.map(count => {
      const level = rest % count;
      rest = Math.floor(rest / count);
      return (level + 0.5) / count;
    }));
    if (isNew(point)) return point;
  }
  return points[0]!;
}
