use serde_json::json;
use testkit::{Answer, Behaviour};

use crate::support::Gateway;

#[tokio::test]
async fn a_message_ends_once_also_where_its_endpoint_left_the_end_out() {
    let answer = Behaviour::Answer(Answer::text("Four."));
    let without_end = Behaviour::ContentLength { off_by: -9, then: Box::new(answer.clone()) };
    let body = json!({ "model": "m", "stream": true, "max_tokens": 9,
        "messages": [{ "role": "user", "content": "2 + 2?" }] });
    for protocol in ["anthropic", "openai"] {
        for behaviour in [&answer, &without_end] {
            let gateway = Gateway::speaking(protocol).await;
            gateway.provider.set_default(behaviour.clone());
            let reply = gateway.post("/v1/messages", body.to_string()).await;
            let kinds: Vec<_> = reply.events().iter().map(|event| event["type"].clone()).collect();
            assert_eq!(
                kinds[kinds.len() - 2..],
                ["message_delta", "message_stop"],
                "{protocol} {behaviour:?}"
            );
            assert_eq!(kinds.iter().filter(|kind| *kind == "message_stop").count(), 1, "{}", reply.body);
        }
    }
}
