//! Keeps an answer inside a grammar: which tokens may come next, so that whatever ends by itself parses and validates.
//!
//! The work is done by llguidance (<https://github.com/guidance-ai/llguidance>): an Earley parser over lexemes that are
//! matched by derivatives, walked along a trie of the vocabulary, some 50 µs a token. What is ours: a schema is made strict
//! before it is compiled (`constraint/schema.rs`), everything is bounded, and what cannot be expressed is refused by name.
//!
//! Knows nothing of llama.cpp: a [`Vocabulary`] is made of the tokens' bytes. A [`Constraint`] belongs to one answer.

use std::fmt;
use std::sync::Arc;

use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::Value;
use toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use crate::EngineError;
pub use trigger::{Found, Trigger};

mod pattern;
mod schema;
#[cfg(test)]
mod tests;
mod trigger;

/// Between two tokens of JSON: nothing, a space, or one or two line ends with an indent, as in llama.cpp's own grammars.
/// Unbounded, a small model that lost its way writes line ends until its answer is cut.
const WHITESPACE: &str = r"\x20|\n{1,2}[ \t]{0,20}";
/// Without `\u`: two ways to write one name would let a name through that another rule excludes.
const ESCAPES: &str = "nrbtf\\\"";
/// What one grammar may cost. llguidance's defaults allow some 500 MB of lexer states for one answer.
const LIMITS: ParserLimits = ParserLimits {
    max_items_in_row: 2_000,
    // Some 20 ms.
    initial_lexer_fuel: 1_000_000,
    // Some 15 ms a token.
    step_lexer_fuel: 200_000,
    step_max_items: 50_000,
    // At 1 to 2 KB each.
    max_lexer_states: 20_000,
    max_grammar_size: 100_000,
    precompute_large_lexemes: false,
    // They would quote the answer.
    verbose_errors: false,
};

/// The tokens of one model, as grammars see them. Made once per model (some 100 ms for 100,000 tokens); cheap to clone.
#[derive(Clone)]
pub struct Vocabulary {
    env: TokEnv,
    factory: Arc<ParserFactory>,
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary")
            .field("tokens", &self.env.tok_trie().vocab_size())
            .finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// `pieces` are the bytes of each token, by id; those of control tokens are their names, like `<|im_end|>`. `special`
    /// says which are control tokens: they never match as text. `eos` and all of `eog` end an answer.
    ///
    /// # Errors
    /// [`EngineError::Internal`] where the ids and the pieces do not fit together.
    pub fn new(
        mut pieces: Vec<Vec<u8>>,
        special: impl Fn(u32) -> bool,
        eos: u32,
        eog: &[u32],
    ) -> Result<Self, EngineError> {
        let internal = |message: String| EngineError::Internal { message };
        let tokens = u32::try_from(pieces.len()).map_err(|error| internal(error.to_string()))?;
        let mut ends = vec![eos];
        ends.extend(eog.iter().copied().filter(|end| *end != eos));
        if let Some(end) = ends.iter().find(|end| **end >= tokens) {
            return Err(internal(format!(
                "token {end} ends an answer but the vocabulary has {tokens} tokens"
            )));
        }
        for (id, piece) in (0..tokens).zip(&mut pieces) {
            let is_control = special(id) || ends.contains(&id);
            // 0xff occurs in no text. A token of 0xff alone, which byte vocabularies have, would read as a control token.
            if is_control && !piece.is_empty() {
                piece.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
            } else if piece.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
                piece.clear();
            }
        }
        let trie = TokTrie::from(&TokRxInfo::new(tokens, eos), &pieces).with_eos_tokens(&ends);
        // Greedy: of the tokens that the text goes on with the longest is taken. That is not what the model's tokenizer
        // would choose, but for a text that is only to be walked over any tokens with its bytes serve.
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory =
            ParserFactory::new(&env, InferenceCapabilities::default(), &SlicedBiasComputer::general_slices())
                .map_err(|error| internal(format!("no grammar can be built for this vocabulary: {error}")))?;
        factory.quiet();
        *factory.limits_mut() = LIMITS;
        Ok(Self { env, factory: Arc::new(factory) })
    }

    /// The control tokens whose names occur in `text`, longest name first. Their text has to be shown to whoever looks for
    /// `text` in an answer.
    pub fn controls_in(&self, text: &str) -> Vec<(String, u32)> {
        let trie = self.env.tok_trie();
        let name = |id: u32| {
            let name = trie.token(id).strip_prefix(&[TokTrie::SPECIAL_TOKEN_MARKER])?;
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
            text.contains(name).then(|| (name.to_owned(), id))
        };
        let mut controls: Vec<_> = (0..trie.vocab_size() as u32).filter_map(name).collect();
        controls.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        controls
    }
}

/// A text with the control tokens in it taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Anything else.
    Text(&'a [u8]),
    /// The id of a control token and the length of its name in bytes.
    Control(u32, usize),
}

/// Takes `text` apart. `controls` are as from [`Vocabulary::controls_in`].
pub fn split_controls<'a>(text: &'a [u8], controls: &[(String, u32)]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < text.len() {
        match controls.iter().find(|(name, _)| text[at..].starts_with(name.as_bytes())) {
            Some((name, id)) => {
                parts.extend((from < at).then(|| Part::Text(&text[from..at])));
                parts.push(Part::Control(*id, name.len()));
                at += name.len();
                from = at;
            }
            None => at += 1,
        }
    }
    parts.extend((from < at).then(|| Part::Text(&text[from..])));
    parts
}

/// Where one answer is in its grammar. A clone goes its own way from there: `n` choices start from one.
pub struct Constraint {
    matcher: Matcher,
    env: TokEnv,
    /// The control tokens that the grammar knows.
    controls: Vec<(String, u32)>,
    /// Set while the answer is still free, see [`Constraint::lazy`].
    waiting: Option<Trigger>,
    mask: SimpleVob,
}

impl Clone for Constraint {
    fn clone(&self) -> Self {
        Self {
            matcher: self.matcher.clone(),
            env: Arc::clone(&self.env),
            controls: self.controls.clone(),
            waiting: self.waiting.clone(),
            mask: SimpleVob::new(),
        }
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraint").field("stopped", &self.matcher.is_stopped()).finish_non_exhaustive()
    }
}

impl Constraint {
    /// A JSON object of any content, for `response_format` `json_object`.
    ///
    /// # Errors
    /// [`EngineError::Invalid`]: never, unless the vocabulary cannot write JSON.
    pub fn json_object(vocabulary: &Vocabulary) -> Result<Self, EngineError> {
        Self::compile(vocabulary, json_grammar(schema::any_object()), Vec::new(), "response_format")
    }

    /// A JSON value that validates against `schema`; `param` names the field that carries it, for errors. Properties come
    /// in the order in which the schema declares them. Numbers have no exponent and stay within ±(2^53 - 1).
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where it is no schema, nothing satisfies it or it is too large or complex;
    /// [`EngineError::UnsupportedSchema`] names a keyword or format that no grammar expresses.
    pub fn json_schema(vocabulary: &Vocabulary, schema: &Value, param: &str) -> Result<Self, EngineError> {
        Self::compile(vocabulary, json_grammar(schema::rewrite(schema, param)?), Vec::new(), param)
    }

    /// Whatever a grammar in llguidance's dialect of Lark describes. JSON in it comes from [`embedded_schema`], control
    /// tokens from [`lark_text`]; `controls` are those that occur.
    ///
    /// # Errors
    /// As [`Constraint::json_schema`].
    pub fn lark(
        vocabulary: &Vocabulary,
        grammar: String,
        controls: Vec<(String, u32)>,
        param: &str,
    ) -> Result<Self, EngineError> {
        Self::compile(vocabulary, GrammarWithLexer::from_lark(grammar), controls, param)
    }

    /// The same constraint, but only from the text on that `trigger` looks for: until then the answer is free, costs
    /// nothing and may end. Where the token that completes the trigger goes on in a way that the grammar does not, it was
    /// none and the answer stays free.
    #[must_use]
    pub fn lazy(self, trigger: Trigger) -> Self {
        Self { waiting: Some(trigger), ..self }
    }

    fn compile(
        vocabulary: &Vocabulary,
        grammar: GrammarWithLexer,
        controls: Vec<(String, u32)>,
        param: &str,
    ) -> Result<Self, EngineError> {
        let parser = vocabulary
            .factory
            .create_parser(TopLevelGrammar::from_grammar(grammar))
            .map_err(|error| refusal(&format!("{error:#}"), param))?;
        let (matcher, env) = (Matcher::new(Ok(parser)), Arc::clone(&vocabulary.env));
        Ok(Self { matcher, env, controls, waiting: None, mask: SimpleVob::new() })
    }

    /// The control tokens that the grammar knows, each with its name: their text belongs to the answer.
    pub fn controls(&self) -> &[(String, u32)] {
        &self.controls
    }

    /// The tokens that may come next, one bit each, the lowest bit of the first word being token 0; `None` where all may.
    ///
    /// # Errors
    /// [`EngineError::Internal`] where the answer has led the grammar beyond its limits.
    pub fn mask(&mut self) -> Result<Option<&[u32]>, EngineError> {
        if self.waiting.is_some() {
            return Ok(None);
        }
        self.mask = self.matcher.compute_mask_or_eos().map_err(|error| failed(&error))?;
        Ok(Some(self.mask.as_slice()))
    }

    /// Goes over the token that was chosen. After the end only tokens that end an answer are taken.
    ///
    /// # Errors
    /// [`EngineError::Internal`] where the mask did not allow it.
    pub fn commit(&mut self, token: u32) -> Result<(), EngineError> {
        let env = Arc::clone(&self.env);
        let trie = env.tok_trie();
        let ends = trie.eos_tokens().contains(&token);
        if self.waiting.is_some() {
            if !ends {
                let piece = trie.token(token);
                self.watch(piece.strip_prefix(&[TokTrie::SPECIAL_TOKEN_MARKER]).unwrap_or(piece))?;
            }
            return Ok(());
        }
        if ends && self.is_complete() {
            return Ok(());
        }
        self.matcher.consume_token(token).map_err(|error| failed(&error))
    }

    /// Goes over the beginning of an answer that is to be continued.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] says from where on it does not fit.
    pub fn advance(&mut self, text: &str, param: &str) -> Result<(), EngineError> {
        if self.waiting.is_some() {
            return self.watch(text.as_bytes());
        }
        let fitting = consume(&mut self.matcher, &self.env, &self.controls, text.as_bytes())?;
        if fitting == text.len() {
            return Ok(());
        }
        Err(EngineError::invalid(
            param,
            format!(
                "{param}: expected the beginning of an answer in the format that response_format or tools ask for; it fits up to byte {fitting} of {}",
                text.len()
            ),
        ))
    }

    /// Looks for the trigger in what the free answer goes on with.
    fn watch(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let Some(trigger) = &mut self.waiting else { return Ok(()) };
        let mut found = trigger.push(bytes).call;
        while let Some(call) = found {
            let mut matcher = self.matcher.clone();
            if consume(&mut matcher, &self.env, &self.controls, &call)? == call.len() {
                self.matcher = matcher;
                self.waiting = None;
                return Ok(());
            }
            found = trigger.miss(&call).call;
        }
        Ok(())
    }

    /// Whether the answer is whole and nothing can follow.
    pub fn is_complete(&self) -> bool {
        self.waiting.is_none() && self.matcher.is_stopped() && self.matcher.stop_reason().is_ok()
    }
}

/// How many bytes of `text` the matcher went over.
fn consume(
    matcher: &mut Matcher,
    env: &TokEnv,
    controls: &[(String, u32)],
    text: &[u8],
) -> Result<usize, EngineError> {
    let trie = env.tok_trie();
    let mut done = 0;
    for part in split_controls(text, controls) {
        let (tokens, length) = match part {
            Part::Text(text) => (trie.greedy_tokenize(text), text.len()),
            Part::Control(id, length) => (vec![id], length),
        };
        let fitting = matcher.try_consume_tokens(&tokens).map_err(|error| failed(&error))?;
        if fitting < tokens.len() {
            return Ok(done + tokens[..fitting].iter().map(|token| trie.token_len(*token)).sum::<usize>());
        }
        done += length;
    }
    Ok(done)
}

/// A schema as `%json` of a Lark grammar takes it, rewritten as by [`Constraint::json_schema`]. `wrap` makes the schema of
/// the whole JSON out of the rewritten one, whose definitions are taken out and put back around it.
///
/// # Errors
/// As [`Constraint::json_schema`].
pub fn embedded_schema(
    schema: &Value,
    param: &str,
    wrap: impl FnOnce(Value) -> Value,
) -> Result<String, EngineError> {
    let mut inner = schema::rewrite(schema, param)?;
    let definitions = inner.as_object_mut().and_then(|inner| inner.shift_remove("$defs"));
    let mut outer = wrap(inner);
    outer["$defs"] = definitions.unwrap_or_default();
    options().apply_to(&mut outer);
    Ok(outer.to_string())
}

/// `text` as a Lark grammar writes it.
pub fn lark_text(text: &str, controls: &[(String, u32)]) -> String {
    let part = |part: &Part<'_>| match part {
        Part::Text(text) => Value::String(String::from_utf8_lossy(text).into_owned()).to_string(),
        Part::Control(id, _) => format!("<[{id}]>"),
    };
    split_controls(text.as_bytes(), controls).iter().map(part).collect::<Vec<_>>().join(" ")
}

fn options() -> JsonCompileOptions {
    JsonCompileOptions {
        whitespace_pattern: Some(WHITESPACE.to_owned()),
        json_allowed_escapes: Some(ESCAPES.to_owned()),
        ..JsonCompileOptions::default()
    }
}

fn json_grammar(mut schema: Value) -> GrammarWithLexer {
    options().apply_to(&mut schema);
    GrammarWithLexer::from_json_schema(schema)
}

/// llguidance says what is wrong in words only. What they are looked through for is pinned by tests.
fn refusal(message: &str, param: &str) -> EngineError {
    let message = message.lines().next().unwrap_or_default();
    let keywords = [
        ("oneOf", "oneOf"),
        ("patternProperty", "patternProperties"),
        ("min/maxProperties", "maxProperties"),
        ("circular references", "$ref"),
        ("intersection stack", "$ref"),
        ("multipleOf", "multipleOf"),
        ("lookaround", "pattern"),
        ("if regex is empty", "pattern"),
    ];
    if message.contains("Unsatisfiable") {
        return EngineError::invalid(
            param,
            format!("{param}: expected a schema that some value satisfies; {}", schema::shorten(message)),
        );
    }
    if let Some((_, keyword)) = keywords.iter().find(|(said, _)| message.contains(said)) {
        return EngineError::UnsupportedSchema {
            param: param.to_owned(),
            keyword: (*keyword).to_owned(),
            path: "#".to_owned(),
        };
    }
    EngineError::invalid(
        param,
        format!(
            "{param}: expected a schema that a grammar can follow; make it simpler ({})",
            schema::shorten(message)
        ),
    )
}

fn failed(error: &impl fmt::Display) -> EngineError {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    EngineError::Internal { message: format!("the grammar failed: {}", schema::shorten(message)) }
}
