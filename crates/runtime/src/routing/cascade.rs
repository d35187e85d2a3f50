//! A plan of two stages: a cheap model is asked, and its answer given where it does; otherwise the better one is asked.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fast_llm_coordinator::{
    Answer, Attempt, CacheOutcome, CachePreference, CallOptions, ChatStream, CoordinatorError, RoutingReport,
    Trace,
};
use futures_util::future::join_all;
use llm_wire::openai::{ChatRequest, PromptDetails, Usage, chunks_of};
use route_plan::RoutePlan;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::Routed;
use super::judge::{Judge, Verdict};
use crate::errors::RuntimeError;
use crate::wiring::Wiring;

/// What came of the first stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FirstOutcome {
    /// Its answer was given.
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What all its answers took; absent where nobody counted.
    #[serde(rename = "firstUsage", skip_serializing_if = "Option::is_none", serialize_with = "tokens")]
    usage: Option<Usage>,
    #[serde(rename = "firstCostUsd", skip_serializing_if = "Option::is_none", serialize_with = "usd")]
    nano_usd: Option<u64>,
}

fn tokens<S: Serializer>(usage: &Option<Usage>, serializer: S) -> Result<S::Ok, S::Error> {
    let tokens = |usage: &Usage| json!({ "promptTokens": usage.prompt_tokens, "completionTokens": usage.completion_tokens });
    usage.as_ref().map(tokens).serialize(serializer)
}

fn usd<S: Serializer>(nano_usd: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    nano_usd.map(|nano| nano as f64 / 1e9).serialize(serializer)
}

impl FirstOutcome {
    /// What a first stage cost whose answer was not given, nano-USD; `None`: nobody knows.
    pub(super) fn cost_before(&self) -> Option<u64> {
        if self.accepted { Some(0) } else { self.nano_usd }
    }

    /// The same in tokens.
    pub(super) fn used_before(&self) -> Option<Usage> {
        self.usage.filter(|_| !self.accepted)
    }
}

/// One try of the first stage.
type Tried = Result<(Bytes, RoutingReport), CoordinatorError>;

/// Carries out both stages of `plan`. What came of the first is put into `routed` before the second is asked.
pub(super) async fn carried_out(
    wiring: &Wiring,
    plan: &RoutePlan,
    request: &ChatRequest,
    call: CallOptions,
    judge: &Judge,
    routed: &Routed,
) -> Result<Answer, RuntimeError> {
    let begun = Instant::now();
    let mut stages = plan
        .stages
        .iter()
        .map(|stage| RoutePlan { request_id: Arc::clone(&plan.request_id), stages: vec![stage.clone()] });
    let (Some(first), Some(second)) = (stages.next(), stages.next()) else {
        return Err(RuntimeError::Internal { message: "a cascade has fewer than two stages".to_owned() });
    };
    // Attempts of both stages are numbered together only when they are over, so that endpoints are told of the request's span.
    let trace = call.trace.clone().map(|trace| match trace {
        Trace::Reported(context) | Trace::Passed(context) => Trace::Passed(context),
    });
    let call = CallOptions { trace, ..call };
    let mut tried = ask_first(wiring, &first, request, &call, judge).await;
    if let Some(position) =
        tried.iter().position(|one| matches!(one, Err(CoordinatorError::DeadlineExceeded { .. })))
        && tried.iter().all(Result::is_err)
        && let Err(error) = tried.swap_remove(position)
    {
        return Err(error.into());
    }
    let answers: Vec<Option<(&Bytes, &RoutingReport)>> =
        tried.iter().map(|one| one.as_ref().ok().map(|(body, report)| (body, report))).collect();
    let mut verdict = match failure(&tried) {
        Some(code) => Verdict::refused(format!("it failed ({code})")),
        None => judge.verdict(&answers).await?,
    };
    let given = match verdict.accepted {
        None => None,
        Some(index) => match tried.get(index) {
            Some(Ok((body, report))) => Some((judge.given(body)?, report.clone())),
            _ => {
                verdict.accepted = None;
                None
            }
        },
    };
    let usage = usage_of(&tried);
    routed.first_stage_is(outcome(wiring, &first, &tried, usage, verdict));
    let attempts = attempts_of(&tried);
    let Some((body, report)) = given else {
        let call = CallOptions { waited: begun.elapsed(), ..call };
        return match wiring.coordinator.execute(&second, request, call).await {
            Ok(Answer::Complete { body, spoken, report }) => {
                Ok(Answer::Complete { body, spoken, report: report.after(&attempts) })
            }
            Ok(Answer::Stream(stream)) => Ok(Answer::Stream(stream.after(attempts))),
            Err(error) => Err(error.after(&attempts).into()),
        };
    };
    // What the answers took that were not given belongs to this one.
    let usage = if tried.len() > 1 { usage } else { report.usage };
    let report = RoutingReport { attempts, usage, ..report };
    if !request.stream() {
        return Ok(Answer::Complete { body, spoken: None, report });
    }
    let chunks = chunks_of(&body, request.include_usage())?;
    Ok(Answer::Stream(ChatStream::of_whole(chunks, report)))
}

/// All answers of the first stage, at the same time.
async fn ask_first(
    wiring: &Wiring,
    plan: &RoutePlan,
    request: &ChatRequest,
    call: &CallOptions,
    judge: &Judge,
) -> Vec<Tried> {
    let requests = match judge.requests(request) {
        Ok(requests) => requests,
        // Asked in the client's own dialect, the second stage may understand it.
        Err(error) => return vec![Err(error.into())],
    };
    let cache = if judge.needs_fresh() { CachePreference::Off } else { call.cache };
    let asking = requests.iter().map(async |request| {
        let call = CallOptions { cache, ..call.clone() };
        match wiring.coordinator.execute(plan, request, call).await? {
            Answer::Complete { body, report, .. } => Ok((body, report)),
            Answer::Stream(_) => Err(CoordinatorError::Config {
                message: "a whole answer was asked for, and a stream came".to_owned(),
            }),
        }
    });
    join_all(asking).await
}

/// The stable code of why there is no answer at all.
fn failure(tried: &[Tried]) -> Option<&'static str> {
    match tried.iter().all(Result::is_err) {
        true => Some(
            tried.iter().find_map(|one| one.as_ref().err()).map_or("UAT_INTERNAL", CoordinatorError::code),
        ),
        false => None,
    }
}

fn attempts_of(tried: &[Tried]) -> Vec<Attempt> {
    let each = tried.iter().map(|one| match one {
        Ok((_, report)) => report.attempts.as_slice(),
        Err(error) => error.attempts(),
    });
    each.flatten().cloned().collect()
}

/// What the answers took together; `None` where one of them was not counted.
fn usage_of(tried: &[Tried]) -> Option<Usage> {
    let answered = || tried.iter().filter_map(|one| one.as_ref().ok());
    let asked = || answered().filter(|(_, report)| report.cache != CacheOutcome::Hit);
    answered().next()?;
    asked().map(|(_, report)| report.usage).try_fold(Usage::default(), |sum, one| {
        let one = one?;
        let cached = match (sum.prompt_tokens_details, one.prompt_tokens_details) {
            (Some(sum), Some(one)) => Some(sum.cached_tokens.saturating_add(one.cached_tokens)),
            (sum, one) => sum.or(one).map(|details| details.cached_tokens),
        };
        Some(Usage {
            prompt_tokens: sum.prompt_tokens.saturating_add(one.prompt_tokens),
            completion_tokens: sum.completion_tokens.saturating_add(one.completion_tokens),
            total_tokens: sum.total_tokens.saturating_add(one.total_tokens),
            prompt_tokens_details: cached.map(|cached_tokens| PromptDetails { cached_tokens }),
        })
    })
}

fn outcome(
    wiring: &Wiring,
    plan: &RoutePlan,
    tried: &[Tried],
    usage: Option<Usage>,
    verdict: Verdict,
) -> FirstOutcome {
    let model = plan.stages.iter().flat_map(|stage| &stage.candidates).map(|one| &one.model).next();
    let nano_usd = match usage {
        Some(usage) => model.and_then(|model| wiring.nano_usd(model, &usage)),
        // Nobody answered.
        None => tried.iter().all(Result::is_err).then_some(0),
    };
    let Verdict { accepted, measured, why } = verdict;
    FirstOutcome { accepted: accepted.is_some(), measured, why, usage, nano_usd }
}
