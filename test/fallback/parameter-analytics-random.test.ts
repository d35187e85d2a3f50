import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { exp, log } from '../../src/fallback/parameter-analytics/bandit/msun.js';
import { Draws, mixed } from '../../src/fallback/parameter-analytics/bandit/random.js';
import { scattered } from '../../src/fallback/parameter-analytics/study/scatter.js';

const { functions } = JSON.parse(readFileSync(new URL('../contract/vectors/parameter-analytics-bandits.json', import.meta.url), 'utf8')) as { functions: [x: number, log: number, expOfMinus: number, exp: number][] };

describe('what the bandits repeat of the Rust core', () => {
  it('has its logarithms and exponentials, bit for bit', () => {
    for (const [x, logarithm, expOfMinus, expected] of functions) {
      expect([x, log(x), exp(-x)]).toEqual([x, logarithm, expOfMinus]);
      if (x < 700) expect([x, exp(x)]).toEqual([x, expected]);
    }
  });

  it('has its edges', () => {
    expect([log(0), log(-1), log(Infinity), exp(-Infinity), exp(710), exp(0), exp(NaN)]).toEqual([-Infinity, NaN, Infinity, 0, Infinity, 1, NaN]);
  });

  // The same numbers stand in the tests of `bandit/random.rs`.
  it('draws what it draws', () => {
    const draws = new Draws(42, 7);
    expect([draws.uniform(), draws.normal(), draws.gamma(2.5), draws.beta(3, 4.5)]).toEqual([0.616652291811136, -0.11753148091554659, 2.215572377858848, 0.3575194009281875]);
    expect([mixed(0n), mixed(2n ** 64n - 1n)]).toEqual([0xE220A8397B1DCDAFn, 0xE4D971771B652C20n]);
  });
});

describe('scattered points', () => {
  it('have one of sixteen in each sixteenth of every dimension that the table has', () => {
    for (const seed of [0, 7]) {
      const points = Array.from({ length: 16 }, (_, number) => scattered(number, 21, seed));
      for (let dimension = 0; dimension < 21; dimension++) {
        expect(points.map(point => Math.floor(point[dimension]! * 16)).sort((a, b) => a - b)).toEqual([...points.keys()]);
      }
    }
  });

  it('are others for another seed, and go on beyond the table', () => {
    expect(scattered(3, 40, 1)).toEqual(scattered(3, 40, 1));
    expect(scattered(3, 40, 1)).not.toEqual(scattered(3, 40, 2));
    expect(scattered(3, 40, 1).every(share => share >= 0 && share < 1)).toBe(true);
  });
});
