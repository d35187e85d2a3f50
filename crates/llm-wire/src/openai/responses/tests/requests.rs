use serde_json::{Value, json};

use super::{asked, parse, tree};
use crate::WireError;

/// The request is asked of the core with these fields beside the model and the message.
#[track_caller]
fn check(fields: Value, expected: Value, dropped: &[&str]) {
    let request = asked(fields).unwrap();
    let mut whole = json!({"model":"m","messages":[{"role":"user","content":"Hi"}]});
    whole.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
    assert_eq!(tree(request.chat.body()), whole);
    assert_eq!(request.chat.dropped(), dropped);
}

/// The input becomes these messages.
#[track_caller]
fn said(input: Value, expected: Value, dropped: &[&str]) {
    let request = asked(json!({ "input": input })).unwrap();
    assert_eq!(tree(request.chat.body())["messages"], expected);
    assert_eq!(request.chat.dropped(), dropped);
}

/// The request is refused for this field, with these words.
#[track_caller]
fn refused(fields: Value, field: &str, words: &str) {
    match asked(fields) {
        Err(error @ WireError::Invalid { .. }) => {
            assert_eq!(error.param(), Some(field), "{error}");
            assert!(error.to_string().contains(words), "`{words}` is not in `{error}`");
        }
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn parameters_get_the_names_of_a_chat() {
    check(json!({}), json!({}), &[]);
    check(
        json!({"temperature":0.5,"top_p":0.9,"max_output_tokens":50,"user":"u","safety_identifier":"s",
            "prompt_cache_key":"k","service_tier":"flex","stream":true,"reasoning":{"effort":"low"}}),
        json!({"temperature":0.5,"top_p":0.9,"max_completion_tokens":50,"user":"u","safety_identifier":"s",
            "prompt_cache_key":"k","service_tier":"flex","stream":true,"stream_options":{"include_usage":true},
            "reasoning_effort":"low"}),
        &[],
    );
    check(
        json!({"include":["message.output_text.logprobs","reasoning.encrypted_content"],"top_logprobs":3}),
        json!({"logprobs":true,"top_logprobs":3}),
        &[],
    );
    check(
        json!({"text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}},"verbosity":"low"}}),
        json!({"verbosity":"low","response_format":{"type":"json_schema",
            "json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}}}),
        &[],
    );
    check(
        json!({"text":{"format":{"type":"json_object"}}}),
        json!({"response_format":{"type":"json_object"}}),
        &[],
    );
}

#[test]
fn what_says_nothing_is_not_said() {
    check(
        json!({"store":false,"background":false,"truncation":"disabled","metadata":{"a":"b"},"max_tool_calls":3,
            "service_tier":"auto","tools":[],"tool_choice":"auto","parallel_tool_calls":true,"top_logprobs":0,
            "text":{"format":{"type":"text"},"verbosity":"medium"},"previous_response_id":null,"conversation":null,
            "prompt":null,"reasoning":{"effort":null,"summary":null},"stream_options":{"include_obfuscation":false}}),
        json!({}),
        &[],
    );
}

#[test]
fn what_cannot_be_kept_is_named() {
    check(
        json!({"store":true,"truncation":"auto","reasoning":{"effort":"high","summary":"auto"},
            "stream_options":{"include_obfuscation":true},"prompt_cache_options":{"mode":"explicit"}}),
        json!({"reasoning_effort":"high"}),
        &[
            "store",
            "truncation",
            "reasoning.summary",
            "stream_options.include_obfuscation",
            "prompt_cache_options",
        ],
    );
}

#[test]
fn functions_are_offered_as_a_chat_offers_them() {
    let f =
        json!({"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true});
    let g = json!({"type":"function","name":"g","parameters":null,"output_schema":{}});
    let chats_f = json!({"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}});
    let chats_g = json!({"type":"function","function":{"name":"g"}});
    check(
        json!({"tools":[f, g],"parallel_tool_calls":false,"tool_choice":"required"}),
        json!({"tools":[chats_f, chats_g],"parallel_tool_calls":false,"tool_choice":"required"}),
        &["tools[].output_schema"],
    );
    check(
        json!({"tools":[f],"tool_choice":{"type":"function","name":"f"}}),
        json!({"tools":[chats_f],"tool_choice":{"type":"function","function":{"name":"f"}}}),
        &[],
    );
    check(
        json!({"tools":[f, g],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}}),
        json!({"tools":[chats_g],"tool_choice":"required"}),
        &["tools[].output_schema"],
    );
}

#[test]
fn a_turn_of_the_assistant_becomes_one_message() {
    said(
        json!([
            {"role":"developer","content":"Be brief."},
            {"type":"message","role":"user","content":[{"type":"input_text","text":"What is it?"},
                {"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"}]},
            {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Look first."}],"status":"completed"},
            {"type":"message","id":"msg_1","role":"assistant","status":"completed",
                "content":[{"type":"output_text","text":"Let me look.","annotations":[],"logprobs":[]}]},
            {"type":"function_call","id":"fc_1","call_id":"c1","name":"look","arguments":"{}","status":"completed"},
            {"type":"function_call","call_id":"c2","name":"smell","arguments":"{\"x\":1}"},
            {"type":"function_call_output","call_id":"c1","output":"a cat"},
            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"cat"}]},
            {"role":"assistant","content":"A cat."},
            {"role":"assistant","content":"Surely."},
            {"role":"user","content":"Thanks."}]),
        json!([
            {"role":"developer","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"What is it?"},
                {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]},
            {"role":"assistant","content":"Let me look.","reasoning_content":"Look first.","tool_calls":[
                {"id":"c1","type":"function","function":{"name":"look","arguments":"{}"}},
                {"id":"c2","type":"function","function":{"name":"smell","arguments":"{\"x\":1}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"a cat"},
            {"role":"tool","tool_call_id":"c2","content":"cat"},
            {"role":"assistant","content":"A cat."},
            {"role":"assistant","content":"Surely."},
            {"role":"user","content":"Thanks."}]),
        &[],
    );
}

#[test]
fn what_is_said_between_a_call_and_its_answer_stays_with_the_call() {
    let call = json!({"type":"function_call","call_id":"c1","name":"f","arguments":"{}"});
    said(
        json!([{"role":"assistant","content":"One."}, call, {"role":"assistant","content":"Two."},
            {"type":"function_call_output","call_id":"c1","output":"x"}]),
        json!([
            {"role":"assistant","content":[{"type":"text","text":"One."},{"type":"text","text":"Two."}],
                "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"x"}]),
        &[],
    );
    said(
        json!([call]),
        json!([{"role":"assistant","content":null,
        "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}]),
        &[],
    );
}

#[test]
fn instructions_come_first() {
    let request = asked(json!({"instructions":"Be brief."})).unwrap();
    assert_eq!(
        tree(request.chat.body())["messages"],
        json!([{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}])
    );
}

#[test]
fn files_refusals_and_hints_are_parts() {
    said(
        json!([
            {"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"},
                {"type":"input_text","text":"Read it.","prompt_cache_breakpoint":{"mode":"explicit"}}]},
            {"role":"assistant","phase":"final_answer","content":[{"type":"refusal","refusal":"No."}]},
            {"type":"reasoning","summary":[],"encrypted_content":"gAAAA"},
            {"role":"assistant","content":[{"type":"output_text","text":"Well.","annotations":[{"type":"url_citation"}]}]}]),
        json!([
            {"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA","filename":"a.pdf"}},
                {"type":"text","text":"Read it."}]},
            {"role":"assistant","content":[{"type":"refusal","refusal":"No."}]},
            {"role":"assistant","content":"Well."}]),
        &[
            "input[].content[].prompt_cache_breakpoint",
            "input[].phase",
            "input[].encrypted_content",
            "input[].content[].annotations",
        ],
    );
}

#[test]
fn what_would_have_to_be_remembered_is_refused_with_what_to_do() {
    refused(json!({"previous_response_id":"resp_1"}), "previous_response_id", "send the whole conversation");
    refused(json!({"conversation":{"id":"conv_1"}}), "conversation", "send the whole conversation");
    refused(json!({"background":true}), "background", "ask for a stream");
    refused(json!({"prompt":{"id":"pmpt_1"}}), "prompt", "send instructions and input");
    refused(json!({"context_management":[{"type":"compaction"}]}), "context_management", "shorter input");
    refused(json!({"input":[{"type":"item_reference","id":"msg_1"}]}), "input[0].type", "the item itself");
    refused(
        json!({"input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}),
        "input[0].content[0].file_id",
        "no files are stored",
    );
    refused(
        json!({"input":[{"role":"user","content":[{"type":"input_file","file_url":"http://a"}]}]}),
        "input[0].content[0].file_url",
        "file_data",
    );
}

#[test]
fn tools_that_openai_runs_are_refused_by_name() {
    for kind in ["web_search", "file_search", "computer_use_preview", "mcp", "code_interpreter", "custom"] {
        refused(
            json!({"tools":[{"type":"function","name":"f"},{"type":kind,"name":"x"}]}),
            "tools[1].type",
            kind,
        );
        refused(json!({"input":[{"type":format!("{kind}_call")}]}), "input[0].type", kind);
    }
    refused(json!({"tool_choice":{"type":"web_search_preview"}}), "tool_choice.type", "web_search_preview");
    refused(json!({"tool_choice":"required"}), "tool_choice", "no tools");
    refused(
        json!({"tools":[{"type":"function","name":"f","defer_loading":true}]}),
        "tools[0].defer_loading",
        "true",
    );
    refused(
        json!({"tools":[{"type":"function","name":"f"}],
        "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"g"}]}}),
        "tool_choice.tools[0].name",
        "among tools",
    );
}

#[test]
fn wrong_values_are_refused_where_they_stand() {
    refused(json!({"input":null}), "input", "nothing");
    refused(json!({"input":[]}), "input", "empty");
    refused(json!({"input":[{"role":"tool","content":"x"}]}), "input[0].role", "tool");
    refused(json!({"input":[{"role":"user"}]}), "input[0].content", "null");
    refused(json!({"input":[{"role":"user","content":"x","name":"Ann"}]}), "input[0].name", "Ann");
    refused(
        json!({"input":[{"type":"function_call","name":"f","arguments":"{}"}]}),
        "input[0].call_id",
        "a string",
    );
    refused(json!({"instructions":["x"]}), "instructions", "a string");
    refused(json!({"model":null}), "model", "nothing");
    refused(json!({"max_output_tokens":0}), "max_output_tokens", "at least 1");
    refused(json!({"temperature":3}), "temperature", "0 to 2");
    refused(json!({"top_logprobs":21}), "top_logprobs", "20");
    refused(json!({"text":{"format":{"type":"grammar"}}}), "text.format.type", "grammar");
    refused(json!({"text":{"verbosity":"loud"}}), "text.verbosity", "loud");
    refused(json!({"reasoning":{"mode":"pro"}}), "reasoning.mode", "pro");
    refused(json!({"include":["x"]}), "include[0]", "x");
    refused(json!({"store":"yes"}), "store", "yes");
    refused(json!({"moderation":{"model":"x"}}), "moderation", "counterpart");
    refused(json!({"messages":[]}), "messages", "counterpart");
    assert!(matches!(parse("[]".into()), Err(WireError::Json { .. })));
}
