//! What holds of every decision.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llm_router::{
    Belief, Candidate, Cascade, Catalogue, Constraints, Decision, Model, Order, Policy, PromptTokens,
    Question, Record, RouterError, Snapshot, Standing, Target, Weights, decide,
};
use proptest::prelude::*;
use proptest::{collection, option};
use route_plan::{ModelHealth, Price};

const TIERS: [&str; 3] = ["fast", "balanced", "strong"];
const CAPABILITIES: [&str; 3] = ["chat", "tools", "vision"];

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(words).prop_map(Arc::from)
}

prop_compose! {
    fn model()(
        tier in option::of(word(&TIERS)),
        capabilities in collection::vec(word(&CAPABILITIES), 0..3),
        context_tokens in option::of(1_u64..100_000),
        max_output_tokens in option::of(1_u64..10_000),
        price in option::of((0.0_f64..100.0, 0.0_f64..100.0)),
        quality in option::of(0.0_f64..=1.0),
    ) -> Model {
        let price = price.map(|(input, output)| Price::new(input, output));
        Model { tier, capabilities, context_tokens, max_output_tokens, price, quality, ..Model::new("") }
    }
}

prop_compose! {
    fn standing()(
        is_up in any::<bool>(),
        first_token_ms in option::of(0.0_f64..60_000.0),
        tokens_per_s in option::of(0.1_f64..1_000.0),
        error_rate in 0.0_f64..=1.0,
        samples in 0_u64..1_000,
        quality in option::of((0.0_f64..=1.0, 0.0_f64..50.0)),
    ) -> Standing {
        let health = ModelHealth { is_up, first_token_ms, tokens_per_s, error_rate, samples };
        Standing { health, quality: quality.map(|(mean, weight)| Belief { mean, weight }), drawn: None, prompt_tokens: None }
    }
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Auto), word(&TIERS).prop_map(Target::Tier), Just(Target::Tier("listed".into()))]
}

fn constraints() -> impl Strategy<Value = Constraints> {
    (option::of(0.0_f64..60_000.0), option::of(0.0_f64..0.2))
        .prop_map(|(max_latency_ms, max_cost_usd)| Constraints { max_latency_ms, max_cost_usd })
}

prop_compose! {
    fn question()(
        target in target(),
        tokens in 0_u64..50_000,
        is_estimate in any::<bool>(),
        output_tokens in option::of(1_u64..8_000),
        capabilities in collection::btree_set(word(&CAPABILITIES), 0..2),
        constraints in constraints(),
        allowed in option::of(collection::btree_set((0_usize..8).prop_map(name), 0..8)),
        class in option::of(word(&TIERS)),
        cascade in option::of(1_u32..=10),
    ) -> Question {
        let prompt_tokens = PromptTokens { tokens, is_estimate };
        Question { target, prompt_tokens, output_tokens, capabilities, constraints, allowed, class, cascade }
    }
}

fn name(number: usize) -> Arc<str> {
    format!("m{number}").into()
}

fn weights() -> impl Strategy<Value = Weights> {
    (0.0_f64..9.0, 0.0_f64..9.0, 0.0_f64..9.0, 0.0_f64..9.0, 0.0_f64..9.0)
        .prop_map(|(tier, quality, price, latency, health)| Weights { tier, quality, price, latency, health })
}

/// Everything that a decision is made of.
#[derive(Debug, Clone)]
struct Case {
    question: Question,
    models: Vec<(Model, Standing)>,
    listed: Vec<Arc<str>>,
    policy: Policy,
}

fn case() -> impl Strategy<Value = Case> {
    let models = collection::vec((model(), standing()), 0..8);
    let listed =
        collection::btree_set((0_usize..8).prop_map(name), 0..6).prop_map(Vec::from_iter).prop_shuffle();
    (question(), models, listed, weights(), 1_u32..5).prop_map(
        |(question, models, listed, weights, max_candidates)| {
            let named = |(number, (model, standing))| (Model { name: name(number), ..model }, standing);
            let models = models.into_iter().enumerate().map(named).collect();
            Case { question, models, listed, policy: Policy { weights, max_candidates } }
        },
    )
}

impl Case {
    fn parts(&self) -> (Catalogue, Snapshot) {
        let (models, standings) = self.models.iter().cloned().unzip();
        (Catalogue::new(models, [("listed".into(), self.listed.clone())]), Snapshot { models: standings })
    }

    fn decide(&self) -> Result<Decision, RouterError> {
        let (catalogue, snapshot) = self.parts();
        decide("r", &self.question, &catalogue, &snapshot, &self.policy)
    }

    /// The decision, also where nobody can be asked.
    fn decision(&self) -> Option<Decision> {
        match self.decide() {
            Ok(decision) => Some(decision),
            Err(RouterError::NoCandidate { decision, .. }) => Some(*decision),
            Err(_) => None,
        }
    }
}

fn asked(decision: &Decision) -> BTreeSet<Arc<str>> {
    decision.plan.stages.iter().flat_map(|stage| &stage.candidates).map(|one| one.model.clone()).collect()
}

fn eligible(decision: &Decision) -> BTreeSet<Arc<str>> {
    let asked = decision.candidates.iter().filter(|candidate| candidate.rejected.is_none());
    asked.map(|candidate| candidate.model.clone()).collect()
}

fn by_name(decision: &Decision) -> BTreeMap<Arc<str>, &Candidate> {
    decision.candidates.iter().map(|candidate| (candidate.model.clone(), candidate)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whoever_was_rejected_is_never_asked_and_the_best_of_the_others_is_chosen(case in case()) {
        let Some(decision) = case.decision() else { return Ok(()) };
        let (asked, eligible) = (asked(&decision), eligible(&decision));
        prop_assert!(asked.is_subset(&eligible));
        // The first stage of a cascade is one more.
        let more = usize::from(decision.plan.stages.len() == 2);
        prop_assert_eq!(asked.len() - more, (eligible.len() - more).min(case.policy.max_candidates as usize));
        prop_assert_eq!(decision.chosen.as_ref(), decision.plan.stages.first().map(|stage| &stage.candidates[0].model));
        prop_assert_eq!(decision.chosen.is_some(), !eligible.is_empty());
    }

    #[test]
    fn a_cascade_asks_a_cheaper_and_weaker_model_first_and_both_are_what_is_allowed(case in case()) {
        let Some(decision) = case.decision() else { return Ok(()) };
        prop_assert_eq!(decision.cascade.is_some(), case.question.cascade.is_some());
        let Some(Cascade::Stages { first, second }) = &decision.cascade else {
            prop_assert!(decision.plan.stages.len() <= 1);
            return Ok(());
        };
        let stages: Vec<Vec<_>> =
            decision.plan.stages.iter().map(|stage| stage.candidates.iter().map(|one| &one.model).collect()).collect();
        prop_assert_eq!(&stages[0], &[first]);
        prop_assert!(stages[1][0] == second && !stages[1].contains(&first));
        let by_name = by_name(&decision);
        let (first, second) = (by_name[first], by_name[second]);
        prop_assert!(first.rejected.is_none() && second.rejected.is_none() && first.is_up && second.is_up);
        let answers = f64::from(case.question.cascade.unwrap());
        let (cheap, dear) = (first.estimate.cost_usd.unwrap() * answers, second.estimate.cost_usd.unwrap());
        prop_assert!(cheap < dear);
        prop_assert!(case.question.constraints.max_cost_usd.is_none_or(|most| cheap + dear <= most));
        if decision.order == Order::Score {
            prop_assert!(first.terms.quality < second.terms.quality);
        }
    }

    #[test]
    fn scores_and_terms_are_between_0_and_1(case in case()) {
        let Some(decision) = case.decision() else { return Ok(()) };
        for candidate in &decision.candidates {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&candidate.score), "{candidate:?}");
            prop_assert!(candidate.terms.named().iter().all(|(_, term)| (0.0..=1.0).contains(term)), "{candidate:?}");
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(case in case()) {
        prop_assert_eq!(case.decide(), case.decide());
    }

    #[test]
    fn a_record_is_decided_again_to_the_same_bytes(case in case()) {
        let Some(decision) = case.decision() else { return Ok(()) };
        let (catalogue, snapshot) = case.parts();
        let record = Record::new(&case.question, &catalogue, &snapshot, &case.policy, decision);
        let json = record.to_json().unwrap();
        let read = Record::from_json(&json).unwrap();
        let again = Record { decision: read.replay().unwrap(), ..read };
        prop_assert_eq!(again.to_json().unwrap(), json);
        let seen = record.without_forbidden();
        prop_assert_eq!(seen.replay().unwrap(), seen.decision);
    }

    #[test]
    fn another_order_of_the_catalogue_changes_only_the_order_of_equals(
        case in case(),
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let models = order.iter().filter_map(|at| case.models.get(*at)).cloned().collect();
        let shuffled = Case { models, ..case.clone() };
        let (Some(one), Some(other)) = (case.decision(), shuffled.decision()) else {
            prop_assert_eq!(case.decide().map_err(|e| e.code()), shuffled.decide().map_err(|e| e.code()));
            return Ok(());
        };
        prop_assert_eq!(by_name(&one), by_name(&other));
        let scores = |decision: &Decision| decision.candidates.iter().filter(|c| c.rejected.is_none()).map(|c| c.score).collect::<Vec<_>>();
        prop_assert_eq!(scores(&one), scores(&other));
    }

    #[test]
    fn a_tighter_constraint_never_adds_a_candidate(case in case(), tighter in constraints()) {
        let least = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let now = case.question.constraints;
        let constraints = Constraints {
            max_latency_ms: least(now.max_latency_ms, tighter.max_latency_ms),
            max_cost_usd: least(now.max_cost_usd, tighter.max_cost_usd),
        };
        let tight = Case { question: Question { constraints, ..case.question.clone() }, ..case.clone() };
        let (Some(loose), Some(tight)) = (case.decision(), tight.decision()) else { return Ok(()) };
        prop_assert!(eligible(&tight).is_subset(&eligible(&loose)));
    }

    #[test]
    fn a_longer_prompt_or_a_further_wish_never_adds_a_candidate(case in case(), more in 0_u64..50_000) {
        let mut question = case.question.clone();
        question.prompt_tokens.tokens += more;
        question.capabilities.insert("chat".into());
        let harder = Case { question, ..case.clone() };
        let (Some(easy), Some(hard)) = (case.decision(), harder.decision()) else { return Ok(()) };
        prop_assert!(eligible(&hard).is_subset(&eligible(&easy)));
    }

    #[test]
    fn what_else_there_is_changes_nobodys_score(case in case(), gone in 0_usize..8) {
        let models = case.models.iter().filter(|(model, _)| *model.name != *name(gone)).cloned().collect();
        let fewer = Case { models, ..case.clone() };
        // Places in a list are counted among those that exist.
        prop_assume!(case.question.target.tier() != "listed");
        let (Some(all), Some(fewer)) = (case.decision(), fewer.decision()) else { return Ok(()) };
        let all = by_name(&all);
        for (name, candidate) in by_name(&fewer) {
            prop_assert_eq!(Some(&candidate), all.get(&name));
        }
    }

    #[test]
    fn whoever_is_down_is_asked_after_everybody_who_is_not(case in case()) {
        let Some(decision) = case.decision() else { return Ok(()) };
        let ups: Vec<bool> = decision.candidates.iter().filter(|c| c.rejected.is_none()).map(|c| c.is_up).collect();
        prop_assert!(ups.is_sorted_by(|a, b| a >= b), "{ups:?}");
    }

    #[test]
    fn where_all_else_is_equal_more_of_a_good_thing_is_no_worse(case in case(), better in 0.0_f64..=1.0) {
        let mut improved = case.clone();
        for (model, _) in &mut improved.models {
            model.quality = Some(model.quality.unwrap_or(0.5).max(better));
        }
        let (Some(before), Some(after)) = (case.decision(), improved.decision()) else { return Ok(()) };
        let before = by_name(&before);
        for (name, candidate) in by_name(&after) {
            prop_assert!(candidate.score + 1e-12 >= before[&name].score);
        }
    }
}
