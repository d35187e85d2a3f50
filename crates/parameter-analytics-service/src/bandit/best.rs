//! How probable it is that an arm is the best, or is taken for it by Thompson sampling.
//!
//! No closed form is known for more than two arms. Each belief's distribution function is kept as a table, which is made anew
//! only when the belief changes, and `P(arm) = E[product of the others' distribution functions]` is integrated over it by Simpson's rule.
//! Off by less than 0.005 (see the tests). Some 1 us for a table and 1 to 2 us for an integral among ten arms, and no draws are spent.

use std::sync::Arc;

use super::belief::Belief;

/// Cells of a table. Between knots a cubic is fitted, so that a third of a deviation is narrow enough.
const CELLS: usize = 36;

/// Where the knots lie, in standardised terms.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Grid {
    /// Evenly between two ends.
    Even { low: f64, high: f64 },
    /// At t = u sqrt(2 / (1 - u^2)) for even u in (-1, 1): Student's distribution function with two degrees of freedom is a straight line
    /// in u, so that heavy tails need no more knots.
    Tails,
}

impl Grid {
    /// The place of a knot; `at` is 0 to 1.
    fn value(self, at: f64) -> f64 {
        match self {
            Self::Even { low, high } => low + (high - low) * at,
            Self::Tails => {
                let u = (2.0 * at - 1.0).clamp(-0.999_999, 0.999_999);
                u * (2.0 / (1.0 - u * u)).sqrt()
            }
        }
    }

    /// The inverse, not kept within 0 to 1.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Even { low, high } => (value - low) / (high - low),
            Self::Tails => 0.5 + 0.5 * value / (2.0 + value * value).sqrt(),
        }
    }

    /// What a step in `at` is in values.
    fn slope(self, at: f64) -> f64 {
        match self {
            Self::Even { low, high } => high - low,
            Self::Tails => {
                let u = (2.0 * at - 1.0).clamp(-0.999_999, 0.999_999);
                let rest = 2.0 / (1.0 - u * u);
                rest * rest.sqrt()
            }
        }
    }
}

/// A distribution function and its derivative at the knots of a grid.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    grid: Grid,
    below: [f64; CELLS + 1],
    /// By the cell.
    density: [f64; CELLS + 1],
}

impl Table {
    /// Of a density that may lack its constant.
    fn new(grid: Grid, log_density: impl Fn(f64) -> f64) -> Self {
        let place = |knot: usize| knot as f64 / CELLS as f64;
        let logs: [f64; CELLS + 1] = std::array::from_fn(|knot| log_density(grid.value(place(knot))));
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut density: [f64; CELLS + 1] =
            std::array::from_fn(|knot| libm::exp(logs[knot] - most) * grid.slope(place(knot)));
        let mut below = [0.0; CELLS + 1];
        for knot in 0..CELLS {
            let (left, right) = (density[knot], density[knot + 1]);
            // The cubic through four knots; the trapezium at the ends, where next to nothing lies or the density is flat.
            let mass = match (knot.checked_sub(1), density.get(knot + 2)) {
                (Some(before), Some(after)) => (13.0 * (left + right) - density[before] - after) / 24.0,
                _ => 0.5 * (left + right),
            };
            below[knot + 1] = below[knot] + mass.max(0.0);
        }
        let all = below[CELLS];
        below.iter_mut().chain(&mut density).for_each(|value| *value /= all);
        Self { grid, below, density }
    }

    /// The distribution function and its derivative by cells, where `at` of the grid's width lies below.
    fn read(&self, at: f64) -> (f64, f64) {
        let cells = at * CELLS as f64;
        if cells <= 0.0 {
            return (0.0, 0.0);
        }
        let cell = cells as usize;
        if cell >= CELLS {
            return (1.0, 0.0);
        }
        let (t, from, to) = (cells - cell as f64, self.below[cell], self.below[cell + 1]);
        let (left, right) = (self.density[cell], self.density[cell + 1]);
        // Hermite's cubic.
        let rise = to - from;
        let (c2, c3) = (3.0 * rise - 2.0 * left - right, left + right - 2.0 * rise);
        let below = from + t * (left + t * (c2 + t * c3));
        (below.clamp(0.0, 1.0), (left + t * (right - left)).max(0.0))
    }
}

/// A belief's distribution function.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// What is 0 and what is 1 in the table's terms.
    at: f64,
    scale: f64,
    table: Arc<Table>,
    mean: f64,
    /// Hardly anything lies outside.
    bulk: (f64, f64),
}

/// Makes curves; those of normal distributions share a table.
#[derive(Debug, Clone)]
pub(super) struct Curves {
    normal: Arc<Table>,
}

impl Curves {
    pub(super) fn new() -> Self {
        Self { normal: Arc::new(Table::new(Grid::Even { low: -6.0, high: 6.0 }, |x| -0.5 * x * x)) }
    }

    pub(super) fn of(&self, belief: Belief) -> Curve {
        let (mean, deviation) = (belief.mean(), belief.deviation());
        match belief {
            Belief::Beta { a, b } => {
                // The longer tail is the one towards the middle.
                let (left, right) = if a < b { (5.0, 8.0) } else { (8.0, 5.0) };
                let bulk = ((mean - left * deviation).max(0.0), (mean + right * deviation).min(1.0));
                let log_density = |x: f64| {
                    let x = x.clamp(1e-300, 1.0 - f64::EPSILON);
                    (a - 1.0) * libm::log(x) + (b - 1.0) * libm::log(1.0 - x)
                };
                let table = Table::new(Grid::Even { low: bulk.0, high: bulk.1 }, log_density);
                Curve { at: 0.0, scale: 1.0, table: Arc::new(table), mean, bulk }
            }
            Belief::Student { at, scale, freedom } => {
                let log_density = |t: f64| -0.5 * (freedom + 1.0) * libm::log(1.0 + t * t / freedom);
                // Six deviations of a normal distribution, and more where tails are heavy.
                let reach = scale * 6.0 * (1.0 + 4.0 / freedom);
                let bulk = (at - reach, at + reach);
                Curve { at, scale, table: Arc::new(Table::new(Grid::Tails, log_density)), mean, bulk }
            }
            Belief::Normal { mean, deviation } => {
                // What is certain is a narrow step.
                let scale = deviation.max(1e-12 * (1.0 + mean.abs()));
                let bulk = (mean - 6.0 * scale, mean + 6.0 * scale);
                Curve { at: mean, scale, table: Arc::clone(&self.normal), mean, bulk }
            }
        }
    }
}

impl Curve {
    fn place(&self, value: f64) -> f64 {
        self.table.grid.place((value - self.at) / self.scale)
    }

    fn below(&self, value: f64) -> f64 {
        self.table.read(self.place(value)).0
    }
}

/// What is drawn from a belief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    /// A value of it.
    Plain,
    /// A value of it, or its mean where that is more.
    Optimistic,
}

/// How probable it is that the draw of `arm` is greater than those of all others in `curves`; `None` stands for an arm that takes no part.
pub(super) fn chance(arm: usize, curves: &[Option<&Curve>], draw: Draw) -> f64 {
    let Some(curve) = curves.get(arm).copied().flatten() else { return 0.0 };
    let rivals =
        || curves.iter().enumerate().filter(|(other, _)| *other != arm).filter_map(|(_, curve)| *curve);
    // The rival whose draw is hardly ever less than this decides where the others' product rises.
    let Some(highest) = rivals().max_by(|a, b| a.bulk.0.total_cmp(&b.bulk.0)) else { return 1.0 };
    let floor = match draw {
        Draw::Plain => f64::NEG_INFINITY,
        Draw::Optimistic => rivals().fold(f64::NEG_INFINITY, |most, rival| most.max(rival.mean)),
    };
    let beaten = |value: f64| {
        let mut product = 1.0;
        for rival in rivals() {
            product *= rival.below(value);
            if product == 0.0 {
                break;
            }
        }
        product
    };
    let density = |at: f64| curve.table.read(at).1 * CELLS as f64;
    let value = |at: f64| curve.at + curve.scale * curve.table.grid.value(at);
    let (start, atom) = match draw {
        Draw::Plain => (0.0, 0.0),
        Draw::Optimistic if curve.mean < floor => (curve.place(floor).clamp(0.0, 1.0), 0.0),
        Draw::Optimistic => {
            let mean = curve.place(curve.mean).clamp(0.0, 1.0);
            // All that lies below the mean counts for it; those with the very same mean then compare what they drew.
            let (tied, beaten): (Vec<&Curve>, Vec<&Curve>) =
                rivals().partition(|rival| rival.mean == curve.mean);
            let others: f64 = beaten.iter().map(|rival| rival.below(curve.mean)).product();
            let among =
                |at: f64| density(at) * tied.iter().map(|rival| rival.below(value(at))).product::<f64>();
            let own = if tied.is_empty() { curve.below(curve.mean) } else { simpson(&among, 0.0, mean) };
            (mean, own * others)
        }
    };
    let cut = |value: f64| curve.place(value).clamp(start, 1.0);
    let ends = [start, cut(highest.bulk.0), cut(highest.mean), cut(highest.bulk.1), 1.0];
    let integrand = |at: f64| match density(at) {
        0.0 => 0.0,
        density => density * beaten(value(at)),
    };
    let integral: f64 = ends.windows(2).map(|ends| simpson(&integrand, ends[0], ends[1])).sum();
    (atom + integral).clamp(0.0, 1.0)
}

/// Simpson's rule with intervals no wider than two cells' thirds.
fn simpson(f: &impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    let width = high - low;
    if width <= 0.0 {
        return 0.0;
    }
    /// Half of the intervals between the ends of a rival's bulk, where its distribution function turns.
    const LEAST: usize = 4;
    let pairs = LEAST.max((width * CELLS as f64 * 0.25).ceil() as usize);
    let step = width / (2 * pairs) as f64;
    let inner: f64 =
        (1..2 * pairs).map(|i| if i % 2 == 1 { 4.0 } else { 2.0 } * f(low + step * i as f64)).sum();
    // Just inside, since a table ends at its ends.
    let inset = 1e-9 * width;
    step / 3.0 * (f(low + inset) + inner + f(high - inset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bandit::random::Draws;

    /// How often each belief's draw was the greatest.
    fn frequencies(beliefs: &[Belief], draw: Draw, rounds: u64) -> Vec<f64> {
        let mut won = vec![0.0; beliefs.len()];
        for round in 0..rounds {
            let mut draws = Draws::of(5, round);
            let drawn = beliefs.iter().map(|belief| {
                let value = belief.draw(&mut draws);
                (if draw == Draw::Plain { value } else { value.max(belief.mean()) }, value)
            });
            let best = drawn.enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0).then(a.1.1.total_cmp(&b.1.1)));
            won[best.unwrap().0] += 1.0 / rounds as f64;
        }
        won
    }

    fn chances(beliefs: &[Belief], draw: Draw) -> Vec<f64> {
        let curves = Curves::new();
        let curves: Vec<Curve> = beliefs.iter().map(|belief| curves.of(*belief)).collect();
        let curves: Vec<Option<&Curve>> = curves.iter().map(Some).collect();
        (0..beliefs.len()).map(|arm| chance(arm, &curves, draw)).collect()
    }

    #[track_caller]
    fn check(beliefs: &[Belief]) {
        for draw in [Draw::Plain, Draw::Optimistic] {
            let (found, seen) = (chances(beliefs, draw), frequencies(beliefs, draw, 100_000));
            let off = found.iter().zip(&seen).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 0.005 + 3.0 * 0.0016, "{draw:?} {beliefs:?}: {found:?}, seen {seen:?}");
            let sum: f64 = found.iter().sum();
            assert!((sum - 1.0).abs() < 0.01, "{draw:?} {beliefs:?}: {sum}");
        }
    }

    fn beta(a: f64, b: f64) -> Belief {
        Belief::Beta { a, b }
    }

    #[test]
    fn chances_are_how_often_each_draws_the_most() {
        check(&[beta(1.0, 1.0); 10]);
        check(&[beta(1.0, 1.0), beta(2.0, 1.0)]);
        check(&[beta(800.0, 200.0), beta(3.0, 2.0), beta(1.0, 2.0), beta(80.0, 20.0)]);
        check(&[beta(9_000.0, 1_000.0), beta(8_990.0, 1_000.0), beta(1.0, 1.0), beta(20.0, 3.0)]);
        check(&[beta(1.0, 40.0), beta(2.0, 60.0), beta(1.0, 100.0), beta(11.0, 90.0)]);
        let student = |at, scale, freedom| Belief::Student { at, scale, freedom };
        check(&[student(0.0, 1.0, 3.0), student(0.5, 0.01, 1_000.0), student(-1.0, 2.0, 4.0)]);
        check(&[student(0.0, 1.0, 3.0), student(0.0, 1.0, 3.0), student(0.1, 0.5, 30.0)]);
        let normal = |mean, deviation| Belief::Normal { mean, deviation };
        check(&[normal(0.0, 1.0), normal(1.0, 0.1), normal(0.5, 0.5), normal(1.0, 0.1)]);
        check(&[normal(3.0, 0.0), normal(2.0, 1.0)]);
    }

    #[test]
    fn who_takes_no_part_is_never_the_best_and_who_is_alone_always() {
        let curves = Curves::new();
        let curve = curves.of(beta(1.0, 1.0));
        assert_eq!(chance(0, &[None, Some(&curve)], Draw::Plain), 0.0);
        assert_eq!(chance(1, &[None, Some(&curve)], Draw::Plain), 1.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn chances_sum_up_to_one(counts in prop::collection::vec((0..2_000u32, 0..2_000u32), 2..12)) {
            let beliefs: Vec<Belief> =
                counts.iter().map(|(a, b)| beta(1.0 + f64::from(*a), 1.0 + f64::from(*b))).collect();
            for draw in [Draw::Plain, Draw::Optimistic] {
                let sum: f64 = chances(&beliefs, draw).iter().sum();
                prop_assert!((sum - 1.0).abs() < 0.01, "{draw:?} {sum}");
            }
        }
    }
}
