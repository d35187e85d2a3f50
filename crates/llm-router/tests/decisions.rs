//! What the router decides, case by case.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use std::sync::Arc;

use llm_router::{
    Belief, Cascade, Catalogue, Constraints, Decision, Model, NoCascade, Order, Policy, PromptTokens,
    Question, Record, RecordError, Rejection, RouterError, Snapshot, Standing, Target, Weights, decide,
};
use route_plan::{ModelHealth, Price};

fn model(name: &str, tier: &str, quality: f64, usd_per_million: f64) -> Model {
    Model {
        tier: Some(tier.into()),
        quality: Some(quality),
        price: Some(Price::new(usd_per_million, usd_per_million)),
        context_tokens: Some(8_192),
        max_output_tokens: Some(4_096),
        capabilities: vec!["chat".into()],
        ..Model::new(name)
    }
}

fn tools(model: Model) -> Model {
    Model { capabilities: vec!["chat".into(), "tools".into()], ..model }
}

fn models() -> Vec<Model> {
    vec![
        model("tiny", "fast", 0.3, 0.0),
        tools(model("small", "fast", 0.5, 0.1)),
        tools(model("large", "strong", 0.8, 10.0)),
        Model { context_tokens: Some(200_000), ..model("huge", "strong", 0.9, 500.0) },
    ]
}

fn catalogue() -> Catalogue {
    Catalogue::new(models(), [])
}

fn question(target: &str) -> Question {
    Question::new(Target::parse(target).unwrap(), 1_000)
}

fn decided(question: &Question) -> Decision {
    decide("r", question, &catalogue(), &Snapshot::default(), &Policy::default()).unwrap()
}

fn refused(question: &Question) -> RouterError {
    decide("r", question, &catalogue(), &Snapshot::default(), &Policy::default()).unwrap_err()
}

fn order(decision: &Decision) -> Vec<&str> {
    let asked = decision.candidates.iter().filter(|candidate| candidate.rejected.is_none());
    asked.map(|candidate| &*candidate.model).collect()
}

fn planned(decision: &Decision) -> Vec<&str> {
    decision.plan.stages.iter().flat_map(|stage| &stage.candidates).map(|one| &*one.model).collect()
}

#[test]
fn a_tier_chooses_among_its_own_and_auto_among_all() {
    assert_eq!(order(&decided(&question("tier:fast"))), ["small", "tiny"]);
    assert_eq!(decided(&question("auto")).candidates.len(), 4);
    assert_eq!((&*decided(&question("auto")).tier, &*decided(&question("tier:fast")).tier), ("auto", "fast"));
}

#[test]
fn what_is_weighed_decides() {
    let only = |weights| Policy { weights, ..Policy::default() };
    let nothing = Weights { tier: 0.0, quality: 0.0, price: 0.0, latency: 0.0, health: 0.0 };
    let chosen = |policy: &Policy| {
        let decision = decide("r", &question("auto"), &catalogue(), &Snapshot::default(), policy).unwrap();
        decision.chosen.unwrap()
    };
    assert_eq!(&*chosen(&only(Weights { quality: 1.0, ..nothing })), "huge");
    assert_eq!(&*chosen(&only(Weights { price: 1.0, ..nothing })), "tiny");
    assert_eq!(&*chosen(&only(nothing)), "tiny", "the first of the catalogue where nothing counts");
}

#[test]
fn a_listed_tier_keeps_its_order_whoever_scores_higher() {
    let lists = [("mine".into(), vec!["tiny".into(), "gone".into(), "huge".into()])];
    let catalogue = Catalogue::new(models(), lists);
    let decision =
        decide("r", &question("tier:mine"), &catalogue, &Snapshot::default(), &Policy::default()).unwrap();
    assert_eq!((planned(&decision), decision.order), (vec!["tiny", "huge"], Order::Listed));
    assert!(decision.candidates[0].terms.tier > decision.candidates[1].terms.tier);
}

#[test]
fn one_that_is_down_is_asked_last_and_still_asked() {
    let mut snapshot = Snapshot { models: vec![Standing::default(); 4] };
    snapshot.models[1].health.is_up = false;
    let decision = decide("r", &question("tier:fast"), &catalogue(), &snapshot, &Policy::default()).unwrap();
    assert_eq!(planned(&decision), ["tiny", "small"]);
    assert_eq!(decision.candidates[1].terms.health, 0.0);
}

#[test]
fn a_plan_has_no_more_candidates_than_the_policy_lets() {
    let policy = Policy { max_candidates: 2, ..Policy::default() };
    let decision = decide("r", &question("auto"), &catalogue(), &Snapshot::default(), &policy).unwrap();
    assert_eq!((planned(&decision).len(), decision.candidates.len()), (2, 4));
}

#[test]
fn what_was_learnt_counts_more_than_the_prior_in_the_end() {
    let mut snapshot = Snapshot { models: vec![Standing::default(); 4] };
    snapshot.models[0].quality = Some(Belief { mean: 1.0, weight: 40.0 });
    let decision = decide("r", &question("tier:fast"), &catalogue(), &snapshot, &Policy::default()).unwrap();
    assert_eq!(decision.chosen.as_deref(), Some("tiny"));
}

#[test]
fn where_the_prompt_was_counted_as_a_model_does_that_number_decides_on_it() {
    let small = Model { context_tokens: Some(1_000), ..Model::new("small") };
    let twins = Catalogue::new(vec![small.clone(), Model { name: "twin".into(), ..small }], []);
    let long =
        Question { prompt_tokens: PromptTokens { tokens: 2_000, is_estimate: true }, ..question("auto") };
    let counted =
        |tokens| Snapshot { models: vec![Standing { prompt_tokens: Some(tokens), ..Standing::default() }] };
    let decision = decide("r", &long, &twins, &counted(600), &Policy::default()).unwrap();
    assert_eq!((decision.chosen.as_deref(), decision.estimate.prompt_tokens), (Some("small"), 600));
    let told = decision.candidates[1].rejected.as_ref().unwrap().to_string();
    assert_eq!(told, "holds 1000 tokens, prompt and answer need up to 2001: 1001 too many");
    let refused = decide("r", &long, &twins, &counted(1_200), &Policy::default()).unwrap_err().to_string();
    assert!(refused.contains("prompt and answer need 1201: 201 too many"), "{refused}");
}

#[test]
fn a_task_of_a_tiers_name_prefers_that_tier() {
    let twins = Catalogue::new(vec![model("a", "fast", 0.5, 0.0), model("b", "code", 0.5, 0.0)], []);
    let asked = Question { class: Some("code".into()), ..question("auto") };
    let decision = decide("r", &asked, &twins, &Snapshot::default(), &Policy::default()).unwrap();
    assert_eq!(decision.chosen.as_deref(), Some("b"));
}

#[track_caller]
fn rejected(question: &Question, model: &str, words: &str) {
    let decision = decided(question);
    let found = decision.candidates.iter().find(|candidate| &*candidate.model == model).unwrap();
    let why = found.rejected.as_ref().unwrap_or_else(|| panic!("{model} was not rejected"));
    assert_eq!(why.to_string(), words);
}

#[test]
fn each_filter_says_why() {
    let asked = question("auto");
    let wants_tools = Question { capabilities: ["tools".into()].into(), ..asked.clone() };
    rejected(&wants_tools, "huge", "lacks `tools`");
    let long = Question { prompt_tokens: PromptTokens { tokens: 9_000, is_estimate: true }, ..asked.clone() };
    rejected(&long, "tiny", "holds 8192 tokens, prompt and answer need up to 9001: 809 too many");
    let wordy = Question { output_tokens: Some(5_000), ..asked.clone() };
    let wordy = Question { prompt_tokens: PromptTokens { tokens: 10, is_estimate: false }, ..wordy };
    let roomy = Catalogue::new(vec![model("m", "t", 0.5, 0.0), Model::new("free")], []);
    let decision = decide("r", &wordy, &roomy, &Snapshot::default(), &Policy::default()).unwrap();
    let words = decision.candidates[1].rejected.as_ref().unwrap().to_string();
    assert_eq!(words, "answers with at most 4096 tokens, 5000 are wanted: 904 too many");
    let cheap = Constraints { max_cost_usd: Some(0.001), max_latency_ms: None };
    rejected(
        &Question { constraints: cheap, ..asked.clone() },
        "large",
        "may cost 0.01512 USD, 0.001 are allowed: 0.01412 too much",
    );
    let own = Question { allowed: Some(["tiny".into()].into()), ..asked };
    rejected(&own, "huge", "may not be used with this key");
}

#[test]
fn a_slow_one_is_rejected_and_one_that_never_answered_is_tried() {
    let mut snapshot = Snapshot { models: vec![Standing::default(); 4] };
    snapshot.models[0].health = ModelHealth {
        first_token_ms: Some(400.0),
        tokens_per_s: Some(100.0),
        samples: 3,
        ..ModelHealth::default()
    };
    let quick = Constraints { max_latency_ms: Some(1_000.0), max_cost_usd: None };
    let asked = Question { constraints: quick, ..question("tier:fast") };
    let decision = decide("r", &asked, &catalogue(), &snapshot, &Policy::default()).unwrap();
    assert_eq!(planned(&decision), ["small"]);
    let why = decision.candidates[1].rejected.as_ref().unwrap().to_string();
    assert_eq!(why, "takes about 5520 ms, 1000 are allowed: 4520 too many");
}

#[test]
fn an_unknown_price_is_no_price_that_is_low_enough() {
    let catalogue = Catalogue::new(vec![Model::new("m")], []);
    let cheap = Constraints { max_cost_usd: Some(1.0), max_latency_ms: None };
    let asked = Question { constraints: cheap, ..question("auto") };
    let error = decide("r", &asked, &catalogue, &Snapshot::default(), &Policy::default()).unwrap_err();
    assert!(error.to_string().contains("its price is unknown"), "{error}");
}

#[test]
fn an_unknown_tier_or_capability_is_told_which_there_are() {
    let error = refused(&question("tier:stong"));
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("UAT_MODEL_NOT_FOUND", "unknown tier `stong`; there are `strong`, `fast`")
    );
    let error = refused(&Question { capabilities: ["tool".into()].into(), ..question("auto") });
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert_eq!(error.to_string(), "unknown capability `tool`; there are `tools`, `chat`");
}

#[test]
fn nobody_is_told_of_models_that_it_may_not_use() {
    let own = Question { allowed: Some(["tiny".into()].into()), ..question("tier:strong") };
    assert_eq!(refused(&own).to_string(), "unknown tier `strong`; there are `fast`");
    let none = Question { allowed: Some(std::collections::BTreeSet::new()), ..question("auto") };
    assert_eq!(refused(&none), RouterError::NoModel);
    let dear = Constraints { max_cost_usd: Some(0.0), max_latency_ms: None };
    let asked = Question { constraints: dear, allowed: Some(["small".into()].into()), ..question("auto") };
    let error = refused(&asked);
    assert!(error.to_string().contains("`small` comes nearest"), "{error}");
}

#[test]
fn where_nobody_can_be_asked_the_nearest_is_named_and_by_how_much_it_misses() {
    let asked =
        Question { prompt_tokens: PromptTokens { tokens: 250_000, is_estimate: false }, ..question("auto") };
    let error = refused(&asked);
    assert_eq!(error.code(), "UAT_NO_CANDIDATE");
    assert_eq!(
        error.to_string(),
        "no model meets what is asked for; `huge` comes nearest: it holds 200000 tokens, prompt and answer need 250001: 50001 too many"
    );
    let RouterError::NoCandidate { decision, rejection, .. } = error else { panic!("another error") };
    assert!(decision.plan.stages.is_empty() && decision.chosen.is_none());
    assert!(matches!(*rejection, Rejection::Context { .. }));
}

fn record(question: &Question) -> Record {
    let (catalogue, snapshot, policy) = (catalogue(), Snapshot::default(), Policy::default());
    let decision = match decide("r", question, &catalogue, &snapshot, &policy) {
        Ok(decision) => decision,
        Err(RouterError::NoCandidate { decision, .. }) => *decision,
        Err(other) => panic!("{other}"),
    };
    Record::new(question, &catalogue, &snapshot, &policy, decision)
}

#[test]
fn a_record_keeps_what_was_considered_and_decides_the_same_again() {
    let record = record(&question("tier:fast"));
    let names: Vec<&Arc<str>> = record.catalogue.models().iter().map(|model| &model.name).collect();
    assert_eq!(names, [&Arc::from("tiny"), &Arc::from("small")]);
    let read = Record::from_json(&record.to_json().unwrap()).unwrap();
    assert_eq!(read.replay().unwrap(), record.decision);
}

#[test]
fn a_refusal_is_a_decision_too() {
    let dear = Constraints { max_cost_usd: Some(0.0), max_latency_ms: None };
    let record = record(&Question { constraints: dear, ..question("tier:strong") });
    assert_eq!(record.decision.chosen, None);
    assert_eq!(record.replay().unwrap(), record.decision);
}

#[test]
fn what_the_owner_sees_is_decided_the_same() {
    let asked = Question { allowed: Some(["tiny".into(), "large".into()].into()), ..question("auto") };
    let seen = record(&asked).without_forbidden();
    assert_eq!((seen.decision.candidates.len(), seen.catalogue.models().len()), (2, 2));
    assert_eq!(seen.replay().unwrap(), seen.decision);
}

#[test]
fn a_record_of_other_rules_is_not_decided_by_these() {
    let newer = Record { version: 99, ..record(&question("auto")) };
    assert!(matches!(newer.replay(), Err(RecordError::Version { found: 99 })));
    assert!(matches!(Record::from_json(b"{}"), Err(RecordError::Json(_))));
}

fn cascade(
    question: &Question,
    catalogue: &Catalogue,
    snapshot: &Snapshot,
) -> (Option<Cascade>, Vec<Vec<String>>) {
    let decision = decide("r", question, catalogue, snapshot, &Policy::default()).unwrap();
    let names =
        |stage: &route_plan::Stage| stage.candidates.iter().map(|one| one.model.to_string()).collect();
    (decision.cascade, decision.plan.stages.iter().map(names).collect())
}

fn without(why: NoCascade) -> Option<Cascade> {
    Some(Cascade::Without { without: why })
}

#[test]
fn a_cascade_asks_the_cheapest_weaker_model_before_the_best_one() {
    let wanted = Question { cascade: Some(1), ..question("auto") };
    let (cascade, stages) = cascade(&wanted, &catalogue(), &Snapshot::default());
    assert_eq!(cascade, Some(Cascade::Stages { first: "tiny".into(), second: "huge".into() }));
    assert_eq!(
        stages,
        [vec!["tiny"], vec!["huge", "large", "small"]],
        "the others follow where the best fails"
    );
    let decision = decided(&wanted);
    assert_eq!(decision.chosen.as_deref(), Some("tiny"), "who is asked first");
    assert_eq!(decided(&question("auto")).cascade, None);
}

#[test]
fn in_a_listed_tier_the_first_is_the_best() {
    let listed =
        Catalogue::new(models(), [("mine".into(), vec!["large".into(), "huge".into(), "small".into()])]);
    let wanted = Question { cascade: Some(1), ..question("tier:mine") };
    let (_, stages) = cascade(&wanted, &listed, &Snapshot::default());
    assert_eq!(stages, [vec!["small"], vec!["large", "huge"]]);
}

#[test]
fn where_there_are_no_two_stages_it_is_said_why() {
    let wanted = |target: &str| Question { cascade: Some(1), ..question(target) };
    let none = Snapshot::default();
    let one = Catalogue::new(vec![model("large", "strong", 0.8, 10.0)], []);
    assert_eq!(
        cascade(&wanted("auto"), &one, &none),
        (without(NoCascade::Alone), vec![vec!["large".to_owned()]])
    );

    let equal = Catalogue::new(vec![model("a", "t", 0.8, 1.0), model("b", "t", 0.8, 9.0)], []);
    assert_eq!(cascade(&wanted("auto"), &equal, &none).0, without(NoCascade::NoneCheaper));
    let unpriced = Catalogue::new(
        vec![Model { price: None, ..model("a", "t", 0.3, 0.0) }, model("b", "t", 0.8, 9.0)],
        [],
    );
    assert_eq!(cascade(&wanted("auto"), &unpriced, &none).0, without(NoCascade::NoneCheaper));

    // 1,512 tokens: 0.01512 USD for one, 0.1512 for the other.
    let two = Catalogue::new(vec![model("a", "t", 0.3, 10.0), model("b", "t", 0.8, 100.0)], []);
    let limited = |usd, cascade| {
        let constraints = Constraints { max_cost_usd: Some(usd), ..Constraints::default() };
        Question { constraints, cascade: Some(cascade), ..question("auto") }
    };
    assert_eq!(cascade(&limited(0.16, 1), &two, &none).0, without(NoCascade::Constraints));
    assert_eq!(cascade(&limited(0.17, 1), &two, &none).1.len(), 2);
    assert_eq!(cascade(&limited(0.17, 3), &two, &none).0, without(NoCascade::Constraints));
    assert_eq!(
        cascade(&limited(9.0, 10), &two, &none).0,
        without(NoCascade::NoneCheaper),
        "ten cost as much"
    );

    let down =
        Standing { health: ModelHealth { is_up: false, ..ModelHealth::default() }, ..Standing::default() };
    let snapshot = Snapshot { models: vec![Standing::default(), down] };
    assert_eq!(cascade(&wanted("auto"), &two, &snapshot).0, without(NoCascade::Alone));
}
