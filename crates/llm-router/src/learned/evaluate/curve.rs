//! The cost-quality curve of a scoring, and what is read off it.

use serde::Serialize;

/// Quality by share of strong calls.
#[derive(Debug, Clone)]
pub struct Curve {
    /// For 0, 1, ... n strong calls what share of the gap is closed; may exceed 1.
    closed: Vec<f64>,
}

/// What is read off a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measures {
    /// Average performance gap recovered: the mean over all shares of strong calls of the gap that is closed.
    pub apgr: f64,
    /// The least share of strong calls, 0 to 1, that closes half of the gap.
    pub cpt50: f64,
    /// The same for 80 %.
    pub cpt80: f64,
    /// The same for 95 %.
    pub cpt95: f64,
}

impl Curve {
    /// From scores (greater: ask the strong model first) and gains (the strong model's score less the weak one's).
    /// Rows with equal scores count as their mean, which is what breaking ties at random gives on average.
    pub fn of(scores: &[f64], gains: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..scores.len().min(gains.len())).collect();
        order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let gap: f64 = order.iter().map(|&i| gains[i]).sum();
        let mut closed = Vec::with_capacity(order.len() + 1);
        closed.push(0.0);
        let mut sum = 0.0;
        for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let mean = ties.iter().map(|&i| gains[i]).sum::<f64>() / ties.len() as f64;
            for _ in ties {
                sum += mean;
                closed.push(sum / gap);
            }
        }
        Self { closed }
    }

    /// Its measures. They mean something where the strong model is better on the whole.
    pub fn measures(&self) -> Measures {
        let n = self.closed.len();
        let least = |share: f64| {
            let first = self.closed.iter().position(|&closed| closed >= share);
            first.map_or(1.0, |i| i as f64 / (n - 1).max(1) as f64)
        };
        let apgr = self.closed.iter().sum::<f64>() / n as f64;
        Measures { apgr, cpt50: least(0.5), cpt80: least(0.8), cpt95: least(0.95) }
    }

    /// So many points (share of strong calls, share of the gap that is closed) for drawing.
    pub fn points(&self, many: usize) -> Vec<(f64, f64)> {
        let last = self.closed.len() - 1;
        let point = |i: usize| {
            let at = i * last / many.max(1);
            (at as f64 / last.max(1) as f64, self.closed[at])
        };
        (0..=many).map(point).collect()
    }
}

/// The difference of two scorings' APGR with its 95 % interval, by a paired bootstrap over rows: (difference, low,
/// high, share of resamples in which the first is better).
pub fn difference(
    a: &[f64],
    b: &[f64],
    gains: &[f64],
    resamples: usize,
    rng: &mut fastrand::Rng,
) -> [f64; 4] {
    let n = gains.len();
    // Sorted once; a resample only changes how often each row counts.
    let [a, b] = [a, b].map(|scores| {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_unstable_by(|&i, &j| scores[j].total_cmp(&scores[i]));
        order.chunk_by(|&i, &j| scores[i] == scores[j]).map(<[usize]>::to_vec).collect::<Vec<_>>()
    });
    let ones = vec![1u32; n];
    let apart = apgr_counted(&a, gains, &ones) - apgr_counted(&b, gains, &ones);
    let mut differences = Vec::with_capacity(resamples);
    let mut counts = vec![0u32; n];
    for _ in 0..resamples {
        counts.fill(0);
        for _ in 0..n {
            counts[rng.usize(..n)] += 1;
        }
        differences.push(apgr_counted(&a, gains, &counts) - apgr_counted(&b, gains, &counts));
    }
    // A resample without a gap has no APGR.
    differences.retain(|d| d.is_finite());
    differences.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| differences.get((q * differences.len() as f64) as usize).copied().unwrap_or(apart);
    let better = differences.iter().filter(|d| **d > 0.0).count() as f64 / differences.len().max(1) as f64;
    [apart, at(0.025), at(0.975), better]
}

/// APGR where each row counts so often; rows come in order, those with equal scores together.
fn apgr_counted(order: &[Vec<usize>], gains: &[f64], counts: &[u32]) -> f64 {
    let (mut sum, mut area, mut n) = (0.0, 0.0, 0.0);
    for ties in order {
        let (mut gain, mut many) = (0.0, 0.0);
        for &i in ties {
            gain += gains[i] * f64::from(counts[i]);
            many += f64::from(counts[i]);
        }
        // The sum after each of `many` equal steps.
        area += many * sum + gain * (many + 1.0) / 2.0;
        sum += gain;
        n += many;
    }
    area / (n + 1.0) / sum
}

/// Expected calibration error: the mean distance of what was estimated from what came, over so many bins of equally
/// many rows.
pub fn calibration_error(estimates: &[f64], truth: &[f64], bins: usize) -> f64 {
    let mut order: Vec<usize> = (0..estimates.len().min(truth.len())).collect();
    order.sort_unstable_by(|&a, &b| estimates[a].total_cmp(&estimates[b]));
    let size = order.len().div_ceil(bins.max(1)).max(1);
    let apart = order
        .chunks(size)
        .map(|bin| bin.iter().map(|&i| estimates[i] - truth[i]).sum::<f64>().abs())
        .sum::<f64>();
    apart / order.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scoring_that_tells_nothing_closes_half_of_the_gap() {
        let measures = Curve::of(&[0.0; 4], &[1.0, 0.0, 0.0, 1.0]).measures();
        assert_eq!(measures, Measures { apgr: 0.5, cpt50: 0.5, cpt80: 1.0, cpt95: 1.0 });
    }

    #[test]
    fn a_scoring_that_knows_all_closes_it_at_once() {
        let gains = [0.0, 1.0, 0.0, -1.0, 1.0];
        let measures = Curve::of(&gains, &gains).measures();
        assert!((measures.apgr - (1.0 + 2.0 * 4.0 - 1.0) / 6.0).abs() < 1e-12, "{measures:?}");
        assert_eq!(measures.cpt95, 0.2);
    }

    #[test]
    fn a_difference_to_itself_is_none() {
        let gains = [0.0, 1.0, 1.0, 0.0];
        let scores = [0.1, 0.4, 0.3, 0.2];
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(difference(&scores, &scores, &gains, 20, &mut rng)[..3], [0.0, 0.0, 0.0]);
    }

    #[test]
    fn calibration_is_the_distance_of_estimates_from_what_came() {
        let estimates = [0.2, 0.2, 0.8, 0.8];
        assert!((calibration_error(&estimates, &[0.0, 0.0, 1.0, 1.0], 2) - 0.2).abs() < 1e-12);
        assert!(calibration_error(&[0.5, 0.5], &[0.0, 1.0], 1) < 1e-12);
    }

    proptest! {
        #[test]
        fn counting_every_row_once_is_the_curve(
            rows in prop::collection::vec((0u8..6, 0u8..3), 2..60),
        ) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let gains: Vec<f64> = rows.iter().map(|r| f64::from(r.1)).collect();
            prop_assume!(gains.iter().sum::<f64>() > 0.0);
            let apgr = Curve::of(&scores, &gains).measures().apgr;
            let zero = vec![0.0; gains.len()];
            let mut rng = fastrand::Rng::with_seed(1);
            let apart = difference(&scores, &zero, &gains, 1, &mut rng)[0];
            prop_assert!((apart - (apgr - 0.5)).abs() < 1e-9);
        }
    }
}
