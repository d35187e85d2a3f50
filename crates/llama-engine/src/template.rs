//! Renders a conversation with the model's own chat template, the Jinja source inside its GGUF file.
//!
//! llama.cpp's built-in renderer only recognises a list of known templates, so the template is really run here, in the
//! dialect that Hugging Face's `apply_chat_template` gives it
//! (<https://huggingface.co/docs/transformers/chat_templating_writing>): blocks trimmed, Python's string methods,
//! `raise_exception`, `strftime_now`.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use llm_wire::openai::{Message, Role};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, context};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::EngineError;

/// The name of the one template in the environment; appears in the messages of template errors.
const NAME: &str = "chat_template";
/// Spaces of one level of `tojson(indent=...)`; templates write 2 or 4.
const MAX_INDENT: usize = 16;
/// Where the render's time lies for `strftime_now`.
const NOW: &str = "uat_now_unix_seconds";
/// Steps that one render may take: a long conversation needs some ten thousand, an endless loop is cut within a second.
const FUEL: u64 = 20_000_000;
/// Marks the end of a message that is to be continued. Private-use characters: no template produces them.
const CONTINUE_HERE: &str = "\u{f8f0}continue-here\u{f8f1}";

/// One message, as templates see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateMessage {
    /// `system`, `user`, `assistant`, `tool`, ...
    pub role: String,
    /// The text parts, joined.
    pub content: String,
    /// Whatever else the client sent with the message.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl From<&Message> for TemplateMessage {
    fn from(message: &Message) -> Self {
        let mut extra = message.extra.clone();
        let strings = [("name", &message.name), ("tool_call_id", &message.tool_call_id)];
        for (key, value) in strings {
            if let Some(value) = value {
                extra.insert(key.to_owned(), Value::String(value.clone()));
            }
        }
        if let Some(calls) = &message.tool_calls {
            extra.insert("tool_calls".to_owned(), calls.clone());
        }
        // The typed fields win over anything that calls itself the same.
        extra.remove("role");
        extra.remove("content");
        Self { role: role_name(message.role).to_owned(), content: message.text(), extra }
    }
}

/// Templates know the older name of the instructions' role only.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Developer => Role::System.as_str(),
        role => role.as_str(),
    }
}

/// A compiled chat template. Rendering takes `&self`, so one serves many requests at once.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles `source`. `bos` and `eos` are the texts of the model's begin and end tokens.
    ///
    /// # Errors
    /// What the template's syntax got wrong, with its line.
    pub fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| describe(&error))?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, source).map_err(|error| describe(&error))?;
        Ok(Self { environment, bos, eos })
    }

    /// The prompt for `messages`, ready for the model to answer. A trailing assistant message is left open, so that the
    /// model goes on where it ends. `tools` are OpenAI's tool definitions, for templates that show them. `now` is what a
    /// template that asks for the date is told (UTC).
    ///
    /// # Errors
    /// [`EngineError::Invalid`] with the template's own words: many refuse role orders that they were not trained on.
    pub fn render(
        &self,
        messages: &[TemplateMessage],
        tools: Option<&Value>,
        now: Timestamp,
    ) -> Result<String, EngineError> {
        let Some(last) = messages.last().filter(|last| last.role == "assistant") else {
            return self.run(messages, tools, true, now);
        };
        let mut messages = messages.to_vec();
        if let Some(open) = messages.last_mut() {
            open.content.push_str(CONTINUE_HERE);
        }
        let mut prompt = self.run(&messages, tools, false, now)?;
        let Some(end) = prompt.rfind(CONTINUE_HERE) else {
            return Err(EngineError::invalid(
                format!("messages[{}]", messages.len() - 1),
                format!(
                    "this model's chat template does not show the last {} message, so it cannot be continued; end with a user message",
                    last.role
                ),
            ));
        };
        prompt.truncate(end);
        Ok(prompt)
    }

    /// A conversation as it stands, with nothing left open: for finding out how the template writes things.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_closed(
        &self,
        messages: &[TemplateMessage],
        tools: Option<&Value>,
        now: Timestamp,
    ) -> Result<String, EngineError> {
        self.run(messages, tools, false, now)
    }

    fn run(
        &self,
        messages: &[TemplateMessage],
        tools: Option<&Value>,
        generate: bool,
        now: Timestamp,
    ) -> Result<String, EngineError> {
        let render = || {
            self.environment.get_template(NAME)?.render(context! {
                messages => minijinja::value::Serde(messages),
                add_generation_prompt => generate,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                tools => minijinja::value::Serde(tools),
                uat_now_unix_seconds => now.as_second(),
            })
        };
        render().map_err(|error| {
            EngineError::invalid(
                "messages",
                format!("the model's chat template refuses these messages: {}", describe(&error)),
            )
        })
    }
}

/// JSON as Python writes it and models have read it in training: spaces after `,` and `:`, nothing escaped for HTML.
fn to_json(value: &minijinja::Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // They change nothing that a prompt needs.
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        options.get::<Option<minijinja::Value>>(ignored)?;
    }
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = vec![b' '; indent.min(MAX_INDENT)];
            let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    };
    let invalid = |error: String| Error::new(ErrorKind::BadSerialization, error);
    written.map_err(|error| invalid(error.to_string()))?;
    String::from_utf8(out).map_err(|error| invalid(error.to_string()))
}

/// Python's default separators.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn strftime_now(state: &State, format: String) -> Result<String, Error> {
    let seconds = state.lookup(NOW).and_then(|now| i64::try_from(now).ok()).unwrap_or_default();
    let invalid = |error: jiff::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let now = Timestamp::from_second(seconds).map_err(invalid)?.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(&format, &now).map_err(invalid)
}

/// The message and the line, without the source around it, which may quote the conversation.
fn describe(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn message(role: &str, content: &str) -> TemplateMessage {
        TemplateMessage { role: role.to_owned(), content: content.to_owned(), extra: Map::new() }
    }

    fn render(template: &str, messages: &[TemplateMessage]) -> Result<String, EngineError> {
        let template = ChatTemplate::new(template.to_owned(), "<s>".to_owned(), "</s>".to_owned());
        let now = Timestamp::from_second(1_700_000_000).expect("a valid time");
        template.expect("a valid template").render(messages, None, now)
    }

    fn check(template: &str, messages: &[TemplateMessage], expected: &str) {
        assert_eq!(render(template, messages).expect("renders"), expected);
    }

    fn check_refused(template: &str, messages: &[TemplateMessage], expected: &str) {
        let error = render(template, messages).expect_err("is refused");
        assert_eq!(error.code(), "UAT_INVALID_INPUT");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_conversation_ends_with_the_opening_of_the_answer() {
        check(CHATML, &[message("user", "Hi")], "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn a_trailing_assistant_message_is_left_open() {
        let messages = [message("user", "Capital?"), message("assistant", "The capital is ")];
        check(
            CHATML,
            &messages,
            "<|im_start|>user\nCapital?<|im_end|>\n<|im_start|>assistant\nThe capital is ",
        );
    }

    #[test]
    fn a_template_that_trims_still_continues_after_the_last_space() {
        let trimming = CHATML.replace("message['content']", "message['content'] | trim");
        check(&trimming, &[message("assistant", "one ")], "<|im_start|>assistant\none ");
    }

    #[test]
    fn a_message_that_the_template_leaves_out_cannot_be_continued() {
        check_refused(
            "{{ messages[0].content }}",
            &[message("user", "a"), message("assistant", "b")],
            "cannot be continued",
        );
    }

    #[test]
    fn blocks_leave_no_whitespace_and_tokens_are_known() {
        check(
            "{{ bos_token }}\n{% if true %}\n    {% if true %}\nx\n    {% endif %}\n{% endif %}\n{{ eos_token }}",
            &[],
            "<s>\nx\n</s>",
        );
    }

    #[test]
    fn python_string_methods_work_as_in_transformers() {
        check("{{ messages[0].content.split('|')[1].strip().upper() }}", &[message("user", "a| b ")], "B");
        check("{{ messages[0]['content'].startswith('a') }}", &[message("user", "ab")], "True");
    }

    #[test]
    fn tools_are_written_as_python_writes_json() {
        let template =
            "{% for tool in tools %}{{ tool | tojson }}{{ tool.z | tojson(indent=2) }}{% endfor %}";
        let template = ChatTemplate::new(template.to_owned(), String::new(), String::new());
        let tools = serde_json::json!([{"z": {"a": ["<é>", 1]}, "b": null}]);
        let text = template.expect("a valid template").render(&[], Some(&tools), Timestamp::UNIX_EPOCH);
        assert_eq!(
            text.expect("renders"),
            "{\"z\": {\"a\": [\"<é>\", 1]}, \"b\": null}{\n  \"a\": [\n    \"<é>\",\n    1\n  ]\n}"
        );
    }

    #[test]
    fn the_date_is_the_one_that_was_passed_in() {
        check("{{ strftime_now('%d %b %Y') }}", &[], "14 Nov 2023");
    }

    #[test]
    fn what_the_template_refuses_is_an_error_in_its_words() {
        check_refused("{{ raise_exception('roles must alternate') }}", &[], "roles must alternate");
    }

    #[test]
    fn an_endless_template_is_cut() {
        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        check_refused(endless, &[], "fuel");
    }

    #[test]
    fn a_template_with_wrong_syntax_names_the_line() {
        let error = ChatTemplate::new("a\n{% if %}".to_owned(), String::new(), String::new());
        assert!(error.expect_err("is refused").contains("line 2"));
    }

    #[test]
    fn an_error_does_not_quote_the_conversation() {
        let error =
            render("{{ messages[0].content + 1 }}", &[message("user", "a secret")]).expect_err("is refused");
        assert!(!error.to_string().contains("a secret"), "{error}");
    }
}
