use bytes::BytesMut;
use serde_json::{Value, json};

use super::snapshot::added_up;
use super::{asked, delta, events, finish, streamed, translation, tree};
use crate::openai::ErrorBody;
use crate::openai::responses::FromOpenAi;
use crate::sse::{Decoder, data_frame};

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

#[test]
fn a_text_is_told_in_openais_order() {
    let events = streamed(&[
        delta(json!({"role":"assistant","content":""})),
        delta(json!({"content":"Hel"})),
        delta(json!({"content":"lo"})),
        finish("stop"),
        json!({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,
            "prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}),
    ]);
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    assert_eq!(
        events[4],
        json!({"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_7_0","output_index":0,
            "content_index":0,"delta":"Hel","logprobs":[]})
    );
    let response = &events[9]["response"];
    assert_eq!(
        (&response["id"], &response["status"], &response["created_at"], &response["completed_at"]),
        (&json!("resp_7"), &json!("completed"), &json!(1000), &json!(1007))
    );
    assert_eq!(
        response["output"],
        json!([{"id":"msg_7_0","type":"message","status":"completed","role":"assistant",
            "content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Hello"}]}])
    );
    assert_eq!(
        response["usage"],
        json!({"input_tokens":3,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":0},
            "output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":7})
    );
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[0]["response"]["usage"], Value::Null);
}

#[test]
fn calls_that_grow_at_the_same_time_are_told_apart() {
    let call = |index: u64, id: &str, name: &str, arguments: &str| {
        delta(json!({"tool_calls":[{"index":index,"id":id,"function":{"name":name,"arguments":arguments}}]}))
    };
    let more = |index: u64, arguments: &str| {
        delta(json!({"tool_calls":[{"index":index,"function":{"arguments":arguments}}]}))
    };
    let events = streamed(&[
        delta(json!({"content":"Wait."})),
        call(0, "a", "f", ""),
        more(0, "{\"x\""),
        call(1, "b", "g", "{"),
        more(0, ":1}"),
        more(1, "}"),
        finish("tool_calls"),
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(added_up(&events), *output);
    assert_eq!(
        (&output[1], &output[2]),
        (
            &json!({"id":"fc_7_1","type":"function_call","status":"completed","call_id":"a","name":"f","arguments":"{\"x\":1}"}),
            &json!({"id":"fc_7_2","type":"function_call","status":"completed","call_id":"b","name":"g","arguments":"{}"}),
        )
    );
}

#[test]
fn calls_of_servers_that_number_them_badly_are_told_apart() {
    // All under the index 0, whole; the last one without an identifier, and its name after its arguments.
    let events = streamed(&[
        delta(json!({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]})),
        delta(json!({"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"x\":1}"}}]})),
        delta(json!({"tool_calls":[{"index":1,"function":{"arguments":"{\"y\""}}]})),
        delta(json!({"tool_calls":[{"index":1,"function":{"name":"g","arguments":":2}"}}]})),
        finish("tool_calls"),
    ]);
    let output = events.last().unwrap()["response"]["output"].as_array().unwrap().clone();
    let calls: Vec<_> =
        output.iter().map(|item| (&item["call_id"], &item["name"], &item["arguments"])).collect();
    assert_eq!(
        calls,
        [
            (&json!("a"), &json!("f"), &json!("{}")),
            (&json!("b"), &json!("f"), &json!("{\"x\":1}")),
            (&json!("call_7_2"), &json!("g"), &json!("{\"y\":2}")),
        ]
    );
    assert_eq!(added_up(&events), json!(output));
}

#[test]
fn a_call_without_a_name_is_an_error() {
    let mut translation = translation();
    let mut out = BytesMut::new();
    let nameless = delta(json!({"tool_calls":[{"index":3,"id":"a","function":{"arguments":"{}"}}]}));
    translation.chunk(nameless.to_string().as_bytes(), &mut out).unwrap();
    let error = translation.chunk(finish("tool_calls").to_string().as_bytes(), &mut out).unwrap_err();
    assert_eq!(error.param(), Some("choices[0].delta.tool_calls[3].function.name"));
}

#[test]
fn reasoning_is_told_in_full_and_its_signature_is_kept() {
    let events = streamed(&[
        delta(json!({"reasoning_content":"Hm"})),
        delta(json!({"reasoning":", yes."})),
        delta(json!({"reasoning_details":[{"type":"reasoning.text","text":"Hm, yes.","signature":"s1"}]})),
        delta(json!({"content":"Yes."})),
        finish("stop"),
    ]);
    assert_eq!(
        names(&events)[2..9],
        [
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
        ]
    );
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(added_up(&events), *output);
    assert_eq!(output[0]["content"], json!([{"type":"reasoning_text","text":"Hm, yes."}]));

    // The client sends back what it got, and the signature is there again.
    let mut input = output.as_array().unwrap().clone();
    input.push(json!({"role":"user","content":"Sure?"}));
    let request = asked(json!({"input": input})).unwrap();
    assert_eq!(
        tree(request.chat.body())["messages"],
        json!([
            {"role":"assistant","content":"Yes.","reasoning_content":"Hm, yes.",
                "reasoning_details":[{"type":"reasoning.text","text":"Hm, yes.","signature":"s1"}]},
            {"role":"user","content":"Sure?"}])
    );
    assert!(request.chat.dropped().is_empty());
}

#[test]
fn a_signature_in_the_midst_of_a_text_does_not_interrupt_it() {
    let signed = json!([{"type":"reasoning.encrypted","data":"s1","format":"google-gemini-v1"}]);
    let events = streamed(&[
        delta(json!({"content":"Hel"})),
        delta(json!({"content":"lo","reasoning_details":signed})),
        finish("stop"),
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(added_up(&events), *output);
    assert_eq!(output[0]["content"][0]["text"], "Hello");
    assert_eq!((&output[1]["type"], &output[1]["content"]), (&json!("reasoning"), &json!([])));
    let request = asked(json!({ "input": output })).unwrap();
    assert_eq!(
        tree(request.chat.body())["messages"],
        json!([{"role":"assistant","content":"Hello","reasoning_details":signed}])
    );
}

#[test]
fn a_refusal_and_a_citation_are_parts_of_the_message() {
    let cited = json!({"type":"url_citation","url_citation":{"url":"http://a","title":"A","start_index":0,"end_index":2}});
    let events = streamed(&[
        delta(json!({"content":"So"})),
        delta(json!({"annotations":[cited]})),
        delta(json!({"refusal":"I can"})),
        delta(json!({"refusal":"not."})),
        finish("stop"),
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(added_up(&events), *output);
    assert_eq!(
        output[0]["content"],
        json!([
            {"type":"output_text","text":"So","logprobs":[],
                "annotations":[{"type":"url_citation","url":"http://a","title":"A","start_index":0,"end_index":2}]},
            {"type":"refusal","refusal":"I cannot."}])
    );
}

#[test]
fn probabilities_come_with_the_text_that_they_are_of() {
    let probable = json!([{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[]}]);
    let events = streamed(&[
        json!({"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":probable}}]}),
        finish("stop"),
    ]);
    assert_eq!(events[4]["logprobs"], probable);
    assert_eq!(events.last().unwrap()["response"]["output"][0]["content"][0]["logprobs"], probable);
}

#[test]
fn an_answer_that_was_cut_is_incomplete() {
    for (reason, told) in [("length", "max_output_tokens"), ("content_filter", "content_filter")] {
        let events = streamed(&[delta(json!({"content":"Hel"})), finish(reason)]);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["status"], "incomplete");
        assert_eq!(last["response"]["incomplete_details"], json!({"reason": told}));
        assert_eq!(last["response"]["completed_at"], Value::Null);
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    }
}

#[test]
fn an_answer_without_a_word_is_an_empty_message() {
    let events = streamed(&[finish("stop")]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["content"][0]["text"], "");
    assert_eq!(added_up(&events), *output);
}

#[test]
fn an_answer_that_fails_says_why_and_how_far_it_came() {
    let error = ErrorBody {
        message: "the connection broke".into(),
        kind: "server_error".into(),
        param: None,
        code: Some("upstream_error".into()),
        uat_code: "UAT_UPSTREAM".into(),
        retryable: true,
    };
    let mut translation = translation();
    let mut out = BytesMut::new();
    translation.chunk(delta(json!({"content":"Hel"})).to_string().as_bytes(), &mut out).unwrap();
    translation.failed(&error, &mut out);
    // What comes after the end says nothing.
    translation.failed(&error, &mut out);
    translation.chunk(finish("stop").to_string().as_bytes(), &mut out).unwrap();
    translation.done(1007, &mut out);
    let told = events(&out);
    assert_eq!(names(&told)[5..], ["error", "failed"]);
    assert_eq!(
        told[5],
        json!({"type":"error","sequence_number":5,"code":"upstream_error","message":"the connection broke",
            "param":null,"uat_code":"UAT_UPSTREAM","retryable":true})
    );
    let response = &told[6]["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"], json!({"code":"server_error","message":"the connection broke"}));
    assert_eq!(response["output"][0]["status"], "incomplete");
    assert_eq!(response["output"][0]["content"][0]["text"], "Hel");
}

#[test]
fn an_error_in_place_of_an_answer_is_a_failed_response() {
    let error = json!({"error":{"message":"busy","code":"rate_limit_exceeded","type":"requests"}});
    let mut translation = translation();
    let mut out = BytesMut::new();
    translation.chunk(error.to_string().as_bytes(), &mut out).unwrap();
    assert_eq!(names(&events(&out)), ["created", "in_progress", "error", "failed"]);
    let whole = super::translation().completion(error.to_string().as_bytes(), 1007).unwrap();
    assert_eq!(
        (&tree(&whole)["status"], &tree(&whole)["error"]),
        (&json!("failed"), &json!({"code":"rate_limit_exceeded","message":"busy"}))
    );
}

#[test]
fn a_whole_answer_is_a_response_that_repeats_what_was_asked() {
    let tools = json!([{"type":"function","name":"f","parameters":{"type":"object"}}]);
    let request = asked(json!({"instructions":"Be brief.","temperature":0.5,"top_p":0.9,"max_output_tokens":50,
        "metadata":{"run":"7"},"tools":tools,"tool_choice":"required","parallel_tool_calls":false,"store":true,
        "reasoning":{"effort":"low"},"text":{"format":{"type":"json_object"},"verbosity":"low"},"user":"u","truncation":"auto"}))
    .unwrap();
    assert_eq!(request.chat.dropped(), ["store", "truncation"]);
    let completion = json!({"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4},"service_tier":"default"});
    let answer =
        FromOpenAi::new("trace-7", request.echo, 1000).completion(completion.to_string().as_bytes(), 1007);
    assert_eq!(
        tree(&answer.unwrap()),
        json!({"id":"resp_trace-7","object":"response","created_at":1000,"status":"completed","completed_at":1007,
            "error":null,"incomplete_details":null,
            "output":[{"id":"msg_trace-7_0","type":"message","status":"completed","role":"assistant",
                "content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Hello"}]}],
            "usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},
                "output_tokens":4,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":7},
            "service_tier":"default","background":false,"instructions":"Be brief.","max_output_tokens":50,
            "max_tool_calls":null,"metadata":{"run":"7"},"model":"m","parallel_tool_calls":false,
            "previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,
            "reasoning":{"effort":"low","summary":null},"safety_identifier":null,"store":false,"temperature":0.5,
            "text":{"format":{"type":"json_object"},"verbosity":"low"},"tool_choice":"required",
            "tools":[{"type":"function","name":"f","description":null,"parameters":{"type":"object"},"strict":null}],
            "top_logprobs":0,"top_p":0.9,"truncation":"disabled","user":"u"})
    );
    assert_eq!(translation().completion(b"{}", 1).unwrap_err().param(), Some("choices"));
}

#[test]
fn a_stream_may_be_cut_into_pieces_anywhere() {
    let chunks = [
        delta(json!({"reasoning_content":"Hm. \u{1f914}"})),
        delta(json!({"content":"Gr\u{fc}\u{df}e"})),
        delta(json!({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]})),
        finish("tool_calls"),
    ];
    let upstream: Vec<u8> =
        chunks.iter().flat_map(|chunk| data_frame(chunk.to_string().as_bytes())).collect();
    let whole = streamed(&chunks);
    for cut in 0..=upstream.len() {
        let mut decoder = Decoder::new(1 << 20);
        let mut translation = translation();
        let mut out = BytesMut::new();
        let (before, after) = upstream.split_at(cut);
        for piece in [before, after] {
            decoder.push(piece.to_vec().into());
            while let Some(event) = decoder.next_event() {
                translation.chunk(&event.unwrap().data, &mut out).unwrap();
            }
        }
        translation.done(1007, &mut out);
        assert_eq!(events(&out), whole, "cut at {cut}");
    }
}
