/**
 * How probable it is that an arm is the best, or is taken for it by Thompson sampling: `bandit/best.rs` of the Rust core. Each belief's
 * distribution function is a table, and `E[product of the others' distribution functions]` is integrated over it by Simpson's rule.
 * Off by less than 0.005.
 */

import { type Belief, deviationOf, meanOf } from './belief.js';
import { exp, log } from './msun.js';

/** Cells of a table. Between knots a cubic is fitted, so that a third of a deviation is narrow enough. */
const CELLS = 36;

/** Where the knots of a table lie. `value` and `slope` take a place of 0 to 1; `place` is the inverse of `value`, not kept within. */
interface Grid {
  value(at: number): number;
  slope(at: number): number;
  place(value: number): number;
}

function even(low: number, high: number): Grid {
  return { value: at => low + (high - low) * at, slope: () => high - low, place: value => (value - low) / (high - low) };
}

const inside = (at: number): number => Math.min(Math.max(2 * at - 1, -0.999_999), 0.999_999);

/** At t = u sqrt(2 / (1 - u^2)) for even u in (-1, 1), so that heavy tails need no more knots. */
const TAILS: Grid = {
  value(at) {
    const u = inside(at);
    return u * Math.sqrt(2 / (1 - u * u));
  },
  slope(at) {
    const u = inside(at);
    const rest = 2 / (1 - u * u);
    return rest * Math.sqrt(rest);
  },
  place: value => 0.5 + (0.5 * value) / Math.sqrt(2 + value * value),
};

/** A distribution function and its derivative at the knots of a grid. */
class Table {
  readonly grid: Grid;
  readonly #below = new Float64Array(CELLS + 1);
  /** By the cell. */
  readonly #density: Float64Array;

  /** Of a density that may lack its constant. */
  constructor(grid: Grid, logDensity: (value: number) => number) {
    this.grid = grid;
    const logs = Float64Array.from({ length: CELLS + 1 }, (_, knot) => logDensity(grid.value(knot / CELLS)));
    const most = logs.reduce((most, value) => Math.max(most, value), -Infinity);
    const density = logs.map((value, knot) => exp(value - most) * grid.slope(knot / CELLS));
    const below = this.#below;
    for (let knot = 0; knot < CELLS; knot++) {
      const [before, left, right, after] = [density[knot - 1], density[knot]!, density[knot + 1]!, density[knot + 2]];
      // The cubic through four knots; the trapezium at the ends, where next to nothing lies or the density is flat.
      const mass = before === undefined || after === undefined ? 0.5 * (left + right) : (13 * (left + right) - before - after) / 24;
      below[knot + 1] = below[knot]! + Math.max(mass, 0);
    }
    const all = below[CELLS]!;
    for (let knot = 0; knot <= CELLS; knot++) below[knot]! /= all;
    this.#density = density.map(value => value / all);
  }

  /** The distribution function where `at` of the grid's width lies below. */
  below(at: number): number {
    const cells = at * CELLS;
    if (cells <= 0) return 0;
    const cell = Math.trunc(cells);
    if (cell >= CELLS) return 1;
    const t = cells - cell;
    const [from, to, left, right] = [this.#below[cell]!, this.#below[cell + 1]!, this.#density[cell]!, this.#density[cell + 1]!];
    // Hermite's cubic.
    const rise = to - from;
    const [c2, c3] = [3 * rise - 2 * left - right, left + right - 2 * rise];
    return Math.min(Math.max(from + t * (left + t * (c2 + t * c3)), 0), 1);
  }

  /** Its derivative. */
  density(at: number): number {
    const cells = at * CELLS;
    const cell = Math.trunc(cells);
    if (cells <= 0 || cell >= CELLS) return 0;
    const [left, right] = [this.#density[cell]!, this.#density[cell + 1]!];
    return Math.max(left + (cells - cell) * (right - left), 0) * CELLS;
  }
}

/** Those of normal distributions share a table. */
const NORMAL = new Table(even(-6, 6), x => -0.5 * x * x);

/** A belief's distribution function. Made for a belief, which does not change. */
export class Curve {
  readonly mean: number;
  /** Hardly anything lies outside. */
  readonly bulk: readonly [number, number];
  /** What is 0 and what is 1 in the table's terms. */
  readonly #at: number;
  readonly #scale: number;
  readonly #table: Table;

  constructor(belief: Belief) {
    this.mean = meanOf(belief);
    const deviation = deviationOf(belief);
    switch (belief.kind) {
      case 'beta': {
        const { a, b } = belief;
        // The longer tail is the one towards the middle.
        const [left, right] = a < b ? [5, 8] : [8, 5];
        this.bulk = [Math.max(this.mean - left * deviation, 0), Math.min(this.mean + right * deviation, 1)];
        [this.#at, this.#scale] = [0, 1];
        this.#table = new Table(even(...this.bulk), value => {
          const x = Math.min(Math.max(value, 1e-300), 1 - Number.EPSILON);
          return (a - 1) * log(x) + (b - 1) * log(1 - x);
        });
        break;
      }
      case 'student': {
        const { at, scale, freedom } = belief;
        // Six deviations of a normal distribution, and more where tails are heavy.
        const reach = scale * 6 * (1 + 4 / freedom);
        this.bulk = [at - reach, at + reach];
        [this.#at, this.#scale] = [at, scale];
        this.#table = new Table(TAILS, t => -0.5 * (freedom + 1) * log(1 + (t * t) / freedom));
        break;
      }
      case 'normal': {
        // What is certain is a narrow step.
        this.#scale = Math.max(deviation, 1e-12 * (1 + Math.abs(this.mean)));
        this.#at = this.mean;
        this.bulk = [this.mean - 6 * this.#scale, this.mean + 6 * this.#scale];
        this.#table = NORMAL;
      }
    }
  }

  place(value: number): number {
    return this.#table.grid.place((value - this.#at) / this.#scale);
  }

  value(at: number): number {
    return this.#at + this.#scale * this.#table.grid.value(at);
  }

  below(value: number): number {
    return this.#table.below(this.place(value));
  }

  density(at: number): number {
    return this.#table.density(at);
  }
}

/** What is drawn from a belief: a value of it, or (optimistic) its mean where that is more. */
export type Draw = 'plain' | 'optimistic';

/** How probable it is that the draw of `curve` is greater than those of its rivals. */
export function chance(curve: Curve, rivals: Curve[], draw: Draw): number {
  // The rival whose draw is hardly ever less than this decides where the others' product rises. Of equals the last one, as in Rust.
  const highest = rivals.reduce<Curve | undefined>((highest, rival) => (highest === undefined || rival.bulk[0] >= highest.bulk[0] ? rival : highest), undefined);
  if (highest === undefined) return 1;
  const beaten = (rivals: Curve[], value: number): number => {
    let product = 1;
    for (const rival of rivals) {
      product *= rival.below(value);
      if (product === 0) break;
    }
    return product;
  };
  const unit = (at: number): number => Math.min(Math.max(at, 0), 1);
  const floor = draw === 'plain' ? -Infinity : rivals.reduce((most, rival) => Math.max(most, rival.mean), -Infinity);
  let start = 0;
  let atom = 0;
  if (draw === 'optimistic') {
    start = unit(curve.place(Math.max(curve.mean, floor)));
    if (curve.mean >= floor) {
      // All that lies below the mean counts for it; those with the very same mean then compare what they drew.
      const tied = rivals.filter(rival => rival.mean === curve.mean);
      const others = beaten(rivals.filter(rival => rival.mean !== curve.mean), curve.mean);
      atom = others * (tied.length === 0 ? curve.below(curve.mean) : simpson(at => curve.density(at) * beaten(tied, curve.value(at)), 0, start));
    }
  }
  const cut = (value: number): number => Math.min(Math.max(curve.place(value), start), 1);
  const ends = [start, cut(highest.bulk[0]), cut(highest.mean), cut(highest.bulk[1]), 1];
  const integrand = (at: number): number => {
    const density = curve.density(at);
    return density === 0 ? 0 : density * beaten(rivals, curve.value(at));
  };
  let integral = 0;
  for (let place = 1; place < ends.length; place++) integral += simpson(integrand, ends[place - 1]!, ends[place]!);
  return unit(atom + integral);
}

/** Half of the intervals between the ends of a rival's bulk, where its distribution function turns. */
const LEAST = 4;

/** Simpson's rule with intervals no wider than two cells' thirds. */
function simpson(f: (at: number) => number, low: number, high: number): number {
  const width = high - low;
  if (width <= 0) return 0;
  const pairs = Math.max(LEAST, Math.ceil(width * CELLS * 0.25));
  const step = width / (2 * pairs);
  let inner = 0;
  for (let place = 1; place < 2 * pairs; place++) inner += (place % 2 === 1 ? 4 : 2) * f(low + step * place);
  // Just inside, since a table ends at its ends.
  const inset = 1e-9 * width;
  return (step / 3) * (f(low + inset) + inner + f(high - inset));
}
