/** Points that leave no part of a cube out: Sobol's sequence (1967), shifted by a random digital shift for each dimension. */

import { Draws } from '../bandit/random.js';

/**
 * For each dimension after the first, a primitive polynomial and the first direction numbers: S. Joe and F. Y. Kuo ("Constructing Sobol
 * sequences with better two-dimensional projections", SIAM J. Sci. Comput. 2008), `new-joe-kuo-6.21201`. Further dimensions are random.
 */
const DIRECTIONS: readonly (readonly [polynomial: number, numbers: readonly number[]])[] = [
  [0, [1]], [1, [1, 3]], [1, [1, 3, 1]], [2, [1, 1, 1]], [1, [1, 1, 3, 3]], [4, [1, 3, 5, 13]], [2, [1, 1, 5, 5, 17]], [4, [1, 1, 5, 5, 5]],
  [7, [1, 1, 7, 11, 19]], [11, [1, 1, 5, 1, 1]], [13, [1, 1, 1, 3, 11]], [14, [1, 3, 5, 5, 31]], [1, [1, 3, 3, 9, 7, 49]], [13, [1, 1, 1, 15, 21, 21]],
  [16, [1, 3, 1, 13, 27, 49]], [19, [1, 1, 1, 15, 7, 5]], [22, [1, 3, 1, 15, 13, 25]], [25, [1, 1, 5, 5, 19, 61]], [1, [1, 3, 7, 11, 23, 15, 103]], [4, [1, 3, 7, 13, 13, 15, 69]],
];

/** Bits of the sequence. */
const BITS = 32;

/** The direction numbers of a dimension. */
function directions(dimension: number): number[] {
  if (dimension === 0) return Array.from({ length: BITS }, (_, bit) => 2 ** (BITS - 1 - bit));
  const [polynomial, numbers] = DIRECTIONS[dimension - 1]!;
  const degree = numbers.length;
  const found = numbers.map((number, bit) => (number * 2 ** (BITS - 1 - bit)) >>> 0);
  for (let bit = degree; bit < BITS; bit++) {
    let next = found[bit - degree]! ^ (found[bit - degree]! >>> degree);
    for (let k = 1; k < degree; k++) if (((polynomial >>> (degree - 1 - k)) & 1) === 1) next ^= found[bit - k]!;
    found.push(next >>> 0);
  }
  return found;
}

const known: number[][] = [];

/** The point of this number, 0..1 in each dimension. The same seed and number give the same point. */
export function scattered(number: number, dimensions: number, seed: number): number[] {
  // One stream for the shifts of a seed, another for what lies beyond the table.
  const shifts = new Draws(seed, 2 ** 31);
  const own = new Draws(seed, 2 ** 31 + 1 + number);
  return Array.from({ length: dimensions }, (_, dimension) => {
    const shift = Math.floor(shifts.uniform() * 2 ** BITS);
    const between = own.uniform();
    if (dimension > DIRECTIONS.length) return between;
    let bits = shift;
    const numbers = known[dimension] ??= directions(dimension);
    for (let bit = 0, rest = number; rest > 0 && bit < BITS; bit++, rest = Math.floor(rest / 2)) if (rest % 2 === 1) bits ^= numbers[bit]!;
    return ((bits >>> 0) + between) / 2 ** BITS;
  });
}
