//! An answer that was cut is gone on with: nothing is missing and nothing doubled.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::openai::{ChatRequest, Cut, Heard, PartialAnswer, Seam, Usage, chunk_facts};

fn chunk(delta: Value, finish: Option<&str>) -> Vec<u8> {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
    .to_string()
    .into_bytes()
}

fn given(pieces: &[&str]) -> PartialAnswer {
    let mut partial = PartialAnswer::default();
    partial.push(&chunk(json!({ "role": "assistant", "content": "" }), None));
    for piece in pieces {
        partial.push(&chunk(json!({ "content": piece }), None));
    }
    partial
}

fn check_cut(pieces: &[&str], repeat: bool, prefill: &str, expected: &str, given_tokens: u64) {
    let cut = given(pieces).cut(repeat);
    assert_eq!((cut.prefill.as_str(), cut.expected.as_str()), (prefill, expected), "{pieces:?}");
    assert_eq!(cut.given, given_tokens, "{pieces:?}");
}

#[test]
fn the_last_word_is_said_again_where_it_will_be_the_same() {
    check_cut(&["The", " sky", " is", " bl"], true, "The sky is", " bl", 3);
    check_cut(&["The", " sky", " is", " blue", "\n"], true, "The sky is", " blue\n", 3);
    check_cut(&["Hel"], true, "", "Hel", 0);
}

#[test]
fn only_white_space_at_the_end_is_said_again_where_another_word_may_come() {
    check_cut(&["The", " sky", " is", " bl"], false, "The sky is bl", "", 4);
    check_cut(&["The", " sky", "\n\n"], false, "The sky", "\n\n", 2);
}

#[test]
fn a_text_that_does_not_end_is_not_remembered_for_ever() {
    let piece = "x".repeat(1 << 20);
    let mut partial = given(&[piece.as_str(); 8]);
    assert!(partial.is_text() && partial.text().len() == 8 << 20);
    partial.push(&chunk(json!({ "content": "y" }), None));
    assert!(!partial.is_text(), "it is not continued");
    assert_eq!(partial.text(), "y");
}

#[test]
fn a_text_without_spaces_is_continued_where_it_was_cut() {
    let long = "空".repeat(100);
    check_cut(&[&long], true, &long, "", 1);
}

/// The text that the client gets of the rest; `None`: it is another answer.
fn rest_after(partial: &PartialAnswer, cut: Cut, pieces: &[String]) -> Option<String> {
    let mut seam = Seam::new(cut);
    let mut text = String::new();
    let contents = pieces.iter().map(|piece| chunk(json!({ "content": piece }), None));
    for chunk in contents.chain([chunk(json!({}), Some("stop"))]) {
        match seam.chunk(partial, &chunk).unwrap() {
            Heard::Nothing => {}
            Heard::New(new) => {
                let new: Value = serde_json::from_slice(&new).unwrap();
                text.push_str(new["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
            }
            Heard::Another { .. } => return None,
        }
    }
    Some(text)
}

fn check_seam(pieces: &[&str], repeat: bool, rest: &[&str], expected: Option<&str>) {
    let partial = given(pieces);
    let rest: Vec<String> = rest.iter().map(|&piece| piece.to_owned()).collect();
    assert_eq!(rest_after(&partial, partial.cut(repeat), &rest).as_deref(), expected, "{rest:?}");
}

#[test]
fn what_the_client_has_is_taken_away_and_another_answer_is_noticed() {
    let begun = ["The sky", " is", " bl"];
    check_seam(&begun, true, &[" blue", "."], Some("ue."));
    check_seam(&begun, true, &[" ", "b", "lu", "e."], Some("ue."));
    check_seam(&begun, true, &[" bl"], Some(""));
    check_seam(&begun, true, &[" grey"], None);
    check_seam(&begun, true, &[" "], None);
    let paragraph = ["The sky", "\n\n"];
    check_seam(&paragraph, false, &["\n\nis"], Some("is"));
    check_seam(&paragraph, false, &["\nis"], Some("is"));
    check_seam(&paragraph, false, &["is"], Some("is"));
}

#[test]
fn the_request_ends_with_what_was_said_and_asks_for_as_much_less() {
    let body =
        r#"{"model":"m","stream":true,"max_tokens":10,"messages":[{"role":"user","content":"Hi"}],"x":1}"#;
    let request = ChatRequest::parse(body.as_bytes().into()).unwrap();
    let cut = given(&["The", " sky", " is"]).cut(false);
    let continued = request.continued(&cut).unwrap().unwrap();
    let told: Value = serde_json::from_slice(&continued.to_continuation_body("n", true)).unwrap();
    assert_eq!(
        told,
        json!({
            "model": "n", "stream": true, "max_tokens": 7, "x": 1,
            "messages": [{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "The sky is" }],
            "continue_final_message": true, "add_generation_prompt": false,
        })
    );
    let spent = Cut { given: 10, ..cut };
    assert!(request.continued(&spent).unwrap().is_none());
}

#[test]
fn a_beginning_that_the_client_wrote_is_part_of_the_same_message() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"I say: "}]}"#;
    let request = ChatRequest::parse(body.as_bytes().into()).unwrap();
    let continued = request.continued(&given(&["the", " sky"]).cut(false)).unwrap().unwrap();
    let messages = continued.messages().unwrap();
    assert_eq!((messages.len(), messages[1].text().as_str()), (2, "I say: the sky"));
}

#[test]
fn calls_refusals_and_open_reasoning_are_not_gone_on_with() {
    let after = |delta: Value| {
        let mut partial = given(&["The sky"]);
        partial.push(&chunk(delta, None));
        partial.is_text()
    };
    assert!(after(json!({ "content": " is" })));
    assert!(after(json!({ "content": " is", "tool_calls": null })));
    assert!(!after(json!({ "tool_calls": [{ "index": 0 }] })));
    assert!(!after(json!({ "refusal": "No" })));
    assert!(!after(json!({ "reasoning_content": "Hm" })));
    assert!(!given(&[]).is_text());
    let mut thought = PartialAnswer::default();
    thought.push(&chunk(json!({ "reasoning_content": "Hm" }), None));
    thought.push(&chunk(json!({ "content": "The" }), None));
    assert!(thought.is_text());
}

#[test]
fn the_rest_comes_under_the_first_id_and_counts_both_parts() {
    let partial = given(&["The", " sky"]);
    let cut = partial.cut(false);
    let mut seam = Seam::new(cut.clone());
    let role = chunk(json!({ "role": "assistant", "content": "" }), None);
    assert_eq!(seam.chunk(&partial, &role).unwrap(), Heard::Nothing);
    let last = json!({
        "id": "other", "created": 9, "model": "n", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17 },
    });
    let Heard::New(adopted) = seam.chunk(&partial, last.to_string().as_bytes()).unwrap() else {
        panic!("the end says something");
    };
    let adopted: Value = serde_json::from_slice(&adopted).unwrap();
    assert_eq!((&adopted["id"], &adopted["model"]), (&json!("chatcmpl-1"), &json!("m")));
    assert_eq!(adopted["usage"], json!({ "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17 }));
    let summed =
        cut.summed(Usage { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17, ..Usage::default() });
    assert_eq!((summed.prompt_tokens, summed.completion_tokens), (10, 7));
}

#[test]
fn what_is_said_again_is_taken_away_after_an_early_finish_reason_too() {
    let partial = given(&["The sky", " "]);
    let mut seam = Seam::new(partial.cut(false));
    let end = seam.chunk(&partial, &chunk(json!({}), Some("stop"))).unwrap();
    assert!(matches!(end, Heard::New(_)));
    assert_eq!(seam.chunk(&partial, &chunk(json!({ "content": " " }), None)).unwrap(), Heard::Nothing);
    let Heard::New(new) = seam.chunk(&partial, &chunk(json!({ "content": "is" }), None)).unwrap() else {
        panic!("it is new");
    };
    let new: Value = serde_json::from_slice(&new).unwrap();
    assert_eq!(new["choices"][0]["delta"]["content"], "is");
}

proptest! {
    #[test]
    fn an_answer_cut_anywhere_and_said_again_from_the_cut_is_the_whole_answer(
        text in "[a-c ä\n]{1,60}", at in 0.0..1.0_f64, repeat: bool, size in 1_usize..7,
    ) {
        let letters: Vec<char> = text.chars().collect();
        let cut_at = ((letters.len() as f64 * at) as usize).max(1);
        let had: String = letters[..cut_at].iter().collect();
        let cut = given(&[&had]).cut(repeat);
        prop_assert_eq!(format!("{}{}", cut.prefill, cut.expected), had.clone());
        let rest: Vec<char> = text[cut.prefill.len()..].chars().collect();
        let rest: Vec<String> = rest.chunks(size).map(|piece| piece.iter().collect()).collect();
        let rest = rest_after(&given(&[&had]), cut, &rest).expect("it was the same answer");
        prop_assert_eq!(format!("{had}{rest}"), text);
    }

    #[test]
    fn a_chunk_whose_text_is_known_is_kept_like_one_that_is_read(
        contents in prop::collection::vec("[a-z \\\\\"\n空]{0,6}", 1..4), kind in 0..9, escaped: bool,
    ) {
        let choice = |content: &String| match kind {
            0 => json!({ "delta": { "content": content }, "logprobs": {} }),
            1 => json!({ "index": 1, "delta": { "content": content } }),
            2 => json!({ "delta": { "content": content, "tool_calls": [{}] } }),
            3 => json!({ "delta": { "content": content, "reasoning": "so" } }),
            4 => json!({ "delta": { "reasoning_content": content } }),
            5 => json!({ "delta": { "content": content, "refusal": "no" } }),
            6 => json!({ "index": 0, "delta": { "role": "assistant", "content": content }, "logprobs": null }),
            _ => json!({ "delta": { "content": content, "tool_calls": [], "refusal": null } }),
        };
        let mut document =
            json!({ "id": "1", "choices": contents.iter().map(choice).collect::<Vec<_>>() }).to_string();
        if escaped {
            document = document.replace('a', "\\u0061");
        }
        let facts = chunk_facts(document.as_bytes()).unwrap();
        let (mut known, mut read) = (given(&["The"]), given(&["The"]));
        known.push_known(document.as_bytes(), facts.text.as_ref());
        read.push(document.as_bytes());
        prop_assert_eq!(format!("{known:?}"), format!("{read:?}"), "{}", document);
    }

    /// Broken off again and again, also while the seam is still being heard.
    #[test]
    fn an_answer_that_is_cut_several_times_is_whole(
        text in "[ab]{1,5}( {1,2}[ab空]{1,5}){1,8}",
        cuts in prop::collection::vec((1usize..9, 0usize..12, any::<bool>()), 1..6),
    ) {
        let letters: Vec<char> = text.chars().collect();
        let first: String = letters[..cuts[0].0.min(letters.len())].iter().collect();
        let mut partial = given(&[&first]);
        let mut client = first;
        for (index, (size, count, repeat)) in cuts.iter().copied().enumerate() {
            let last = index == cuts.len() - 1;
            let cut = partial.cut(repeat);
            let rest: Vec<char> = text[cut.prefill.len()..].chars().collect();
            let pieces: Vec<String> = rest.chunks(size).map(|piece| piece.iter().collect()).collect();
            let heard = if last { pieces.len() } else { count.min(pieces.len()) };
            let mut seam = Seam::new(cut);
            for piece in &pieces[..heard] {
                match seam.chunk(&partial, &chunk(json!({ "content": piece }), None)).unwrap() {
                    Heard::Nothing => {}
                    Heard::New(new) => {
                        partial.push(&new);
                        let new: Value = serde_json::from_slice(&new).unwrap();
                        client.push_str(new["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
                    }
                    Heard::Another { .. } => prop_assert!(false, "it was the same answer"),
                }
            }
        }
        prop_assert_eq!(client, text);
    }

    #[test]
    fn any_bytes_are_a_chunk_or_none(bytes: Vec<u8>) {
        let mut partial = given(&["a"]);
        partial.push(&bytes);
        let _either = Seam::new(partial.cut(true)).chunk(&partial, &bytes);
    }
}
