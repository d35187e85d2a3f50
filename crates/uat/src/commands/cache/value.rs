//! Values between the terminal and the cache.

use std::borrow::Cow;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use runtime::redis_service::envelope::{CacheValue, MAX_SAFE_INTEGER, MAX_VALUE_BYTES};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The value that an argument means; `-` is standard input.
pub(super) fn read(argument: &str, is_json: bool) -> Result<CacheValue, Failure> {
    let bytes = match argument {
        "-" => standard_input()?,
        text => Bytes::copy_from_slice(text.as_bytes()),
    };
    if is_json {
        return from_json(bytes);
    }
    Ok(if std::str::from_utf8(&bytes).is_ok() { CacheValue::Text(bytes) } else { CacheValue::Bytes(bytes) })
}

fn standard_input() -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    // One more than allowed, so that what is too long is refused by the service and not cut.
    io::stdin().lock().take(MAX_VALUE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// As JavaScript stores the same value: its numbers can be added to, its text is text.
fn from_json(bytes: Bytes) -> Result<CacheValue, Failure> {
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new("UAT_INVALID_INPUT", format!("VALUE: expected JSON, got something else: {error}"))
            .hint("quote text twice, as in '\"text\"', or leave --json-value out")
    })?;
    Ok(match value {
        Value::String(text) => CacheValue::Text(text.into()),
        Value::Number(number) => match number.as_i64() {
            Some(integer) if (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&integer) => {
                CacheValue::Integer(integer)
            }
            _ => CacheValue::Json(bytes),
        },
        _ => CacheValue::Json(bytes),
    })
}

/// The value itself, for a file or another program.
pub(super) fn bytes(value: &CacheValue) -> Cow<'_, [u8]> {
    match value {
        CacheValue::Text(bytes) | CacheValue::Json(bytes) | CacheValue::Bytes(bytes) => Cow::Borrowed(bytes),
        CacheValue::Integer(integer) => Cow::Owned(integer.to_string().into_bytes()),
    }
}

/// For a terminal: JSON in lines, and no byte that the terminal would obey.
pub(super) fn for_people(value: &CacheValue) -> String {
    match value {
        CacheValue::Json(bytes) => match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => format!("{value:#}"),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        },
        CacheValue::Text(bytes) => String::from_utf8_lossy(bytes)
            .chars()
            .flat_map(|letter| {
                let obeyed = letter.is_control() && !matches!(letter, '\n' | '\t');
                let escaped = obeyed.then(|| letter.escape_default());
                escaped.into_iter().flatten().chain((!obeyed).then_some(letter))
            })
            .collect(),
        CacheValue::Bytes(bytes) => format!("{} bytes: {}", bytes.len(), bytes.escape_ascii()),
        CacheValue::Integer(integer) => integer.to_string(),
    }
}

/// For programs; bytes are base64.
pub(super) fn document(key: &str, value: &CacheValue, ttl_ms: Option<u64>) -> Value {
    let (kind, value) = match value {
        CacheValue::Json(bytes) => {
            let text = || json!(String::from_utf8_lossy(bytes));
            ("json", serde_json::from_slice(bytes).unwrap_or_else(|_| text()))
        }
        CacheValue::Text(bytes) => ("text", json!(String::from_utf8_lossy(bytes))),
        CacheValue::Bytes(bytes) => ("base64", json!(STANDARD.encode(bytes))),
        CacheValue::Integer(integer) => ("integer", json!(integer)),
    };
    json!({ "key": key, "found": true, "type": kind, "value": value, "ttlMs": ttl_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(argument: &str, is_json: bool, expected: CacheValue) {
        assert_eq!(read(argument, is_json).unwrap(), expected);
    }

    #[test]
    fn an_argument_is_text_unless_it_is_said_to_be_json() {
        check("42", false, CacheValue::Text("42".into()));
        check("42", true, CacheValue::Integer(42));
        check("\"42\"", true, CacheValue::Text("42".into()));
        check("1.5", true, CacheValue::Json("1.5".into()));
        check("9007199254740993", true, CacheValue::Json("9007199254740993".into()));
        check("[1, 2]", true, CacheValue::Json("[1, 2]".into()));
        assert!(read("{", true).is_err());
    }

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        assert_eq!(for_people(&CacheValue::Text("a\u{1b}[2Jb\n\u{e4}".into())), "a\\u{1b}[2Jb\n\u{e4}");
        assert_eq!(for_people(&CacheValue::Bytes(Bytes::from_static(b"\x00\xff"))), "2 bytes: \\x00\\xff");
        assert_eq!(for_people(&CacheValue::Json("{\"a\":1}".into())), "{\n  \"a\": 1\n}");
    }
}
