use serde_json::{Value, json};

use super::{field_of, tree};
use crate::gemini::{
    batch_embed_answer, embed_answer, embed_request, embed_to_openai, parse_batch_embed, parse_embed,
};
use crate::openai::{EmbeddingsRequest, Encoding};

#[test]
fn gemini_is_asked_for_a_batch() {
    let ask = |body: Value| {
        let request = EmbeddingsRequest::parse(body.to_string().into()).unwrap();
        embed_request(&request, "gemini-embedding-001").map(|body| tree(&body))
    };
    let one = |text: &str| json!({"model":"models/gemini-embedding-001","content":{"parts":[{"text":text}]},"outputDimensionality":8});
    let asked = json!({"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":8,"user":"u"});
    assert_eq!(ask(asked).unwrap(), json!({"requests":[one("a"),one("b")]}));
    assert_eq!(field_of(ask(json!({"model":"m","input":[1,2]}))), "input");
    assert_eq!(field_of(ask(json!({"model":"m","input":"a","task":"x"}))), "task");
}

#[test]
fn vectors_are_the_same_in_both_dialects() {
    let theirs = json!({"embeddings":[{"values":[0.5,-1.0]},{"values":[0.1,3.0]}],"usageMetadata":{"promptTokenCount":7}});
    for encoding in [Encoding::Float, Encoding::Base64] {
        let ours = embed_to_openai(theirs.to_string().as_bytes(), "m", encoding).unwrap();
        assert_eq!(tree(&ours)["usage"]["prompt_tokens"], 7);
        assert_eq!(tree(&batch_embed_answer(&ours).unwrap()), json!({"embeddings":theirs["embeddings"]}));
        assert_eq!(tree(&embed_answer(&ours).unwrap()), json!({"embedding":{"values":[0.5,-1.0]}}));
    }
    let error = br#"{"error":{"code":404,"message":"no such model","status":"NOT_FOUND"}}"#;
    let error = tree(&embed_to_openai(error, "m", Encoding::Float).unwrap());
    assert_eq!(
        (&error["error"]["message"], &error["error"]["code"]),
        (&json!("no such model"), &json!("404"))
    );
    assert_eq!(field_of(embed_to_openai(b"{}", "m", Encoding::Float)), "embeddings");
}

#[test]
fn a_gemini_clients_texts_become_inputs() {
    let one =
        json!({"model":"models/x","content":{"parts":[{"text":"a"},{"text":"b"}]},"output_dimensionality":8});
    let request = parse_embed(one.to_string().as_bytes(), "m").unwrap();
    assert_eq!(
        tree(request.body()),
        json!({"model":"m","input":"ab","encoding_format":"base64","dimensions":8})
    );
    let batch = json!({"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":{"text":"b"}}}]});
    let request = parse_batch_embed(batch.to_string().as_bytes(), "m").unwrap();
    assert_eq!(tree(request.body()), json!({"model":"m","input":["a","b"],"encoding_format":"base64"}));
}

#[test]
fn what_would_change_a_vector_is_refused_by_geminis_name() {
    let one = |fields: Value| {
        let mut body = json!({"content":{"parts":[{"text":"a"}]}});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for (body, field) in [
        (one(json!({"taskType":"RETRIEVAL_QUERY"})), "taskType"),
        (one(json!({"title":"t"})), "title"),
        (one(json!({"content":{"parts":[]}})), "content"),
        (one(json!({"content":{"parts":[{"inlineData":{}}]}})), "content.parts[0].text"),
        (one(json!({"outputDimensionality":0})), "outputDimensionality"),
    ] {
        assert_eq!(field_of(parse_embed(body.to_string().as_bytes(), "m")), field);
    }
    for (requests, field) in [
        (json!([]), "requests"),
        (json!([one(json!({})), one(json!({"content":{}}))]), "requests[1].content"),
        (json!([one(json!({})), one(json!({"outputDimensionality":8}))]), "requests[1].outputDimensionality"),
    ] {
        let body = json!({"requests":requests}).to_string();
        assert_eq!(field_of(parse_batch_embed(body.as_bytes(), "m")), field);
    }
}
