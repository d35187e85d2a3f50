//! Chooses one of several endpoints: [`PeakEwma`] estimates what a request would wait, [`power_of_two`] picks.
//!
//! `tower::load::PeakEwma` ties the estimate to a service it wraps and reads the clock itself; a decision that is
//! tested with tables needs both passed in. The algorithm is Finagle's, by way of tower and linkerd2-proxy. Knows
//! nothing of endpoints, sockets or models.
//!
//! ```
//! use std::time::{Duration, Instant};
//! let t0 = Instant::now();
//! let mut near = balance::PeakEwma::new(Duration::from_millis(30), Duration::from_secs(10), t0);
//! near.observe(Duration::from_millis(20), t0);
//! let costs = [near.get_at(t0).as_secs_f64(), 0.4];
//! assert_eq!(balance::power_of_two(&costs, &mut fastrand::Rng::with_seed(1)), Some(0));
//! ```

mod ewma;

pub use ewma::PeakEwma;

/// Picks the cheaper of two candidates drawn at random, which avoids both the herd on the one best endpoint and the
/// blindness of round robin (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001,
/// <https://www.eecs.harvard.edu/~michaelm/postscripts/tpds2001.pdf>).
///
/// `costs` are any comparable estimates, lower is better; a NaN counts as the dearest. Equal costs are settled by
/// the draw. `None` if there is no candidate.
pub fn power_of_two(costs: &[f64], rng: &mut fastrand::Rng) -> Option<usize> {
    match costs.len() {
        0 => None,
        1 => Some(0),
        n => {
            let first = rng.usize(..n);
            // The second draw is among the others, so two different candidates are always compared.
            let second = (first + 1 + rng.usize(..n - 1)) % n;
            let dearer = |cost: f64| if cost.is_nan() { f64::INFINITY } else { cost };
            Some(if dearer(costs[second]) < dearer(costs[first]) { second } else { first })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_to_choose_from_is_none() {
        assert_eq!(power_of_two(&[], &mut fastrand::Rng::with_seed(0)), None);
    }

    #[test]
    fn a_nan_is_never_preferred_to_a_number() {
        let mut rng = fastrand::Rng::with_seed(7);
        assert!((0..100).all(|_| power_of_two(&[f64::NAN, 1.0], &mut rng) == Some(1)));
    }

    #[test]
    fn equal_costs_are_spread_over_all_candidates() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut hits = [0_u32; 4];
        for _ in 0..4000 {
            if let Some(i) = power_of_two(&[1.0; 4], &mut rng) {
                hits[i] += 1;
            }
        }
        assert!(hits.iter().all(|&h| (800..1200).contains(&h)), "{hits:?}");
    }

    proptest! {
        #[test]
        fn the_dearest_of_several_is_never_chosen(mut costs in proptest::collection::vec(0.0_f64..1e6, 2..20), seed: u64) {
            costs.push(1e9);
            let chosen = power_of_two(&costs, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(chosen.is_some_and(|i| i < costs.len() - 1));
        }
    }
}
