use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use route_plan::{RoutePlan, Stage};

use crate::candidates::{Considered, considered};
use crate::cascade::{Cascade, cascade};
use crate::catalogue::{Catalogue, Model};
use crate::config::Policy;
use crate::decision::{Candidate, Decision, Estimate, Order};
use crate::error::{RouterError, nearest_first};
use crate::filter::reject;
use crate::question::Question;
use crate::score;
use crate::snapshot::Snapshot;

/// Decides who is asked. The same arguments give the same decision; a model's score and whether it is rejected do not depend on which
/// others there are. Some 100 ns for each model.
///
/// `snapshot` has what is known of the models of `catalogue`, in its order.
///
/// # Errors
/// [`RouterError`]: an unknown tier or capability, or nobody who meets what is asked for.
pub fn decide(
    request_id: impl Into<Arc<str>>,
    question: &Question,
    catalogue: &Catalogue,
    snapshot: &Snapshot,
    policy: &Policy,
) -> Result<Decision, RouterError> {
    let considered = considered(question, catalogue)?;
    let may_ask = |model: &&Model| question.allows(&model.name);
    let known = || catalogue.models().iter().filter(may_ask);
    if let Some(unknown) = question.capabilities.iter().find(|wanted| !known().any(|model| model.can(wanted)))
    {
        let known: BTreeSet<_> = known().flat_map(|model| &model.capabilities).cloned().collect();
        return Err(RouterError::UnknownCapability {
            capability: unknown.clone(),
            known: nearest_first(unknown, known),
        });
    }
    weighed(request_id.into(), question, catalogue, snapshot, policy, considered)
}

/// Decides again with a catalogue that has what was considered, and perhaps not everything by which a capability is known.
pub(crate) fn decide_again(
    request_id: Arc<str>,
    question: &Question,
    catalogue: &Catalogue,
    snapshot: &Snapshot,
    policy: &Policy,
) -> Result<Decision, RouterError> {
    weighed(request_id, question, catalogue, snapshot, policy, considered(question, catalogue)?)
}

fn weighed(
    request_id: Arc<str>,
    question: &Question,
    catalogue: &Catalogue,
    snapshot: &Snapshot,
    policy: &Policy,
    Considered { places, order }: Considered,
) -> Result<Decision, RouterError> {
    let mut candidates: Vec<Candidate> = places
        .into_iter()
        .filter_map(|(place, tier)| {
            let (model, standing) = (catalogue.models().get(place)?, snapshot.of(place));
            let estimate = score::estimate(question, model, &standing);
            let terms = score::terms(model, &standing, &estimate, tier);
            Some(Candidate {
                model: Arc::clone(&model.name),
                score: score::score(&terms, &policy.weights),
                terms,
                is_up: standing.health.is_up,
                estimate,
                rejected: reject(question, model, &standing, &estimate),
            })
        })
        .collect();
    // Stable: equals stay in the order of the catalogue, or of the list.
    candidates.sort_by(|a, b| in_order(a, b, order));
    let cascade = cascade(question, &candidates, order);
    let plan = plan(request_id, &candidates, cascade.as_ref(), policy);
    let asked_first = plan.stages.first().and_then(|stage| stage.candidates.first());
    let chosen = asked_first.and_then(|first| candidates.iter().find(|one| one.model == first.model));
    let prompt_only = Estimate { prompt_tokens: question.prompt_tokens.tokens, ..Estimate::default() };
    let decision = Decision {
        plan,
        tier: question.target.tier().into(),
        chosen: chosen.map(|best| Arc::clone(&best.model)),
        order,
        estimate: chosen.map_or(prompt_only, |best| best.estimate),
        candidates,
        cascade,
    };
    match decision.chosen {
        Some(_) => Ok(decision),
        None => Err(nobody(decision)),
    }
}

fn in_order(a: &Candidate, b: &Candidate, order: Order) -> Ordering {
    let last = |candidate: &Candidate| (candidate.rejected.is_some(), !candidate.is_up);
    match last(a).cmp(&last(b)) {
        // Why they were rejected says more than what they would have scored.
        Ordering::Equal if a.rejected.is_some() || order == Order::Listed => Ordering::Equal,
        Ordering::Equal => b.score.total_cmp(&a.score),
        different => different,
    }
}

/// The best that can be asked, as many as the policy lets. The first stage of a cascade is one model more, which is not asked again.
fn plan(
    request_id: Arc<str>,
    candidates: &[Candidate],
    cascade: Option<&Cascade>,
    policy: &Policy,
) -> RoutePlan {
    let most = usize::try_from(policy.max_candidates.max(1)).unwrap_or(usize::MAX);
    let can_be_asked = || candidates.iter().filter(|candidate| candidate.rejected.is_none());
    let of = |model: &Arc<str>| route_plan::Candidate { model: Arc::clone(model) };
    let stages = match cascade {
        Some(Cascade::Stages { first, second }) => {
            let others = can_be_asked().map(|one| &one.model).filter(|one| *one != first && *one != second);
            let after = std::iter::once(second).chain(others).take(most).map(of).collect();
            vec![Stage { candidates: vec![of(first)] }, Stage { candidates: after }]
        }
        Some(Cascade::Without { .. }) | None => {
            let asked: Vec<_> = can_be_asked().take(most).map(|one| of(&one.model)).collect();
            if asked.is_empty() { Vec::new() } else { vec![Stage { candidates: asked }] }
        }
    };
    RoutePlan { request_id, stages }
}

/// The error that names whoever misses by least. At least one candidate is allowed, and all are rejected.
fn nobody(decision: Decision) -> RouterError {
    let misses =
        decision.candidates.iter().filter_map(|candidate| Some((candidate, candidate.rejected.as_ref()?)));
    let least = misses.min_by(|(_, a), (_, b)| {
        let ((filter, by), (other_filter, other_by)) = (a.miss(), b.miss());
        filter.cmp(&other_filter).then(by.total_cmp(&other_by))
    });
    let Some((nearest, rejection)) =
        least.map(|(candidate, why)| (Arc::clone(&candidate.model), why.clone()))
    else {
        return RouterError::NoModel;
    };
    RouterError::NoCandidate { nearest, rejection: Box::new(rejection), decision: Box::new(decision) }
}
