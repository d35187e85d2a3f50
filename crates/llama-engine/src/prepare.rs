//! From a request to what the batcher needs: the prompt's tokens, and what the answer must look like.

use std::sync::{Arc, OnceLock};

use fastrand::Rng;

use crate::EngineError;
use crate::batcher::Grammar;
use crate::constraint::{Constraint, Vocabulary};
use crate::llama::Model;
use crate::request::{ChatJob, Format, ToolFields};
use crate::template::{ChatTemplate, TemplateMessage};
use crate::token::Token;
use crate::tools::{ToolCallReader, ToolFormat, Tools};

/// Names the field that carries a schema.
const SCHEMA: &str = "response_format.json_schema.schema";

/// A request that can be queued.
#[derive(Debug)]
pub struct Prepared {
    /// The prompt.
    pub prompt: Vec<Token>,
    /// What each answer must look like.
    pub grammar: Option<Constraint>,
    /// Control tokens that are shown, each with its text.
    pub shown: Vec<(Token, Vec<u8>)>,
    /// The tools that it offers, how the model calls them, and the beginning of the answer that is to be continued.
    tools: Option<(Tools, ToolFormat, String)>,
}

impl Prepared {
    /// What finds calls in one answer; `None` where no tools are offered. `rng` makes up the calls' ids.
    pub fn reader(&self, rng: Rng) -> Option<ToolCallReader> {
        let (tools, format, begun) = self.tools.as_ref()?;
        let mut reader = ToolCallReader::new(format, tools, rng);
        // The client has it already.
        reader.push(begun);
        Some(reader)
    }
}

/// What is known of a model's vocabulary and template; made when it is first asked for.
#[derive(Debug, Clone, Default)]
pub struct Structure(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    vocabulary: OnceLock<Result<Vocabulary, EngineError>>,
    tools: OnceLock<Option<ToolFormat>>,
}

impl Structure {
    fn vocabulary(&self, model: &Model) -> Result<&Vocabulary, EngineError> {
        let made = self.0.vocabulary.get_or_init(|| {
            let pieces = model.pieces();
            let ids = 0..u32::try_from(pieces.len()).unwrap_or(u32::MAX);
            let token = |id: u32| Token::try_from(id).unwrap_or(-1);
            let ends: Vec<u32> = ids.filter(|id| model.ends_answer(token(*id))).collect();
            let eos = u32::try_from(model.eos()).ok().or(ends.first().copied()).unwrap_or(0);
            Vocabulary::new(pieces, |id| model.is_special(token(id)), eos, &ends)
        });
        made.as_ref().map_err(Clone::clone)
    }

    fn tool_format(&self, template: &ChatTemplate, now: jiff::Timestamp) -> Result<&ToolFormat, EngineError> {
        let found = self.0.tools.get_or_init(|| {
            ToolFormat::detect(|messages, tools| template.render_closed(messages, Some(tools), now).ok())
        });
        found.as_ref().ok_or(EngineError::Unsupported {
            feature: "tools",
            hint: "this model's chat template does not say how tools are called; take a model that was trained for it",
        })
    }
}

/// The tokens that the prompt of a request has, however long it is.
///
/// # Errors
/// What is wrong with messages or tools.
pub fn count(
    model: &Model,
    structure: &Structure,
    job: ChatJob,
    now: jiff::Timestamp,
) -> Result<usize, EngineError> {
    Ok(render(model, structure, job.messages, job.tools.as_ref(), now)?.prompt.len())
}

/// A prompt and what it was made of.
struct Rendered<'a> {
    prompt: Vec<Token>,
    messages: Vec<TemplateMessage>,
    tools: Option<Tools>,
    tool_format: Option<&'a ToolFormat>,
}

fn render<'a>(
    model: &Model,
    structure: &'a Structure,
    mut messages: Vec<TemplateMessage>,
    tools: Option<&ToolFields>,
    now: jiff::Timestamp,
) -> Result<Rendered<'a>, EngineError> {
    let template = model.template()?;
    let tools = match tools {
        Some(fields) => Tools::read(Some(&fields.tools), fields.choice.as_ref(), fields.parallel.as_ref())?,
        None => None,
    };
    let called = messages.iter().any(|message| message.extra.contains_key("tool_calls"));
    let tool_format = match tools.is_some() || called {
        true => Some(structure.tool_format(template, now)?),
        false => None,
    };
    if let Some(format) = tool_format {
        format.adapt(&mut messages);
    }
    let definitions = tools.as_ref().map(Tools::definitions);
    let prompt = model.tokenize(&template.render(&messages, definitions, now)?);
    if prompt.is_empty() {
        return Err(EngineError::invalid(
            "messages",
            "messages: expected some text, but the prompt is empty",
        ));
    }
    Ok(Rendered { prompt, messages, tools, tool_format })
}

/// Renders and tokenizes the prompt, and compiles what the answer must look like.
///
/// # Errors
/// [`EngineError::ContextLengthExceeded`], and what is wrong with messages, format or tools.
pub fn prepare(
    model: &Model,
    structure: &Structure,
    job: ChatJob,
    now: jiff::Timestamp,
) -> Result<Prepared, EngineError> {
    let Rendered { prompt, messages, tools, tool_format } =
        render(model, structure, job.messages, job.tools.as_ref(), now)?;
    let context = model.context_tokens();
    if prompt.len() >= context {
        return Err(EngineError::ContextLengthExceeded { prompt: prompt.len(), context });
    }
    let begun = messages.last().filter(|last| last.role == "assistant").map(|last| last.content.clone());
    let tools = tools
        .zip(tool_format)
        .map(|(tools, format)| (tools, format.clone(), begun.clone().unwrap_or_default()));
    let mut grammar = match (&job.format, &tools) {
        (_, Some((tools, format, _))) => Some(tools.constraint(format, structure.vocabulary(model)?)?),
        (Format::Text, None) => None,
        (Format::JsonObject, None) => Some(Constraint::json_object(structure.vocabulary(model)?)?),
        (Format::JsonSchema(schema), None) => {
            Some(Constraint::json_schema(structure.vocabulary(model)?, schema, SCHEMA)?)
        }
    };
    if let (Some(grammar), Some(begun)) = (&mut grammar, &begun) {
        grammar.advance(begun, &format!("messages[{}].content", messages.len() - 1))?;
    }
    let controls = grammar.as_ref().map_or(&[][..], Constraint::controls).iter();
    let shown =
        controls.map(|(text, id)| (Token::try_from(*id).unwrap_or(-1), text.clone().into_bytes())).collect();
    Ok(Prepared { prompt, grammar, shown, tools })
}

impl Grammar for Constraint {
    fn allowed(&mut self) -> Result<Option<&[u32]>, EngineError> {
        self.mask()
    }

    fn accept(&mut self, token: Token) -> Result<(), EngineError> {
        let token =
            u32::try_from(token).map_err(|error| EngineError::Internal { message: error.to_string() })?;
        self.commit(token)
    }
}
