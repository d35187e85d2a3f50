/** Observations as a Gaussian process wants them: `gp/outcome.rs` of the Rust core. */

/** Moved to mean 0 and variance 1; `place` gives another value's place among them. */
export interface Standardised {
  values: number[];
  place(value: number): number;
  back(value: number): number;
  /** What a difference of 1 is. */
  scale: number;
}

/** Zeros where all are alike. Any finite numbers, up to the largest. */
export function standardised(values: readonly number[]): Standardised {
  const unit = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const count = Math.max(values.length, 1);
  const scaled = values.map(value => value / unit);
  const mean = scaled.reduce((sum, value) => sum + value, 0) / count;
  const spread = Math.sqrt(scaled.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count);
  // Differences in the last digit are rounding.
  const deviation = spread > 1e-14 ? spread : 1;
  return {
    values: scaled.map(value => (spread > 1e-14 ? (value - mean) / deviation : 0)),
    place: value => (value / unit - mean) / deviation,
    back: value => (value * deviation + mean) * unit,
    scale: deviation * unit,
  };
}

/** Powers that are tried; at -5, a value ten deviations out comes to within a fifth. */
const LEAST_POWER = -5;
const GREATEST_POWER = 1;
const GOLDEN = 0.618_033_988_749_894_8;
/** Brings the power within 0.005. */
const SECTIONS = 15;
/** In units of the logarithm of a likelihood; 2 are the usual threshold for one more parameter. */
const WORTH_IT = 2;

/** With mean 0 and variance 1, and where bad (great) values lie far out, drawn together by the power transform of Yeo and Johnson (2000) that makes them most normal. */
export function tamed(values: readonly number[]): number[] {
  const plain = standardised(values).values;
  const cost = (power: number): number => -normality(plain, power);
  let [low, high] = [LEAST_POWER, GREATEST_POWER];
  const inner = (): [number, number] => [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
  // Golden section: the profile likelihood has one top.
  let [left, right] = inner();
  let [atLeft, atRight] = [cost(left), cost(right)];
  for (let section = 0; section < SECTIONS; section++) {
    if (atLeft < atRight) {
      high = right;
      [right, atRight] = [left, atLeft];
      left = inner()[0];
      atLeft = cost(left);
    } else {
      low = left;
      [left, atLeft] = [right, atRight];
      right = inner()[1];
      atRight = cost(right);
    }
  }
  const power = 0.5 * (low + high);
  // With so little to gain, values stay as they are: a model of them is easier to believe.
  if (cost(1) - cost(power) < WORTH_IT) return plain;
  return standardised(plain.map(value => yeoJohnson(value, power))).values;
}

function yeoJohnson(value: number, power: number): number {
  const raised = (base: number, power: number): number => (Math.abs(power) < 1e-6 ? Math.log1p(base) : Math.expm1(power * Math.log1p(base)) / power);
  return value >= 0 ? raised(value, power) : -raised(-value, 2 - power);
}

/** The logarithm of the likelihood of the values, transformed, being normal, without constants. */
function normality(values: readonly number[], power: number): number {
  const count = Math.max(values.length, 1);
  let [sum, squares, jacobian] = [0, 0, 0];
  for (const value of values) {
    const bent = yeoJohnson(value, power);
    [sum, squares, jacobian] = [sum + bent, squares + bent * bent, jacobian + (power - 1) * Math.sign(value) * Math.log1p(Math.abs(value))];
  }
  return jacobian - 0.5 * count * Math.log(Math.max(squares / count - (sum / count) ** 2, 1e-300));
}
