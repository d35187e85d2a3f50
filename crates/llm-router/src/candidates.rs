//! Among which models a question lets choose, and how well their tiers fit it.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::decision::Order;
use crate::error::{RouterError, nearest_first};
use crate::question::{Question, Target};

/// The models to be considered.
pub(crate) struct Considered {
    /// Their places in the catalogue, with how well the tier fits; in the order of the list where there is one.
    pub(crate) places: Vec<(usize, f64)>,
    pub(crate) order: Order,
}

pub(crate) fn considered(question: &Question, catalogue: &Catalogue) -> Result<Considered, RouterError> {
    let may_ask =
        |place: usize| catalogue.models().get(place).is_some_and(|model| question.allows(&model.name));
    let (places, order) = match &question.target {
        Target::Auto => (all(question, catalogue), Order::Score),
        Target::Tier(tier) => match catalogue.list(tier) {
            Some(names) => (listed(names, catalogue, may_ask), Order::Listed),
            None => (of_tier(tier, catalogue), Order::Score),
        },
    };
    if places.iter().any(|(place, _)| may_ask(*place)) {
        return Ok(Considered { places, order });
    }
    // What others may ask is not the business of whoever asks.
    match &question.target {
        Target::Auto => Err(RouterError::NoModel),
        Target::Tier(tier) => Err(RouterError::UnknownTier {
            tier: tier.clone(),
            known: nearest_first(tier, catalogue.tiers(|name| question.allows(name))),
        }),
    }
}

fn all(question: &Question, catalogue: &Catalogue) -> Vec<(usize, f64)> {
    let fit =
        |place: usize| match (&question.class, catalogue.models().get(place).and_then(|m| m.tier.as_ref())) {
            (Some(class), Some(tier)) if class == tier => 1.0,
            _ => 0.0,
        };
    (0..catalogue.models().len()).map(|place| (place, fit(place))).collect()
}

/// How far ahead each stands is counted among those that may be asked, so that the others can be left out of a report.
fn listed(names: &[Arc<str>], catalogue: &Catalogue, may_ask: impl Fn(usize) -> bool) -> Vec<(usize, f64)> {
    let known: Vec<usize> = names.iter().filter_map(|name| catalogue.place(name)).collect();
    let whole = known.iter().filter(|place| may_ask(**place)).count().max(1) as f64;
    let mut ahead = 0.0;
    let fit = |place: usize| {
        if !may_ask(place) {
            return (place, 0.0);
        }
        let fit = 1.0 - ahead / whole;
        ahead += 1.0;
        (place, fit)
    };
    known.into_iter().map(fit).collect()
}

fn of_tier(tier: &str, catalogue: &Catalogue) -> Vec<(usize, f64)> {
    let models = catalogue.models().iter().enumerate();
    models.filter(|(_, model)| model.tier.as_deref() == Some(tier)).map(|(place, _)| (place, 1.0)).collect()
}
