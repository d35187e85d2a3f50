//! Tool calls, for models whose chat template knows them.
//!
//! Every family of models writes calls in its own way, and the template is the only place that says how. So it is asked: a
//! made-up conversation with a call in it is rendered and looked through ([`ToolFormat::detect`], after llama.cpp's
//! differential autoparser). From what is found come the grammar that keeps a call to its tool's schema
//! ([`Tools::constraint`]) and the reader that turns the text back into OpenAI's deltas ([`ToolCallReader`]). A template
//! that does not write calls as JSON with a name and arguments has no format, and the caller refuses tools by name.
//!
//! The grammar waits for the first words of a call while the answer is free: a grammar that also describes free text would
//! cost a walk over the vocabulary for every token of it. Grammar and reader look for the same words, and what does not
//! begin as a call does is text to both.

use serde_json::{Value, json};

use crate::EngineError;
use crate::constraint::{self, Constraint, Vocabulary};

mod format;
mod reader;

pub use format::ToolFormat;
pub use reader::{ToolCallReader, ToolDelta};

/// More tools than a local model tells apart; each costs a schema's compilation.
const MAX_TOOLS: usize = 128;
/// OpenAI's bound. In bytes.
const MAX_NAME: usize = 64;

/// What a request says about tools, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Tools {
    functions: Vec<Function>,
    choice: Choice,
    parallel: bool,
    definitions: Value,
}

#[derive(Debug, Clone, PartialEq)]
struct Function {
    name: String,
    parameters: Value,
}

/// OpenAI's `tool_choice`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// The model decides.
    Auto,
    /// At least one call.
    Required,
    /// A call of the function with this index.
    Named(usize),
}

impl Tools {
    /// Reads OpenAI's `tools`, `tool_choice` and `parallel_tool_calls`. `None` where there are none or `tool_choice` is
    /// `none`: the model is not even shown them.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] names the field. Schemas are looked at by [`Tools::constraint`] only.
    pub fn read(
        tools: Option<&Value>,
        tool_choice: Option<&Value>,
        parallel_tool_calls: Option<&Value>,
    ) -> Result<Option<Self>, EngineError> {
        let parallel = match parallel_tool_calls.unwrap_or(&Value::Null) {
            Value::Null => true,
            Value::Bool(parallel) => *parallel,
            _ => return Err(expected("parallel_tool_calls", "true or false")),
        };
        let definitions = tools.cloned().unwrap_or_default();
        let functions = match &definitions {
            Value::Null => Vec::new(),
            Value::Array(tools) if tools.len() <= MAX_TOOLS => functions(tools)?,
            _ => return Err(expected("tools", &format!("a list of at most {MAX_TOOLS} tools"))),
        };
        let Some(choice) = choice(tool_choice, &functions)? else { return Ok(None) };
        if functions.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { functions, choice, parallel, definitions }))
    }

    /// The tools as the client wrote them, for the template.
    pub fn definitions(&self) -> &Value {
        &self.definitions
    }

    /// The grammar of an answer that may or must call these tools in `format`. Where the model decides, the answer is free
    /// until a call begins.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] or [`EngineError::UnsupportedSchema`] about a tool's parameters.
    pub fn constraint(
        &self,
        format: &ToolFormat,
        vocabulary: &Vocabulary,
    ) -> Result<Constraint, EngineError> {
        let controls = vocabulary.controls_in(&format.marks());
        let text = |text: &str| constraint::lark_text(text, &controls);
        let allowed = match self.choice {
            Choice::Named(index) => index..index + 1,
            _ => 0..self.functions.len(),
        };
        let names: Vec<String> = allowed.clone().map(|index| format!("tool{index}")).collect();
        let more = match format.separator().filter(|_| self.parallel) {
            Some(separator) => format!("({} call)*", text(separator)),
            None => String::new(),
        };
        let mut grammar = format!(
            "start: {} call {more} {}\ncall: {}\n",
            text(format.prefix()),
            text(format.suffix()),
            names.join(" | ")
        );
        for index in allowed {
            let Function { name, parameters } = &self.functions[index];
            let param = format!("tools[{index}].function.parameters");
            let schema = constraint::embedded_schema(parameters, &param, |parameters| {
                format.call_schema(name, parameters)
            })?;
            grammar.push_str(&format!("tool{index}: %json {schema}\n"));
        }
        let constraint = Constraint::lark(vocabulary, grammar, controls, "tools")?;
        Ok(match self.choice {
            Choice::Auto => constraint.lazy(format.trigger()),
            _ => constraint,
        })
    }
}

fn expected(param: &str, what: &str) -> EngineError {
    EngineError::invalid(param, format!("{param}: expected {what}"))
}

fn functions(tools: &[Value]) -> Result<Vec<Function>, EngineError> {
    let mut functions: Vec<Function> = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        if tool.get("type").and_then(Value::as_str) != Some("function") {
            return Err(expected(
                &format!("tools[{index}].type"),
                "\"function\", the only type of tool here",
            ));
        }
        let param = format!("tools[{index}].function");
        let function = tool.get("function").and_then(Value::as_object);
        let function = function.ok_or_else(|| expected(&param, "an object with a name"))?;
        let name = function.get("name").and_then(Value::as_str).filter(|name| is_name(name));
        let name = name.ok_or_else(|| {
            expected(
                &format!("{param}.name"),
                &format!("1 to {MAX_NAME} letters, digits, underscores, dots and dashes"),
            )
        })?;
        if functions.iter().any(|function| function.name == name) {
            return Err(expected(&format!("{param}.name"), &format!("one function called {name}, got two")));
        }
        let parameters = parameters(function.get("parameters"), &format!("{param}.parameters"))?;
        functions.push(Function { name: name.to_owned(), parameters });
    }
    Ok(functions)
}

/// OpenAI's names, and the dots that some clients put between a server and its tool.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// Arguments are an object, also where the schema does not say so.
fn parameters(schema: Option<&Value>, param: &str) -> Result<Value, EngineError> {
    match schema {
        None | Some(Value::Null) => Ok(json!({"type": "object", "additionalProperties": false})),
        Some(Value::Object(schema)) => {
            let mut schema = schema.clone();
            match schema.get("type").and_then(Value::as_str) {
                Some("object") => {}
                None if !schema.contains_key("type") => {
                    schema.insert("type".to_owned(), json!("object"));
                }
                _ => return Err(expected(&format!("{param}.type"), "\"object\"")),
            }
            Ok(Value::Object(schema))
        }
        Some(_) => Err(expected(param, "a JSON Schema")),
    }
}

/// `None` for `none`.
fn choice(choice: Option<&Value>, functions: &[Function]) -> Result<Option<Choice>, EngineError> {
    const PARAM: &str = "tool_choice";
    let some_tools = |choice| match functions.is_empty() {
        true => Err(expected(PARAM, "tools to choose from, but tools is empty")),
        false => Ok(Some(choice)),
    };
    match choice.unwrap_or(&Value::Null) {
        Value::Null => Ok(Some(Choice::Auto)),
        Value::String(choice) if choice == "auto" => Ok(Some(Choice::Auto)),
        Value::String(choice) if choice == "none" => Ok(None),
        Value::String(choice) if choice == "required" => some_tools(Choice::Required),
        Value::Object(choice) if choice.get("type").and_then(Value::as_str) == Some("function") => {
            let param = "tool_choice.function.name";
            let name = choice.get("function").and_then(|function| function.get("name")?.as_str());
            let name = name.ok_or_else(|| expected(param, "the name of a function"))?;
            let index = functions.iter().position(|function| function.name == name);
            match index {
                Some(index) => Ok(Some(Choice::Named(index))),
                None => Err(expected(param, "the name of a function in tools")),
            }
        }
        _ => Err(expected(
            PARAM,
            "\"auto\", \"none\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": ...}}",
        )),
    }
}

#[cfg(test)]
mod tests;
