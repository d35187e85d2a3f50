use serde_json::{Value, json};
use testkit::{Answer, Behaviour};

use crate::support::Gateway;

#[tokio::test]
async fn a_prompt_is_answered_line_by_line_unless_it_says_otherwise() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("The sky is blue.")));
    let body = json!({ "model": "m", "prompt": "why", "system": "Be brief." });
    let reply = gateway.post("/api/generate", body.to_string()).await;
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text: String = lines.iter().filter_map(|line| line["response"].as_str()).collect();
    assert_eq!(text, "The sky is blue.");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done"], &last["done_reason"], last.get("context")),
        (&json!(true), &json!("stop"), None)
    );
    assert!(last["eval_count"].as_u64().unwrap() > 0);
    assert_eq!(
        gateway.provider.requests()[0].json()["messages"],
        json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "why" }])
    );

    let body = json!({ "model": "m", "prompt": "why", "stream": false, "keep_alive": "5m", "options": { "num_ctx": 64 } });
    let reply = gateway.post("/api/generate", body.to_string()).await;
    assert_eq!(reply.header("x-uat-dropped"), Some("keep_alive, options.num_ctx"));
    assert_eq!(
        (&reply.json()["response"], &reply.json()["done"]),
        (&json!("The sky is blue."), &json!(true))
    );
}

#[tokio::test]
async fn an_empty_prompt_loads_the_model_by_asking_it() {
    let gateway = Gateway::start().await;
    let reply = gateway.post("/api/generate", json!({ "model": "m" }).to_string()).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let answer = reply.json();
    assert_eq!(
        (&answer["done"], &answer["done_reason"], &answer["response"]),
        (&json!(true), &json!("load"), &json!(""))
    );
    assert_eq!(gateway.provider.requests()[0].json()["max_tokens"], 1);

    gateway.provider.set_default(Behaviour::status(500));
    let reply = gateway.post("/api/generate", json!({ "model": "m", "prompt": "" }).to_string()).await;
    assert_eq!(reply.status, 502, "a model that cannot be loaded is not said to be: {}", reply.body);
}

#[tokio::test]
async fn what_no_chat_can_say_is_refused_in_ollamas_shape() {
    let gateway = Gateway::start().await;
    for field in ["suffix", "template"] {
        let mut body = json!({ "model": "m", "prompt": "why" });
        body[field] = json!("x");
        let reply = gateway.post("/api/generate", body.to_string()).await;
        assert_eq!(reply.status, 400);
        assert!(reply.json()["error"].as_str().unwrap().contains(field), "{}", reply.body);
    }
    assert!(gateway.provider.requests().is_empty(), "nobody was asked");
}
