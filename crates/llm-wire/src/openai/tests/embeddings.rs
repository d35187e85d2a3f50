//! What a request for embeddings may say, and that vectors come through every way of writing them.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::WireError;
use crate::openai::{
    EmbeddingInput, EmbeddingsRequest, Encoding, embeddings_answer, embeddings_facts, embeddings_vectors,
};

fn parse(body: &str) -> Result<EmbeddingsRequest, WireError> {
    EmbeddingsRequest::parse(Bytes::copy_from_slice(body.as_bytes()))
}

fn with_input(input: &str) -> String {
    format!(r#"{{"model":"m","input":{input}}}"#)
}

#[track_caller]
fn refused(body: &str, field: &str, expected: &str, got: &str) {
    super::check_refused(parse(body), field, expected, got);
}

fn tree(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn text(text: &str) -> EmbeddingInput {
    EmbeddingInput::Text(text.to_owned())
}

#[test]
fn the_input_is_one_text_or_several_or_their_tokens() {
    let check = |input: &str, expected: &[EmbeddingInput]| {
        let request = parse(&with_input(input)).unwrap();
        assert_eq!(request.input().unwrap(), expected);
        assert_eq!(request.inputs(), expected.len());
    };
    check(r#""h\u00e9""#, &[text("hé")]);
    check(r#" [ "a" , "b" ] "#, &[text("a"), text("b")]);
    check("[1, 4294967295]", &[EmbeddingInput::Tokens(vec![1, u32::MAX])]);
    check("[[1,2],[3]]", &[EmbeddingInput::Tokens(vec![1, 2]), EmbeddingInput::Tokens(vec![3])]);
}

#[test]
fn the_facts_are_those_of_the_body() {
    let body = r#"{"model":"m","input":"a","encoding_format":"base64","dimensions":256,"user":"u"}"#;
    let request = parse(body).unwrap();
    assert_eq!((request.encoding(), request.dimensions()), (Encoding::Base64, Some(256)));
    let plain = parse(r#"{"model":"m","input":"a","encoding_format":null,"dimensions":null}"#).unwrap();
    assert_eq!((plain.encoding(), plain.dimensions()), (Encoding::Float, None));
}

#[test]
fn only_the_name_of_the_model_changes_on_the_way_upstream() {
    let request = parse(r#"{ "input": ["a"], "model":"m", "task" : [1.50] }"#).unwrap();
    assert_eq!(request.to_body("x/y"), r#"{ "input": ["a"], "model":"x/y", "task" : [1.50] }"#.as_bytes());
    assert_eq!(request.to_body("m").as_ptr(), request.body().as_ptr(), "nothing is copied");
}

#[test]
fn an_input_that_is_none_is_refused_by_its_place() {
    refused(r#"{"model":"m"}"#, "input", "a text", "nothing");
    refused(&with_input("null"), "input", "a text", "null");
    refused(&with_input("7"), "input", "a text", "7");
    refused(&with_input("{}"), "input", "a text", "an object");
    refused(&with_input(r#""""#), "input", "not empty", "\"\"");
    refused(&with_input("[ ]"), "input", "a text", "an empty array");
    refused(&with_input(r#"["a",""]"#), "input[1]", "not empty", "\"\"");
    refused(&with_input(r#"["a",1]"#), "input[1]", "a text", "1");
    refused(&with_input(r#"[null]"#), "input[0]", "a text", "null");
    refused(&with_input(r#"[1,"the prompt"]"#), "input[1]", "a token", "a string");
    refused(&with_input("[1,-2]"), "input[1]", "a token", "-2");
    refused(&with_input("[1.5]"), "input[0]", "a token", "1.5");
    refused(&with_input("[4294967296]"), "input[0]", "a token", "4294967296");
    refused(&with_input("[[1],[]]"), "input[1]", "at least one token", "an empty array");
    refused(&with_input("[[1],2]"), "input[1]", "at least one token", "2");
    refused(&with_input(r#"[[1,"x"]]"#), "input[0][1]", "a token", "a string");
}

#[test]
fn at_most_2048_texts_are_taken_and_any_number_of_tokens_of_one() {
    let many = |one: &str, count: usize| with_input(&format!("[{}]", vec![one; count].join(",")));
    assert_eq!(parse(&many(r#""a""#, 2048)).unwrap().inputs(), 2048);
    assert_eq!(parse(&many("7", 5000)).unwrap().inputs(), 1);
    refused(&many(r#""a""#, 2049), "input", "at most 2048", "2049 texts");
    refused(&many("[7]", 2049), "input", "at most 2048", "2049 texts");
}

#[test]
fn a_value_out_of_range_is_refused_by_name() {
    let with = |members: &str| format!(r#"{{"model":"m","input":"a",{members}}}"#);
    refused(&with(r#""dimensions":0"#), "dimensions", "from 1", "0");
    refused(&with(r#""dimensions":1.5"#), "dimensions", "an integer", "1.5");
    refused(&with(r#""encoding_format":"int8""#), "encoding_format", "float or base64", "\"int8\"");
    refused(&with(r#""input":"b""#), "input", "at most once", "it twice");
    refused(r#"{"input":"a"}"#, "model", "the name of a model", "nothing");
    refused(r#"{"model":" ","input":"a"}"#, "model", "the name of a model", "\" \"");
}

#[test]
fn what_is_not_json_names_where() {
    let malformed = |body: &str, path: &str, says: &str| match parse(body) {
        Err(WireError::Json { path: at, message, .. }) => {
            assert_eq!(at, path);
            assert!(message.contains(says), "{message}");
        }
        other => panic!("{body} gave {other:?}"),
    };
    malformed(&with_input("NaN"), "input", "NaN is not JSON");
    malformed(&with_input("[1,NaN]"), "input[1]", "NaN is not JSON");
    malformed("[]", "$", "expected a JSON object");
    malformed("", "$", "EOF");
}

#[test]
fn an_escape_that_is_no_character_is_found_when_the_text_is_needed() {
    let request = parse(&with_input(r#"["a","\ud800"]"#)).unwrap();
    assert_eq!(request.input().unwrap_err().param(), Some("input[1]"));
}

#[test]
fn an_answer_is_written_as_openai_writes_it() {
    let vectors = vec![vec![0.5_f32, -1.0], vec![0.1, 3.0]];
    assert_eq!(
        tree(&embeddings_answer("m", &vectors, Encoding::Float, 5)),
        json!({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.0]},
            {"object":"embedding","index":1,"embedding":[0.1,3.0]}],"model":"m",
            "usage":{"prompt_tokens":5,"total_tokens":5}})
    );
    let base64 = tree(&embeddings_answer("m", vectors.iter().map(Vec::as_slice), Encoding::Base64, 5));
    assert_eq!(base64["data"][0]["embedding"], "AAAAPwAAgL8=");
}

#[test]
fn facts_are_read_without_decoding() {
    let facts = embeddings_facts(&embeddings_answer("m", [[1.0_f32], [2.0]], Encoding::Base64, 3)).unwrap();
    assert_eq!((facts.vectors, facts.encoding), (2, Encoding::Base64));
    assert_eq!(facts.usage.map(|usage| (usage.prompt_tokens, usage.total_tokens)), Some((3, 3)));
    let error = embeddings_facts(br#"{"error":{"message":"busy"}}"#).unwrap().error;
    assert_eq!(error.map(|error| error.message).as_deref(), Some("busy"));
}

#[test]
fn an_answer_that_is_none_is_refused() {
    let field = |body: Value| match embeddings_vectors(body.to_string().as_bytes()) {
        Err(WireError::Invalid { field, .. }) => field,
        other => panic!("{body} gave {other:?}"),
    };
    assert_eq!(
        field(json!({"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]})),
        "data[1].index"
    );
    assert_eq!(field(json!({"data":[{"index":5,"embedding":[1]}]})), "data[0].index");
    assert_eq!(field(json!({"data":[{"embedding":"AAAA"}]})), "data[0].embedding");
    assert_eq!(field(json!({"data":[{"embedding":"AADAfw=="}]})), "data[0].embedding", "NaN");
    assert_eq!(field(json!({"data":[{"embedding":7}]})), "data[0].embedding");
    for body in [r#"{"data":[]}"#, "{}", r#"{"data":[{"embedding":[1]},{"embedding":"AAAA"}]}"#] {
        assert!(matches!(embeddings_facts(body.as_bytes()), Err(WireError::Invalid { .. })), "{body}");
    }
    assert!(matches!(embeddings_facts(b"<html>"), Err(WireError::Json { .. })));
    let nested = embeddings_vectors(br#"{"data":[{"embedding":[1,"x"]}]}"#).unwrap_err();
    assert_eq!(nested.param(), Some("data[0].embedding[1]"));
}

#[test]
fn an_answer_that_is_not_utf8_is_refused_wherever_that_is() {
    let body = [br#"{"data":[{"embedding":[1]}],"model":""#.as_slice(), b"\xE9", br#""}"#].concat();
    assert!(matches!(embeddings_facts(&body), Err(WireError::Json { .. })));
    assert!(matches!(embeddings_vectors(&body), Err(WireError::Json { .. })));
}

#[test]
fn vectors_come_in_the_order_of_their_index() {
    let body = json!({"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":[0]}]});
    let embedded = embeddings_vectors(body.to_string().as_bytes()).unwrap();
    assert_eq!(embedded.vectors, [[0.0], [1.0]]);
}

proptest! {
    #[test]
    fn vectors_survive_both_encodings_to_the_last_bit(
        vectors in prop::collection::vec(prop::collection::vec(-1e30_f32..1e30, 0..20), 1..5),
        tokens in any::<u32>(),
    ) {
        for encoding in [Encoding::Float, Encoding::Base64] {
            let embedded = embeddings_vectors(&embeddings_answer("m", &vectors, encoding, tokens.into())).unwrap();
            prop_assert_eq!(&embedded.vectors, &vectors);
            prop_assert_eq!(embedded.prompt_tokens, u64::from(tokens));
        }
    }

    #[test]
    fn texts_are_what_was_asked(texts in prop::collection::vec("\\PC{1,12}", 1..6)) {
        let request = EmbeddingsRequest::of_texts("m", &texts, Encoding::Base64).unwrap();
        let inputs: Vec<_> = texts.into_iter().map(EmbeddingInput::Text).collect();
        prop_assert_eq!(request.input().unwrap(), inputs);
    }

    #[test]
    fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = (EmbeddingsRequest::parse(bytes.clone().into()), embeddings_facts(&bytes), embeddings_vectors(&bytes));
    }

    #[test]
    fn any_json_in_the_place_of_the_input_is_answered(input in "[\\[\\]{}\",a1 .-]{0,12}") {
        if let Ok(request) = parse(&with_input(&input)) {
            prop_assert_eq!(request.input().unwrap().len(), request.inputs());
        }
    }
}
