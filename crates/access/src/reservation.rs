//! A request on its way: what it may cost, and what it did.

use std::sync::Arc;

use route_plan::Price;

/// What somebody wants to ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The public name of the model.
    pub model: Arc<str>,
    /// Tokens of the prompt, at most.
    pub prompt_tokens: u64,
    /// Tokens of the answer, at most, those of thinking included.
    pub completion_tokens: u64,
    /// What the model costs, if that is known.
    pub price: Option<Price>,
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// How many of them the provider had read before.
    pub cached_prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Whether nobody counted, and these are upper bounds.
    pub is_estimate: bool,
}

/// A request that was admitted. Settle it when it has ended, with [`Used::default`] where nobody was asked (an answer from the cache): it
/// then counts as a request and nothing else. Dropped unsettled, it counts as the most that it may have cost.
#[must_use = "dropped, it counts as the most that the request may cost"]
#[derive(Debug)]
pub struct Reservation {}

impl Reservation {
    /// What was reserved in money, in nano-USD; 0 for a model without a price.
    pub fn reserved_nano_usd(&self) -> u64 {
        todo!()
    }

    /// Takes what it came to, and gives the rest back.
    pub fn settle(self, _used: Used) {
        todo!()
    }
}
