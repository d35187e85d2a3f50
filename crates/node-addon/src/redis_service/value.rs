//! Values that cross one at a time, and answers of Redis.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use redis_service::envelope::CacheValue;
use redis_service::resp::Value;
use serde_json::json;

use crate::error::Crossing;

/// A value of the cache; exactly one of the fields is there.
#[napi(object)]
#[derive(Default)]
pub struct RedisValue {
    /// Text.
    pub text: Option<String>,
    /// JSON.
    pub json: Option<String>,
    /// A safe integer.
    pub integer: Option<f64>,
    /// Bytes.
    pub bytes: Option<Uint8Array>,
}

impl From<RedisValue> for CacheValue {
    fn from(value: RedisValue) -> Self {
        match value {
            RedisValue { text: Some(text), .. } => Self::Text(text.into()),
            RedisValue { integer: Some(number), .. } => Self::Integer(number as i64),
            RedisValue { bytes: Some(bytes), .. } => Self::Bytes(Bytes::copy_from_slice(&bytes)),
            RedisValue { json, .. } => Self::Json(json.unwrap_or_else(|| "null".to_owned()).into()),
        }
    }
}

impl RedisValue {
    /// The value as it crosses.
    pub(crate) fn of(value: CacheValue) -> napi::Result<Self> {
        let text = |bytes: Bytes| {
            String::from_utf8(bytes.into()).map_err(|_| Crossing::internal("a text that is not UTF-8"))
        };
        Ok(match value {
            CacheValue::Text(bytes) => Self { text: Some(text(bytes)?), ..Self::default() },
            CacheValue::Json(bytes) => Self { json: Some(text(bytes)?), ..Self::default() },
            CacheValue::Integer(number) => Self { integer: Some(number as f64), ..Self::default() },
            CacheValue::Bytes(bytes) => Self { bytes: Some(Vec::from(bytes).into()), ..Self::default() },
        })
    }
}

/// An answer as JSON in which bytes that are not UTF-8 are `{"bytes": base64}`, maps `{"map": [[key, value]]}`: napi has no type for
/// values of any shape.
pub(crate) fn answer_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => json!(number),
        Value::Double(number) if number.is_finite() => json!(number),
        Value::Double(number) => json!({ "double": number.to_string() }),
        Value::Boolean(yes) => json!(yes),
        Value::Bulk(bytes) | Value::Status(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "bytes": STANDARD.encode(bytes) }),
        },
        Value::Array(elements) | Value::Push(elements) => elements.iter().map(answer_json).collect(),
        Value::Map(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(key, value)| json!([answer_json(key), answer_json(value)])).collect();
            json!({ "map": pairs })
        }
        Value::Error(error) => json!({ "error": error.text }),
    }
}
