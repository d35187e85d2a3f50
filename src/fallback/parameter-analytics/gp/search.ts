/**
 * Where the most is expected: the logarithm of expected improvement, and of the chance that constraints are met (Ament et al., NeurIPS
 * 2023), and a search for its top. The Rust core follows gradients; here the best of many scattered points and of neighbours of the best
 * known ones is improved by random steps that shrink, which is less exact and needs nothing else.
 */

import type { Draws } from '../bandit/random.js';
import type { Space } from '../space/space.js';
import { scattered } from '../study/scatter.js';
import type { Model, Prediction } from './model.js';
import { logBelow, logExcess } from './normal.js';

/** A model, and the value that matters: the best known one of an objective, the limit of a constraint. */
export interface Below {
  model: Model;
  limit: number;
}

/** `objective`: what should be small; absent while nothing feasible is known. */
export interface Acquisition {
  objective: Below | undefined;
  constraints: Below[];
}

/** Points that are looked at all over the space, neighbours of each of the best known points, and steps from each start. */
const SCATTERED = 256;
const NEIGHBOURS = 48;
const STARTS = 3;
const STEPS = 60;

export function worth({ objective, constraints }: Acquisition, point: readonly number[]): number {
  const term = ({ model, limit }: Below, of: (prediction: Prediction, z: number) => number): number => {
    const prediction = model.predict(point);
    return of(prediction, (limit - prediction.mean) / prediction.deviation);
  };
  let sum = objective === undefined ? 0 : term(objective, ({ deviation }, z) => Math.log(deviation) + logExcess(z));
  for (const constraint of constraints) sum += term(constraint, (_, z) => logBelow(z));
  return Number.isNaN(sum) ? -Infinity : sum;
}

/** The best places, the best first. `anchors` are the best known points. */
export function maximise(acquisition: Acquisition, space: Space, anchors: readonly number[][], draws: Draws): number[][] {
  const snapped = (coordinates: readonly number[]): number[] => space.encode(space.decode(coordinates));
  const valued = (coordinates: number[]): { coordinates: number[]; value: number } => ({ coordinates, value: worth(acquisition, coordinates) });
  const seed = draws.below(2 ** 31);
  const looked = Array.from({ length: SCATTERED }, (_, number) => space.encode(space.sample(scattered(number, space.dimensions, seed))));
  for (const anchor of anchors) {
    for (let n = 0; n < NEIGHBOURS; n++) looked.push(snapped(neighbour(anchor, space, 0.2 * 10 ** (-3.3 * draws.uniform()), draws)));
  }
  const raw = looked.map(valued).sort((a, b) => b.value - a.value);
  const found = raw.slice(0, STARTS).map(start => {
    let best = start;
    for (let step = 0; step < STEPS; step++) {
      // From a fifth of the cube down to a thousandth.
      const next = valued(snapped(neighbour(best.coordinates, space, 0.2 * 10 ** ((-2.3 * step) / STEPS), draws)));
      if (next.value > best.value) best = next;
    }
    return best;
  });
  // What was only looked at comes after, for when the best are known points.
  return [...found, ...raw.slice(0, 32)].sort((a, b) => b.value - a.value).map(({ coordinates }) => coordinates);
}

/** Some coordinates moved, by a distance of about `width`. */
function neighbour(anchor: readonly number[], space: Space, width: number, draws: Draws): number[] {
  const share = [1, 0.5, 2 / anchor.length][draws.below(3)]!;
  const always = draws.below(anchor.length);
  return anchor.map((coordinate, place) => {
    if (place !== always && draws.uniform() >= share) return coordinate;
    const { domain } = space.parameters[place]!;
    if (domain.type === 'categorical') return draws.uniform() < 0.3 ? draws.below(domain.choices.length) : coordinate;
    return Math.min(Math.max(coordinate + width * draws.normal(), 0), 1);
  });
}
