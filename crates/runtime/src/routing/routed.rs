//! A decision that was made for a request, as it is kept and told.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use answer_check::Check;
use context_pack::{Added, Left};
use llm_router::{
    Candidate, Cascade, Catalogue, Decision, Estimate, Policy, Question, Record, Rejection, Seen, Snapshot,
    Terms,
};
use llm_wire::openai::Usage;
use serde::Serialize;

use super::cascade::FirstOutcome;
use super::meter::FirstStage;
use crate::context::{ContextReport, Missing};

/// Where the decision on a request is put, if the router makes one.
pub type DecisionSlot = Arc<OnceLock<Arc<Routed>>>;

/// A decision with everything that it was made of.
#[derive(Debug)]
pub struct Routed {
    pub(super) question: Question,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) snapshot: Snapshot,
    pub(super) policy: Policy,
    pub(super) seen: Seen,
    pub(super) decision: Decision,
    /// What was added to the request.
    pub(super) context: ContextReport,
    /// What becomes of the two stages, where they were wanted.
    pub(super) cascade: Option<Cascaded>,
    pub(super) decided_in: Duration,
}

/// The two stages of a request: how the first is judged, and what came of it once it was.
#[derive(Debug)]
pub(super) struct Cascaded {
    check: Option<Check>,
    first: OnceLock<FirstOutcome>,
}

impl Cascaded {
    /// Judged by a check; `None`: by the caller's predicate.
    pub(super) fn by(check: Option<Check>) -> Self {
        Self { check, first: OnceLock::new() }
    }
}

/// The same as it is told.
#[derive(Debug, Serialize)]
struct ToldCascade<'a> {
    check: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<&'a str>,
    /// Why there is one stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    without: Option<String>,
    #[serde(flatten)]
    outcome: Option<&'a FirstOutcome>,
}

/// `RoutePlan` of the npm package.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan<'a> {
    request_id: &'a str,
    tier: &'a str,
    chosen: &'a str,
    candidates: Vec<Told<'a>>,
    context_added: &'a [Added],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    context_left: &'a [Left],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    context_missing: &'a [Missing],
    estimate: Expected,
    #[serde(skip_serializing_if = "Option::is_none")]
    cascade: Option<ToldCascade<'a>>,
    decided_in_us: f64,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    model: &'a str,
    score: f64,
    terms: Terms,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
}

/// What is not known is `null`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    prompt_tokens: u64,
    cost_usd: Option<f64>,
    latency_ms: Option<f64>,
}

impl<'a> From<&'a Candidate> for Told<'a> {
    fn from(Candidate { model, score, terms, rejected, .. }: &'a Candidate) -> Self {
        let rejected = rejected.as_ref().map(ToString::to_string);
        Self { model, score: *score, terms: *terms, rejected }
    }
}

impl Routed {
    /// What was decided.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What was added to the request, and what was not.
    pub fn context(&self) -> &ContextReport {
        &self.context
    }

    /// The decision as `RoutePlan` of the npm package, without the models that whoever asked may not use. `chosen` is empty where
    /// nobody could be asked.
    pub fn plan(&self) -> serde_json::Value {
        let decision = &self.decision;
        let seen = |candidate: &&Candidate| candidate.rejected != Some(Rejection::NotAllowed);
        let Estimate { prompt_tokens, cost_usd, latency_ms } = decision.estimate;
        let plan = Plan {
            request_id: &decision.plan.request_id,
            tier: &decision.tier,
            chosen: decision.chosen.as_deref().unwrap_or_default(),
            candidates: decision.candidates.iter().filter(seen).map(Told::from).collect(),
            context_added: &self.context.added,
            context_left: &self.context.left,
            context_missing: &self.context.missing,
            estimate: Expected { prompt_tokens, cost_usd, latency_ms },
            cascade: self.told_cascade(),
            decided_in_us: self.decided_in.as_nanos() as f64 / 1e3,
        };
        // Text and numbers: nothing that JSON cannot carry.
        serde_json::to_value(plan).unwrap_or_default()
    }

    fn told_cascade(&self) -> Option<ToldCascade<'_>> {
        let cascaded = self.cascade.as_ref()?;
        let (first, second, without) = match self.decision.cascade.as_ref()? {
            Cascade::Stages { first, second } => (Some(&**first), Some(&**second), None),
            Cascade::Without { without } => (None, None, Some(without.to_string())),
        };
        let check = cascaded.check;
        Some(ToldCascade {
            check: check.map_or("predicate", |check| check.word()),
            k: check.map(|check| check.answers()).filter(|answers| *answers > 1),
            threshold: check.and_then(|check| check.threshold()),
            first,
            second,
            without,
            outcome: cascaded.first.get(),
        })
    }

    /// Who is asked before whoever answers in the end, if there are two stages.
    pub(super) fn first_stage(&self) -> Option<FirstStage> {
        let Cascade::Stages { first, .. } = self.decision.cascade.as_ref()? else { return None };
        Some(FirstStage { model: Arc::clone(first), answers: self.question.cascade.unwrap_or(1) })
    }

    /// The first of two stages came out so.
    pub(super) fn first_stage_is(&self, outcome: FirstOutcome) {
        if let Some(cascaded) = &self.cascade {
            // Each request has one.
            let _ = cascaded.first.set(outcome);
        }
    }

    /// What was spent on a first stage whose answer was not given, nano-USD: to be added to what the answer cost. `None`: nobody knows.
    pub fn cost_before_nano_usd(&self) -> Option<u64> {
        match self.cascade.as_ref().and_then(|cascaded| cascaded.first.get()) {
            Some(first) => first.cost_before(),
            None => Some(0),
        }
    }

    /// What a first stage took whose answer was not given, and the model that gave it.
    pub fn used_before(&self) -> Option<(&Arc<str>, Usage)> {
        let Cascade::Stages { first, .. } = self.decision.cascade.as_ref()? else { return None };
        Some((first, self.cascade.as_ref()?.first.get()?.used_before()?))
    }

    /// What it takes to decide the same again, without the models that whoever asked may not use.
    pub fn record(&self) -> Record {
        let Self { question, catalogue, snapshot, policy, decision, .. } = self;
        Record::new(question, catalogue, snapshot, policy, decision.clone()).without_forbidden()
    }

    /// About how many bytes of memory it takes beside the catalogue, which all decisions of a configuration share.
    pub fn weight(&self) -> usize {
        let candidates = self.decision.candidates.len() * (size_of::<Candidate>() + 64);
        let standings = self.snapshot.models.len() * size_of::<llm_router::Standing>();
        let allowed = self.question.allowed.as_ref().map_or(0, |allowed| allowed.len() * 32);
        size_of::<Self>() + candidates + standings + allowed + self.seen.weight() + self.context.weight()
    }
}
