//! The form, read field by field: a recording goes to a file when it is large.

use std::io::Write;

use axum::body::Body;
use http::HeaderValue;
use llm_wire::WireError;
use multer::{Field, Multipart};
use runtime::RuntimeError;
use runtime::voice_processing::ProcessOptions;
use tempfile::{SpooledTempFile, spooled_tempfile};

use super::answer::{Answer, Shape};
use crate::error::ApiError;
use crate::request_body;

/// A recording of this size is kept in memory; of 16-bit speech at 16 kHz it lasts two minutes.
const IN_MEMORY: usize = 4 << 20;
/// A field of words; the longest is a prompt, of which a model takes some hundred.
const LONGEST_TEXT: usize = 64 << 10;

/// What was asked.
pub(super) struct Form {
    pub(super) file: SpooledTempFile,
    pub(super) model: Option<String>,
    pub(super) options: ProcessOptions,
    pub(super) answer: Answer,
    pub(super) stream: bool,
}

impl Form {
    /// Reads all of a body, whatever is wrong with a field: a client that is still writing hears nothing.
    pub(super) async fn read(
        content_type: Option<HeaderValue>,
        body: Body,
        limit: usize,
    ) -> Result<Self, ApiError> {
        let said = content_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        let boundary = multer::parse_boundary(said)
            .map_err(|_| invalid("content-type", "multipart/form-data with a boundary", said))?;
        let mut parts = Multipart::new(request_body::pieces(body, limit), boundary);
        let (mut file, mut texts) = (None, Vec::new());
        while let Some(mut field) = parts.next_field().await.map_err(unreadable)? {
            match field.name().map(str::to_owned) {
                Some(name) if name == "file" => file = Some(spooled(&mut field).await?),
                Some(name) => {
                    let text = text(&mut field, &name).await?;
                    texts.push((name, text));
                }
                None => {}
            }
        }
        let file = file.ok_or_else(|| invalid("file", "a recording", "nothing"))?;
        let mut form = Self {
            file,
            model: None,
            options: ProcessOptions::default(),
            answer: Answer::default(),
            stream: false,
        };
        for (name, text) in texts {
            form.set(&name, text)?;
        }
        form.check()
    }

    /// Fields that are not known change nothing here, as with OpenAI's own older models.
    fn set(&mut self, name: &str, text: String) -> Result<(), ApiError> {
        match name {
            "model" => self.model = Some(text),
            "language" => self.options.language = Some(text.to_lowercase()).filter(|code| !code.is_empty()),
            "prompt" => self.options.prompt = Some(text).filter(|prompt| !prompt.trim().is_empty()),
            "response_format" => self.answer.shape = Shape::parse(&text)?,
            "temperature" => {
                let temperature =
                    text.trim().parse::<f32>().ok().filter(|number| (0.0..=1.0).contains(number));
                let temperature = temperature.ok_or_else(|| invalid("temperature", "0 to 1", &text))?;
                self.options.temperature = Some(temperature);
            }
            "timestamp_granularities[]" | "timestamp_granularities" => match text.as_str() {
                "word" => self.answer.words = true,
                "segment" => self.answer.segments = true,
                _ => return Err(invalid("timestamp_granularities[]", "word or segment", &text)),
            },
            "stream" => {
                self.stream = match text.to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" | "" => false,
                    _ => return Err(invalid("stream", "true or false", &text)),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check(mut self) -> Result<Self, ApiError> {
        let verbose = self.answer.shape == Shape::Verbose;
        if (self.answer.words || self.answer.segments) && !verbose {
            let expected = "response_format=verbose_json beside it";
            return Err(invalid("timestamp_granularities[]", expected, self.answer.shape.name()));
        }
        if self.stream && !matches!(self.answer.shape, Shape::Json | Shape::Text) {
            return Err(invalid(
                "stream",
                "response_format=json or text beside it",
                self.answer.shape.name(),
            ));
        }
        self.answer.segments |= !self.answer.words;
        self.options.word_timestamps = self.answer.words;
        Ok(self)
    }
}

/// A field that is not as it should be.
pub(super) fn invalid(field: &str, expected: &str, got: &str) -> ApiError {
    // What a client sent comes back to it, but not a page of it.
    let got = if got.is_empty() { "nothing".to_owned() } else { got.chars().take(100).collect() };
    WireError::Invalid { field: field.to_owned(), expected: expected.to_owned(), got }.into()
}

fn unreadable(error: multer::Error) -> ApiError {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<ApiError>() {
            Ok(ours) => *ours,
            Err(_) => ApiError::BodyCut,
        },
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => ApiError::BodyCut,
        other => invalid("$", "a multipart form", &other.to_string()),
    }
}

/// What is written beyond memory goes to the page cache, which takes microseconds for a piece of a body: no thread is worth it.
async fn spooled(field: &mut Field<'_>) -> Result<SpooledTempFile, ApiError> {
    let mut file = spooled_tempfile(IN_MEMORY);
    while let Some(piece) = field.chunk().await.map_err(unreadable)? {
        file.write_all(&piece).map_err(|error| RuntimeError::Internal {
            message: format!("a recording cannot be kept in the folder of temporary files: {error}"),
        })?;
    }
    Ok(file)
}

async fn text(field: &mut Field<'_>, name: &str) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(unreadable)? {
        if bytes.len() + piece.len() > LONGEST_TEXT {
            return Err(invalid(name, "at most 64 KiB", "more"));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| invalid(name, "text in UTF-8", "other bytes"))
}
