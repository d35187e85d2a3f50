/**
 * The random draws of a decision: PCG32, and what is sampled from it. Repeats `bandit/random.rs` of the Rust core bit for bit; that
 * module says what another implementation has to repeat, and the vectors of the contract tests hold both to it.
 */

import { log } from './msun.js';

/** Steps of Weyl's sequence. */
const STEP = 0x9E3779B97F4A7C15n;
/** The stream that PCG's reference implementation uses where none is said. */
const STREAM = 0x0A02BDBF7BB3C0A7n;
/** PCG's multiplier, 6364136223846793005. */
const MULTIPLIER_HIGH = 0x5851F42D;
const MULTIPLIER_LOW = 0x4C957F2D;
const INCREMENT = BigInt.asUintN(64, (STREAM << 1n) | 1n);
const INCREMENT_HIGH = Number(INCREMENT >> 32n);
const INCREMENT_LOW = Number(INCREMENT & 0xffffffffn);
/** 2^-52. */
const ULP = Number.EPSILON;

/** SplitMix64's output for a state (Steele, Lea and Flood 2014): neighbouring numbers give unrelated ones. */
export function mixed(state: bigint): bigint {
  let z = BigInt.asUintN(64, state + STEP);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xBF58476D1CE4E5B9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94D049BB133111EBn);
  return z ^ (z >> 31n);
}

/** The draws of one decision. */
export class Draws {
  /** 64 bits of state in halves, since products of `bigint`s are slow. */
  #high: number;
  #low: number;
  /** Marsaglia's polar method makes two normals at a time. */
  #spare: number | undefined;

  /** Those of decision `number` of a bandit with this seed. */
  constructor(seed: number, number: number) {
    const state = mixed(BigInt(seed) + BigInt(number) * STEP) + INCREMENT;
    this.#high = Number(BigInt.asUintN(64, state) >> 32n);
    this.#low = Number(state & 0xffffffffn);
    this.#step();
  }

  /** Uniform in (0, 1), never an end of it: 52 bits, the first number's 26 highest ones and then the second's. */
  uniform(): number {
    const high = this.#bits() >>> 6;
    const low = this.#bits() >>> 6;
    return (high * 2 ** 26 + low + 0.5) * ULP;
  }

  /** One of `0..n`; 0 where `n` is 0. */
  below(n: number): number {
    return Math.min(Math.trunc(this.uniform() * n), Math.max(n - 1, 0));
  }

  /** Standard normal: the polar method (Marsaglia and Bray 1964). */
  normal(): number {
    const spare = this.#spare;
    if (spare !== undefined) {
      this.#spare = undefined;
      return spare;
    }
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const square = u * u + v * v;
      if (square < 1 && square > 0) {
        const stretch = Math.sqrt((-2 * log(square)) / square);
        this.#spare = v * stretch;
        return u * stretch;
      }
    }
  }

  /** Gamma with a shape of at least 1 and scale 1 (Marsaglia and Tsang 2000). */
  gamma(shape: number): number {
    const d = Math.max(shape, 1) - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const root = 1 + c * x;
      if (root <= 0) continue;
      const v = root * root * root;
      const square = x * x;
      const u = this.uniform();
      // The squeeze spares two logarithms in more than nine of ten cases.
      if (u < 1 - 0.0331 * square * square || log(u) < 0.5 * square + d * (1 - v + log(v))) return d * v;
    }
  }

  /** Beta with parameters of at least 1. */
  beta(a: number, b: number): number {
    const x = this.gamma(a);
    const y = this.gamma(b);
    return x / (x + y);
  }

  /** 32 random bits: PCG XSH RR (O'Neill 2014). */
  #bits(): number {
    const high = this.#high;
    const low = this.#low;
    this.#step();
    // ((state >> 18) ^ state) >> 27, and the lowest 32 bits of that.
    const mixedHigh = (high >>> 18) ^ high;
    const mixedLow = ((high << 14) | (low >>> 18)) ^ low;
    const shifted = (mixedHigh << 5) | (mixedLow >>> 27);
    const turn = high >>> 27;
    return ((shifted >>> turn) | (shifted << (-turn & 31))) >>> 0;
  }

  #step(): void {
    const low = this.#low;
    const [carry, product] = wide(low, MULTIPLIER_LOW);
    const high = (carry + Math.imul(this.#high, MULTIPLIER_LOW) + Math.imul(low, MULTIPLIER_HIGH)) >>> 0;
    const sum = product + INCREMENT_LOW;
    this.#low = sum >>> 0;
    this.#high = (high + INCREMENT_HIGH + (sum > 0xffffffff ? 1 : 0)) >>> 0;
  }
}

/** The upper and the lower 32 bits of a product of two numbers of 32 bits. */
function wide(a: number, b: number): [number, number] {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const lowest = aLow * bLow;
  const middle = aHigh * bLow + (lowest >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return [aHigh * bHigh + Math.floor(middle / 65_536) + (other >>> 16), (((other & 0xffff) << 16) | (lowest & 0xffff)) >>> 0];
}
