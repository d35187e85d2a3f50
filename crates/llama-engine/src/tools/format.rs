//! Finds out from a model's chat template how it writes tool calls.

use std::ops::Range;

use serde_json::{Map, Value, json};

use crate::constraint::Trigger;
use crate::template::TemplateMessage;

/// Marks that no template produces by itself.
const NAME: &str = "uat_mark_name";
const ARGUMENT: &str = "uat_mark_argument";
const VALUE: &str = "uat_mark_value";
const ANSWER: &str = "uat_mark_answer";
/// Some templates insist on nine letters and digits.
const IDS: [&str; 2] = ["uatMark01", "uatMark02"];
/// What such an id looks like in a grammar.
const ID_PATTERN: &str = "^[A-Za-z0-9]{9}$";

/// How a model writes tool calls: `prefix call (separator call)* suffix`, each call being JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolFormat {
    prefix: String,
    /// `None` where the template writes one call at most.
    separator: Option<String>,
    suffix: String,
    /// A call with the marks in it, keys in the template's order.
    example: Value,
    /// How the example begins, up to the name.
    opening: String,
    /// Whether the template wants the arguments of past calls as an object; OpenAI's clients send a string.
    wants_objects: bool,
}

/// What a call consists of, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// This text, whitespace aside.
    Text(String),
    /// The tool's name, a JSON string.
    Name,
    /// The arguments, a JSON object.
    Arguments,
    /// The id that the model makes up, a JSON string.
    Id,
}

impl ToolFormat {
    /// Renders made-up conversations with `render` (messages, tools; no opening of an answer at the end) and looks at what
    /// differs. `None` where the template shows no tools, or does not write calls as JSON with the name before the
    /// arguments.
    pub fn detect(render: impl Fn(&[TemplateMessage], &Value) -> Option<String>) -> Option<Self> {
        [true, false].into_iter().find_map(|wants_objects| detect(&render, wants_objects))
    }

    /// Puts the arguments of past calls into the shape that the template wants. What is no JSON stays a string.
    pub fn adapt(&self, messages: &mut [TemplateMessage]) {
        if !self.wants_objects {
            return;
        }
        let calls = messages.iter_mut().filter_map(|message| message.extra.get_mut("tool_calls"));
        for call in calls.filter_map(Value::as_array_mut).flatten() {
            let Some(arguments) = call.pointer_mut("/function/arguments") else { continue };
            if let Some(Ok(object)) = arguments.as_str().map(serde_json::from_str::<Value>) {
                *arguments = object;
            }
        }
    }

    /// Before the first call.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Between calls.
    pub(super) fn separator(&self) -> Option<&str> {
        self.separator.as_deref()
    }

    /// After the last call.
    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// All text around calls. The control tokens in it have to be shown to [`super::ToolCallReader`] by name.
    pub fn marks(&self) -> String {
        [self.prefix.as_str(), self.separator.as_deref().unwrap_or_default(), &self.suffix].join("\n")
    }

    /// The first words of a call. Where a call has none but its JSON, only an answer that starts with it is one.
    pub(super) fn trigger(&self) -> Trigger {
        let first = self.prefix.split_whitespace().next().unwrap_or_default();
        match self.prefix.trim() {
            "" => Trigger::new(&self.opening, true),
            // What follows the mark may be spaced otherwise.
            _ if is_mark(first) => Trigger::new(first, false),
            prefix => Trigger::new(prefix, false),
        }
    }

    /// The schema of one call of the tool `name`.
    pub(super) fn call_schema(&self, name: &str, parameters: Value) -> Value {
        call_schema(&self.example, name, &parameters)
    }

    /// What one call consists of.
    pub(super) fn atoms(&self) -> Vec<Atom> {
        let mut atoms = Vec::new();
        push_atoms(&self.example, &mut atoms);
        atoms
    }
}

/// `<tool_call>` or `[TOOL_CALLS]`, which nobody writes by chance.
fn is_mark(text: &str) -> bool {
    text.len() > 4
        && matches!((text.as_bytes()[0], text.as_bytes()[text.len() - 1]), (b'<', b'>') | (b'[', b']'))
}

fn message(role: &str, content: &str) -> TemplateMessage {
    TemplateMessage { role: role.to_owned(), content: content.to_owned(), extra: Map::new() }
}

fn detect(
    render: impl Fn(&[TemplateMessage], &Value) -> Option<String>,
    wants_objects: bool,
) -> Option<ToolFormat> {
    let properties = json!({ARGUMENT: {"type": "string"}});
    let parameters = json!({"type": "object", "properties": properties, "required": [ARGUMENT]});
    let function = json!({"name": NAME, "description": "-", "parameters": parameters});
    let tools = json!([{"type": "function", "function": function}]);
    let arguments = json!({ARGUMENT: VALUE});
    let arguments = if wants_objects { arguments } else { json!(arguments.to_string()) };
    let calling = |count: usize| {
        let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": NAME, "arguments": arguments}});
        let mut message = message("assistant", "");
        message.extra.insert("tool_calls".to_owned(), IDS[..count].iter().map(call).collect());
        message
    };
    let conversation = |answer: TemplateMessage| render(&[message("user", "-"), answer], &tools);
    let plain = conversation(message("assistant", ANSWER))?;
    let one = conversation(calling(1))?;
    // Calls alone are no use to a model that does not learn which tools there are.
    let shown = plain.contains(NAME) && plain.contains(ARGUMENT);
    let head = &plain[..plain.find(ANSWER)?];
    let tail = &plain[head.len() + ANSWER.len()..];
    let begin = common_prefix(head, &one);
    let section = &one[begin..];
    let section = &section[..section.len() - common_suffix(section, tail)];
    let call = find_call(section, 0)?;
    let example: Value = serde_json::from_str(&section[call.clone()]).ok()?;
    let (prefix, suffix) = (&section[..call.start], &section[call.end..]);
    let opening = &section[call.clone()];
    let opening = &opening[..opening.find(&format!("\"{NAME}\""))?];
    // A template may refuse two calls, or write but one of them.
    let separator = conversation(calling(2)).and_then(|two| {
        let section = two.get(begin..)?;
        let first = find_call(section, 0)?;
        let second = find_call(section, first.end)?;
        section[second.end..].starts_with(suffix).then(|| section[first.end..second.start].to_owned())
    });
    // Between calls without any mark a reader could not tell one call from text.
    let separator = separator.filter(|separator| !separator.trim().is_empty());
    shown.then(|| ToolFormat {
        prefix: prefix.trim_start().to_owned(),
        separator,
        suffix: suffix.trim_end().to_owned(),
        example,
        opening: opening.trim_end().to_owned(),
        wants_objects,
    })
}

fn common_prefix(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    same.map(|(char, _)| char.len_utf8()).sum()
}

fn common_suffix(one: &str, other: &str) -> usize {
    let same = one.chars().rev().zip(other.chars().rev()).take_while(|(one, other)| one == other);
    same.map(|(char, _)| char.len_utf8()).sum()
}

/// The first JSON object from `from` on that holds the marked name and then the marked arguments.
fn find_call(text: &str, from: usize) -> Option<Range<usize>> {
    let starts = text[from..].match_indices('{').map(|(at, _)| from + at);
    starts.into_iter().find_map(|start| {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let end = start + values.byte_offset();
        let mut atoms = Vec::new();
        push_atoms(&value, &mut atoms);
        let position = |wanted: &Atom| atoms.iter().position(|atom| atom == wanted);
        (position(&Atom::Name)? < position(&Atom::Arguments)?).then_some(start..end)
    })
}

fn is_arguments(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        object.len() == 1 && object.get(ARGUMENT).and_then(Value::as_str) == Some(VALUE)
    })
}

fn push_atoms(value: &Value, atoms: &mut Vec<Atom>) {
    match value {
        Value::String(name) if name == NAME => atoms.push(Atom::Name),
        Value::String(id) if IDS.contains(&id.as_str()) => atoms.push(Atom::Id),
        arguments if is_arguments(arguments) => atoms.push(Atom::Arguments),
        Value::Object(object) => {
            let mut before = "{";
            for (key, value) in object {
                atoms.push(Atom::Text(format!("{before}{}:", Value::from(key.as_str()))));
                push_atoms(value, atoms);
                before = ",";
            }
            atoms.push(Atom::Text(if object.is_empty() { "{}" } else { "}" }.to_owned()));
        }
        constant => atoms.push(Atom::Text(constant.to_string())),
    }
}

fn call_schema(example: &Value, name: &str, parameters: &Value) -> Value {
    match example {
        Value::String(mark) if mark == NAME => json!({"const": name}),
        Value::String(mark) if IDS.contains(&mark.as_str()) => {
            json!({"type": "string", "pattern": ID_PATTERN})
        }
        arguments if is_arguments(arguments) => parameters.clone(),
        Value::Object(object) => {
            let inner = |(key, value): (&String, &Value)| (key.clone(), call_schema(value, name, parameters));
            let properties: Map<String, Value> = object.iter().map(inner).collect();
            let required: Vec<&String> = object.keys().collect();
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
        }
        constant => json!({"const": constant}),
    }
}
