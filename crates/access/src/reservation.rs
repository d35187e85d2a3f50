//! A request on its way: what it may cost, and what it did.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use route_plan::Price;

use crate::allowances::Inner;
use crate::key::Key;
use crate::meters::{Holding, MONEY, Meters, TOKENS};
use crate::usage::{UsageRow, hour_of};

/// What somebody wants to ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The public name of the model.
    pub model: Arc<str>,
    /// Tokens of the prompt, at most.
    pub prompt_tokens: u64,
    /// Tokens of the answer, at most, those of thinking included.
    pub completion_tokens: u64,
    /// Tokens that it will take in all probability: by which a rate is reserved, which begins anew in a minute, so that a guess that
    /// is too low hurts nobody and one that is far too high would keep out what fits. `None`: the two above.
    pub expected_tokens: Option<u64>,
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
pub struct Reservation {
    inner: Arc<Inner>,
    meters: Arc<Meters>,
    holding: Holding,
    key: Arc<Key>,
    ask: Ask,
    /// The most that it may cost, in nano-USD.
    most: u64,
    is_settled: bool,
}

impl Reservation {
    pub(crate) fn new(
        inner: Arc<Inner>,
        meters: Arc<Meters>,
        holding: Holding,
        key: Arc<Key>,
        ask: Ask,
        most: u64,
    ) -> Self {
        Self { inner, meters, holding, key, ask, most, is_settled: false }
    }

    /// Whose it is.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// What was asked.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The most that it may cost, in nano-USD; 0 for a model without a price.
    pub fn reserved_nano_usd(&self) -> u64 {
        self.most
    }

    /// Takes what it came to, and gives the rest back; what it cost in nano-USD. Where more was used than was reserved, all of it
    /// counts.
    pub fn settle(mut self, used: Used) -> u64 {
        let price = self.ask.price;
        let Used { prompt_tokens, cached_prompt_tokens, completion_tokens, .. } = used;
        let cost =
            price.map_or(0, |price| price.nano_usd(prompt_tokens, cached_prompt_tokens, completion_tokens));
        self.finish(used, cost);
        cost
    }

    /// The same where it was left open which of several models answers: `model` did, and it came to `cost`, in nano-USD.
    pub fn settle_for(mut self, model: Arc<str>, used: Used, cost: u64) {
        self.ask.model = model;
        self.finish(used, cost);
    }

    fn finish(&mut self, used: Used, cost: u64) {
        self.is_settled = true;
        let mut amounts = [1, 0, 0];
        amounts[TOKENS] = used.prompt_tokens.saturating_add(used.completion_tokens);
        amounts[MONEY] = cost;
        self.meters.settle(&self.holding, &amounts);
        self.inner.tally.add(&UsageRow {
            key: self.key.name().clone(),
            model: self.ask.model.clone(),
            hour: hour_of(SystemTime::now()),
            requests: 1,
            estimated: u64::from(used.is_estimate),
            prompt_tokens: used.prompt_tokens,
            cached_prompt_tokens: used.cached_prompt_tokens,
            completion_tokens: used.completion_tokens,
            cost,
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_settled {
            let Ask { prompt_tokens, completion_tokens, .. } = self.ask;
            let used = Used { prompt_tokens, completion_tokens, cached_prompt_tokens: 0, is_estimate: true };
            self.finish(used, self.most);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("key", self.key.name())
            .field("ask", &self.ask)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
