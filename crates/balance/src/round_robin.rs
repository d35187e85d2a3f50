/// Takes turns in proportion to weights, spread evenly rather than in runs: weights 5, 1, 1 give `a a b a c a a`.
///
/// nginx's smooth weighted round robin
/// (<https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1>): every candidate earns its weight,
/// the richest one is picked and pays what all have earned together. The weights are given at each pick, so that they
/// may change and candidates may be left out in between; what was earned before stays.
#[derive(Debug, Clone, Default)]
pub struct RoundRobin {
    credit: Vec<f64>,
}

impl RoundRobin {
    /// Whose turn it is, as a position in `weights`. A weight that is not a number above 0 takes its candidate out of
    /// this pick. `None` if none is left.
    pub fn pick(&mut self, weights: impl IntoIterator<Item = f64>) -> Option<usize> {
        let mut richest: Option<(usize, f64)> = None;
        let mut earned = 0.0;
        for (index, weight) in weights.into_iter().enumerate() {
            if index == self.credit.len() {
                self.credit.push(0.0);
            }
            if weight.is_nan() || weight <= 0.0 {
                continue;
            }
            let Some(credit) = self.credit.get_mut(index) else { break };
            *credit += weight;
            earned += weight;
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((index, *credit));
            }
        }
        let (index, _) = richest?;
        if let Some(credit) = self.credit.get_mut(index) {
            *credit -= earned;
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(weights: &[f64], expected: &str) {
        let mut turns = RoundRobin::default();
        let picked: String = (0..expected.len())
            .map(|_| {
                turns
                    .pick(weights.iter().copied())
                    .map_or('-', |i| char::from(b'a' + u8::try_from(i).unwrap()))
            })
            .collect();
        assert_eq!(picked, expected, "{weights:?}");
    }

    #[test]
    fn turns_are_spread_and_not_in_runs() {
        check(&[5.0, 1.0, 1.0], "aabacaaaabacaa");
        check(&[1.0, 1.0, 1.0], "abcabc");
    }

    #[test]
    fn a_candidate_without_weight_is_left_out() {
        check(&[0.0, 1.0, f64::NAN, -1.0], "bb");
        check(&[], "-");
        check(&[0.0], "-");
    }

    #[test]
    fn one_that_was_left_out_does_not_catch_up() {
        let mut turns = RoundRobin::default();
        (0..100).for_each(|_| assert_eq!(turns.pick([1.0, 0.0]), Some(0)));
        let second = (0..100).filter(|_| turns.pick([1.0, 1.0]) == Some(1)).count();
        assert_eq!(second, 50);
    }

    proptest! {
        #[test]
        fn after_whole_rounds_each_had_its_weight_in_turns(
            weights in proptest::collection::vec(1_u32..20, 1..8), rounds in 1_u32..5
        ) {
            let mut turns = RoundRobin::default();
            let mut had = vec![0_u32; weights.len()];
            for _ in 0..rounds * weights.iter().sum::<u32>() {
                had[turns.pick(weights.iter().map(|&w| f64::from(w))).unwrap()] += 1;
            }
            let due: Vec<u32> = weights.iter().map(|w| w * rounds).collect();
            prop_assert_eq!(had, due);
        }

        #[test]
        fn nobody_is_ever_a_whole_turn_ahead_of_its_share(weights in proptest::collection::vec(1_u32..20, 1..8)) {
            let sum: u32 = weights.iter().sum();
            let mut turns = RoundRobin::default();
            let mut had = vec![0_u32; weights.len()];
            for picks in 1..=sum {
                had[turns.pick(weights.iter().map(|&w| f64::from(w))).unwrap()] += 1;
                for (had, weight) in had.iter().zip(&weights) {
                    let due = f64::from(picks) * f64::from(*weight) / f64::from(sum);
                    prop_assert!(f64::from(*had) < due + 1.0, "{had} of {due}");
                }
            }
        }
    }
}
