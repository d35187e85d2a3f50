//! A request for embeddings.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Encoding;
use crate::openai::chunk::decode_object;
use crate::openai::members::Members;
use crate::openai::request::{integer, model};
use crate::openai::scan::twice;
use crate::openai::splice::{Edit, With, span, splice};
use crate::{WireError, json};

/// OpenAI's bound on the texts of one request.
pub const MAX_INPUTS: usize = 2048;

const WHOLE: &str = "a text, an array of texts, an array of tokens or an array of such arrays";
const TEXT: &str = "a text that is not empty";
const TOKEN: &str = "a token, which is an integer from 0 to 4294967295";
const TOKENS: &str = "an array of at least one token";

/// A request for embeddings: the client's own bytes and the facts that a gateway needs. Fields unknown to this crate
/// stay in the bytes. Cloning is cheap.
#[derive(Clone)]
pub struct EmbeddingsRequest {
    body: Bytes,
    model: Arc<str>,
    model_at: Range<usize>,
    input_at: Range<usize>,
    form: Form,
    inputs: usize,
    encoding: Encoding,
    dimensions: Option<u32>,
}

/// One thing to be embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// A text.
    Text(String),
    /// What a client's own tokenizer made of a text.
    Tokens(Vec<u32>),
}

/// The four ways to write `input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Texts,
    Tokens,
    ManyTokens,
}

impl EmbeddingsRequest {
    /// Reads and checks a request in one pass over the body; texts are not decoded.
    ///
    /// # Errors
    /// [`WireError::Json`] where the body is not a JSON object; [`WireError::Invalid`] names the field that OpenAI's
    /// API would refuse, or that stands there twice.
    pub fn parse(body: Bytes) -> Result<Self, WireError> {
        const NAMES: [&str; 4] = ["model", "input", "encoding_format", "dimensions"];
        let mut found: [Option<&RawValue>; NAMES.len()] = [None; NAMES.len()];
        let Members(members) = decode_object(&body)?;
        for (key, value) in members {
            let key: String = json::decode(key.get().as_bytes())?;
            let named = NAMES.iter().zip(&mut found).find(|(name, _)| **name == key);
            if let Some((name, slot)) = named
                && slot.replace(value).is_some()
            {
                return Err(twice(name));
            }
        }
        let [model_written, input, encoding, dimensions] = found;
        let (model, model_at) = model(&body, model_written)?;
        let input = input.ok_or_else(|| WireError::invalid("input", WHOLE, "nothing"))?;
        let (form, inputs) = check_input(input)?;
        let dimensions = integer(present(dimensions), "dimensions", 1..=i64::from(u32::MAX))?
            .and_then(|d| u32::try_from(d).ok());
        Ok(Self {
            model,
            model_at,
            input_at: span(&body, input),
            form,
            inputs,
            encoding: check_encoding(present(encoding))?,
            dimensions,
            body,
        })
    }

    /// A request of our own for the embeddings of these texts.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of_texts(model: &str, texts: &[String], encoding: Encoding) -> Result<Self, WireError> {
        #[derive(Serialize)]
        struct Document<'a> {
            model: &'a str,
            input: &'a [String],
            encoding_format: &'a str,
        }
        let encoding_format = match encoding {
            Encoding::Float => "float",
            Encoding::Base64 => "base64",
        };
        Self::parse(json::encode(&Document { model, input: texts, encoding_format }))
    }

    /// The model that the client asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many vectors the answer has, 1 to [`MAX_INPUTS`].
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How the client wants them written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// How many numbers the client wants of each vector; absent: as many as the model gives.
    pub fn dimensions(&self) -> Option<u32> {
        self.dimensions
    }

    /// The body as the client wrote it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same bytes asking this model.
    pub fn to_body(&self, model: &str) -> Bytes {
        if model == &*self.model {
            return self.body.clone();
        }
        splice(&self.body, &mut [Edit { at: self.model_at.clone(), with: With::Quoted(model) }])
    }

    /// What is to be embedded, decoded: for another dialect or a tokenizer.
    ///
    /// # Errors
    /// [`WireError::Json`] where a text has an escape that is no character, which [`parse`](Self::parse) skims.
    pub fn input(&self) -> Result<Vec<EmbeddingInput>, WireError> {
        let written = self.body.get(self.input_at.clone()).unwrap_or_default();
        let texts = |texts: Vec<String>| texts.into_iter().map(EmbeddingInput::Text).collect();
        Ok(match self.form {
            Form::Text => texts(vec![json::decode_value(written, "input")?]),
            Form::Texts => texts(json::decode_value(written, "input")?),
            Form::Tokens => vec![EmbeddingInput::Tokens(json::decode_value(written, "input")?)],
            Form::ManyTokens => {
                let many: Vec<Vec<u32>> = json::decode_value(written, "input")?;
                many.into_iter().map(EmbeddingInput::Tokens).collect()
            }
        })
    }
}

impl fmt::Debug for EmbeddingsRequest {
    /// Without the body: texts do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingsRequest")
            .field("model", &self.model)
            .field("inputs", &self.inputs)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// `null` counts as absent, as it does for OpenAI.
fn present(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

fn check_encoding(value: Option<&RawValue>) -> Result<Encoding, WireError> {
    match value.map(RawValue::get) {
        None | Some(r#""float""#) => Ok(Encoding::Float),
        Some(r#""base64""#) => Ok(Encoding::Base64),
        Some(other) => Err(WireError::invalid("encoding_format", "float or base64", json::shown(other))),
    }
}

/// How `input` is written, and how many vectors it asks for.
fn check_input(input: &RawValue) -> Result<(Form, usize), WireError> {
    match input.get().as_bytes().first() {
        Some(b'"') => {
            check_text("input", input)?;
            return Ok((Form::Text, 1));
        }
        Some(b'[') => {}
        _ => return Err(refused("input", WHOLE, input)),
    }
    let (mut form, mut count, mut problem) = (None, 0, None);
    for_each(input, |index, element| {
        count = index + 1;
        if problem.is_none() {
            let form = *form.get_or_insert_with(|| form_of(element));
            problem = check_element(form, &format!("input[{index}]"), element).err();
        }
    })?;
    match (problem, form) {
        (Some(problem), _) => Err(problem),
        (None, None) => Err(WireError::invalid("input", WHOLE, "an empty array")),
        (None, Some(Form::Tokens)) => Ok((Form::Tokens, 1)),
        (None, Some(_)) if count > MAX_INPUTS => {
            let expected = format!("at most {MAX_INPUTS} texts; send more in several requests");
            Err(WireError::invalid("input", expected, format!("{count} texts")))
        }
        (None, Some(form)) => Ok((form, count)),
    }
}

/// The form that an array has by its first element.
fn form_of(first: &RawValue) -> Form {
    match first.get().as_bytes().first() {
        Some(b'[') => Form::ManyTokens,
        Some(b'-' | b'0'..=b'9') => Form::Tokens,
        _ => Form::Texts,
    }
}

fn check_element(form: Form, at: &str, element: &RawValue) -> Result<(), WireError> {
    match form {
        Form::Text | Form::Texts => check_text(at, element),
        Form::Tokens => check_token(at, element),
        Form::ManyTokens => check_tokens(at, element),
    }
}

fn check_text(at: &str, text: &RawValue) -> Result<(), WireError> {
    match text.get() {
        "\"\"" => Err(WireError::invalid(at, TEXT, "\"\"")),
        written if written.starts_with('"') => Ok(()),
        _ => Err(refused(at, TEXT, text)),
    }
}

fn check_token(at: &str, token: &RawValue) -> Result<(), WireError> {
    match token.get().parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(refused(at, TOKEN, token)),
    }
}

fn check_tokens(at: &str, tokens: &RawValue) -> Result<(), WireError> {
    if !tokens.get().starts_with('[') {
        return Err(refused(at, TOKENS, tokens));
    }
    let mut problem = Some(WireError::invalid(at, TOKENS, "an empty array"));
    for_each(tokens, |index, token| {
        if index == 0 || problem.is_none() {
            problem = check_token(&format!("{at}[{index}]"), token).err();
        }
    })?;
    problem.map_or(Ok(()), Err)
}

/// Of a text only its kind is told: it is what is to be embedded.
fn refused(at: &str, expected: &str, got: &RawValue) -> WireError {
    let raw = got.get();
    let got = if raw.starts_with('"') { json::kind(raw).to_owned() } else { json::shown(raw) };
    WireError::invalid(at, expected, got)
}

/// Visits the elements of an array one by one: collected, those of a body of tokens would take several times its memory.
fn for_each(array: &RawValue, visit: impl FnMut(usize, &RawValue)) -> Result<(), WireError> {
    struct Elements<F>(F);
    impl<'de, F: FnMut(usize, &RawValue)> Visitor<'de> for Elements<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
            let mut index = 0;
            while let Some(element) = elements.next_element::<&RawValue>()? {
                self.0(index, element);
                index += 1;
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(array.get());
    reader.deserialize_seq(Elements(visit)).map_err(|error| json::malformed(array.get().as_bytes(), &error))
}
