//! Reading and writing JSON with errors that say where and what, and cost nothing until there is one.

use bytes::Bytes;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::WireError;

/// Longest quotation of an offending scalar, in bytes: enough to recognise it, too short to carry a prompt.
const QUOTE_BYTES: usize = 64;
/// Longest message of the JSON parser that is passed on, in bytes.
const MESSAGE_BYTES: usize = 240;

/// Decodes a document. The path is only worked out, by a second reading, once there is an error to report.
pub(crate) fn decode<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, WireError> {
    serde_json::from_slice(document).map_err(|error| match error.classify() {
        Category::Data => {
            let mut reader = serde_json::Deserializer::from_slice(document);
            let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
                Err(error) => dotted(error.path()),
                Ok(_) => "$".to_owned(),
            };
            located(&error, path, None)
        }
        Category::Syntax | Category::Eof | Category::Io => malformed(document, &error),
    })
}

/// Decodes an owned value that is already a tree; `path` names where the tree hung.
pub(crate) fn decode_tree<T: DeserializeOwned>(tree: serde_json::Value, path: &str) -> Result<T, WireError> {
    serde_path_to_error::deserialize::<_, T>(tree)
        .map_err(|error| located(error.inner(), joined(path, &dotted(error.path())), None))
}

/// The path of what lies at `inner` in the value at `path`.
fn joined(path: &str, inner: &str) -> String {
    match inner {
        "$" => path.to_owned(),
        inner if inner.starts_with('[') => format!("{path}{inner}"),
        inner => format!("{path}.{inner}"),
    }
}

/// Decodes a value as it stands in a document; `path` names where, and so do the errors.
pub(crate) fn decode_value<'a, T: Deserialize<'a>>(value: &'a [u8], path: &str) -> Result<T, WireError> {
    decode(value).map_err(|error| match error {
        WireError::Json { path: inner, message, .. } => {
            // Lines and columns would be those of the value.
            WireError::Json { path: joined(path, &inner), line: 0, column: 0, message }
        }
        other => other,
    })
}

/// The error of a document that is not JSON, with the path at which it stopped being so.
pub(crate) fn malformed(document: &[u8], error: &serde_json::Error) -> WireError {
    let mut reader = serde_json::Deserializer::from_slice(document);
    let path = match serde_path_to_error::deserialize::<_, Walk>(&mut reader) {
        Err(error) => dotted(error.path()),
        Ok(Walk) => "$".to_owned(),
    };
    located(error, path, foreign_literal(document, error))
}

/// The document as text. Checked as a whole it need not be checked string by string, and strings that nobody reads are
/// checked, too.
pub(crate) fn text(document: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(document).map_err(|error| not_utf8(document, error.valid_up_to()))
}

fn not_utf8(document: &[u8], valid_up_to: usize) -> WireError {
    let before = document.get(..valid_up_to).unwrap_or_default();
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    WireError::Json {
        path: "$".to_owned(),
        line: memchr::memchr_iter(b'\n', before).count() + 1,
        column: valid_up_to - line_start + 1,
        message: "a byte that is not UTF-8, as JSON has to be".to_owned(),
    }
}

/// Writes a document of strings, numbers and trees.
#[expect(
    clippy::expect_used,
    reason = "writing to memory cannot fail, and no type here has a map with keys other than strings"
)]
pub(crate) fn encode<T: Serialize>(document: &T) -> Bytes {
    serde_json::to_vec(document).expect("a document of strings, numbers and trees").into()
}

/// Appends one JSON string, quoted and escaped.
#[expect(clippy::expect_used, reason = "writing a string to memory cannot fail")]
pub(crate) fn append_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is written to memory");
}

/// The kind of a JSON value, told from its first byte.
pub(crate) fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    }
}

/// A scalar as it was written, shortened; of anything longer only the kind, because it may hold a prompt.
pub(crate) fn shown(raw: &str) -> String {
    match raw.as_bytes().first() {
        Some(b'{' | b'[') | None => kind(raw).to_owned(),
        Some(_) if raw.len() <= QUOTE_BYTES => raw.to_owned(),
        Some(_) => format!("{} of {} bytes", kind(raw), raw.len()),
    }
}

/// The same for a value that is already a tree.
pub(crate) fn shown_tree(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(_) => "an object".to_owned(),
        serde_json::Value::Array(_) => "an array".to_owned(),
        scalar => shown(&scalar.to_string()),
    }
}

/// At most `limit` bytes of a text, cut between characters.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    // A question mark stands for a key that could not be read.
    match path.strip_suffix('?').unwrap_or(&path).trim_end_matches('.') {
        "" => "$".to_owned(),
        path => path.to_owned(),
    }
}

fn located(error: &serde_json::Error, path: String, hint: Option<String>) -> WireError {
    let full = error.to_string();
    // The parser appends the position that has fields of its own here.
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    let message = hint.unwrap_or_else(|| shortened(&without_text(message), MESSAGE_BYTES));
    WireError::Json { path, line: error.line(), column: error.column(), message }
}

/// `invalid type: string "the prompt", expected u64` without the text that it quotes.
fn without_text(message: &str) -> String {
    let quoted = ["invalid type: string \"", "invalid value: string \""];
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if quoted.iter().any(|start| message.starts_with(start)) => {
            format!("invalid type: a string, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// Names the literals that other languages write and JSON does not have.
fn foreign_literal(document: &[u8], error: &serde_json::Error) -> Option<String> {
    let mut line_start = 0;
    for _ in 1..error.line() {
        line_start += memchr::memchr(b'\n', document.get(line_start..)?)? + 1;
    }
    let rest = document.get(line_start + error.column().checked_sub(1)?..)?;
    let advice = [
        ("NaN", "numbers are finite"),
        ("Infinity", "numbers are finite"),
        ("None", "write null"),
        ("undefined", "write null"),
        ("True", "write true"),
        ("False", "write false"),
        ("'", "strings stand in double quotes"),
    ];
    let (literal, advice) = advice.iter().find(|(literal, _)| rest.starts_with(literal.as_bytes()))?;
    Some(format!("{literal} is not JSON: {advice}"))
}

/// Visits every value of a document and keeps none, so that the path of a syntax error can be tracked without the
/// memory that a tree would take.
struct Walk;

impl<'de> Deserialize<'de> for Walk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Walk;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_str<E>(self, _: &str) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_unit<E>(self) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Walk, A::Error> {
        while let Some(Walk) = seq.next_element()? {}
        Ok(Walk)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Walk, A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value::<Walk>()?;
        }
        Ok(Walk)
    }
}
