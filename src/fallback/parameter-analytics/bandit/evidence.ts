/**
 * What rewards sum up to: whole numbers of 128 bits, so that sums do not depend on the order in which they were made. As in
 * `bandit/evidence.rs` and `bandit/delta.rs` of the Rust core, and written as those are.
 */

/** Units in which a reward is counted, 2^-24. */
export const UNITS = 2 ** 24;
/** Units in which a feature is counted, 2^-20. */
export const FEATURE_UNITS = 2 ** 20;
/** The greatest size of a feature. */
export const FEATURE_MOST = 1_024;

/** What is known of one arm. `products`: the lower triangle of the sum of the contexts' outer products, row by row, then the sum of reward times context. */
export interface Evidence {
  pulls: number;
  sum: bigint;
  squares: bigint;
  products: bigint[];
}

/** One reward, and what it came with, in units. */
export interface Observation {
  reward: number;
  /** Empty where there are no features. */
  context: readonly number[];
}

export function noEvidence(): Evidence {
  return { pulls: 0, sum: 0n, squares: 0n, products: [] };
}

const wrapped = (sum: bigint): bigint => BigInt.asIntN(128, sum);

export function observe(evidence: Evidence, { reward, context }: Observation): void {
  const units = BigInt(reward);
  evidence.pulls += 1;
  evidence.sum = wrapped(evidence.sum + units);
  evidence.squares = wrapped(evidence.squares + units * units);
  const features = context.map(BigInt);
  const terms = features.flatMap((x, row) => features.slice(0, row + 1).map(y => x * y));
  terms.push(...features.map(x => x * units));
  addProducts(evidence.products, terms);
}

export function addEvidence(evidence: Evidence, other: Evidence): void {
  evidence.pulls += other.pulls;
  evidence.sum = wrapped(evidence.sum + other.sum);
  evidence.squares = wrapped(evidence.squares + other.squares);
  addProducts(evidence.products, other.products);
}

function addProducts(products: bigint[], terms: readonly bigint[]): void {
  for (const [place, term] of terms.entries()) products[place] = wrapped((products[place] ?? 0n) + term);
}

/** Evidence as numbers, older parts counting less. */
export class Totals {
  pulls = 0;
  sum = 0;
  squares = 0;
  /** As in {@link Evidence}. */
  products: number[] = [];

  copy(): Totals {
    const copied = new Totals();
    [copied.pulls, copied.sum, copied.squares, copied.products] = [this.pulls, this.sum, this.squares, [...this.products]];
    return copied;
  }

  /** Adds what counts `weight` times. */
  add(evidence: Evidence, weight: number, features: number): void {
    this.pulls += weight * evidence.pulls;
    this.sum += weight * (Number(evidence.sum) / UNITS);
    this.squares += weight * (Number(evidence.squares) / (UNITS * UNITS));
    if (features === 0) return;
    const outer = (features * (features + 1)) / 2;
    for (let place = 0; place < outer + features; place++) {
      const units = place < outer ? FEATURE_UNITS * FEATURE_UNITS : FEATURE_UNITS * UNITS;
      this.products[place] = (this.products[place] ?? 0) + weight * (Number(evidence.products[place] ?? 0n) / units);
    }
  }

  /** The sum of squared distances from the mean. */
  scatter(): number {
    return this.pulls > 0 ? Math.max(this.squares - (this.sum * this.sum) / this.pulls, 0) : 0;
  }

  /** The mean reward, 0 where there is none. */
  mean(): number {
    return this.pulls > 0 ? this.sum / this.pulls : 0;
  }
}

/** By slot and arm. */
export type Slots = Map<number, Map<string, Evidence>>;

export function evidenceOf(slots: Slots, slot: number, arm: string): Evidence {
  let arms = slots.get(slot);
  if (arms === undefined) slots.set(slot, arms = new Map());
  let evidence = arms.get(arm);
  if (evidence === undefined) arms.set(arm, evidence = noEvidence());
  return evidence;
}
