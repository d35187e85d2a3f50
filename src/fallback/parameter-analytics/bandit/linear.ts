/**
 * Rewards that are linear in a context: each arm's weights, a Gaussian belief that one reward updates by rank one (Sherman and Morrison
 * 1950). `bandit/linear.rs` of the Rust core, in the order of its loops, sums from -0 as there.
 */

import type { Belief, Rewards } from './belief.js';
import type { Totals } from './evidence.js';

/** The weights are normal at first, and deviate as one reward does. */
const RIDGE = 1;
/** Updates after which the inverse is made anew from the sums, before roundings add up. */
const UPDATES = 512;

/** What is believed of one arm's weights. */
export class Weights {
  readonly #features: number;
  /** The deviation of one reward from its mean: no reward within 0..1 deviates by more than a half. */
  readonly #noise: number;
  /** In squares of the noise, row by row. */
  readonly #covariance: Float64Array;
  readonly #withReward: Float64Array;
  readonly #mean: Float64Array;
  #updates = 0;

  constructor({ products }: Totals, features: number, rewards: Rewards) {
    const outer = (features * (features + 1)) / 2;
    const precision = new Float64Array(features * features);
    for (let row = 0; row < features; row++) {
      for (let column = 0; column <= row; column++) {
        precision[row * features + column] = (products[(row * (row + 1)) / 2 + column] ?? 0) + (row === column ? RIDGE : 0);
      }
    }
    this.#features = features;
    this.#noise = rewards === 'bernoulli' ? 0.5 : 1;
    this.#covariance = inverse(precision, features);
    this.#withReward = Float64Array.from({ length: features }, (_, feature) => products[outer + feature] ?? 0);
    this.#mean = new Float64Array(features);
    this.#setMean();
  }

  /** The mean reward of a context. */
  belief(context: Float64Array): Belief {
    const mean = dot(this.#mean, context);
    let variance = -0;
    for (let row = 0; row < this.#features; row++) variance += context[row]! * dot(this.#row(row), context);
    return { kind: 'normal', mean, deviation: this.#noise * Math.sqrt(Math.max(variance, 0)) };
  }

  /** Takes a reward in. Whether the inverse should now be made anew from the sums. */
  observe(context: Float64Array, reward: number): boolean {
    const gain = Float64Array.from(context, (_, row) => dot(this.#row(row), context));
    const scale = 1 / (1 + dot(gain, context));
    for (let row = 0; row < this.#features; row++) {
      for (let column = 0; column < this.#features; column++) {
        this.#covariance[row * this.#features + column]! -= gain[row]! * gain[column]! * scale;
      }
      this.#withReward[row]! += reward * context[row]!;
    }
    this.#setMean();
    this.#updates += 1;
    return this.#updates >= UPDATES;
  }

  #row(row: number): Float64Array {
    return this.#covariance.subarray(row * this.#features, (row + 1) * this.#features);
  }

  #setMean(): void {
    for (let row = 0; row < this.#features; row++) this.#mean[row] = dot(this.#row(row), this.#withReward);
  }
}

/** Four sums side by side; the order is part of what is repeated. */
function dot(a: Float64Array, b: Float64Array): number {
  const fours = a.length - (a.length % 4);
  let [first, second, third, fourth, rest] = [0, 0, 0, 0, -0];
  for (let place = 0; place < fours; place += 4) {
    first += a[place]! * b[place]!;
    second += a[place + 1]! * b[place + 1]!;
    third += a[place + 2]! * b[place + 2]!;
    fourth += a[place + 3]! * b[place + 3]!;
  }
  for (let place = fours; place < a.length; place++) rest += a[place]! * b[place]!;
  return first + second + (third + fourth) + rest;
}

/** The inverse of a symmetric positive definite matrix of which the lower triangle is given: by Cholesky's factor and its inverse. */
function inverse(lower: Float64Array, n: number): Float64Array {
  for (let row = 0; row < n; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = -0;
      for (let k = 0; k < column; k++) sum += lower[row * n + k]! * lower[column * n + k]!;
      const rest = lower[row * n + column]! - sum;
      // At least the ridge, but for roundings.
      lower[row * n + column] = row === column ? Math.sqrt(Math.max(rest, 0.5 * RIDGE)) : rest / lower[column * n + column]!;
    }
  }
  const inverted = new Float64Array(n * n);
  for (let column = 0; column < n; column++) {
    inverted[column * n + column] = 1 / lower[column * n + column]!;
    for (let row = column + 1; row < n; row++) {
      let sum = -0;
      for (let k = column; k < row; k++) sum += lower[row * n + k]! * inverted[k * n + column]!;
      inverted[row * n + column] = -sum / lower[row * n + row]!;
    }
  }
  const product = new Float64Array(n * n);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = -0;
      for (let k = row; k < n; k++) sum += inverted[k * n + row]! * inverted[k * n + column]!;
      product[row * n + column] = product[column * n + row] = sum;
    }
  }
  return product;
}
