//! How many tokens a prompt has for those models of the local engine that an estimate alone would rule out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fast_llm_coordinator::CallOptions;
use llm_router::{Candidate, Decision, Rejection};
use llm_wire::openai::ChatRequest;
use route_plan::{RoutePlan, Stage};

use crate::wiring::Wiring;

/// The engine may have to load the model first. Whoever is not counted by then is judged by the estimate.
const SOON: Duration = Duration::from_secs(5);
/// Models that are counted for, for one request: each may have to be loaded.
const MOST: usize = 3;

/// Tokens of a prompt by model, where they were counted.
pub(super) type Counts = BTreeMap<Arc<str>, u64>;

/// Counts for those whom the decision rejects by an estimate of the prompt's length.
pub(super) async fn counted(
    wiring: &Wiring,
    decision: &Decision,
    request: &ChatRequest,
    timeout: Option<Duration>,
) -> Counts {
    let by_estimate = |candidate: &&Candidate| {
        matches!(candidate.rejected, Some(Rejection::Context { is_estimate: true, .. }))
    };
    let is_local = |candidate: &&Candidate| {
        wiring.engine_source(&candidate.model).is_some() && wiring.require_file(&candidate.model).is_ok()
    };
    let mut counts = Counts::new();
    for candidate in decision.candidates.iter().filter(by_estimate).filter(is_local).take(MOST) {
        let model = Arc::clone(&candidate.model);
        let asked = route_plan::Candidate { model: Arc::clone(&model) };
        let plan = RoutePlan {
            request_id: Arc::clone(&decision.plan.request_id),
            stages: vec![Stage { candidates: vec![asked] }],
        };
        let timeout = Some(timeout.map_or(SOON, |timeout| timeout.min(SOON)));
        let call = CallOptions { timeout, ..CallOptions::default() };
        match wiring.coordinator.count_tokens(&plan, request, call).await {
            Ok(Some(tokens)) => {
                counts.insert(model, tokens);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%model, %error, "a prompt could not be counted"),
        }
    }
    counts
}
