//! Ollama's `/api/embed` and the older `/api/embeddings`, both ways.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::inbound::{PLACEMENT, SAME_NAME};
use super::{SAMPLING_EXTENSIONS, answer_in};
use crate::openai::{EmbeddingInput, EmbeddingsRequest, Encoding, embeddings_answer, embeddings_vectors};
use crate::{WireError, json};

/// Reads the body of `POST /api/embed`.
///
/// Nothing is cut to fit a context here, so `"truncate": true` is refused; absent it counts as false. `keep_alive` and
/// the options that place a model or sample an answer are left out: a vector is the same without them.
///
/// # Errors
/// As [`EmbeddingsRequest::parse`], with Ollama's names of the fields.
pub fn parse_embed(body: Bytes) -> Result<EmbeddingsRequest, WireError> {
    parse(&body, "input")
}

/// Reads the body of the older `POST /api/embeddings`, which embeds one `prompt`.
///
/// # Errors
/// As [`parse_embed`].
pub fn parse_embeddings(body: Bytes) -> Result<EmbeddingsRequest, WireError> {
    parse(&body, "prompt")
}

fn parse(body: &[u8], input: &str) -> Result<EmbeddingsRequest, WireError> {
    let fields: Map<String, Value> = json::decode(body)?;
    // The client gets numbers; until then base64 is shorter and quicker to read.
    let mut out = Map::from_iter([("encoding_format".to_owned(), json!("base64"))]);
    for (name, value) in fields {
        match name.as_str() {
            _ if value.is_null() => {}
            "model" | "dimensions" => _ = out.insert(name, value),
            "prompt" if input == "prompt" && !value.is_string() => {
                return refuse("prompt", "a text", &value);
            }
            name if name == input => _ = out.insert("input".to_owned(), value),
            "keep_alive" => {}
            "truncate" if value == json!(false) => {}
            "truncate" => return refuse("truncate", "false or nothing, because no text is cut here", &value),
            "options" => check_options(&value)?,
            _ => {
                let expected = "a field of Ollama's embeddings that has a counterpart here";
                return refuse(&name, expected, &value);
            }
        }
    }
    EmbeddingsRequest::parse(json::encode(&out)).map_err(|error| match error {
        WireError::Invalid { field, expected, got } => {
            WireError::Invalid { field: field.replacen("input", input, 1), expected, got }
        }
        other => other,
    })
}

fn check_options(options: &Value) -> Result<(), WireError> {
    let Value::Object(options) = options else { return refuse("options", "an object", options) };
    let known = |name: &str| {
        name == "num_predict"
            || PLACEMENT.contains(&name)
            || SAME_NAME.contains(&name)
            || SAMPLING_EXTENSIONS.contains(&name)
    };
    match options.iter().find(|(name, value)| !value.is_null() && !known(name)) {
        None => Ok(()),
        Some((name, value)) => refuse(&format!("options.{name}"), "an option of Ollama's", value),
    }
}

fn refuse<T>(field: &str, expected: &str, got: &Value) -> Result<T, WireError> {
    let got = if got.is_string() { "a string".to_owned() } else { json::shown_tree(got) };
    Err(WireError::invalid(field, expected, got))
}

/// The body of `POST /api/embed` that asks the same of an Ollama server, which is told to cut nothing.
///
/// # Errors
/// [`WireError::Invalid`] names what Ollama cannot be asked: tokens in place of texts, and any field that this
/// translation does not know.
pub fn embed_request(request: &EmbeddingsRequest, model: &str) -> Result<Bytes, WireError> {
    let texts: Vec<String> = request
        .input()?
        .into_iter()
        .map(|input| match input {
            EmbeddingInput::Text(text) => Ok(text),
            EmbeddingInput::Tokens(_) => {
                Err(WireError::invalid("input", "texts, because Ollama takes no tokens", "tokens"))
            }
        })
        .collect::<Result<_, _>>()?;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("input".to_owned(), json!(texts));
    body.insert("truncate".to_owned(), json!(false));
    let fields: Map<String, Value> = json::decode(request.body())?;
    for (name, value) in fields {
        match name.as_str() {
            // The last says who asks, the one before how our answer is written.
            "model" | "input" | "encoding_format" | "user" => {}
            _ if value.is_null() => {}
            "dimensions" | "keep_alive" => _ = body.insert(name, value),
            _ => return refuse(&name, "it absent, because Ollama has no such field", &value),
        }
    }
    Ok(json::encode(&body))
}

/// An Ollama server's answer as OpenAI's; an error in it becomes OpenAI's error object.
///
/// # Errors
/// [`WireError::Json`] where it is not one of Ollama's, [`WireError::Invalid`] where it has no vectors.
pub fn embed_to_openai(body: &[u8], model: &str, encoding: Encoding) -> Result<Bytes, WireError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        embeddings: Option<Vec<Vec<f32>>>,
        #[serde(default)]
        prompt_eval_count: Option<u64>,
        #[serde(default)]
        error: Option<Value>,
    }
    let answer: Answer = json::decode(body)?;
    match (answer.error, answer.embeddings) {
        (Some(error), _) => Ok(answer_in::error_chunk(&error)),
        (None, None) => Err(WireError::invalid("embeddings", "an array of vectors", "nothing")),
        (None, Some(vectors)) => {
            // Ollama leaves a count of zero out.
            Ok(embeddings_answer(model, &vectors, encoding, answer.prompt_eval_count.unwrap_or(0)))
        }
    }
}

/// Our answer as a client of `/api/embed` expects it. `total` is how long the request took.
///
/// # Errors
/// As [`embeddings_vectors`].
pub fn embed_answer(body: &[u8], model: &str, total: Duration) -> Result<Bytes, WireError> {
    #[derive(Serialize)]
    struct Answer<'a> {
        model: &'a str,
        embeddings: Vec<Vec<f32>>,
        total_duration: u64,
        load_duration: u64,
        prompt_eval_count: u64,
    }
    let embedded = embeddings_vectors(body)?;
    Ok(json::encode(&Answer {
        model,
        embeddings: embedded.vectors,
        total_duration: u64::try_from(total.as_nanos()).unwrap_or(u64::MAX),
        load_duration: 0,
        prompt_eval_count: embedded.prompt_tokens,
    }))
}

/// Our answer as a client of the older `/api/embeddings` expects it: the one vector.
///
/// # Errors
/// As [`embeddings_vectors`].
pub fn embedding_answer(body: &[u8]) -> Result<Bytes, WireError> {
    #[derive(Serialize)]
    struct Answer {
        embedding: Vec<f32>,
    }
    let vector = embeddings_vectors(body)?.vectors.into_iter().next();
    Ok(json::encode(&Answer { embedding: vector.unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[track_caller]
    fn check_refused<T: std::fmt::Debug>(result: Result<T, WireError>, field: &str, expected: &str) {
        match result {
            Err(WireError::Invalid { field: at, expected: wanted, .. }) => {
                assert_eq!(at, field);
                assert!(wanted.contains(expected), "{wanted:?} does not say {expected:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_ollama_clients_request_becomes_openais() {
        let body = json!({"model":"m","input":["a","b"],"truncate":false,"keep_alive":"5m","dimensions":8,
            "options":{"num_ctx":512,"temperature":0,"seed":null}});
        let request = parse_embed(body.to_string().into()).unwrap();
        let expected = json!({"encoding_format":"base64","model":"m","input":["a","b"],"dimensions":8});
        assert_eq!(tree(request.body()), expected);
        let older = parse_embeddings(r#"{"model":"m","prompt":"a"}"#.into()).unwrap();
        assert_eq!(tree(older.body()), json!({"encoding_format":"base64","model":"m","input":"a"}));
    }

    #[test]
    fn what_would_be_cut_or_ignored_is_refused_by_ollamas_name() {
        let embed = |fields: Value| {
            let mut body = json!({"model":"m","input":"a"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            parse_embed(body.to_string().into())
        };
        check_refused(embed(json!({"truncate":true})), "truncate", "no text is cut");
        check_refused(embed(json!({"options":{"num_ctx_":1}})), "options.num_ctx_", "an option");
        check_refused(embed(json!({"options":[]})), "options", "an object");
        check_refused(embed(json!({"prompt":"a"})), "prompt", "a counterpart");
        check_refused(embed(json!({"input":[]})), "input", "a text");
        check_refused(embed(json!({"input":["a",""]})), "input[1]", "not empty");
        check_refused(embed(json!({"model":null})), "model", "the name of a model");
        check_refused(embed(json!({"dimensions":0})), "dimensions", "from 1");
        let older = |prompt: Value| parse_embeddings(json!({"model":"m","prompt":prompt}).to_string().into());
        check_refused(older(json!("")), "prompt", "not empty");
        check_refused(older(json!(["a"])), "prompt", "a text");
    }

    #[test]
    fn an_ollama_server_is_asked_for_whole_texts() {
        let ask = |body: Value| {
            let request = EmbeddingsRequest::parse(body.to_string().into()).unwrap();
            embed_request(&request, "llama3.2:3b").map(|body| tree(&body))
        };
        let asked = json!({"model":"m","input":"a","encoding_format":"base64","dimensions":8,"user":"u"});
        let expected = json!({"model":"llama3.2:3b","input":["a"],"truncate":false,"dimensions":8});
        assert_eq!(ask(asked).unwrap(), expected);
        check_refused(ask(json!({"model":"m","input":[1,2]})), "input", "no tokens");
        check_refused(ask(json!({"model":"m","input":"a","task":"x"})), "task", "no such field");
    }

    #[test]
    fn an_answer_is_the_same_in_both_dialects() {
        let theirs = json!({"model":"x","embeddings":[[0.5,-1.0],[0.1,3.0]],"prompt_eval_count":7});
        for encoding in [Encoding::Float, Encoding::Base64] {
            let ours = embed_to_openai(theirs.to_string().as_bytes(), "m", encoding).unwrap();
            let expected = json!({"model":"m","embeddings":[[0.5,-1.0],[0.1,3.0]],"total_duration":9,
                "load_duration":0,"prompt_eval_count":7});
            assert_eq!(tree(&embed_answer(&ours, "m", Duration::from_nanos(9)).unwrap()), expected);
            assert_eq!(tree(&embedding_answer(&ours).unwrap()), json!({"embedding":[0.5,-1.0]}));
        }
        let error = embed_to_openai(br#"{"error":"busy"}"#, "m", Encoding::Float).unwrap();
        assert_eq!(tree(&error)["error"]["message"], "busy");
        check_refused(embed_to_openai(b"{}", "m", Encoding::Float), "embeddings", "vectors");
    }
}
