/// Picks the cheaper of two candidates drawn at random, which avoids both the herd on the one best endpoint and the
/// blindness of round robin (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001,
/// <https://www.eecs.harvard.edu/~michaelm/postscripts/tpds2001.pdf>).
///
/// `cost` says of each of `candidates` any comparable estimate, lower is better; a NaN counts as the dearest. It is asked
/// of the two that were drawn only. Equal costs are settled by the draw. `None` if there is no candidate.
pub fn power_of_two(
    candidates: usize,
    cost: impl Fn(usize) -> f64,
    rng: &mut fastrand::Rng,
) -> Option<usize> {
    match candidates {
        0 => None,
        1 => Some(0),
        n => {
            let first = rng.usize(..n);
            // The second draw is among the others, so two different candidates are always compared.
            let second = (first + 1 + rng.usize(..n - 1)) % n;
            let dearer = |cost: f64| if cost.is_nan() { f64::INFINITY } else { cost };
            Some(if dearer(cost(second)) < dearer(cost(first)) { second } else { first })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_to_choose_from_is_none() {
        assert_eq!(power_of_two(0, |_| 0.0, &mut fastrand::Rng::with_seed(0)), None);
    }

    #[test]
    fn a_nan_is_never_preferred_to_a_number() {
        let mut rng = fastrand::Rng::with_seed(7);
        assert!((0..100).all(|_| power_of_two(2, |i| [f64::NAN, 1.0][i], &mut rng) == Some(1)));
    }

    #[test]
    fn equal_costs_are_spread_over_all_candidates() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut hits = [0_u32; 4];
        for _ in 0..4000 {
            if let Some(i) = power_of_two(4, |_| 1.0, &mut rng) {
                hits[i] += 1;
            }
        }
        assert!(hits.iter().all(|&h| (800..1200).contains(&h)), "{hits:?}");
    }

    proptest! {
        #[test]
        fn the_dearest_of_several_is_never_chosen(mut costs in proptest::collection::vec(0.0_f64..1e6, 2..20), seed: u64) {
            costs.push(1e9);
            let chosen = power_of_two(costs.len(), |i| costs[i], &mut fastrand::Rng::with_seed(seed));
            prop_assert!(chosen.is_some_and(|i| i < costs.len() - 1));
        }
    }
}
