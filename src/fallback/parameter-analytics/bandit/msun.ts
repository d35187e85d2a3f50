/**
 * Logarithm and exponential of FreeBSD's msun, as the Rust core has them from the crate `libm`: bit for bit the same on every machine,
 * which `Math.log` and `Math.exp` need not be. Written here because the packages that there are (`@stdlib/math-base-special-ln`, `-exp`,
 * each with a dozen dependencies) add up the same terms in another order.
 *
 * Ported from e_log.c and e_exp.c:
 * ====================================================
 * Copyright (C) 1993, 2004 by Sun Microsystems, Inc. All rights reserved.
 *
 * Developed at SunSoft, a Sun Microsystems, Inc. business.
 * Permission to use, copy, modify, and distribute this
 * software is freely granted, provided that this notice
 * is preserved.
 * ====================================================
 */

const LN2_HIGH = 6.93147180369123816490e-01;
const LN2_LOW = 1.90821492927058770002e-10;

/** The halves of a double's bits. */
const halves = new DataView(new ArrayBuffer(8));

function highOf(x: number): number {
  halves.setFloat64(0, x);
  return halves.getUint32(0);
}

/** The natural logarithm, off by less than one unit in the last place. Negative: NaN. */
export function log(x: number): number {
  let high = highOf(x);
  let k = 0;
  if (high < 0x00100000 || high >>> 31 !== 0) {
    if (x === 0) return -Infinity;
    if (high >>> 31 !== 0) return NaN;
    // Subnormal.
    k = -54;
    x *= 2 ** 54;
    high = highOf(x);
  } else if (high >= 0x7ff00000) {
    return x;
  } else if (x === 1) {
    return 0;
  }
  // x = 2^k (1 + f) with 1 + f between the root of a half and that of 2.
  high += 0x3ff00000 - 0x3fe6a09e;
  k += (high >>> 20) - 0x3ff;
  // The lower half is still that of x.
  halves.setUint32(0, (high & 0x000fffff) + 0x3fe6a09e);
  const f = halves.getFloat64(0) - 1;
  const half = 0.5 * f * f;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const t1 = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const t2 = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  return s * (half + (t2 + t1)) + k * LN2_LOW - half + f + k * LN2_HIGH;
}

/** e to the power x, off by less than one unit in the last place. */
export function exp(x: number): number {
  const negative = x < 0;
  const high = highOf(x) & 0x7fffffff;
  if (high >= 0x4086232b) {
    if (Number.isNaN(x)) return x;
    if (x > 709.782712893383973096) return Infinity;
    if (x < -745.13321910194110842) return 0;
  }
  let k = 0;
  let near = x;
  let far = 0;
  if (high > 0x3fd62e42) {
    // More than a half of ln 2.
    k = high >= 0x3ff0a2b2 ? Math.trunc(1.44269504088896338700e+00 * x + (negative ? -0.5 : 0.5)) : negative ? -1 : 1;
    near = x - k * LN2_HIGH;
    far = k * LN2_LOW;
    x = near - far;
  } else if (high <= 0x3e300000) {
    return 1 + x;
  }
  const square = x * x;
  const c = x - square * (1.66666666666666019037e-01 + square * (-2.77777777770155933842e-03 + square * (6.61375632143793436117e-05 + square * (-1.65339022054652515390e-06 + square * 4.13813679705723846039e-08))));
  const y = 1 + ((x * c) / (2 - c) - far + near);
  return scaled(y, k);
}

/** `y` times 2 to the power `k`; in two steps where the power itself is no normal double. */
function scaled(y: number, k: number): number {
  if (k > 1023) return y * 2 ** 1023 * 2 ** (k - 1023);
  // 2^53 more at first, so that only the last product is rounded.
  if (k < -1022) return y * 2 ** (-1022 + 53) * 2 ** (k + 1022 - 53);
  return y * 2 ** k;
}
