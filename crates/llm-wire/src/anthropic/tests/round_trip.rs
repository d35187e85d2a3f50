//! There and back: what both sides can say comes back as it went, in the one form in which a translation says it.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tree;
use crate::anthropic::{FromOpenAi, ToOpenAi, messages_request, parse_messages};
use crate::openai::ChatRequest;

fn text() -> impl Strategy<Value = String> {
    // Not only white space: neither side says that.
    "[a-zé\"\\\\ {}\n]{0,8}[a-z0-9]"
}

/// An object of JSON, as arguments of a call.
fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    vec(("[a-z]{1,4}", leaf), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<String, Value>>()))
}

fn mark(value: Value, marked: bool) -> Value {
    with(value, "cache_control", marked.then(|| json!({"type":"ephemeral"})))
}

fn with(mut value: Value, key: &str, member: Option<impl Into<Value>>) -> Value {
    if let (Value::Object(object), Some(member)) = (&mut value, member) {
        object.insert(key.to_owned(), member.into());
    }
    value
}

fn marks(value: &Value) -> usize {
    // No text here is long enough to hold the word.
    value.to_string().matches("cache_control").count()
}

/// What comes back through OpenAI's words, where no mark for Anthropic's cache stands. Contents of objects with `key`
/// are a string where one is enough.
fn unmarked(value: Value, key: &str) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.into_iter().map(|value| unmarked(value, key)).collect()),
        Value::Object(mut members) => {
            members.shift_remove("cache_control");
            let short = members.contains_key(key);
            let members = members.into_iter().map(|(name, value)| match unmarked(value, key) {
                Value::Array(parts) if short && name == "content" => (name, said(parts)),
                value => (name, value),
            });
            Value::Object(members.collect())
        }
        scalar => scalar,
    }
}

/// A string, or parts that no string says.
fn said(parts: Vec<Value>) -> Value {
    match parts.as_slice() {
        [Value::Object(part)] if part.len() == 2 && part.get("type") == Some(&json!("text")) => {
            part["text"].clone()
        }
        _ => Value::Array(parts),
    }
}

fn text_part() -> impl Strategy<Value = Value> {
    (text(), any::<bool>()).prop_map(|(text, marked)| mark(json!({"type":"text","text":text}), marked))
}

fn user_part() -> impl Strategy<Value = Value> {
    let image = prop_oneof![Just("data:image/png;base64,iVBORw0KGgo="), Just("https://example.com/a.jpg")];
    let image = (image, any::<bool>())
        .prop_map(|(url, marked)| mark(json!({"type":"image_url","image_url":{"url":url}}), marked));
    let file = text().prop_map(|name| {
        json!({"type":"file","file":{"filename":name,"file_data":"data:application/pdf;base64,JVBERi0="}})
    });
    prop_oneof![3 => text_part(), 1 => image, 1 => file]
}

/// Thinking: signed texts and redacted blocks, with the text once more beside them.
fn thoughts() -> impl Strategy<Value = (Option<String>, Option<Value>)> {
    let detail = prop_oneof![
        (text(), text()).prop_map(|(text, signature)| {
            json!({"type":"reasoning.text","text":text,"signature":signature,"format":"anthropic-claude-v1"})
        }),
        text().prop_map(
            |data| json!({"type":"reasoning.encrypted","data":data,"format":"anthropic-claude-v1"})
        ),
    ];
    vec(detail, 0..3).prop_map(|details| {
        let text: String = details.iter().filter_map(|detail| detail["text"].as_str()).collect();
        ((!text.is_empty()).then_some(text), (!details.is_empty()).then_some(Value::Array(details)))
    })
}

fn call() -> impl Strategy<Value = (String, Value)> {
    (text(), object())
}

/// A turn of the user, what the assistant says to it, and what its tools answer.
fn exchange() -> impl Strategy<Value = Vec<Value>> {
    let assistant =
        (option::of(text()), thoughts(), vec((call(), vec(text_part(), 1..3), any::<bool>()), 0..3));
    (vec(user_part(), 1..4), assistant).prop_map(|(parts, (text, (reasoning, details), calls))| {
        let mut messages = vec![json!({"role":"user","content":said(parts)})];
        let content = match text {
            Some(text) => json!(text),
            None if calls.is_empty() => json!("Yes."),
            None => Value::Null,
        };
        let assistant = json!({"role":"assistant","content":content});
        let assistant = with(assistant, "reasoning_content", reasoning);
        let mut assistant = with(assistant, "reasoning_details", details);
        let id = |index: usize| format!("call_{index}");
        if !calls.is_empty() {
            let calls: Vec<Value> = calls
                .iter()
                .enumerate()
                .map(|(index, ((name, input), ..))| {
                    json!({"id":id(index),"type":"function","function":{"name":name,"arguments":input.to_string()}})
                })
                .collect();
            assistant["tool_calls"] = json!(calls);
        }
        messages.push(assistant);
        for (index, (_, parts, marked)) in calls.into_iter().enumerate() {
            messages.push(mark(json!({"role":"tool","tool_call_id":id(index),"content":said(parts)}), marked));
        }
        messages
    })
}

fn tool() -> impl Strategy<Value = Value> {
    (text(), option::of(text()), option::of(any::<bool>()), object(), any::<bool>()).prop_map(
        |(name, description, strict, properties, marked)| {
            let function = json!({"name":name,"parameters":{"type":"object","properties":properties}});
            let function = with(with(function, "description", description), "strict", strict);
            mark(json!({"type":"function","function":function}), marked)
        },
    )
}

prop_compose! {
    fn options()(
        limit in 1..u64::from(u32::MAX),
        temperature in option::of(0..=100_u32),
        top_k in option::of(1..1000_u32),
        stop in vec(text(), 0..3),
        user in option::of(text()),
        effort in option::of(prop::sample::select(vec!["none", "low", "medium", "high"])),
        schema in option::of(object()),
        stream in any::<bool>(),
    ) -> Value {
        let options = json!({"model":"m","max_tokens":limit});
        let options = with(options, "temperature", temperature.map(|percent| f64::from(percent) / 100.0));
        let options = with(options, "top_p", temperature.map(|percent| f64::from(percent) / 100.0));
        let options = with(options, "top_k", top_k);
        let options = with(options, "stop", (!stop.is_empty()).then_some(stop));
        let options = with(options, "user", user);
        let options = with(options, "reasoning_effort", effort);
        let format = schema.map(|schema| {
            json!({"type":"json_schema","json_schema":{"name":"response","strict":true,"schema":schema}})
        });
        let options = with(options, "response_format", format);
        let options = with(options, "stream", stream.then_some(true));
        with(options, "stream_options", stream.then(|| json!({"include_usage":true})))
    }
}

prop_compose! {
    fn openai_request()(
        mut request in options(),
        system in vec(text_part(), 0..3),
        exchanges in vec(exchange(), 1..3),
        tools in vec(tool(), 0..3),
        choice in option::of(prop_oneof![
            prop::sample::select(vec!["auto", "none", "required"]).prop_map(|choice| json!(choice)),
            text().prop_map(|name| json!({"type":"function","function":{"name":name}})),
        ]),
        one_at_a_time in any::<bool>(),
    ) -> Value {
        let mut messages = Vec::new();
        if !system.is_empty() {
            messages.push(json!({"role":"system","content":said(system)}));
        }
        messages.extend(exchanges.into_iter().flatten());
        request["messages"] = json!(messages);
        if !tools.is_empty() {
            request["tools"] = json!(tools);
            // With "none" nothing is left to be said of how many at once.
            if one_at_a_time && choice.as_ref().is_some_and(|choice| *choice != json!("none")) {
                request["parallel_tool_calls"] = json!(false);
            }
            request = with(request, "tool_choice", choice);
        }
        request
    }
}

/// OpenAI's request in Anthropic's words, of which nothing is missing.
fn outward(request: &Value) -> Value {
    let request = ChatRequest::parse(request.to_string().into()).unwrap();
    let translated = messages_request(&request, "m", request.stream(), 1).unwrap();
    assert!(translated.dropped.is_empty(), "{:?}", translated.dropped);
    let body = tree(&translated.body);
    assert_eq!(marks(&body), marks(&tree(request.body())));
    body
}

/// Anthropic's request in OpenAI's words, of which nothing but the marks for its cache is missing.
fn inward(asked: &Value) -> Value {
    let request = parse_messages(asked.to_string().into()).unwrap();
    let dropped = request.dropped();
    assert!(dropped.iter().all(|name| name.ends_with("[].cache_control")), "{dropped:?}");
    assert_eq!(dropped.is_empty(), marks(asked) == 0);
    assert_eq!(request.untranslatable(), None);
    tree(request.body())
}

fn text_block() -> impl Strategy<Value = Value> {
    text_part()
}

fn user_block() -> impl Strategy<Value = Value> {
    let image = prop_oneof![
        Just(json!({"type":"base64","media_type":"image/webp","data":"UklGRg=="})),
        Just(json!({"type":"url","url":"http://example.com/a.jpg"})),
    ];
    let image = (image, any::<bool>())
        .prop_map(|(source, marked)| mark(json!({"type":"image","source":source}), marked));
    let document = (text(), any::<bool>()).prop_map(|(title, marked)| {
        let source = json!({"type":"base64","media_type":"application/pdf","data":"JVBERi0="});
        mark(json!({"type":"document","title":title,"source":source}), marked)
    });
    prop_oneof![3 => text_block(), 1 => image, 1 => document]
}

fn thinking_block() -> impl Strategy<Value = Value> {
    prop_oneof![
        (text(), text()).prop_map(|(thinking, signature)| {
            json!({"type":"thinking","thinking":thinking,"signature":signature})
        }),
        text().prop_map(|data| json!({"type":"redacted_thinking","data":data})),
    ]
}

/// What the assistant says, in the order in which a translation says it, and the results of its tools.
fn turns() -> impl Strategy<Value = Vec<Value>> {
    let result = (vec(text_block(), 1..3), any::<bool>());
    let calls = vec((call(), result), 0..3);
    (vec(user_block(), 0..3), vec(thinking_block(), 0..3), vec(text_block(), 1..3), calls).prop_map(
        |(asked, thinking, texts, calls)| {
            let mut content = thinking;
            content.extend(texts);
            let mut results = Vec::new();
            for (index, ((name, input), (parts, marked))) in calls.into_iter().enumerate() {
                let id = format!("toolu_{index}");
                content.push(json!({"type":"tool_use","id":id,"name":name,"input":input}));
                results
                    .push(mark(json!({"type":"tool_result","tool_use_id":id,"content":said(parts)}), marked));
            }
            let mut turns = Vec::new();
            turns.push(json!({"role":"assistant","content":content}));
            results.extend(asked);
            if !results.is_empty() {
                turns.push(json!({"role":"user","content":results}));
            }
            turns
        },
    )
}

prop_compose! {
    fn anthropic_request()(
        request in options(),
        first in vec(user_block(), 1..3),
        last in turns(),
        system in vec(text_block(), 0..3),
        tools in vec((text(), object(), any::<bool>()), 0..3),
        one_at_a_time in any::<bool>(),
    ) -> Value {
        let mut messages = vec![json!({"role":"user","content":first})];
        messages.extend(last);
        // The options in Anthropic's words, said by the translation of a request that has nothing else.
        let mut asked = request;
        asked["messages"] = json!([{"role":"user","content":"Hi"}]);
        let mut asked = outward(&asked);
        asked["messages"] = json!(messages);
        if !system.is_empty() {
            asked["system"] = json!(system);
        }
        if !tools.is_empty() {
            let tools: Vec<Value> = tools
                .into_iter()
                .map(|(name, properties, marked)| {
                    mark(json!({"name":name,"input_schema":{"type":"object","properties":properties}}), marked)
                })
                .collect();
            asked["tools"] = json!(tools);
            if one_at_a_time {
                asked["tool_choice"] = json!({"type":"any","disable_parallel_tool_use":true});
            }
        }
        asked
    }
}

prop_compose! {
    fn completion()(
        content in option::of(text()),
        (reasoning, details) in thoughts(),
        calls in vec(call(), 0..3),
        stop in option::of(text()),
        finish in prop::sample::select(vec!["stop", "length", "content_filter"]),
        counts in any::<[u16; 5]>(),
        cached in any::<bool>(),
    ) -> Value {
        let content = match content {
            Some(text) => json!(text),
            None if calls.is_empty() => json!(""),
            None => Value::Null,
        };
        let message = json!({"role":"assistant","content":content});
        let message = with(with(message, "reasoning_content", reasoning), "reasoning_details", details);
        let finish = if calls.is_empty() { finish } else { "tool_calls" };
        let calls: Vec<Value> = calls
            .into_iter()
            .enumerate()
            .map(|(index, (name, input))| {
                let function = json!({"name":name,"arguments":input.to_string()});
                json!({"id":format!("call_{index}"),"type":"function","function":function})
            })
            .collect();
        let message = with(message, "tool_calls", (!calls.is_empty()).then_some(calls));
        let choice = json!({"index":0,"message":message,"finish_reason":finish});
        let choice = with(choice, "stop_reason", stop.filter(|_| finish == "stop"));
        let [fresh, read, written, said, thought] = counts.map(u64::from);
        let prompt = if cached { fresh + read + written } else { fresh };
        let usage = json!({"prompt_tokens":prompt,"completion_tokens":said,"total_tokens":prompt + said});
        let details = json!({"cached_tokens":read,"cache_write_tokens":written});
        let usage = with(usage, "prompt_tokens_details", cached.then_some(details));
        let usage = with(usage, "completion_tokens_details", cached.then(|| json!({"reasoning_tokens":thought})));
        json!({"id":"id","object":"chat.completion","created":1,"model":"m","choices":[choice],"usage":usage})
    }
}

proptest! {
    #[test]
    fn openais_request_comes_back_from_anthropics_words(request in openai_request()) {
        prop_assert_eq!(inward(&outward(&request)), unmarked(request, "role"));
    }

    #[test]
    fn anthropics_request_comes_back_from_openais_words(request in anthropic_request()) {
        prop_assert_eq!(outward(&inward(&request)), unmarked(request, "tool_use_id"));
    }

    #[test]
    fn an_answer_comes_back_from_the_other_sides_words(answer in completion()) {
        let message = FromOpenAi::completion(answer.to_string().as_bytes(), "id").unwrap();
        let back = ToOpenAi::completion(&message, "id", "m", 1).unwrap();
        prop_assert_eq!(tree(&back), answer);
        let again: Bytes = FromOpenAi::completion(&back, "id").unwrap();
        prop_assert_eq!(tree(&again), tree(&message));
    }
}
