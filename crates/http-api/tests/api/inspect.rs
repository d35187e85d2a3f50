use serde_json::{Value, json};
use testkit::GgufFile;

use crate::support::Gateway;

#[tokio::test]
async fn a_model_of_the_engine_is_shown_as_its_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    std::fs::write(&file, GgufFile::llama().text("tokenizer.note", "{{ tools }}").bytes()).unwrap();
    let models = json!([{ "name": "tiny", "endpoints": [{ "endpoint": "engine", "model": file }] }]);
    let gateway = Gateway::with_models(json!({}), models).await;

    let reply = gateway.post("/api/show", r#"{"model":"tiny"}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let shown = reply.json();
    assert_eq!(
        shown["details"],
        json!({
            "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
            "parameter_size": "384", "quantization_level": "Q4_1",
        })
    );
    assert_eq!(shown["template"], "{{ messages }}");
    assert_eq!(shown["capabilities"], json!(["completion"]), "the template knows no tools");
    let info = &shown["model_info"];
    assert_eq!(
        (&info["general.architecture"], &info["llama.context_length"]),
        (&json!("llama"), &json!(2048))
    );
    assert_eq!(info["general.parameter_count"], 384);
    assert_eq!(info["tokenizer.ggml.tokens"], Value::Null, "a vocabulary is not sent");
    assert_eq!(info.get("tokenizer.chat_template"), None);

    std::fs::write(&file, "PK").unwrap();
    let reply = gateway.post("/api/show", r#"{"model":"tiny"}"#).await;
    assert_eq!(
        (reply.status, reply.header("x-uat-code")),
        (500, Some("UAT_CORRUPT_VALUE")),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn a_model_elsewhere_is_shown_as_configured() {
    let gateway = Gateway::with_models(
        json!({}),
        json!([{
            "name": "m", "endpoints": [{ "endpoint": "fake" }], "capabilities": ["completion", "vision"],
            "context_tokens": 4096,
        }]),
    )
    .await;
    let shown = gateway.post("/api/show", r#"{"name":"m"}"#).await.json();
    assert_eq!(shown["capabilities"], json!(["completion", "vision"]));
    assert_eq!((&shown["parameters"], &shown["model_info"]), (&json!("num_ctx 4096"), &json!({})));
    assert_eq!((&shown["details"]["family"], &shown["details"]["families"]), (&json!(""), &json!([])));
    assert_eq!(gateway.provider.requests().len(), 0, "nobody is asked");
}

#[tokio::test]
async fn a_wrong_question_is_refused_in_ollamas_words() {
    let gateway = Gateway::start().await;
    for (body, status, says) in [
        (r#"{"model":"n"}"#, 404, "n"),
        ("{}", 400, "model"),
        (r#"{"model":"m","system":"x"}"#, 400, "system"),
    ] {
        let reply = gateway.post("/api/show", body).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.json()["error"].as_str().unwrap().contains(says), "{}", reply.body);
    }
}

#[tokio::test]
async fn nothing_is_in_memory_where_no_engine_runs() {
    let gateway = Gateway::start().await;
    let reply = gateway.get("/api/ps").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "models": [] })));
}
