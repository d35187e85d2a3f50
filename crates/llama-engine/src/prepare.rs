//! From a request to what the batcher needs: the prompt's tokens, and what the answer must look like.

use crate::EngineError;
use crate::batcher::Token;
use crate::llama::Model;
use crate::request::ChatJob;

/// A request that can be queued.
#[derive(Debug)]
pub struct Prepared {
    /// The prompt.
    pub prompt: Vec<Token>,
    /// What each answer must look like.
    pub grammar: Option<Constraint>,
}

/// What is known of a model's vocabulary and template; made when it is first asked for.
#[derive(Debug, Clone, Default)]
pub struct Structure;

/// Renders and tokenizes the prompt.
///
/// # Errors
/// [`EngineError::ContextLengthExceeded`], and what is wrong with messages, format or tools.
pub fn prepare(
    model: &Model,
    _: &Structure,
    job: ChatJob,
    now: jiff::Timestamp,
) -> Result<Prepared, EngineError> {
    let prompt = model.tokenize(&model.template()?.render(&job.messages, None, now)?);
    if prompt.is_empty() {
        return Err(EngineError::invalid(
            "messages",
            "messages: expected some text, but the prompt is empty",
        ));
    }
    let context = model.context_tokens();
    if prompt.len() >= context {
        return Err(EngineError::ContextLengthExceeded { prompt: prompt.len(), context });
    }
    Ok(Prepared { prompt, grammar: None })
}

/// Soon.
#[derive(Debug, Clone)]
pub enum Constraint {}
impl crate::batcher::Grammar for Constraint {
    fn allowed(&mut self) -> Result<Option<&[u32]>, EngineError> {
        match *self {}
    }
    fn accept(&mut self, _: Token) -> Result<(), EngineError> {
        match *self {}
    }
}
