//! What a model costs.

use serde::{Deserialize, Serialize};

/// USD per million tokens, as providers write it. What some charge for writing their cache is not in it: an operator who relies on
/// that enters a higher `input`.
///
/// ```
/// let price = route_plan::Price::new(0.15, 0.60).cached(0.075);
/// assert_eq!(price.nano_usd(1000, 400, 200), 600 * 150 + 400 * 75 + 200 * 600);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    #[serde(default)]
    pub input: f64,
    /// Of the answer, with what a model thinks before it.
    #[serde(default)]
    pub output: f64,
    /// Of the part of the prompt that the provider has read before; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Where longer prompts cost more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<LongPrompt>,
}

/// What a request costs whose prompt is longer than `above`: the whole of it, not the part beyond.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPrompt {
    /// Tokens.
    pub above: u64,
    /// Of the prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
    /// Of the part of the prompt that the provider has read before; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
}

/// The most that a million tokens may cost, in USD: with it, sums of a day stay exact.
const MOST: f64 = 1e6;

impl Price {
    /// USD per million tokens of the prompt and of the answer.
    pub const fn new(input: f64, output: f64) -> Self {
        Self { input, output, cached_input: None, long_prompt: None }
    }

    /// With another price for what the provider has read before.
    #[must_use]
    pub const fn cached(self, cached_input: f64) -> Self {
        Self { cached_input: Some(cached_input), ..self }
    }

    /// With another price for longer prompts.
    #[must_use]
    pub const fn above(self, long_prompt: LongPrompt) -> Self {
        Self { long_prompt: Some(long_prompt), ..self }
    }

    /// What so many tokens cost, in nano-USD (1e-9 USD), rounded up. `cached` are among the tokens of the prompt.
    pub fn nano_usd(&self, prompt: u64, cached: u64, completion: u64) -> u64 {
        let (input, output, cached_input) = match self.long_prompt {
            Some(long) if prompt > long.above => (long.input, long.output, long.cached_input),
            _ => (self.input, self.output, self.cached_input),
        };
        let cached = cached.min(prompt);
        let pico = of(prompt - cached, input)
            .saturating_add(of(cached, cached_input.unwrap_or(input)))
            .saturating_add(of(completion, output));
        u64::try_from(pico.div_ceil(1000)).unwrap_or(u64::MAX)
    }

    /// The most that so many tokens can cost, in nano-USD: nobody knows beforehand what a provider has read before, or how it
    /// counts.
    pub fn most_nano_usd(&self, prompt: u64, completion: u64) -> u64 {
        let dearest = |input: f64, cached: Option<f64>| input.max(cached.unwrap_or(input));
        let at = |input, output| {
            let pico = of(prompt, input).saturating_add(of(completion, output));
            u64::try_from(pico.div_ceil(1000)).unwrap_or(u64::MAX)
        };
        let short = at(dearest(self.input, self.cached_input), self.output);
        match self.long_prompt {
            Some(long) if prompt > long.above => {
                short.max(at(dearest(long.input, long.cached_input), long.output))
            }
            _ => short,
        }
    }

    /// The first field whose value cannot be, and what was expected.
    pub fn objection(&self) -> Option<(&'static str, &'static str)> {
        let long = self.long_prompt;
        [
            ("input", Some(self.input)),
            ("output", Some(self.output)),
            ("cached_input", self.cached_input),
            ("long_prompt.input", long.map(|long| long.input)),
            ("long_prompt.output", long.map(|long| long.output)),
            ("long_prompt.cached_input", long.and_then(|long| long.cached_input)),
        ]
        .into_iter()
        .find(|(_, value)| value.is_some_and(|value| !(0.0..=MOST).contains(&value)))
        .map(|(field, _)| (field, "expected USD per million tokens, from 0 to 1000000"))
    }
}

/// In pico-USD (1e-12 USD): a price of USD per million tokens is that many millions of them per token. Fractions are rounded up.
fn of(tokens: u64, usd_per_million: f64) -> u128 {
    // Whole femto-USD per token: 0.075 is not quite that in binary. What is cast is not negative; NaN and less become 0.
    let femto = (usd_per_million * 1e9).round();
    (u128::from(tokens) * (femto as u128)).div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: LongPrompt =
        LongPrompt { above: 200_000, input: 2.5, output: 15.0, cached_input: Some(0.25) };

    #[test]
    fn what_tokens_cost_is_exact_and_rounded_up() {
        let price = Price::new(0.15, 0.6).cached(0.075);
        assert_eq!(price.nano_usd(0, 0, 0), 0);
        assert_eq!(price.nano_usd(1_000_000, 0, 0), 150_000_000);
        assert_eq!(price.nano_usd(1_000_000, 1_000_000, 1_000_000), 675_000_000);
        assert_eq!(Price::new(0.0375, 0.0).nano_usd(1, 0, 0), 38, "37.5 nano-USD");
        assert_eq!(Price::new(0.000_000_1, 0.0).nano_usd(1, 0, 0), 1);
        assert_eq!(Price::new(0.1, 0.2).nano_usd(3, 0, 0), 300);
    }

    #[test]
    fn more_cached_than_read_counts_as_all_of_it() {
        assert_eq!(Price::new(1.0, 1.0).cached(0.5).nano_usd(10, 99, 0), 5000);
        assert_eq!(Price::new(1.0, 1.0).nano_usd(10, 10, 0), 10_000, "no price of its own");
    }

    #[test]
    fn a_long_prompt_costs_more_as_a_whole() {
        let price = Price::new(1.25, 10.0).cached(0.125).above(LONG);
        assert_eq!(price.nano_usd(200_000, 0, 1), 200_000 * 1250 + 10_000);
        assert_eq!(price.nano_usd(200_001, 1, 1), 200_000 * 2500 + 250 + 15_000);
    }

    #[test]
    fn the_most_is_never_less_than_what_it_comes_to() {
        let price = Price::new(1.25, 10.0).cached(0.125).above(LONG);
        for (prompt, cached, completion) in
            [(10, 0, 0), (10, 10, 7), (200_001, 5, 9), (u64::MAX, 0, u64::MAX)]
        {
            assert!(price.most_nano_usd(prompt, completion) >= price.nano_usd(prompt, cached, completion));
        }
        assert_eq!(Price::new(1.0, 0.0).cached(2.0).most_nano_usd(1, 0), 2000, "where the cache is dearer");
    }

    #[test]
    fn a_price_that_cannot_be_is_named() {
        assert_eq!(Price::new(0.0, 0.0).objection(), None);
        assert_eq!(Price::new(-1.0, 0.0).objection().map(|(field, _)| field), Some("input"));
        assert_eq!(Price::new(0.0, f64::NAN).objection().map(|(field, _)| field), Some("output"));
        let long = Price::new(0.0, 0.0).above(LongPrompt { input: f64::INFINITY, ..LONG });
        assert_eq!(long.objection().map(|(field, _)| field), Some("long_prompt.input"));
    }
}
