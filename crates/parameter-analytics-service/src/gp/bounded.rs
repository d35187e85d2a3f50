//! Minimising a smooth function in a box.
//!
//! A projected quasi-Newton method with limited memory: the active set of Bertsekas ("Projected Newton Methods for Optimization Problems
//! with Simple Constraints", 1982), the two-loop recursion of Nocedal (1980) on the variables that are free, as Kim, Sra and Dhillon
//! (2010) combine them, and Armijo's rule along the projected path. It is not the L-BFGS-B of Byrd et al. (1995), whose generalised
//! Cauchy point pays where there are thousands of variables. The crates that there are do not serve: `lbfgsb` 0.1 wraps C, and
//! `lbfgsb-rs-pure` 0.1 has no bound on evaluations, asserts that steps are finite, and allocates at each evaluation.

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Evaluations of the function and its gradient.
    pub evaluations: usize,
    /// Stop where no component of the projected gradient is larger.
    pub gradient: f64,
    /// Stop where a step gains less, beside the larger of 1 and the value.
    pub gain: f64,
}

/// Pairs of steps and gradient changes that are remembered: 5 to 20 are usual (Nocedal and Wright 2006, section 7.2).
const MEMORY: usize = 10;
/// The share of the expected decrease that a step must bring (Nocedal and Wright 2006, section 3.1).
const ARMIJO: f64 = 1e-4;
/// Halvings before a direction is given up: below 1e-9 of a step only rounding is seen.
const HALVINGS: usize = 20;

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// Moves `x` to a local minimum of `f` in the box and returns the value there. `f` writes its gradient to the second argument; where it
/// is not finite, no step is taken. `x` is put into the box first.
pub fn minimise(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    x: &mut [f64],
    bounds: &[(f64, f64)],
    limits: Limits,
) -> f64 {
    let project = |x: &mut [f64]| {
        for (x, &(low, high)) in x.iter_mut().zip(bounds) {
            *x = x.max(low).min(high);
        }
    };
    project(x);
    let (mut gradient, mut next_gradient) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let mut value = f(x, &mut gradient);
    let mut evaluations = 1;
    let mut pairs: Vec<Pair> = Vec::with_capacity(MEMORY);
    let mut next = x.to_vec();
    while evaluations < limits.evaluations && value.is_finite() {
        let free = free_variables(x, &gradient, bounds);
        let largest = masked(&gradient, &free).fold(0.0, |most: f64, g| most.max(g.abs()));
        if !(largest > limits.gradient && largest.is_finite()) {
            break;
        }
        let mut direction = quasi_newton(&gradient, &free, &pairs);
        let slope: f64 = masked(&gradient, &free).zip(&direction).map(|(g, d)| g * d).sum();
        // Without curvature, a step of a tenth of the box at most; with it, the whole of it.
        let mut length = if pairs.is_empty() { (0.1 / largest).min(1.0) } else { 1.0 };
        if slope.is_nan() || slope >= 0.0 {
            pairs.clear();
            direction = masked(&gradient, &free).map(|g| -g).collect();
            length = (0.1 / largest).min(1.0);
        }
        let mut stepped = None;
        for _ in 0..HALVINGS {
            if evaluations >= limits.evaluations {
                break;
            }
            for ((next, x), d) in next.iter_mut().zip(x.iter()).zip(&direction) {
                *next = x + length * d;
            }
            project(&mut next);
            let expected: f64 =
                next.iter().zip(x.iter()).zip(&gradient).map(|((next, x), g)| g * (next - x)).sum();
            if expected >= 0.0 {
                break;
            }
            let there = f(&next, &mut next_gradient);
            evaluations += 1;
            if there <= value + ARMIJO * expected {
                stepped = Some(there);
                break;
            }
            // The minimum of the parabola through both values and the slope, kept within a tenth and a half.
            let curve = there - value - expected;
            let best = if curve > 0.0 { -0.5 * expected / curve } else { 0.5 };
            length *= if best.is_nan() { 0.1 } else { best.clamp(0.1, 0.5) };
        }
        let Some(there) = stepped else {
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        let step: Vec<f64> = next.iter().zip(x.iter()).map(|(next, x)| next - x).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, g)| next - g).collect();
        let curvature: f64 = step.iter().zip(&change).map(|(s, y)| s * y).sum();
        if curvature > 1e-10 * change.iter().map(|y| y * y).sum::<f64>() {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push(Pair { step, change, curvature });
        }
        let gain = value - there;
        x.copy_from_slice(&next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = there;
        if gain <= limits.gain * value.abs().max(1.0) {
            break;
        }
    }
    value
}

/// Those that may move against the gradient.
fn free_variables(x: &[f64], gradient: &[f64], bounds: &[(f64, f64)]) -> Vec<bool> {
    let stuck = |((&x, &g), &(low, high)): ((&f64, &f64), &(f64, f64))| {
        (x <= low && g > 0.0) || (x >= high && g < 0.0) || low >= high
    };
    x.iter().zip(gradient).zip(bounds).map(|variable| !stuck(variable)).collect()
}

fn masked<'a>(numbers: &'a [f64], free: &'a [bool]) -> impl Iterator<Item = f64> + 'a {
    numbers.iter().zip(free).map(|(&number, &free)| if free { number } else { 0.0 })
}

/// The two-loop recursion among the free variables.
fn quasi_newton(gradient: &[f64], free: &[bool], pairs: &[Pair]) -> Vec<f64> {
    let mut direction: Vec<f64> = masked(gradient, free).map(|g| -g).collect();
    let inner = |a: &[f64], b: &[f64]| masked(a, free).zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut taken = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = inner(&pair.step, &direction) / pair.curvature;
        for (d, y) in direction.iter_mut().zip(masked(&pair.change, free)) {
            *d -= share * y;
        }
        taken.push(share);
    }
    if let Some(last) = pairs.last() {
        let stretch = last.curvature / last.change.iter().map(|y| y * y).sum::<f64>();
        direction.iter_mut().for_each(|d| *d *= stretch);
    }
    for (pair, share) in pairs.iter().zip(taken.into_iter().rev()) {
        let back = inner(&pair.change, &direction) / pair.curvature;
        for (d, s) in direction.iter_mut().zip(masked(&pair.step, free)) {
            *d += (share - back) * s;
        }
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { evaluations: 500, gradient: 1e-9, gain: 0.0 };

    fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut sum = 0.0;
        for i in 1..x.len() {
            let (valley, along) = (x[i] - x[i - 1] * x[i - 1], 1.0 - x[i - 1]);
            sum += 100.0 * valley * valley + along * along;
            gradient[i - 1] += -400.0 * valley * x[i - 1] - 2.0 * along;
            gradient[i] += 200.0 * valley;
        }
        sum
    }

    #[test]
    fn it_finds_the_end_of_a_curved_valley() {
        let mut x = [-1.2, 1.0, -0.5, 0.8];
        let value = minimise(rosenbrock, &mut x, &[(-5.0, 10.0); 4], LIMITS);
        assert!(value < 1e-12 && x.iter().all(|x| (x - 1.0).abs() < 1e-5), "{value} {x:?}");
    }

    #[test]
    fn it_stops_at_the_wall_nearest_to_the_minimum() {
        let mut x = [0.0, 0.0];
        minimise(rosenbrock, &mut x, &[(-1.0, 0.5), (-1.0, 2.0)], LIMITS);
        assert!((x[0] - 0.5).abs() < 1e-9 && (x[1] - 0.25).abs() < 1e-6, "{x:?}");
    }

    #[test]
    fn it_walks_around_what_is_not_a_number() {
        let f = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = 2.0 * (x[0] - 0.3);
            if x[0] > 0.5 { f64::NAN } else { (x[0] - 0.3).powi(2) }
        };
        let mut x = [-1.0];
        minimise(f, &mut x, &[(-1.0, 1.0)], LIMITS);
        assert!((x[0] - 0.3).abs() < 1e-6, "{x:?}");
        let mut stuck = [0.9];
        assert!(minimise(f, &mut stuck, &[(-1.0, 1.0)], LIMITS).is_nan());
    }
}
