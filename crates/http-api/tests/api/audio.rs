//! Transcriptions. Needs `uat models pull whisper-tiny.en` and `silero-vad-6`, but for what is refused before.

use hyper::Request;
use serde_json::{Value, json};
use testkit::speech;

use crate::openapi::Description;
use crate::support::{Exchange, Gateway, Reply};

const PATH: &str = "/v1/audio/transcriptions";

/// Whether the models are here.
fn has_models() -> bool {
    speech::or_skipped(runtime::open_voice(&runtime::VoiceConfig::default(), "whisper-tiny.en")).is_some()
}

fn form(file: Option<&[u8]>, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    if let Some(file) = file {
        body.extend(b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    body
}

async fn post(gateway: &Gateway, body: Vec<u8>) -> Reply {
    let request = Request::post(PATH).header("content-type", "multipart/form-data; boundary=x");
    Exchange::begin(gateway.addr, request, body.into()).await.whole().await
}

async fn transcribe(gateway: &Gateway, fields: &[(&str, &str)]) -> Reply {
    post(gateway, form(Some(speech::SENTENCE), fields)).await
}

#[tokio::test]
async fn a_form_that_is_none_is_refused_and_the_field_is_named() {
    let gateway = Gateway::with(json!({ "max_body_mb": 1 })).await;
    let description = Description::of(&gateway).await;
    let refused = async |body: Vec<u8>, status: u16, param: Value| {
        let reply = post(&gateway, body).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!(reply.json()["error"]["param"], param, "{}", reply.body);
        description.check("post", PATH, &reply);
    };
    let file = speech::SENTENCE;
    refused(form(None, &[("model", "whisper-1")]), 400, json!("file")).await;
    for (field, value) in [
        ("response_format", "html"),
        ("temperature", "hot"),
        ("temperature", "NaN"),
        ("stream", "perhaps"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "letter"),
    ] {
        refused(form(Some(file), &[(field, value)]), 400, json!(field)).await;
    }
    refused(form(Some(file), &[("stream", "true"), ("response_format", "srt")]), 400, json!("stream")).await;
    refused(form(Some(file), &[("model", "smollm2-135m")]), 404, json!("model")).await;
    refused(b"--x\r\nno part".to_vec(), 400, Value::Null).await;
    refused(form(Some(&vec![0; 2 << 20]), &[]), 413, Value::Null).await;
    let reply = gateway.post(PATH, "{}").await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("content-type")));
}

#[tokio::test]
async fn a_recording_is_written_down_in_each_shape() {
    if !has_models() {
        return;
    }
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    let whole = transcribe(&gateway, &[("model", "whisper-1")]).await;
    description.check("post", PATH, &whole);
    let text = whole.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("young man"), "{text}");
    assert_eq!(whole.json()["usage"]["type"], "duration");
    let plain = transcribe(&gateway, &[("response_format", "text")]).await;
    description.check("post", PATH, &plain);
    assert_eq!(plain.body.trim_end(), text);
    let srt = transcribe(&gateway, &[("response_format", "srt"), ("temperature", "0")]).await;
    assert!(srt.body.starts_with("1\n00:00:0"), "{}", srt.body);
    let vtt = transcribe(&gateway, &[("response_format", "vtt"), ("language", "en")]).await;
    assert!(vtt.body.starts_with("WEBVTT\n\n"), "{}", vtt.body);
    let fields = [
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
    ];
    let verbose = transcribe(&gateway, &fields).await;
    description.check("post", PATH, &verbose);
    let document = verbose.json();
    assert!(document["words"].as_array().unwrap().len() > 5, "{document}");
    assert!(document["segments"][0]["end"].as_f64().unwrap() <= document["duration"].as_f64().unwrap());
}

#[tokio::test]
async fn another_server_may_transcribe_and_what_it_refuses_is_refused() {
    if !has_models() {
        return;
    }
    let there = Gateway::start().await;
    let voice = json!({ "base_url": format!("http://{}", there.addr), "model": "whisper-tiny.en" });
    let models = json!([{ "name": "m", "endpoints": [{ "endpoint": "fake", "model": "upstream-m" }] }]);
    let here = Gateway::configured(json!({ "models": models, "voice": voice })).await;
    let reply = transcribe(&here, &[("model", "whisper-1"), ("response_format", "text")]).await;
    assert!(reply.status == 200 && reply.body.contains("young man"), "{}", reply.body);
    let reply = transcribe(&here, &[("model", "nobody")]).await;
    assert_eq!((reply.status, reply.header("x-uat-code")), (404, Some("UAT_MODEL_NOT_FOUND")));
    assert!(reply.body.contains(&there.addr.to_string()), "{}", reply.body);
}

#[tokio::test]
async fn a_stream_tells_sentences_and_then_all_of_it() {
    if !has_models() {
        return;
    }
    let gateway = Gateway::start().await;
    let reply = transcribe(&gateway, &[("stream", "true")]).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
    Description::of(&gateway).await.check("post", PATH, &reply);
    let events = reply.events();
    let (last, deltas) = events.split_last().unwrap();
    let told: String = deltas.iter().map(|event| event["delta"].as_str().unwrap()).collect();
    assert!(deltas.iter().all(|event| event["type"] == "transcript.text.delta"), "{events:?}");
    assert_eq!(last["type"], "transcript.text.done");
    assert!(told.contains("young man") && last["text"] == told, "{events:?}");
}

#[tokio::test]
async fn what_is_no_recording_is_refused_before_a_stream_begins() {
    if !has_models() {
        return;
    }
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    for stream in ["true", "false"] {
        let reply = post(&gateway, form(Some(b"no audio at all"), &[("stream", stream)])).await;
        assert_eq!((reply.status, reply.header("x-uat-code")), (400, Some("UAT_AUDIO_FORMAT")));
        description.check("post", PATH, &reply);
        let reply = transcribe(&gateway, &[("language", "xx"), ("stream", stream)]).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("language")));
    }
}
