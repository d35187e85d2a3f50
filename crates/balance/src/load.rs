/// What a candidate bears, and what it can be asked to bear in proportion to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests under way.
    pub in_flight: u32,
    /// One of weight 2 is taken to bear twice the load of one of weight 1. What is not a number above 0 takes the
    /// candidate out of the choice.
    pub weight: f64,
}

impl Load {
    pub(crate) fn is_eligible(&self) -> bool {
        self.weight > 0.0
    }
}

/// The one with the fewest requests under way by weight; among equals it is drawn in proportion to their weights, so that
/// idle candidates share as their weights say. `None` if none is eligible.
///
/// nginx's `least_conn` (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html#least_conn>), which settles
/// equals by round robin instead; a draw needs no state.
pub fn least_in_flight(loads: impl IntoIterator<Item = Load>, rng: &mut fastrand::Rng) -> Option<usize> {
    let mut least: Option<(usize, f64)> = None;
    let mut equals = 0.0;
    for (index, load) in loads.into_iter().enumerate().filter(|(_, load)| load.is_eligible()) {
        let share = f64::from(load.in_flight) / load.weight;
        match least {
            Some((_, lower)) if lower < share => {}
            Some((_, equal)) if equal <= share => {
                equals += load.weight;
                // Each of the equals so far is chosen with the probability of its weight (reservoir sampling).
                if rng.f64() * equals < load.weight {
                    least = Some((index, share));
                }
            }
            _ => {
                equals = load.weight;
                least = Some((index, share));
            }
        }
    }
    least.map(|(index, _)| index)
}

/// The most requests that `load` may have under way, the next one included, so that it has at most `factor` times its
/// share of all `in_flight` requests and that next one; rounded up, so that somebody always has room.
///
/// Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018
/// (<https://arxiv.org/abs/1608.01350>), with shares by weight.
pub fn bound(weight: f64, total_weight: f64, in_flight: u64, factor: f64) -> f64 {
    (factor * (in_flight + 1) as f64 * weight / total_weight).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load((in_flight, weight): (u32, f64)) -> Load {
        Load { in_flight, weight }
    }

    fn check(loads: &[(u32, f64)], expected: Option<usize>) {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            assert_eq!(least_in_flight(loads.iter().copied().map(load), &mut rng), expected, "{loads:?}");
        }
    }

    #[test]
    fn the_one_with_the_fewest_by_weight_is_chosen() {
        check(&[(2, 1.0), (1, 1.0), (3, 1.0)], Some(1));
        check(&[(2, 1.0), (3, 2.0)], Some(1));
        check(&[(0, 0.0), (9, 1.0), (0, f64::NAN)], Some(1));
        check(&[], None);
    }

    #[test]
    fn idle_candidates_share_by_weight() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut hits = [0_u32; 3];
        for _ in 0..6000 {
            let loads = [(0, 1.0), (0, 2.0), (0, 3.0)].map(load);
            hits[least_in_flight(loads, &mut rng).unwrap()] += 1;
        }
        for (hits, due) in hits.iter().zip([1000, 2000, 3000]) {
            assert!(hits.abs_diff(due) < 200, "{hits} of {due}");
        }
    }

    proptest! {
        #[test]
        fn requests_that_stay_end_up_in_proportion_to_the_weights(
            weights in proptest::collection::vec(1_u32..10, 1..6), seed: u64
        ) {
            let mut loads: Vec<Load> = weights.iter().map(|&w| load((0, f64::from(w)))).collect();
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..weights.iter().sum::<u32>() * 3 {
                let chosen = least_in_flight(loads.iter().copied(), &mut rng).unwrap();
                loads[chosen].in_flight += 1;
            }
            for (load, weight) in loads.iter().zip(&weights) {
                prop_assert!(load.in_flight.abs_diff(weight * 3) <= *weight, "{loads:?}");
            }
        }
    }
}
