//! Vectors of texts.

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Engine, MODEL};

fn vectors(answer: &Value) -> Vec<Vec<f64>> {
    let data = answer["data"].as_array().unwrap_or_else(|| panic!("vectors in {answer}"));
    let numbers = |entry: &Value| {
        entry["embedding"]
            .as_array()
            .expect("numbers")
            .iter()
            .map(|x| x.as_f64().expect("a number"))
            .collect()
    };
    data.iter().map(numbers).collect()
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[tokio::test]
async fn texts_become_vectors_of_length_one_whatever_company_they_come_in() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let texts = ["The cat sleeps.", "A cat is asleep.", "Interest rates rose again in the third quarter."];
    let (status, together) = client.ask("/v1/embeddings", json!({"model": MODEL, "input": texts})).await;
    assert_eq!(status, StatusCode::OK, "{together}");
    let together = vectors(&together);
    for vector in &together {
        assert_eq!(vector.len(), 576);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
    }
    assert!(cosine(&together[0], &together[1]) > cosine(&together[0], &together[2]), "alike is nearer");
    let (_, alone) = client.ask("/v1/embeddings", json!({"model": MODEL, "input": texts[2]})).await;
    assert!(cosine(&vectors(&alone)[0], &together[2]) > 0.9999);
}

#[tokio::test]
async fn many_texts_beside_a_running_answer_are_all_embedded() {
    let engine = Engine::start(&[]).await;
    let (mut chats, mut embeds) = (engine.client().await, engine.client().await);
    let texts: Vec<String> = (0..100).map(|index| format!("Text number {index}.")).collect();
    let (answer, (status, embedded)) = tokio::join!(
        chats.answer(json!({"max_tokens": 60})),
        embeds.ask("/v1/embeddings", json!({"model": MODEL, "input": texts, "dimensions": 64})),
    );
    assert!(!answer.0.is_empty());
    assert_eq!(status, StatusCode::OK, "{embedded}");
    let embedded = vectors(&embedded);
    assert_eq!((embedded.len(), embedded[99].len()), (100, 64));
    assert!((cosine(&embedded[99], &embedded[99]) - 1.0).abs() < 1e-5, "cut vectors have length one again");
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_by_name() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    for (fields, code, param) in [
        (json!({"input": "word ".repeat(3000)}), "UAT_CONTEXT_LENGTH_EXCEEDED", "input"),
        (json!({"input": [[1, 99_999_999]]}), "UAT_INVALID_INPUT", "input[0]"),
        (json!({"input": "x", "dimensions": 577}), "UAT_INVALID_INPUT", "dimensions"),
        (json!({"input": []}), "UAT_INVALID_INPUT", "input"),
    ] {
        let mut fields = fields;
        fields["model"] = json!(MODEL);
        let (status, body) = client.ask("/v1/embeddings", fields).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(
            (body["error"]["uat_code"].as_str(), body["error"]["param"].as_str()),
            (Some(code), Some(param)),
            "{body}"
        );
    }
    assert!(!client.answer(json!({"max_tokens": 4})).await.0.is_empty());
}
