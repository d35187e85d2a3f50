import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { logPosterior, hyperparameters } from '../../src/fallback/parameter-analytics/gp/likelihood.js';
import { Model } from '../../src/fallback/parameter-analytics/gp/model.js';
import { logBelow, logExcess } from '../../src/fallback/parameter-analytics/gp/normal.js';
import { standardised, tamed } from '../../src/fallback/parameter-analytics/gp/outcome.js';

interface ModelVector {
  categorical: boolean[];
  inputs: number[][];
  observed: number[];
  logs: number[];
  points: number[][];
  logPosterior: number;
  gradient: number[];
  predictions: [number, number][];
  believed: number;
  predictionsThen: [number, number][];
}

const vectors = JSON.parse(readFileSync(new URL('../contract/vectors/parameter-analytics-gp.json', import.meta.url), 'utf8')) as { models: ModelVector[]; outcomes: { values: number[]; standardised: number[]; tamed: number[] }[]; tails: [number, number, number][] };

/** Beside the size of a number, or 1. */
function expectNear(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  for (const [place, value] of expected.entries()) expect(Math.abs(found[place]! - value), `${found[place]} for ${value}`).toBeLessThanOrEqual(1e-9 * Math.max(Math.abs(value), 1));
}

describe('the Gaussian process', () => {
  it.each(vectors.models)('expects what the Rust core expects of $inputs.length observations in $categorical.length dimensions', ({ categorical, inputs, observed, logs, points, believed, ...expected }) => {
    const model = new Model(hyperparameters(logs), categorical, inputs, observed);
    const predictions = (): number[] => points.flatMap(point => Object.values(model.predict(point)) as number[]);
    expectNear(predictions(), expected.predictions.flat());
    model.believe(points[believed]!);
    expectNear(predictions(), expected.predictionsThen.flat());
    const { value, gradient } = logPosterior(logs, categorical, inputs, observed);
    expectNear([value, ...gradient], [expected.logPosterior, ...expected.gradient]);
  });

  it.each(vectors.outcomes)('sees $values as the Rust core does', ({ values, ...expected }) => {
    expectNear(standardised(values).values, expected.standardised);
    expectNear(tamed(values), expected.tamed);
  });

  it.each(vectors.tails)('knows the tails at %d', (z, excess, below) => {
    expectNear([logExcess(z), logBelow(z)], [excess, below]);
  });
});
