//! The items of a conversation, as messages.

use serde_json::{Map, Value, json};

use super::{Dropped, content, refuse, sealed};
use crate::{WireError, json};

/// What an input may consist of.
const KINDS: &str =
    "message, function_call, function_call_output or reasoning, which are what a chat consists of";

/// `instructions` and `input` as messages.
pub(super) fn messages(
    instructions: Option<&Value>,
    input: Option<Value>,
    dropped: &mut Dropped,
) -> Result<Vec<Value>, WireError> {
    let mut conversation = Conversation::default();
    match instructions {
        None => {}
        Some(Value::String(text)) => {
            conversation.messages.push(json!({ "role": "system", "content": text }));
        }
        Some(other) => return refuse("instructions", "a string", other),
    }
    match input {
        Some(Value::String(text)) => conversation.messages.push(json!({ "role": "user", "content": text })),
        Some(Value::Array(items)) if !items.is_empty() => {
            for (index, item) in items.into_iter().enumerate() {
                conversation.item(item, &format!("input[{index}]"), dropped)?;
            }
        }
        Some(Value::Array(_)) => {
            return Err(WireError::invalid(
                "input",
                "a string or a non-empty array of items",
                "an empty array",
            ));
        }
        Some(other) => return refuse("input", "a string or a non-empty array of items", &other),
        None => {
            return Err(WireError::invalid("input", "a string or a non-empty array of items", "nothing"));
        }
    }
    conversation.end_turn();
    Ok(conversation.messages)
}

#[derive(Default)]
struct Conversation {
    messages: Vec<Value>,
    turn: Option<Turn>,
}

/// One turn of the assistant, which is several items here and one message in a chat.
#[derive(Default)]
struct Turn {
    reasoning: String,
    details: Vec<Value>,
    content: Option<Value>,
    calls: Vec<Value>,
}

impl Conversation {
    fn item(&mut self, item: Value, at: &str, dropped: &mut Dropped) -> Result<(), WireError> {
        let Value::Object(mut item) = item else { return refuse(at, "an object with a type", &item) };
        item.retain(|_, value| !value.is_null());
        // Both say how an item came to be, not what it says.
        item.shift_remove("id");
        item.shift_remove("status");
        let kind = item.shift_remove("type");
        match kind.as_ref().map(|kind| kind.as_str().unwrap_or_default()) {
            // Only a message may leave its type out.
            None if item.contains_key("role") => self.message(item, at, dropped),
            Some("message") => self.message(item, at, dropped),
            Some("function_call") => self.call(item, at),
            Some("function_call_output") => self.call_output(item, at, dropped),
            Some("reasoning") => self.reasoning(item, at, dropped),
            Some("item_reference") => {
                let expected = "the item itself, because nothing is stored here that could be referred to";
                refuse(&format!("{at}.type"), expected, &json!("item_reference"))
            }
            _ => refuse(&format!("{at}.type"), KINDS, &kind.unwrap_or_default()),
        }
    }

    fn message(
        &mut self,
        mut item: Map<String, Value>,
        at: &str,
        dropped: &mut Dropped,
    ) -> Result<(), WireError> {
        let role = item.shift_remove("role").unwrap_or_default();
        let content = content::translate(
            item.shift_remove("content").unwrap_or_default(),
            &format!("{at}.content"),
            dropped,
        )?;
        if item.shift_remove("phase").is_some() {
            dropped.note("input[].phase");
        }
        nothing_else(&item, at)?;
        match role.as_str() {
            Some("assistant") => {
                let turn = self.turn_that_takes_more();
                turn.content = Some(match turn.content.take() {
                    None => content,
                    Some(before) => content::joined(before, content),
                });
            }
            Some("user" | "system" | "developer") => {
                self.end_turn();
                self.messages.push(json!({ "role": role, "content": content }));
            }
            _ => return refuse(&format!("{at}.role"), "one of user, assistant, system, developer", &role),
        }
        Ok(())
    }

    fn call(&mut self, mut item: Map<String, Value>, at: &str) -> Result<(), WireError> {
        let call_id = text(&mut item, "call_id", at)?;
        let name = text(&mut item, "name", at)?;
        let arguments = text(&mut item, "arguments", at)?;
        called_directly(&mut item, at)?;
        nothing_else(&item, at)?;
        let function = json!({ "name": name, "arguments": arguments });
        let turn = self.turn.get_or_insert_default();
        turn.calls.push(json!({ "id": call_id, "type": "function", "function": function }));
        Ok(())
    }

    fn call_output(
        &mut self,
        mut item: Map<String, Value>,
        at: &str,
        dropped: &mut Dropped,
    ) -> Result<(), WireError> {
        let call_id = text(&mut item, "call_id", at)?;
        let output = content::translate(
            item.shift_remove("output").unwrap_or_default(),
            &format!("{at}.output"),
            dropped,
        )?;
        called_directly(&mut item, at)?;
        nothing_else(&item, at)?;
        self.end_turn();
        self.messages.push(json!({ "role": "tool", "tool_call_id": call_id, "content": output }));
        Ok(())
    }

    fn reasoning(
        &mut self,
        mut item: Map<String, Value>,
        at: &str,
        dropped: &mut Dropped,
    ) -> Result<(), WireError> {
        let told = pieces(item.shift_remove("content"), &format!("{at}.content"), "reasoning_text")?;
        let summary = pieces(item.shift_remove("summary"), &format!("{at}.summary"), "summary_text")?;
        let details = match item.shift_remove("encrypted_content") {
            None => Vec::new(),
            Some(Value::String(sealed)) => sealed::open(&sealed).unwrap_or_else(|| {
                // Only whoever encrypted it can read it, and they are not asked in this dialect.
                dropped.note("input[].encrypted_content");
                Vec::new()
            }),
            Some(other) => return refuse(&format!("{at}.encrypted_content"), "a string", &other),
        };
        nothing_else(&item, at)?;
        let told = if told.is_empty() { summary } else { told };
        // Without a text it signs what the turn has said.
        let turn =
            if told.is_empty() { self.turn.get_or_insert_default() } else { self.turn_that_takes_more() };
        if !turn.reasoning.is_empty() && !told.is_empty() {
            turn.reasoning.push('\n');
        }
        turn.reasoning.push_str(&told);
        turn.details.extend(details);
        Ok(())
    }

    /// What is said before the tools have answered belongs to the turn that called them, because an answer has to
    /// follow its call; other texts are turns of their own.
    fn turn_that_takes_more(&mut self) -> &mut Turn {
        if self.turn.as_ref().is_some_and(|turn| turn.content.is_some() && turn.calls.is_empty()) {
            self.end_turn();
        }
        self.turn.get_or_insert_default()
    }

    fn end_turn(&mut self) {
        let Some(Turn { reasoning, details, content, calls }) = self.turn.take() else { return };
        let mut message = Map::new();
        message.insert("role".to_owned(), json!("assistant"));
        let nothing_said = if calls.is_empty() { json!("") } else { Value::Null };
        message.insert("content".to_owned(), content.unwrap_or(nothing_said));
        if !reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), json!(reasoning));
        }
        if !details.is_empty() {
            message.insert("reasoning_details".to_owned(), Value::Array(details));
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        self.messages.push(Value::Object(message));
    }
}

fn text(item: &mut Map<String, Value>, name: &str, at: &str) -> Result<String, WireError> {
    match item.shift_remove(name) {
        Some(Value::String(text)) => Ok(text),
        other => refuse(&format!("{at}.{name}"), "a string", &other.unwrap_or_default()),
    }
}

/// Calls by a program that the model wrote are OpenAI's own.
fn called_directly(item: &mut Map<String, Value>, at: &str) -> Result<(), WireError> {
    match item.shift_remove("caller") {
        None => Ok(()),
        Some(caller) if caller.get("type").and_then(Value::as_str) == Some("direct") => Ok(()),
        Some(caller) => refuse(&format!("{at}.caller"), "direct, because no programs run here", &caller),
    }
}

fn nothing_else(item: &Map<String, Value>, at: &str) -> Result<(), WireError> {
    match item.iter().next() {
        None => Ok(()),
        Some((name, value)) => {
            refuse(&format!("{at}.{name}"), "a field of this item that has a counterpart in a chat", value)
        }
    }
}

/// The texts of an array of `{"type": kind, "text": ...}`, one a line.
fn pieces(list: Option<Value>, at: &str, kind: &str) -> Result<String, WireError> {
    let list = match list {
        None => return Ok(String::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return refuse(at, "an array", &other),
    };
    let mut texts = Vec::with_capacity(list.len());
    for (index, piece) in list.iter().enumerate() {
        let is_kind = piece.get("type").and_then(Value::as_str) == Some(kind);
        match piece.get("text").and_then(Value::as_str) {
            Some(text) if is_kind => texts.push(text),
            _ => {
                let expected = format!("an object of type {kind} with a text");
                return Err(WireError::invalid(format!("{at}[{index}]"), expected, json::shown_tree(piece)));
            }
        }
    }
    Ok(texts.join("\n"))
}
