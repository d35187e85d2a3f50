use crate::load::{Load, bound};

/// A candidate that keys are attached to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Home {
    /// Stands for the candidate, the same wherever and whenever it is asked for: a hash of its name, say.
    pub id: u64,
    /// What it bears.
    pub load: Load,
}

/// The home of `key`: always the same one among the same candidates, and when one goes away only its own keys move.
/// One that has `factor` times its share of the load is passed over for the next in the key's ranking. `None` if no
/// candidate is eligible.
///
/// Rendezvous hashing: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998
/// (<https://www.microsoft.com/en-us/research/wp-content/uploads/2017/02/HRW98.pdf>); the weights by the logarithmic
/// method of Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005
/// (<https://doi.org/10.1145/1073970.1074008>). The bound on loads: see [`bound`].
pub fn affinity(key: u64, factor: f64, homes: impl Iterator<Item = Home> + Clone) -> Option<usize> {
    let eligible = || homes.clone().enumerate().filter(|(_, home)| home.load.is_eligible());
    let (weight, in_flight) = eligible()
        .fold((0.0, 0), |(weight, n), (_, h)| (weight + h.load.weight, n + u64::from(h.load.in_flight)));
    eligible()
        .filter(|(_, home)| {
            f64::from(home.load.in_flight) + 1.0 <= bound(home.load.weight, weight, in_flight, factor)
        })
        .map(|(index, home)| (index, score(key, &home)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(index, _)| index)
}

/// `-weight / ln(u)` of a number `u` that is uniform over (0, 1): the highest is at each candidate with the probability of
/// its weight.
fn score(key: u64, home: &Home) -> f64 {
    // 53 bits fill the mantissa; the half keeps 0 and 1 out.
    let uniform = ((mixed(key ^ mixed(home.id)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -home.load.weight / uniform.ln()
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, 2014, <https://doi.org/10.1145/2660193.2660195>): every bit of the
/// number changes half of the result's bits.
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Loads far below any bound.
    const ANY_LOAD: f64 = f64::INFINITY;

    fn homes(weights: &[f64]) -> Vec<Home> {
        let home = |(id, &weight)| Home { id, load: Load { in_flight: 0, weight } };
        (1..).zip(weights).map(home).collect()
    }

    fn home_of(key: u64, homes: &[Home]) -> usize {
        affinity(key, ANY_LOAD, homes.iter().copied()).unwrap()
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let homes = homes(&[1.0, 2.0, 1.0]);
        let mut keys = [0_u32; 3];
        (0..8000).for_each(|key| keys[home_of(key, &homes)] += 1);
        for (keys, due) in keys.iter().zip([2000, 4000, 2000]) {
            assert!(keys.abs_diff(due) < 200, "{keys} of {due}");
        }
    }

    #[test]
    fn nobody_eligible_is_no_home() {
        assert_eq!(affinity(7, 1.25, homes(&[0.0, f64::NAN]).into_iter()), None);
        assert_eq!(affinity(7, 1.25, std::iter::empty()), None);
    }

    #[test]
    fn a_key_that_everybody_asks_for_is_spread_within_the_bound() {
        let mut homes = homes(&[1.0; 4]);
        for _ in 0..80 {
            let chosen = affinity(42, 1.25, homes.iter().copied()).unwrap();
            homes[chosen].load.in_flight += 1;
        }
        let mut loads: Vec<u32> = homes.iter().map(|home| home.load.in_flight).collect();
        loads.sort_unstable();
        assert_eq!(loads, [5, 25, 25, 25], "the first of the ranking have 1.25 times the mean of 20");
    }

    proptest! {
        #[test]
        fn when_a_candidate_goes_only_its_own_keys_move(
            weights in proptest::collection::vec(0.1_f64..5.0, 2..8), gone in 0_usize..8, keys in proptest::collection::vec(any::<u64>(), 50)
        ) {
            let before = homes(&weights);
            let gone = gone % weights.len();
            let mut after = before.clone();
            after[gone].load.weight = 0.0;
            for key in keys {
                let (was, is) = (home_of(key, &before), home_of(key, &after));
                prop_assert!(was == gone || was == is);
            }
        }

        #[test]
        fn a_growing_weight_draws_keys_to_its_candidate_and_moves_no_others(
            weights in proptest::collection::vec(0.1_f64..5.0, 2..8), keys in proptest::collection::vec(any::<u64>(), 50)
        ) {
            let before = homes(&weights);
            let mut after = before.clone();
            after[0].load.weight *= 3.0;
            for key in keys {
                let (was, is) = (home_of(key, &before), home_of(key, &after));
                prop_assert!(is == was || is == 0);
            }
        }

        #[test]
        fn nobody_is_given_more_than_its_bound_and_somebody_always_has_room(
            weights in proptest::collection::vec(0.1_f64..5.0, 1..8),
            keys in proptest::collection::vec((0_u64..3, any::<bool>()), 1..200)
        ) {
            let mut homes = homes(&weights);
            let total: f64 = weights.iter().sum();
            for (key, ends) in keys {
                let in_flight: u64 = homes.iter().map(|home| u64::from(home.load.in_flight)).sum();
                let chosen = affinity(key, 1.25, homes.iter().copied());
                prop_assert!(chosen.is_some());
                let load = &mut homes[chosen.unwrap()].load;
                load.in_flight += 1;
                prop_assert!(f64::from(load.in_flight) < 1.25 * (in_flight + 1) as f64 * load.weight / total + 1.0);
                if ends {
                    load.in_flight -= 1;
                }
            }
        }
    }
}
