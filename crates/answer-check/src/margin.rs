use crate::check::MOST_MARGIN;

/// A token of an answer: how likely it was, and how likely the likeliest of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenChoice {
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The same of the likeliest token at its place that is not it; `None`: nobody said.
    pub runner_up: Option<f64>,
}

/// How far ahead of the next best the chosen tokens were where the model was least sure: the margin that nine tenths of the tokens
/// reach, in nats. `None`: no token has a runner-up.
///
/// Of a long answer nearly every token is certain, whatever it says, so that a mean would grow with its length; a low quantile does not
/// (Gupta et al., *Language Model Cascades: Token-level uncertainty and beyond*, <https://arxiv.org/abs/2404.10136>). Of up to ten
/// tokens it is the least. A margin beyond 20, in either direction, counts as 20.
pub fn lowest_margin(tokens: &[TokenChoice]) -> Option<f64> {
    let margin = |token: &TokenChoice| {
        let margin = token.logprob - token.runner_up?;
        (!margin.is_nan()).then(|| margin.clamp(-MOST_MARGIN, MOST_MARGIN))
    };
    let mut margins: Vec<f64> = tokens.iter().filter_map(margin).collect();
    margins.sort_by(f64::total_cmp);
    // The nearest rank of the tenth.
    margins.get(margins.len().div_ceil(10).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(margins: &[f64]) -> Vec<TokenChoice> {
        margins.iter().map(|margin| TokenChoice { logprob: -0.1, runner_up: Some(-0.1 - margin) }).collect()
    }

    fn measured(margins: &[f64]) -> f64 {
        (lowest_margin(&tokens(margins)).unwrap() * 1e6).round() / 1e6
    }

    #[test]
    fn it_is_the_margin_that_nine_tenths_reach() {
        assert_eq!(measured(&[3.0, 0.5, 9.0]), 0.5);
        let mut long = vec![5.0; 18];
        long.extend([0.1, 0.2]);
        assert_eq!(measured(&long), 0.2, "the second of twenty");
    }

    #[test]
    fn a_token_of_which_no_other_is_told_says_nothing() {
        let alone = TokenChoice { logprob: -9.0, runner_up: None };
        assert_eq!(lowest_margin(&[alone, alone]), None);
        assert_eq!(lowest_margin(&[]), None);
        assert_eq!(lowest_margin(&[alone, TokenChoice { logprob: 0.0, runner_up: Some(-2.0) }]), Some(2.0));
    }

    #[test]
    fn what_is_out_of_the_world_counts_as_certain() {
        let token = |logprob, runner_up| TokenChoice { logprob, runner_up: Some(runner_up) };
        assert_eq!(lowest_margin(&[token(0.0, -9999.0)]), Some(20.0));
        assert_eq!(lowest_margin(&[token(f64::NEG_INFINITY, f64::NEG_INFINITY)]), None);
        assert_eq!(lowest_margin(&[token(-3.0, -1.0)]), Some(-2.0), "it was sampled against the odds");
    }

    proptest! {
        #[test]
        fn it_does_not_depend_on_the_order_and_a_surer_token_never_lowers_it(
            mut margins in prop::collection::vec(0.0..20.0_f64, 1..60),
            at: prop::sample::Index,
            more in 0.0..5.0_f64,
        ) {
            let before = measured(&margins);
            margins.reverse();
            prop_assert_eq!(measured(&margins), before);
            let at = at.index(margins.len());
            margins[at] += more;
            prop_assert!(measured(&margins) >= before);
        }
    }
}
