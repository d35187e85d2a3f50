//! How great an arm's mean may be at most, in the light of how often others were tried.

use super::belief::variance;
use super::evidence::Totals;
use super::options::Rewards;

/// The index of the policies cited at [`Policy::Ucb`](super::Policy::Ucb), `all` rewards having come; infinite for an arm that has too
/// few to tell. Where variances are unknown we depart from the paper in that they have a prior, so that an arm of which the first few
/// rewards were alike is not given up.
pub(super) fn upper_bound(totals: &Totals, rewards: Rewards, all: f64) -> f64 {
    let log_all = libm::log(all.max(1.0));
    match rewards {
        Rewards::Bernoulli if totals.pulls > 0.0 => {
            kl_upper_bound(totals.mean().clamp(0.0, 1.0), log_all / totals.pulls)
        }
        Rewards::Gaussian { .. } if totals.pulls > 2.0 => {
            let stretch = libm::exp(2.0 * log_all / (totals.pulls - 2.0)) - 1.0;
            totals.mean() + (variance(totals) * stretch).sqrt()
        }
        _ => f64::INFINITY,
    }
}

/// The Kullback-Leibler divergence between Bernoulli distributions of these means, in nats.
pub(super) fn kl(p: f64, q: f64) -> f64 {
    // An end of 0..1 would make a difference of infinities.
    let q = q.clamp(1e-15, 1.0 - f64::EPSILON);
    let term = |p: f64, q: f64| if p > 0.0 { p * libm::log(p / q) } else { 0.0 };
    (term(p, q) + term(1.0 - p, 1.0 - q)).max(0.0)
}

/// The greatest q with kl(p, q) <= `most`, to 1e-9.
///
/// By Newton's steps in v = -ln(1 - q), in which the divergence is convex and its slope bounded however near q comes to 1, from a v
/// that is too great: the steps then never leave that side.
fn kl_upper_bound(p: f64, most: f64) -> f64 {
    if p >= 1.0 {
        return 1.0;
    }
    // Pinsker's inequality says where the divergence is too great; so does its last term alone, as the others lose ln 2 at most.
    let pinsker = p + (0.5 * most).sqrt();
    let last_term = (most + std::f64::consts::LN_2) / (1.0 - p);
    let mut v = if pinsker < 1.0 { (-libm::log(1.0 - pinsker)).min(last_term) } else { last_term };
    /// Usually five are enough.
    const STEPS: usize = 50;
    for _ in 0..STEPS {
        let q = 1.0 - libm::exp(-v);
        if q <= p || q >= 1.0 {
            break;
        }
        let step = (kl(p, q) - most) * q / (q - p);
        v -= step;
        if step.abs() < 1e-9 {
            break;
        }
    }
    (1.0 - libm::exp(-v)).max(p)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn totals(pulls: f64, mean: f64) -> Totals {
        Totals { pulls, sum: pulls * mean, squares: pulls * (mean * mean + 1.0), products: Vec::new() }
    }

    #[test]
    fn arms_that_were_hardly_tried_come_first() {
        assert_eq!(upper_bound(&totals(0.0, 0.0), Rewards::Bernoulli, 10.0), f64::INFINITY);
        let gaussian = Rewards::Gaussian { mean: 0.0, spread: 1.0 };
        assert_eq!(upper_bound(&totals(2.0, 0.0), gaussian, 10.0), f64::INFINITY);
        let bounds = [3.0, 10.0, 100.0].map(|pulls| upper_bound(&totals(pulls, 5.0), gaussian, 1_000.0));
        assert!(bounds[0] > bounds[1] && bounds[1] > bounds[2] && bounds[2] > 5.0, "{bounds:?}");
    }

    proptest! {
        #[test]
        fn the_bound_is_where_the_divergence_is_reached(p in 0.0..=1.0f64, most in 1e-6..20.0f64) {
            let q = kl_upper_bound(p, most);
            prop_assert!((p..=1.0).contains(&q), "{q}");
            if q < 1.0 - 1e-9 {
                prop_assert!((kl(p, q) - most).abs() < 1e-5 * (1.0 + most), "{q} {}", kl(p, q));
            }
        }
    }
}
