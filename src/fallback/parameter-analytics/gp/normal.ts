/**
 * The normal distribution where its tails matter: `gp/normal.rs` of the Rust core. The logarithm of expected improvement is that of
 * Ament et al. (NeurIPS 2023, arXiv 2310.20708); far out we evaluate the continued fraction of Mills' ratio (Laplace 1805).
 */

/** From here on the continued fraction is used: the series loses a digit here, and the fraction has converged with its terms. */
const FAR = -2.5;
const TERMS = 100;
const LOG_ROOT_TAU = 0.5 * Math.log(2 * Math.PI);

function density(z: number): number {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
}

/** The chance of less than `z`, for `z` above {@link FAR}: the series of Marsaglia ("Evaluating the Normal Distribution", 2004). */
function below(z: number): number {
  // One more digit than a double has.
  if (z > 8.5) return 1;
  let [sum, term] = [z, z];
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) sum += term *= (z * z) / k;
  return 0.5 + sum * density(z);
}

/** `K(x) = 1/(x + 2/(x + 3/(x + ...)))`, with which Mills' ratio is `1 / (x + K)`. */
function remainder(x: number): number {
  let tail = x;
  for (let term = TERMS; term >= 2; term--) tail = x + term / tail;
  return 1 / tail;
}

/** The logarithm of what a standard normal variable exceeds `-z` by in the mean. */
export function logExcess(z: number): number {
  if (z > FAR) return Math.log(density(z) + z * below(z));
  const k = remainder(-z);
  return -0.5 * z * z - LOG_ROOT_TAU + Math.log(k / (k - z));
}

/** The logarithm of the chance of less than `z`. */
export function logBelow(z: number): number {
  if (z > FAR) return Math.log(below(z));
  return -0.5 * z * z - LOG_ROOT_TAU - Math.log(remainder(-z) - z);
}
