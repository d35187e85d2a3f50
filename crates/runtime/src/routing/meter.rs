//! What a request may cost that several models may answer, and what it did.

use std::sync::Arc;

use access::{Allowances, Ask, Key, Reservation, Used};
use fast_llm_coordinator::{Meter, Most, Spent};
use parking_lot::Mutex;
use route_plan::Price;

use crate::callers::Size;
use crate::errors::RuntimeError;

/// A model that may answer: its name, its price, and what the request can take of it.
pub(crate) struct Payable {
    pub(crate) model: Arc<str>,
    pub(crate) price: Option<Price>,
    pub(crate) size: Size,
}

/// Who is asked before those of whom one answers in the end.
pub(crate) struct FirstStage {
    pub(crate) model: Arc<str>,
    /// How many times.
    pub(crate) answers: u32,
}

/// Reserves for the dearest of the models and for the first stage, if there are two, and says who is told what each of them did take. At least one.
pub(crate) async fn admit_any(
    allowances: &Allowances,
    key: &Arc<Key>,
    payables: Vec<Payable>,
    first: Option<FirstStage>,
) -> Result<Arc<dyn Meter>, RuntimeError> {
    let most = payables.iter().map(|payable| payable.size.most).fold(
        Most { prompt_tokens: 0, completion_tokens: 0 },
        |one, other| Most {
            prompt_tokens: one.prompt_tokens.max(other.prompt_tokens),
            completion_tokens: one.completion_tokens.max(other.completion_tokens),
        },
    );
    // An answer that breaks off is paid for, too, before the next model is asked; that is as little foreseen as with endpoints.
    let cost = |payable: &&Payable| {
        payable.price.map(|price| price.most_nano_usd(most.prompt_tokens, most.completion_tokens))
    };
    let dearest = payables.iter().max_by_key(cost).ok_or_else(|| RuntimeError::Internal {
        message: "a plan without models was to be paid for".to_owned(),
    })?;
    // The first stage of a cascade is asked beside whoever answers in the end.
    let (more, times) = match &first {
        None => (0, 1),
        Some(FirstStage { model, answers }) => {
            let one = payables.iter().find(|payable| payable.model == *model);
            let cost = one.as_ref().and_then(cost).unwrap_or_default();
            (cost.saturating_mul(u64::from(*answers)), u64::from(*answers).saturating_add(1))
        }
    };
    let expected = payables.iter().map(|payable| payable.size.expected_tokens).max();
    let ask = Ask {
        model: Arc::clone(&dearest.model),
        prompt_tokens: most.prompt_tokens,
        completion_tokens: most.completion_tokens,
        expected_tokens: expected.map(|tokens| tokens.saturating_mul(times)),
        price: dearest.price,
    };
    let reservation = allowances.admit_with(key, ask, more).await?;
    let prices = payables.into_iter().map(|payable| (payable.model, payable.price)).collect();
    Ok(Arc::new(MeteredRoute {
        prices,
        most,
        open: Mutex::new(Open { reservation: Some(reservation), ..Open::default() }),
    }))
}

/// A request that was admitted, whoever answers it. It settles when the last one is told.
#[derive(Debug)]
struct MeteredRoute {
    prices: Vec<(Arc<str>, Option<Price>)>,
    most: Most,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    reservation: Option<Reservation>,
    used: Used,
    /// Nano-USD.
    cost: u64,
    /// Who was asked last.
    model: Option<Arc<str>>,
}

impl Meter for MeteredRoute {
    fn most(&self) -> Most {
        self.most
    }

    fn used(&self, model: &Arc<str>, spent: Spent) {
        let Spent { prompt_tokens, cached_prompt_tokens, completion_tokens, is_estimate } = spent;
        let price = self.prices.iter().find(|(name, _)| name == model).and_then(|(_, price)| *price);
        let cost =
            price.map_or(0, |price| price.nano_usd(prompt_tokens, cached_prompt_tokens, completion_tokens));
        let mut open = self.open.lock();
        open.cost = open.cost.saturating_add(cost);
        open.model = Some(Arc::clone(model));
        let used = &mut open.used;
        used.prompt_tokens = used.prompt_tokens.saturating_add(prompt_tokens);
        used.cached_prompt_tokens = used.cached_prompt_tokens.saturating_add(cached_prompt_tokens);
        used.completion_tokens = used.completion_tokens.saturating_add(completion_tokens);
        used.is_estimate |= is_estimate;
    }
}

impl Drop for MeteredRoute {
    fn drop(&mut self) {
        let Open { reservation, used, cost, model } = std::mem::take(self.open.get_mut());
        if let Some(reservation) = reservation {
            let model = model.unwrap_or_else(|| Arc::clone(&reservation.ask().model));
            reservation.settle_for(model, used, cost);
        }
    }
}
