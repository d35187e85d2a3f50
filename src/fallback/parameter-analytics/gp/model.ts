/**
 * A Gaussian process that has seen observations (Rasmussen and Williams 2006, algorithm 2.1), with the Matern kernel of nu = 5/2 and a
 * length scale for each dimension (eq. 4.17). As `gp/kernel.rs` and `gp/posterior.rs` of the Rust core have it, to 1e-9; here the inverse
 * of the covariance's factor grows by a row for each point (the bordering method; Golub and Van Loan 2013, section 4.2).
 */

/** `weights`: 1 / l^2 of each dimension. `scale`: the variance of what is modelled. `noise`: of what is observed around it. */
export interface Hyperparameters {
  weights: number[];
  scale: number;
  noise: number;
}

/** Of the modelled function, without noise. */
export interface Prediction {
  mean: number;
  /** The standard deviation; above 0. */
  deviation: number;
}

/** Beside the scale, the least variance: below it, rounding is all that is seen. */
const LEAST_VARIANCE = 1e-12;
const ROOT_5 = Math.sqrt(5);

/** The squared distance of two points; a category is at 0 or 1 from another. */
function square({ weights }: Hyperparameters, categorical: readonly boolean[], a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (let p = 0; p < weights.length; p++) {
    const difference = a[p]! - b[p]!;
    if (difference !== 0) sum += categorical[p]! ? weights[p]! : weights[p]! * difference * difference;
  }
  return sum;
}

/** The kernel at a squared distance. */
function matern(square: number, scale: number): number {
  const r = ROOT_5 * Math.sqrt(square);
  return scale * Math.exp(-r) * (1 + r + (r * r) / 3);
}

/** `-2 dk/d(r^2)`, from which the derivatives by the length scales are made. */
export function maternSlope(square: number, scale: number): number {
  const r = ROOT_5 * Math.sqrt(square);
  return (5 / 3) * scale * Math.exp(-r) * (1 + r);
}

export class Model {
  readonly #hyperparameters: Hyperparameters;
  readonly #categorical: readonly boolean[];
  readonly #inputs: (readonly number[])[] = [];
  /** Rows of the factor's inverse, each up to its diagonal. */
  readonly #rows: Float64Array[] = [];
  /** `K^-1 y`; 0 for points that are only believed. */
  readonly #alpha: Float64Array;

  /** @param counts How many observations each of `observed` is the mean of; default one. */
  constructor(hyperparameters: Hyperparameters, categorical: readonly boolean[], inputs: readonly (readonly number[])[], observed: readonly number[], counts?: readonly number[]) {
    this.#hyperparameters = hyperparameters;
    this.#categorical = categorical;
    for (const [place, input] of inputs.entries()) this.#push(input, hyperparameters.noise / (counts?.[place] ?? 1));
    this.#alpha = this.#solve(Float64Array.from(observed)).solved;
  }

  predict(point: readonly number[]): Prediction {
    const k = this.#against(point);
    let mean = 0;
    for (let place = 0; place < this.#alpha.length; place++) mean += k[place]! * this.#alpha[place]!;
    const { scale } = this.#hyperparameters;
    let explained = 0;
    for (const row of this.#rows) explained += dot(row, k) ** 2;
    return { mean, deviation: Math.sqrt(Math.max(scale - explained, scale * LEAST_VARIANCE)) };
  }

  /** Goes on as if the mean had been observed at a point (the kriging believer of Ginsbourger et al. 2010): only the variance shrinks. */
  believe(point: readonly number[]): void {
    this.#push(point, this.#hyperparameters.noise);
  }

  /** The mean at each of the observed points, where `observed` was seen, one observation each. */
  meansAt(observed: readonly number[]): number[] {
    return observed.map((y, place) => y - this.#hyperparameters.noise * this.#alpha[place]!);
  }

  /** Minus twice the logarithm of the marginal likelihood, without its constant. */
  surprise(observed: readonly number[]): number {
    return observed.reduce((sum, y, place) => sum + y * this.#alpha[place]!, 0) - 2 * this.#rows.reduce((sum, row) => sum + Math.log(row.at(-1)!), 0);
  }

  /** What the marginal likelihood is made of: `y' K^-1 y`, the logarithm of the determinant, `K^-1 y` and `K^-1` (its lower half). */
  evidence(observed: readonly number[]): { fit: number; logDeterminant: number; alpha: Float64Array; inverse: Float64Array[] } {
    const inverse = this.#rows.map((_, row) => new Float64Array(row + 1));
    let logDeterminant = 0;
    for (const [last, row] of this.#rows.entries()) {
      logDeterminant -= 2 * Math.log(row[last]!);
      for (let i = 0; i <= last; i++) {
        const [own, factor] = [inverse[i]!, row[i]!];
        for (let j = 0; j <= i; j++) own[j]! += factor * row[j]!;
      }
    }
    return { fit: observed.reduce((sum, y, place) => sum + y * this.#alpha[place]!, 0), logDeterminant, alpha: this.#alpha, inverse };
  }

  #against(point: readonly number[]): Float64Array {
    return Float64Array.from(this.#inputs, input => matern(square(this.#hyperparameters, this.#categorical, input, point), this.#hyperparameters.scale));
  }

  #push(point: readonly number[], noise: number): void {
    const { scale } = this.#hyperparameters;
    const { solved, explained } = this.#solve(this.#against(point));
    const pivot = Math.sqrt(Math.max(scale + noise - explained, noise, scale * LEAST_VARIANCE));
    const row = new Float64Array(solved.length + 1);
    for (let place = 0; place < solved.length; place++) row[place] = -solved[place]! / pivot;
    row[solved.length] = 1 / pivot;
    this.#rows.push(row);
    this.#inputs.push(point);
  }

  /** `K^-1 k` and `k' K^-1 k`. */
  #solve(k: Float64Array): { solved: Float64Array; explained: number } {
    const solved = new Float64Array(this.#rows.length);
    let explained = 0;
    for (const row of this.#rows) {
      const v = dot(row, k);
      explained += v * v;
      for (let place = 0; place < row.length; place++) solved[place]! += v * row[place]!;
    }
    return { solved, explained };
  }
}

/** Over the row's length. */
function dot(row: Float64Array, k: Float64Array): number {
  let sum = 0;
  for (let place = 0; place < row.length; place++) sum += row[place]! * k[place]!;
  return sum;
}

/** The squares of the distances of two inputs in each dimension, weighted. */
export function squaresOf({ weights }: Hyperparameters, categorical: readonly boolean[], a: readonly number[], b: readonly number[]): number[] {
  return weights.map((weight, p) => {
    const difference = a[p]! - b[p]!;
    if (difference === 0) return 0;
    return categorical[p]! ? weight : weight * difference * difference;
  });
}
