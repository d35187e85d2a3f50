use std::time::Duration;

use super::*;
use crate::behaviour::{Answer, Behaviour, Continuation, Preamble, ToolCall};
use crate::dialect::{Asked, ChatRoute, Dialect};

fn asked(stream: bool) -> Asked {
    Asked::example(Dialect::OpenAi, stream)
}

fn reply_to(behaviour: &Behaviour, asked: Asked) -> Reply {
    to_chat(behaviour, asked).unwrap()
}

fn bytes_of(reply: &Reply) -> Vec<u8> {
    let bytes = |step| match step {
        Step::Send(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    };
    reply.steps().into_iter().flat_map(bytes).collect()
}

fn count(reply: &Reply, needle: &str) -> usize {
    String::from_utf8_lossy(&bytes_of(reply)).matches(needle).count()
}

#[test]
fn a_whole_stream_has_every_chunk_a_finish_reason_and_done() {
    let reply = reply_to(&Behaviour::Answer(Answer::tokens(5)), asked(true));
    assert_eq!(count(&reply, r#""delta":{"content":"#), 5);
    assert_eq!(count(&reply, r#""finish_reason":"stop""#), 1);
    assert_eq!(count(&reply, "data: [DONE]"), 1);
    assert_eq!(reply.ending, Ending::KeepAlive);
}

#[test]
fn usage_is_sent_only_to_those_who_asked() {
    let behaviour = Behaviour::Answer(Answer::tokens(5));
    assert_eq!(count(&reply_to(&behaviour, asked(true)), "completion_tokens"), 0);
    let mut with_usage = asked(true);
    with_usage.include_usage = true;
    let reply = reply_to(&behaviour, with_usage);
    assert_eq!(count(&reply, r#""choices":[],"usage""#), 1);
}

#[test]
fn a_cut_stream_has_exactly_the_chunks_before_the_cut_and_no_end() {
    let behaviour = Behaviour::CutAfter { chunks: 3, answer: Answer::tokens(5) };
    let reply = reply_to(&behaviour, asked(true));
    assert_eq!(count(&reply, r#""delta":{"content":"#), 3);
    assert_eq!(count(&reply, "[DONE]"), 0);
    assert!(!bytes_of(&reply).ends_with(b"0\r\n\r\n"));
    assert_eq!(reply.ending, Ending::Close);
}

#[test]
fn a_cut_past_the_last_chunk_still_lacks_the_end() {
    let behaviour = Behaviour::CutAfter { chunks: 99, answer: Answer::tokens(5) };
    for stream in [true, false] {
        let whole = bytes_of(&reply_to(&Behaviour::Answer(Answer::tokens(5)), asked(stream))).len();
        assert!(bytes_of(&reply_to(&behaviour, asked(stream))).len() < whole);
    }
}

#[test]
fn before_content_there_is_a_head_and_a_role_but_no_content() {
    for behaviour in [Behaviour::CloseBeforeContent, Behaviour::SseErrorBeforeContent] {
        let reply = reply_to(&behaviour, asked(true));
        assert_eq!(count(&reply, "HTTP/1.1 200 OK"), 1);
        assert_eq!(count(&reply, r#""role":"assistant""#), 1);
        assert_eq!(count(&reply, r#""delta":{"content":"#), 0);
    }
}

#[test]
fn an_early_end_is_framed_properly_and_says_nothing() {
    let behaviour = Behaviour::EndAfter { chunks: 2, answer: Answer::tokens(5) };
    let reply = reply_to(&behaviour, asked(true));
    assert!(bytes_of(&reply).ends_with(b"0\r\n\r\n"));
    assert_eq!(count(&reply, "[DONE]") + count(&reply, r#""stop""#), 0);
}

#[test]
fn a_drip_changes_no_byte() {
    let answer = Answer::text("größer 👍");
    let whole = reply_to(&Behaviour::Answer(answer.clone()), asked(true));
    let drip = Behaviour::SlowDrip { bytes_per: 1, every: Duration::from_millis(1), answer };
    let dripped = reply_to(&drip, asked(true));
    assert_eq!(bytes_of(&dripped), bytes_of(&whole));
    assert_eq!(
        dripped.steps().len(),
        2 * bytes_of(&whole).len() - 1,
        "a piece per byte and a wait between two"
    );
}

#[test]
fn waits_stand_before_the_first_content_and_between_the_rest() {
    let pace = Duration::from_millis(5);
    let answer = Answer::tokens(3).first_token_after(Duration::from_millis(100)).paced(pace);
    let reply = reply_to(&Behaviour::Answer(answer.clone()), asked(true));
    let waits: Vec<_> = reply.steps().into_iter().filter(|step| matches!(step, Step::Wait(_))).collect();
    assert_eq!(waits, [Step::Wait(Duration::from_millis(100)), Step::Wait(pace), Step::Wait(pace)]);
    let whole = reply_to(&Behaviour::Answer(answer), asked(false));
    assert_eq!(whole.steps()[0], Step::Wait(Duration::from_millis(110)));
}

#[test]
fn a_duplicate_a_swap_and_an_early_finish_keep_every_other_event() {
    let whole = count(&reply_to(&Behaviour::Answer(Answer::tokens(5)), asked(true)), "data: ");
    let check = |behaviour: Behaviour, events: usize, in_order: [&str; 2]| {
        let reply = reply_to(&behaviour, asked(true));
        assert_eq!(count(&reply, "data: "), events, "{behaviour:?}");
        let text = String::from_utf8(bytes_of(&reply)).unwrap();
        let [first, second] = in_order.map(|needle| text.find(needle).unwrap());
        assert!(first < second, "{behaviour:?}: {text}");
        assert!(text.ends_with("0\r\n\r\n") && text.contains("[DONE]"));
    };
    let answer = Answer::tokens(5);
    let duplicate = Behaviour::DuplicateChunk { chunk: 2, times: 2, answer: answer.clone() };
    check(duplicate, whole + 2, [" t2", " t3"]);
    check(Behaviour::DuplicateEnd { answer: answer.clone() }, whole + 2, [" t4", "\"stop\""]);
    check(Behaviour::SwapChunks { chunk: 2, answer: answer.clone() }, whole, [" t3", " t2"]);
    check(Behaviour::FinishFirst { answer }, whole, ["\"stop\"", "t0"]);
}

#[test]
fn a_spoilt_chunk_stands_among_right_ones_in_every_dialect() {
    let answer = Answer::tokens(4);
    for dialect in [Dialect::OpenAi, Dialect::Azure, Dialect::Anthropic, Dialect::Gemini, Dialect::Ollama] {
        let utf8 = Behaviour::InvalidUtf8After { chunks: 2, answer: answer.clone() };
        let json = Behaviour::WrongJsonAfter { chunks: 2, answer: answer.clone() };
        for stream in [true, false] {
            let bytes = bytes_of(&reply_to(&utf8, Asked::example(dialect, stream)));
            assert!(std::str::from_utf8(&bytes).is_err(), "{dialect:?}");
            let bytes = bytes_of(&reply_to(&json, Asked::example(dialect, stream)));
            let text = String::from_utf8(bytes).unwrap();
            let documents: Vec<&str> = match stream {
                true => text.lines().filter_map(|line| line.strip_prefix("data: ").or(Some(line))).collect(),
                false => text.split("\r\n\r\n").skip(1).collect(),
            };
            let wrong = |text: &&str| {
                text.starts_with('{') && serde_json::from_str::<serde_json::Value>(text).is_err()
            };
            assert_eq!(documents.into_iter().filter(wrong).count(), 1, "{dialect:?}: {text}");
        }
    }
}

#[test]
fn a_wrong_length_is_wrong_by_so_many_bytes_and_the_body_is_whole() {
    for (off_by, stream) in [(7, true), (-7, true), (7, false), (-7, false)] {
        let then = Box::new(Behaviour::Answer(Answer::tokens(3)));
        let reply = reply_to(&Behaviour::ContentLength { off_by, then }, asked(stream));
        let text = String::from_utf8(bytes_of(&reply)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let said: i64 = head.split_once("content-length: ").unwrap().1.parse().unwrap();
        assert_eq!(said, i64::try_from(body.len()).unwrap() + off_by);
        assert_eq!(reply.ending, Ending::Close);
    }
}

#[test]
fn what_changes_the_head_leaves_the_body_alone() {
    let body = |behaviour: &Behaviour| {
        let text = String::from_utf8(bytes_of(&reply_to(behaviour, asked(true)))).unwrap();
        let at = text.find("HTTP/1.1 200").unwrap();
        let (head, body) = text[at..].split_once("\r\n\r\n").unwrap();
        (text[..at].to_owned() + head, body.to_owned())
    };
    let then = || Box::new(Behaviour::Answer(Answer::tokens(3)));
    let (_, right) = body(&then());
    let check = |behaviour: &Behaviour, in_head: &str| {
        let (head, same) = body(behaviour);
        assert!(head.contains(in_head), "{head}");
        assert_eq!(same, right, "{behaviour:?}");
    };
    check(&Behaviour::HugeHead { bytes: 5, then: then() }, "x-huge: aaaaa");
    check(
        &Behaviour::ContentType { content_type: "text/html".to_owned(), then: then() },
        "content-type: text/html",
    );
    check(
        &Behaviour::Interim { code: 103, times: 2, then: then() },
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200",
    );
    let none = Behaviour::ContentType { content_type: String::new(), then: then() };
    assert!(!body(&none).0.contains("content-type"));
    let late = Behaviour::clone(&then()).delayed(Duration::from_millis(5));
    assert_eq!(reply_to(&late, asked(true)).steps()[0], Step::Wait(Duration::from_millis(5)));
}

#[test]
fn an_endless_body_is_made_as_it_is_sent_and_has_its_size() {
    let made = |reply: &Reply| {
        let made = |step: &Step| match step {
            Step::Repeat(bytes, times) => bytes.len() as u64 * times,
            _ => 0,
        };
        reply.steps().iter().map(made).sum::<u64>()
    };
    for stream in [true, false] {
        for bytes in [1, 1 << 30] {
            for behaviour in [Behaviour::HugeBody { bytes }, Behaviour::EndlessContent { bytes }] {
                let reply = reply_to(&behaviour, asked(stream));
                let held: usize = bytes_of(&reply).len();
                assert!(made(&reply) >= bytes && held < 2000, "{behaviour:?}");
                assert_eq!(reply.ending, Ending::Close);
            }
        }
    }
}

#[test]
fn an_endless_preamble_never_says_anything() {
    for events in [Preamble::Comments, Preamble::EmptyEvents] {
        let behaviour = Behaviour::EndlessPreamble { events, every: Duration::ZERO };
        let reply = reply_to(&behaviour, asked(true));
        let Some(Step::Pulse(bytes, _)) = reply.steps().last().cloned() else { panic!("{reply:?}") };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains("keep-alive") || text.contains(r#""delta":{"content":""}"#), "{text}");
    }
}

/// The same conversation in a dialect, ending in an assistant's message of this text.
fn resumed(dialect: Dialect, prefix: &str, more: &str) -> Result<Asked, String> {
    let body = match dialect {
        Dialect::Gemini => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"x"}}]}},{{"role":"model","parts":[{{"text":"{prefix}"}}]}}]}}"#
        ),
        _ => format!(
            r#"{{"model":"m","max_tokens":9,"stream":true{more},"messages":[{{"role":"user","content":"x"}},
                {{"role":"assistant","content":"{prefix}"}}]}}"#
        ),
    };
    let mut route = ChatRoute::plain(dialect);
    if dialect == Dialect::Gemini {
        (route.model, route.stream) = (Some("m".to_owned()), Some(true));
    }
    Asked::read(&route, body.as_bytes(), 1)
}

const CONTINUE: &str = r#","continue_final_message":true,"add_generation_prompt":false"#;

#[test]
fn a_continued_answer_has_what_the_prefix_lacks_and_nothing_twice() {
    use Continuation::{Never, Prefill, Vllm};
    let words = |continues, dialect, prefix: &str, more| {
        let answer = Answer::tokens(4).continuing(continues);
        let reply = reply_to(&Behaviour::Answer(answer), resumed(dialect, prefix, more).unwrap());
        let text = String::from_utf8(bytes_of(&reply)).unwrap();
        let sent = ["\"t0\"", "\" t1\"", "\"1\"", "\" t2\"", "\" t3\""];
        sent.map(|piece| u8::from(text.contains(piece)))
    };
    let (anew, rest) = ([1, 1, 0, 1, 1], [0, 0, 0, 1, 1]);
    assert_eq!(words(Never, Dialect::OpenAi, "t0 t1", ""), anew);
    assert_eq!(words(Vllm, Dialect::OpenAi, "t0 t1", ""), anew);
    assert_eq!(words(Vllm, Dialect::OpenAi, "t0 t1", CONTINUE), rest);
    for dialect in [Dialect::OpenAi, Dialect::Azure, Dialect::Anthropic, Dialect::Gemini, Dialect::Ollama] {
        assert_eq!(words(Prefill, dialect, "t0 t1", ""), rest, "{dialect:?}");
        assert_eq!(words(Prefill, dialect, "t0 t", ""), [0, 0, 1, 1, 1], "{dialect:?}: within a chunk");
        assert_eq!(words(Prefill, dialect, "t0 t1 t2 t3", ""), [0; 5], "{dialect:?}: nothing is left");
    }
}

#[test]
fn a_prefix_that_the_real_servers_refuse_is_refused() {
    let refused = |continues, dialect, prefix, more| {
        let answer = Answer::tokens(4).continuing(continues);
        to_chat(&Behaviour::Answer(answer), resumed(dialect, prefix, more).unwrap()).unwrap_err()
    };
    let white = refused(Continuation::Prefill, Dialect::Anthropic, "t0 ", "");
    assert!(white.contains("trailing whitespace"), "{white}");
    let both = refused(Continuation::Vllm, Dialect::OpenAi, "t0", r#","continue_final_message":true"#);
    assert!(both.contains("add_generation_prompt"), "{both}");
}

#[test]
fn a_fault_that_damages_content_counts_reasoning_and_calls_too() {
    let call = ToolCall::new("f", "{}").in_pieces(2);
    let answer = Answer { tool_calls: vec![call], ..Answer::tokens(2).reasoning("a b") };
    let reply = reply_to(&Behaviour::CutAfter { chunks: 5, answer }, asked(true));
    assert_eq!(count(&reply, "reasoning_content"), 2);
    assert_eq!(count(&reply, r#""name":"f""#), 1);
    assert_eq!(count(&reply, "data: "), 6, "the role, two thoughts, two words, a name");
}
