use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn the_pieces_of_a_text_join_to_the_text_and_none_is_empty(text in ".{0,80}", chunks in 0_usize..100) {
        let answer = Answer::text(text.clone()).in_chunks(chunks);
        let pieces = answer.pieces();
        prop_assert_eq!(pieces.concat(), text.clone());
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
        prop_assert!(pieces.len() <= chunks.max(1));
    }

    #[test]
    fn numbered_words_come_one_per_chunk(chunks in 0_usize..100) {
        let pieces = Answer::tokens(chunks).pieces();
        prop_assert_eq!(pieces.len(), chunks);
        prop_assert_eq!(pieces.concat().split_whitespace().count(), chunks);
    }
}

#[test]
fn a_behaviour_survives_json_in_the_documented_form() {
    let json = r#"{"behaviour":"cut_after","chunks":10,"answer":{"text":"The sky is blue.","chunks":16}}"#;
    let parsed: Behaviour = serde_json::from_str(json).unwrap();
    let answer = Answer::text("The sky is blue.").in_chunks(16);
    assert_eq!(parsed, Behaviour::CutAfter { chunks: 10, answer });
    let again: Behaviour = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
    assert_eq!(again, parsed);
}

#[test]
fn an_answer_may_be_written_with_only_what_differs() {
    let parsed: Behaviour =
        serde_json::from_str(r#"{"behaviour":"answer","chunks":5,"between_chunks_ms":7}"#).unwrap();
    assert_eq!(parsed, Behaviour::Answer(Answer::tokens(5).paced(Duration::from_millis(7))));
}

#[test]
fn a_misspelt_field_is_refused() {
    assert!(serde_json::from_str::<Behaviour>(r#"{"behaviour":"answer","chunk":5}"#).is_err());
    assert!(serde_json::from_str::<Behaviour>(r#"{"behaviour":"stall_after","chunks":5,"x":1}"#).is_err());
}

#[test]
fn behaviours_may_stand_in_one_another_and_say_only_what_differs() {
    let json = r#"{"behaviour":"delayed","by_ms":5,"then":{"behaviour":"content_type","content_type":"text/html",
        "then":{"behaviour":"duplicate_chunk","chunk":3}}}"#;
    let parsed: Behaviour = serde_json::from_str(json).unwrap();
    let answer = Answer::default();
    let inner = Behaviour::DuplicateChunk { chunk: 3, times: 1, answer: answer.clone() };
    let typed = Behaviour::ContentType { content_type: "text/html".to_owned(), then: Box::new(inner) };
    assert_eq!(parsed, typed.delayed(Duration::from_millis(5)));
    assert_eq!(parsed.answer(), Some(&answer));
}

#[test]
fn usage_and_calls_are_written_as_documented() {
    let json = r#"{"behaviour":"answer","chunks":0,"tool_calls":[{"name":"f","arguments":"{}","pieces":0}],
        "usage":{"given":{"prompt":3,"completion":4}},"continues":"vllm","finish_reason":"stop"}"#;
    let usage = Tokens::Given { prompt: 3, completion: 4, cached: 0, reasoning: 0 };
    let answer = Answer::calls([ToolCall::new("f", "{}").in_pieces(0)]).usage(usage).finish("stop");
    assert_eq!(
        serde_json::from_str::<Behaviour>(json).unwrap(),
        Behaviour::Answer(answer.continuing(Continuation::Vllm))
    );
    let raw = r#"{"behaviour":"answer","usage":{"raw":{"prompt_tokens":"seven"}}}"#;
    assert!(serde_json::from_str::<Behaviour>(raw).is_ok());
    assert!(serde_json::from_str::<Behaviour>(r#"{"behaviour":"answer","usage":"none"}"#).is_err());
}

#[test]
fn a_date_to_retry_at_is_counted_from_now_and_never_too_early() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_776_500);
    let header = |after_s| match (Behaviour::RetryAtDate { code: 429, after_s }).at(now) {
        Behaviour::Status { code: 429, headers, .. } => headers[0].1.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(header(0), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(header(10), "Sun, 06 Nov 1994 08:49:47 GMT");
    assert_eq!(header(-6), "Sun, 06 Nov 1994 08:49:30 GMT");
}
