use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const HERE: Key = [1; 32];

fn of_text(tenant: Option<&str>, model: &str, text: &str) -> Key {
    let request = ChatRequest::parse(text.to_owned().into()).unwrap();
    key(tenant, &RoutePlan::single("r", model), &request, |_| Some(&HERE)).unwrap()
}

fn of(request: &Value) -> Key {
    of_text(None, "m", &request.to_string())
}

/// A value as a client writes parameters that nobody here knows.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ a-z{}\\[\\]\",:\\\\\\n]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z ]{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_request() -> impl Strategy<Value = Value> {
    let members = prop::collection::btree_map("x_[a-c]{1,3}", any_value(), 0..5);
    (members, "[ a-z\"\\\\]{0,20}", any::<bool>()).prop_map(|(members, text, stream)| {
        let mut request: Map<String, Value> = members.into_iter().collect();
        request.insert("model".to_owned(), "m".into());
        request.insert("stream".to_owned(), stream.into());
        request.insert("messages".to_owned(), json!([{"role":"user","content":text}]));
        Value::Object(request)
    })
}

proptest! {
    #[test]
    fn order_and_white_space_make_no_difference(request in any_request(), order: prop::sample::Index) {
        let members: Vec<(&String, &Value)> = request.as_object().unwrap().iter().collect();
        let mut turned = members.clone();
        turned.rotate_left(order.index(members.len()));
        let turned: Map<String, Value> =
            turned.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let turned = Value::Object(turned);
        prop_assert_eq!(of(&turned), of(&request));
        let pretty = format!(" \t{}\r\n", serde_json::to_string_pretty(&turned).unwrap());
        prop_assert_eq!(of_text(None, "m", &pretty), of(&request));
    }

    #[test]
    fn how_the_answer_is_sent_makes_no_difference(request in any_request(), stream: bool, usage: bool) {
        let mut other = request.clone();
        other["stream"] = stream.into();
        other["stream_options"] = json!({"include_usage":usage});
        other["model"] = "n".into();
        prop_assert_eq!(of(&other), of(&request));
    }

    #[test]
    fn everything_else_does(request in any_request(), name in "x_[a-c]{1,3}", value in any_value()) {
        let mut other = request.clone();
        let before = other.as_object_mut().unwrap().insert(name.clone(), value.clone());
        prop_assert_eq!(of(&other) == of(&request), before == Some(value));
        other.as_object_mut().unwrap().remove(&name);
        prop_assert_eq!(of(&other) == of(&request), request.get(&name).is_none());
    }

    #[test]
    fn nothing_is_shifted_between_fields(a in "[a-c]{0,3}", b in "[a-c]{0,3}", c in "[a-c]{0,3}", d in "[a-c]{0,3}") {
        let keyed = |tenant: &str, text: &str| {
            of_text(Some(tenant), "m", &json!({"model":"m","messages":[{"role":"user","content":text}]}).to_string())
        };
        prop_assert_eq!(keyed(&a, &b) == keyed(&c, &d), (&a, &b) == (&c, &d));
        let named = |name: &str, value: &str| {
            of(&json!({"model":"m","messages":[{"role":"user","content":""}], format!("x{name}"): value}))
        };
        prop_assert_eq!(named(&a, &b) == named(&c, &d), (&a, &b) == (&c, &d));
    }
}

#[test]
fn each_known_parameter_and_every_part_of_a_message_counts() {
    let request =
        json!({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"Hi"}]});
    let mut keys = vec![of(&request)];
    for (name, value) in [
        ("temperature", json!(0)),
        ("temperature", json!(0.5)),
        ("top_p", json!(0.5)),
        ("max_tokens", json!(5)),
        ("max_completion_tokens", json!(5)),
        ("seed", json!(1)),
        ("seed", json!(2)),
        ("stop", json!("x")),
        ("stop", json!(["x"])),
        ("n", json!(1)),
        ("tools", json!([{"type":"function"}])),
        ("top_k", json!(1)),
        ("response_format", json!({"type":"json_object"})),
        ("reasoning_effort", json!("low")),
        ("user", json!("u")),
        ("messages", json!([{"role":"user","content":"s"},{"role":"user","content":"Hi"}])),
        ("messages", json!([{"role":"user","content":"Hi"},{"role":"system","content":"s"}])),
        ("messages", json!([{"role":"system","content":"s"},{"role":"user","content":"Hi "}])),
        ("messages", json!([{"role":"system","content":"s"},{"role":"user","content":"Hi","name":"a"}])),
        ("messages", json!([{"role":"system","content":"s"}])),
    ] {
        let mut other = request.clone();
        other[name] = value;
        keys.push(of(&other));
    }
    let text = request.to_string();
    keys.extend([of_text(Some(""), "m", &text), of_text(Some("a"), "m", &text)]);
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

#[test]
fn the_models_of_the_plan_count_and_so_does_their_order() {
    let request =
        ChatRequest::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into()).unwrap();
    let candidate = |model: &str| Candidate { model: model.into() };
    let plan = |stages: &[&[&str]]| RoutePlan {
        request_id: "r".into(),
        stages: stages
            .iter()
            .map(|stage| route_plan::Stage {
                candidates: stage.iter().map(|model| candidate(model)).collect(),
            })
            .collect(),
    };
    let (a, b) = ([1; 32], [2; 32]);
    let of = |stages: &[&[&str]]| {
        key(None, &plan(stages), &request, |candidate| match &*candidate.model {
            "a" => Some(&a),
            "b" => Some(&b),
            _ => None,
        })
    };
    let mut keys =
        [of(&[&["a"]]), of(&[&["b"]]), of(&[&["a", "b"]]), of(&[&["b", "a"]]), of(&[&["a"], &["b"]])]
            .map(Option::unwrap);
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(of(&[&["a", "unknown"]]), None);
}

#[test]
fn a_fingerprint_is_of_where_the_model_is_served_and_of_nothing_else() {
    let endpoint = |url: &str| EndpointConfig::new("e", Protocol::OpenAi, Some(url.to_owned()));
    let model = ModelConfig::at("m", ["e"]);
    let base = fingerprint(&model, &[endpoint("http://a")]);
    let mut other_name = model.clone();
    other_name.endpoints[0].model = Some("n".into());
    for (model, endpoints) in [
        (&model, vec![endpoint("http://b")]),
        (&model, vec![EndpointConfig { protocol: Protocol::Ollama, ..endpoint("http://a") }]),
        (&model, vec![EndpointConfig { api_version: Some("1".to_owned()), ..endpoint("http://a") }]),
        (&other_name, vec![endpoint("http://a")]),
        (&ModelConfig::at("other", ["e"]), vec![endpoint("http://a")]),
        (&ModelConfig::at("m", ["e", "e"]), vec![endpoint("http://a")]),
    ] {
        assert_ne!(fingerprint(model, &endpoints), base);
    }
    let patient = EndpointConfig { idle_timeout_ms: 1, max_in_flight: Some(2), ..endpoint("http://a") };
    assert_eq!(fingerprint(&model, &[endpoint("http://other"), patient][1..]), base);
}
