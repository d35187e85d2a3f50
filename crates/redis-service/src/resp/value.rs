//! What Redis answers.

use bytes::Bytes;

/// A reply or a push message. Strings are slices of the bytes that were read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value: RESP3's null, RESP2's null bulk string or null array.
    Null,
    /// An integer.
    Integer(i64),
    /// A string of bytes; also verbatim strings and big numbers, without their marks.
    Bulk(Bytes),
    /// A status such as `OK`.
    Status(Bytes),
    /// RESP3's double.
    Double(f64),
    /// RESP3's boolean.
    Boolean(bool),
    /// An array or a set.
    Array(Vec<Value>),
    /// RESP3's map, as pairs in the order of their arrival.
    Map(Vec<(Value, Value)>),
    /// Something that nobody asked for: a message of a channel, an invalidation.
    Push(Vec<Value>),
    /// The command was refused.
    Error(ServerError),
}

/// An error that Redis itself answers with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ServerError {
    /// The whole line, its code first: `WRONGTYPE Operation against a key ...`.
    pub text: String,
}

impl ServerError {
    /// The first word, by which errors are told apart: `WRONGTYPE`, `MOVED`, `OOM`.
    pub fn code(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }
}

impl Value {
    /// The bytes of a string or status.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bulk(bytes) | Self::Status(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A string or status that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// An integer, also where it is written as a string.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Boolean(yes) => Some(i64::from(*yes)),
            other => other.as_str().and_then(|text| text.parse().ok()),
        }
    }

    /// The elements of an array, set or push.
    pub fn into_elements(self) -> Option<Vec<Value>> {
        match self {
            Self::Array(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Field and value pairs: a map, or RESP2's flat array of them.
    pub fn into_pairs(self) -> Option<Vec<(Value, Value)>> {
        match self {
            Self::Map(pairs) => Some(pairs),
            Self::Array(flat) if flat.len() % 2 == 0 => {
                let mut pairs = Vec::with_capacity(flat.len() / 2);
                let mut flat = flat.into_iter();
                while let (Some(field), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((field, value));
                }
                Some(pairs)
            }
            _ => None,
        }
    }

    /// The value unless it is an error.
    pub fn ok(self) -> Result<Value, ServerError> {
        match self {
            Self::Error(error) => Err(error),
            value => Ok(value),
        }
    }
}
