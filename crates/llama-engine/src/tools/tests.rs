use fastrand::Rng;
use jiff::Timestamp;
use llm_wire::openai::Message;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::template::{ChatTemplate, TemplateMessage};

const QWEN: &str = include_str!("../../tests/templates/qwen2.5.jinja");
const HERMES: &str = include_str!("../../tests/templates/hermes-2-pro.jinja");
const LLAMA: &str = include_str!("../../tests/templates/llama-3.1.jinja");
const MISTRAL: &str = include_str!("../../tests/templates/mistral-7b-v0.3.jinja");
const SMOLLM: &str = include_str!("../../tests/templates/smollm2.jinja");

const EOS: u32 = 256;
const TOOL_CALLS: u32 = 257;

/// Every byte, an end, Mistral's control token, and tokens of several bytes that cross the marks.
fn vocabulary() -> Vocabulary {
    let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let words = ["</s>", "[TOOL_CALLS]", "<tool", ">\n", ">x", "{\"name\":", "\": \"", "\"}", "}}", "Paris"];
    pieces.extend(words.map(|word| word.as_bytes().to_vec()));
    Vocabulary::new(pieces, |id| id == TOOL_CALLS, EOS, &[]).expect("a vocabulary")
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).expect("a template")
}

fn detected(source: &str) -> Option<ToolFormat> {
    let template = template(source);
    ToolFormat::detect(|messages, tools| {
        template.render_closed(messages, Some(tools), Timestamp::UNIX_EPOCH).ok()
    })
}

fn format(source: &str) -> ToolFormat {
    detected(source).expect("a format")
}

fn definitions() -> Value {
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false});
    let add = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}}, "required": ["a", "b"], "additionalProperties": false, "$defs": {"n": {"type": "integer"}}});
    json!([
        {"type": "function", "function": {"name": "weather", "description": "Weather", "parameters": city}},
        {"type": "function", "function": {"name": "add", "parameters": add, "strict": true}},
    ])
}

fn tools(choice: Value, parallel: bool) -> Tools {
    let tools = Tools::read(Some(&definitions()), Some(&choice), Some(&json!(parallel)));
    tools.expect("valid").expect("some tools")
}

/// Deltas of one kind that follow each other are one, and ids are left out: the rest says how text was understood.
fn read(format: &ToolFormat, pieces: &[&str]) -> Vec<String> {
    let mut reader = ToolCallReader::new(format, &tools(json!("auto"), true), Rng::with_seed(1));
    let mut deltas: Vec<ToolDelta> = pieces.iter().flat_map(|piece| reader.push(piece)).collect();
    deltas.extend(reader.finish());
    let mut told: Vec<String> = Vec::new();
    let mut last = String::new();
    for delta in deltas {
        let (kind, text) = match delta {
            ToolDelta::Content(text) => ("content".to_owned(), text),
            ToolDelta::Begin { index, id, name } => {
                assert_eq!(id.len(), 9);
                (format!("begin {index}"), name)
            }
            ToolDelta::Arguments { index, fragment } => (format!("arguments {index}"), fragment),
        };
        match told.last_mut() {
            Some(told) if kind == last => told.push_str(&text),
            _ => told.push(format!("{kind}: {text}")),
        }
        last = kind;
    }
    told
}

fn check_read(source: &str, text: &str, expected: &[&str]) {
    assert_eq!(read(&format(source), &[text]), expected);
}

/// Whether the tools' grammar takes the whole text and lets the answer end there.
fn accepts(source: &str, tools: &Tools, text: &str) -> bool {
    let mut constraint = tools.constraint(&format(source), &vocabulary()).expect("compiles");
    if constraint.advance(text, "messages[0]").is_err() {
        return false;
    }
    match constraint.mask().expect("a mask") {
        None => true,
        Some(mask) => mask[EOS as usize / 32] >> (EOS % 32) & 1 == 1,
    }
}

const QWEN_CALL: &str =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";

#[test]
fn qwen_and_hermes_put_each_call_between_tags() {
    for source in [QWEN, HERMES] {
        let format = format(source);
        assert_eq!((format.prefix(), format.suffix()), ("<tool_call>\n", "\n</tool_call>"));
        assert_eq!(format.separator(), Some("\n</tool_call>\n<tool_call>\n"));
    }
}

#[test]
fn llama_writes_one_call_without_any_mark() {
    let format = format(LLAMA);
    assert_eq!((format.prefix(), format.separator(), format.suffix()), ("", None, ""));
    check_read(
        LLAMA,
        r#"{"name": "weather", "parameters": {"city": "Paris"}}"#,
        &["begin 0: weather", r#"arguments 0: {"city": "Paris"}"#],
    );
}

#[test]
fn mistral_lists_calls_with_ids_behind_a_control_token() {
    let format = format(MISTRAL);
    assert_eq!((format.prefix(), format.separator(), format.suffix()), ("[TOOL_CALLS] [", Some(", "), "]"));
    check_read(
        MISTRAL,
        r#"[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1, "b": 2}, "id": "abcdefghi"}, {"name": "weather", "arguments": {"city": "}"}, "id": "123456789"}]"#,
        &[
            "begin 0: add",
            r#"arguments 0: {"a": 1, "b": 2}"#,
            "begin 1: weather",
            r#"arguments 1: {"city": "}"}"#,
        ],
    );
}

#[test]
fn a_template_without_tools_has_no_format() {
    assert_eq!(detected(SMOLLM), None);
}

#[test]
fn a_template_that_writes_calls_otherwise_has_no_format() {
    let tagged = "{{ tools | tojson }}{% for m in messages %}{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}<call={{ c.function.name }}>{{ c.function.arguments | tojson }}</call>{% endfor %};{% endfor %}";
    assert_eq!(detected(tagged), None);
    let hidden = QWEN.replace("{{- tool | tojson }}", "");
    assert_eq!(detected(&hidden), None);
}

#[test]
fn past_calls_get_the_arguments_that_the_template_wants() {
    let message: Message = serde_json::from_value(json!({
        "role": "assistant",
        "tool_calls": [{"id": "123456789", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1}"}}]
    }))
    .expect("a message");
    let mut messages = [TemplateMessage::from(&message)];
    format(QWEN).adapt(&mut messages);
    let text = template(QWEN).render_closed(&messages, None, Timestamp::UNIX_EPOCH).expect("renders");
    assert!(text.contains("{\"name\": \"add\", \"arguments\": {\"a\": 1}}"), "{text}");
}

#[test]
fn text_before_a_call_is_content() {
    let text = format!("Let me see.\n{QWEN_CALL}");
    check_read(
        QWEN,
        &text,
        &["content: Let me see.\n", "begin 0: weather", r#"arguments 0: {"city": "Paris"}"#],
    );
}

#[test]
fn several_calls_follow_each_other() {
    let text = format!(
        "{QWEN_CALL}\n<tool_call>\n{{\"name\": \"add\", \"arguments\": {{\"a\": 1, \"b\": {{\"c\": \"\\\"}}\"}}}}}}\n</tool_call>\n"
    );
    check_read(
        QWEN,
        &text,
        &[
            "begin 0: weather",
            r#"arguments 0: {"city": "Paris"}"#,
            "begin 1: add",
            r#"arguments 1: {"a": 1, "b": {"c": "\"}"}}"#,
        ],
    );
}

#[test]
fn what_turns_out_to_be_no_call_is_content() {
    for text in [
        "a < b",
        "<tool_calls>",
        "<tool_call>no JSON",
        "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": \"x\"}",
        "<tool_call",
        "<tool_call>\n{\"name\": \"wea",
    ] {
        check_read(QWEN, text, &[&format!("content: {text}")]);
    }
    check_read(LLAMA, "{\"name\": 5}", &["content: {\"name\": 5}"]);
}

#[test]
fn content_is_not_held_back_longer_than_needed() {
    let tools = tools(json!("auto"), true);
    let mut reader = ToolCallReader::new(&format(QWEN), &tools, Rng::with_seed(1));
    assert_eq!(reader.push("Paris <"), [ToolDelta::Content("Paris ".to_owned())]);
    assert_eq!(reader.push("b"), [ToolDelta::Content("<b".to_owned())]);
    assert_eq!(reader.push("<tool_call>"), []);
    assert_eq!(reader.push("{\"name\": \"weather\", \"arguments\": {\"ci").len(), 2);
    assert_eq!(reader.push("ty"), [ToolDelta::Arguments { index: 0, fragment: "ty".to_owned() }]);
    assert_eq!(reader.calls(), 1);
}

#[test]
fn where_the_model_decides_the_answer_is_free_until_a_call_begins() {
    let vocabulary = vocabulary();
    let mut constraint = tools(json!("auto"), true).constraint(&format(QWEN), &vocabulary).expect("compiles");
    for byte in b"Hm. <tool_call" {
        assert!(constraint.mask().expect("a mask").is_none());
        constraint.commit(u32::from(*byte)).expect("is free");
    }
    constraint.commit(u32::from(b'>')).expect("is free");
    let mask = constraint.mask().expect("a mask").expect("is constrained").to_vec();
    assert_eq!(mask[0], 1 << b'\n');
    assert_eq!(mask[1..].iter().map(|word| word.count_ones()).sum::<u32>(), 0);
    constraint
        .advance("\n{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":2}}\n</tool_call>", "m")
        .expect("fits");
    constraint.commit(EOS).expect("may end");
}

#[test]
fn a_token_that_leaves_the_format_leaves_the_answer_free() {
    let vocabulary = vocabulary();
    let mut constraint = tools(json!("auto"), true).constraint(&format(QWEN), &vocabulary).expect("compiles");
    constraint.advance("<tool_call", "messages[0]").expect("is free");
    // The token `>x`.
    constraint.commit(260).expect("is free");
    assert!(constraint.mask().expect("a mask").is_none());
    constraint.advance(" <tool_call>\n{\"na", "messages[0]").expect("is free");
    assert!(constraint.mask().expect("a mask").is_some());
}

#[test]
fn a_call_keeps_to_its_tools_schema() {
    let auto = tools(json!("auto"), true);
    assert!(accepts(QWEN, &auto, QWEN_CALL));
    assert!(accepts(QWEN, &auto, &format!("Text {QWEN_CALL}\n{QWEN_CALL}")));
    assert!(accepts(QWEN, &auto, "no call at all"));
    let required = tools(json!("required"), false);
    assert!(accepts(QWEN, &required, QWEN_CALL));
    assert!(!accepts(QWEN, &required, &format!("{QWEN_CALL}\n{QWEN_CALL}")));
    assert!(!accepts(QWEN, &required, "Text"));
    for wrong in ["{\"city\": 5}", "{}", "{\"town\": \"Paris\"}"] {
        assert!(!accepts(QWEN, &required, &QWEN_CALL.replace("{\"city\": \"Paris\"}", wrong)), "{wrong}");
    }
    let named = tools(json!({"type": "function", "function": {"name": "add"}}), true);
    assert!(!accepts(QWEN, &named, QWEN_CALL));
    assert!(accepts(LLAMA, &named, r#"{"name": "add", "parameters": {"a": 1, "b": -2}}"#));
    assert!(accepts(
        MISTRAL,
        &named,
        r#"[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1, "b": 2}, "id": "a1b2c3d4e"}]"#
    ));
}

#[test]
fn a_mark_that_is_a_control_token_is_written_as_one() {
    let vocabulary = vocabulary();
    let mut constraint =
        tools(json!("required"), true).constraint(&format(MISTRAL), &vocabulary).expect("compiles");
    let mask = constraint.mask().expect("a mask").expect("is constrained");
    assert_eq!(mask[TOOL_CALLS as usize / 32], 1 << (TOOL_CALLS % 32));
    assert_eq!(mask.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
    constraint.commit(TOOL_CALLS).expect("is allowed");
    assert_eq!(vocabulary.controls_in(&format(MISTRAL).marks()), [("[TOOL_CALLS]".to_owned(), TOOL_CALLS)]);
}

#[test]
fn the_arguments_of_random_calls_are_valid() {
    let vocabulary = vocabulary();
    for (seed, source) in (0..40).flat_map(|seed| [QWEN, LLAMA, MISTRAL].map(|source| (seed, source))) {
        let tools = tools(json!("required"), false);
        let format = format(source);
        let mut constraint = tools.constraint(&format, &vocabulary).expect("compiles");
        let mut reader = ToolCallReader::new(&format, &tools, Rng::with_seed(seed));
        let mut rng = Rng::with_seed(seed);
        let (mut name, mut arguments, mut ended) = (String::new(), String::new(), false);
        for _ in 0..400 {
            let mask = constraint.mask().expect("a mask").expect("is constrained").to_vec();
            let allowed: Vec<u32> = (0..=257)
                .filter(|id| (*id < 127 || *id > 255) && mask[*id as usize / 32] >> (id % 32) & 1 == 1)
                .collect();
            // ASCII only, so that each token is whole text, and in haste to close.
            let closing = allowed.iter().find(|id| [b'"', b'}'].contains(&(**id as u8)) && **id < 256);
            let token = match closing {
                Some(token) if rng.bool() => *token,
                _ => rng.choice(allowed).expect("a choice"),
            };
            constraint.commit(token).expect("is allowed");
            let text = match token {
                EOS => {
                    ended = true;
                    break;
                }
                TOOL_CALLS => "[TOOL_CALLS]".to_owned(),
                byte => char::from(byte as u8).to_string(),
            };
            for delta in reader.push(&text) {
                match delta {
                    ToolDelta::Content(text) => panic!("{text}"),
                    ToolDelta::Begin { name: begun, .. } => name = begun,
                    ToolDelta::Arguments { fragment, .. } => arguments.push_str(&fragment),
                }
            }
        }
        if ended {
            let value: Value = serde_json::from_str(&arguments).expect("valid JSON");
            let index = usize::from(name == "add");
            let schema = definitions()[index]["function"]["parameters"].clone();
            assert!(jsonschema::is_valid(&schema, &value), "{name} {value}");
            assert_eq!(reader.finish(), []);
        }
    }
}

fn check_refused(tools: Value, choice: Value, param: &str) {
    let error = Tools::read(Some(&tools), Some(&choice), None).expect_err("is refused");
    assert_eq!((error.code(), error.body().param.as_deref()), ("UAT_INVALID_INPUT", Some(param)));
}

#[test]
fn what_is_wrong_with_tools_is_named() {
    let tool = |function: Value| json!([{"type": "function", "function": function}]);
    check_refused(json!({}), json!("auto"), "tools");
    check_refused(json!([{"type": "retrieval"}]), json!("auto"), "tools[0].type");
    check_refused(json!([{"type": "function"}]), json!("auto"), "tools[0].function");
    check_refused(tool(json!({"name": "a b"})), json!("auto"), "tools[0].function.name");
    check_refused(tool(json!({"name": ""})), json!("auto"), "tools[0].function.name");
    check_refused(
        tool(json!({"name": "a", "parameters": []})),
        json!("auto"),
        "tools[0].function.parameters",
    );
    check_refused(
        tool(json!({"name": "a", "parameters": {"type": "string"}})),
        json!("auto"),
        "tools[0].function.parameters.type",
    );
    let twice = json!([definitions()[0], definitions()[0]]);
    check_refused(twice, json!("auto"), "tools[1].function.name");
    check_refused(definitions(), json!("always"), "tool_choice");
    check_refused(json!([]), json!("required"), "tool_choice");
    let unknown = json!({"type": "function", "function": {"name": "nothing"}});
    check_refused(definitions(), unknown, "tool_choice.function.name");
    let error = Tools::read(Some(&definitions()), None, Some(&json!("yes"))).expect_err("is refused");
    assert_eq!(error.body().param.as_deref(), Some("parallel_tool_calls"));
}

#[test]
fn a_schema_that_no_grammar_expresses_names_its_tool() {
    let tools = json!([{"type": "function", "function": {"name": "a", "parameters": {"properties": {"x": {"not": {}}}}}}]);
    let tools = Tools::read(Some(&tools), None, None).expect("valid").expect("some tools");
    let error = tools.constraint(&format(QWEN), &vocabulary()).expect_err("is refused");
    assert_eq!(
        (error.code(), error.body().param.as_deref()),
        ("UAT_UNSUPPORTED", Some("tools[0].function.parameters"))
    );
}

#[test]
fn no_tools_and_no_choice_of_them_are_nothing() {
    assert_eq!(Tools::read(None, None, None).expect("valid"), None);
    assert_eq!(Tools::read(Some(&json!([])), Some(&json!("auto")), None).expect("valid"), None);
    assert_eq!(Tools::read(Some(&definitions()), Some(&json!("none")), None).expect("valid"), None);
}

proptest! {
    #[test]
    fn however_an_answer_is_cut_the_same_is_read(
        parts in prop::collection::vec(prop::sample::select(vec![
            "text ", "<tool_call>", "\n", "{\"name\": \"weather\", ", "\"arguments\": ", "{\"city\": \"Pé}\"}", "}",
            "</tool_call>", "{\"name\"", "[TOOL_CALLS] [", ", \"id\": \"123456789\"", "]", ", ", "\"parameters\": ",
        ]), 0..12),
        cuts in prop::collection::vec(0usize..200, 0..12),
        source in prop::sample::select(vec![QWEN, LLAMA, MISTRAL]),
    ) {
        let full = parts.concat();
        let mut cuts: Vec<usize> =
            cuts.into_iter().map(|cut| full.floor_char_boundary(cut.min(full.len()))).collect();
        cuts.extend([0, full.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|pair| &full[pair[0]..pair[1]]).collect();
        let format = format(source);
        prop_assert_eq!(read(&format, &pieces), read(&format, &[&full]));
    }
}
