//! Which of several endpoints is asked, as the model's `balance` says.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::time::{Duration, SystemTime};

use fast_llm_coordinator::{
    Answer, Balance, CallOptions, Coordinator, CoordinatorConfig, CoordinatorError, EndpointConfig,
    ModelConfig, Protocol,
};
use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use route_plan::{EndpointState, RoutePlan};
use testkit::{Behaviour, FakeProvider};

/// One model at several endpoints.
struct Fleet {
    providers: Vec<FakeProvider>,
    coordinator: Coordinator,
}

impl Fleet {
    async fn new(balance: Balance, weights: &[f64]) -> Self {
        let mut providers = Vec::new();
        for _ in weights {
            providers.push(FakeProvider::start().await.unwrap());
        }
        let endpoints: Vec<EndpointConfig> = (0..)
            .zip(&providers)
            .map(|(i, p)| EndpointConfig::new(format!("e{i}"), Protocol::OpenAi, Some(p.base_url())))
            .collect();
        let names = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect::<Vec<_>>();
        let mut model = ModelConfig { balance, ..ModelConfig::at("m", names) };
        for (at, weight) in model.endpoints.iter_mut().zip(weights) {
            at.weight = *weight;
        }
        let config = CoordinatorConfig { endpoints, models: vec![model] };
        Self { providers, coordinator: Coordinator::new(config, None).unwrap() }
    }

    /// Asks in a conversation of these turns; gives the endpoint that answered.
    async fn ask(&self, turns: &[&str]) -> Result<String, CoordinatorError> {
        let messages: Vec<_> = turns
            .iter()
            .zip(["user", "assistant"].iter().cycle())
            .map(|(text, role)| serde_json::json!({ "role": role, "content": text }))
            .collect();
        let body = serde_json::json!({ "model": "m", "messages": messages }).to_string();
        let request = ChatRequest::parse(body.into()).unwrap();
        let plan = RoutePlan::single("r", "m");
        match self.coordinator.execute(&plan, &request, CallOptions::default()).await? {
            Answer::Complete { report, .. } => Ok(report.endpoint.to_string()),
            Answer::Stream(_) => unreachable!("no stream was asked for"),
        }
    }

    async fn asked(&self, times: usize) -> Vec<String> {
        let mut asked = Vec::new();
        for _ in 0..times {
            asked.push(self.ask(&["Hi"]).await.unwrap());
        }
        asked
    }

    fn requests(&self) -> Vec<usize> {
        self.providers.iter().map(|provider| provider.requests().len()).collect()
    }
}

#[tokio::test]
async fn turns_are_taken_as_often_as_the_weights_say() {
    let fleet = Fleet::new(Balance::RoundRobin, &[3.0, 1.0]).await;
    assert_eq!(fleet.asked(8).await, ["e0", "e0", "e1", "e0", "e0", "e0", "e1", "e0"]);
}

#[tokio::test]
async fn one_that_fails_loses_its_turn_to_the_next() {
    let fleet = Fleet::new(Balance::RoundRobin, &[1.0, 1.0, 1.0]).await;
    fleet.providers[1].set_default(Behaviour::status(500));
    let asked = fleet.asked(9).await;
    assert!(asked.iter().all(|name| name != "e1"), "{asked:?}");
    assert_eq!(fleet.requests()[1], 3, "it is asked in its turn until its breaker opens");
}

#[tokio::test]
async fn the_first_that_can_be_asked_has_priority() {
    let fleet = Fleet::new(Balance::Priority, &[1.0, 1.0]).await;
    assert_eq!(fleet.asked(3).await, ["e0"; 3]);
    fleet.providers[0].enqueue(Behaviour::rate_limited(60));
    assert_eq!(fleet.asked(3).await, ["e1"; 3]);
    assert_eq!(fleet.requests(), [4, 3]);
}

#[tokio::test]
async fn the_one_with_the_fewest_requests_under_way_is_asked() {
    let fleet = Fleet::new(Balance::LeastInFlight, &[1.0, 1.0]).await;
    fleet.providers.iter().for_each(|provider| provider.set_default(Behaviour::Hang));
    let mut pending = Vec::new();
    for sent in 1..=8 {
        let mut asking = Box::pin(fleet.ask(&["Hi"]));
        assert!(futures_util::poll!(&mut asking).is_pending());
        pending.push(asking);
        let in_flight: Vec<u32> = fleet.coordinator.health().iter().map(|health| health.in_flight).collect();
        assert!(
            in_flight[0].abs_diff(in_flight[1]) <= 1 && in_flight[0] + in_flight[1] == sent,
            "{in_flight:?}"
        );
    }
}

#[tokio::test]
async fn a_conversation_stays_where_it_began_and_others_are_spread() {
    let fleet = Fleet::new(Balance::PrefixAffinity, &[1.0; 4]).await;
    let mut homes = std::collections::HashSet::new();
    for conversation in 0..24 {
        let first = format!("Question {conversation}");
        let home = fleet.ask(&[&first]).await.unwrap();
        for turns in [vec!["A1", "More?"], vec!["A1", "More?", "A2", "And?"]] {
            let turns: Vec<&str> = std::iter::once(first.as_str()).chain(turns).collect();
            assert_eq!(fleet.ask(&turns).await.unwrap(), home);
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), 4);
}

#[tokio::test]
async fn the_home_of_a_conversation_does_not_depend_on_the_order_of_the_endpoints() {
    let fleet = Fleet::new(Balance::PrefixAffinity, &[1.0; 3]).await;
    let mut endpoints: Vec<EndpointConfig> = (0..)
        .zip(&fleet.providers)
        .map(|(i, p)| EndpointConfig::new(format!("e{i}"), Protocol::OpenAi, Some(p.base_url())))
        .collect();
    endpoints.reverse();
    let model = ModelConfig { balance: Balance::PrefixAffinity, ..ModelConfig::at("m", ["e2", "e0", "e1"]) };
    let config = CoordinatorConfig { endpoints, models: vec![model] };
    let other = Fleet { providers: Vec::new(), coordinator: Coordinator::new(config, None).unwrap() };
    for conversation in 0..12 {
        let turn = format!("Question {conversation}");
        assert_eq!(fleet.ask(&[&turn]).await.unwrap(), other.ask(&[&turn]).await.unwrap());
    }
}

#[tokio::test]
async fn embeddings_have_no_conversation_and_go_where_the_least_is_under_way() {
    let fleet = Fleet::new(Balance::PrefixAffinity, &[1.0, 1.0]).await;
    let request = EmbeddingsRequest::parse(r#"{"model":"m","input":"the same"}"#.into()).unwrap();
    for _ in 0..40 {
        let plan = RoutePlan::single("r", "m");
        fleet.coordinator.embed(&plan, &request, CallOptions::default()).await.unwrap();
    }
    assert!(fleet.requests().iter().all(|requests| *requests > 5), "{:?}", fleet.requests());
}

#[tokio::test]
async fn an_overloaded_endpoint_is_left_alone_until_the_date_it_names() {
    let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let cases = [
        (503, "retry-after", in_a_minute.as_str()),
        (529, "retry-after", "60"),
        (429, "retry-after-ms", "60000"),
    ];
    for (code, name, value) in cases {
        let fleet = Fleet::new(Balance::Priority, &[1.0, 1.0]).await;
        let headers = vec![(name.to_owned(), value.to_owned())];
        fleet.providers[0].enqueue(Behaviour::Status { code, headers, body: None });
        assert_eq!(fleet.asked(3).await, ["e1"; 3], "{code} {name}: {value}");
        assert_eq!(fleet.requests(), [1, 3]);
        let health = &fleet.coordinator.health()[0];
        assert_eq!(health.state, EndpointState::Degraded);
    }
}

#[tokio::test]
async fn the_health_of_an_endpoint_tells_how_it_came_to_that() {
    let fleet = Fleet::new(Balance::Priority, &[1.0, 1.0]).await;
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    fleet.providers[0].set_default(Behaviour::status(500));
    fleet.asked(5).await;
    let after = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let health = fleet.coordinator.health();
    let told: Vec<_> = health[0].history.iter().map(|c| (c.from, c.to, c.reason.as_str())).collect();
    let why = "status 500 (UAT_UPSTREAM)";
    assert_eq!(
        told[..2],
        [
            (EndpointState::Healthy, EndpointState::Degraded, why),
            (EndpointState::Degraded, EndpointState::Open, why),
        ]
    );
    // A millisecond for what the conversion of clocks rounds.
    assert!(health[0].history.iter().all(|c| (before - 1..=after + 1).contains(&u128::from(c.at_ms))));
    assert!(health[1].history.is_empty());
}
