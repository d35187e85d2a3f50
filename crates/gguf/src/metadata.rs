//! One value of the metadata, and which of them are kept.

use std::io::{Read, Seek};

use crate::GgufError;
use crate::reader::Reader;

/// Far above any chat template (the longest known have some 30 KB), far below a tokenizer as one string.
const MAX_TEXT_BYTES: u64 = 256 << 10;
/// More layers than any model has: what is given per layer is kept, vocabularies are not.
const MAX_LIST: u64 = 1024;

/// What a metadata key says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer that is not negative, of any width.
    Unsigned(u64),
    /// An integer of a signed type.
    Signed(i64),
    /// Of 32 or 64 bits.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text of up to 256 KiB.
    Text(String),
    /// Up to 1,024 integers of 32 bits, for example the number of heads of each layer; or as many truths, as 0 and 1, for
    /// example which layers look back over a window only.
    Integers(Vec<i32>),
    /// Something large, such as a vocabulary: read over and not kept.
    Unkept {
        /// Elements of a list; bytes of a text, which is too long or not UTF-8.
        length: u64,
    },
}

impl Value {
    /// The value of an integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a value with its type in front.
    pub(crate) fn read(reader: &mut Reader<impl Read + Seek>) -> Result<Self, GgufError> {
        Ok(match reader.u32()? {
            U8 => Self::Unsigned(u64::from(u8::from_le_bytes(reader.bytes()?))),
            I8 => Self::Signed(i64::from(i8::from_le_bytes(reader.bytes()?))),
            U16 => Self::Unsigned(u64::from(u16::from_le_bytes(reader.bytes()?))),
            I16 => Self::Signed(i64::from(i16::from_le_bytes(reader.bytes()?))),
            U32 => Self::Unsigned(u64::from(reader.u32()?)),
            I32 => Self::Signed(i64::from(i32::from_le_bytes(reader.bytes()?))),
            F32 => Self::Float(f64::from(f32::from_le_bytes(reader.bytes()?))),
            BOOL => Self::Bool(reader.bytes::<1>()? != [0]),
            STRING => text(reader)?,
            ARRAY => list(reader)?,
            U64 => Self::Unsigned(reader.u64()?),
            I64 => Self::Signed(i64::from_le_bytes(reader.bytes()?)),
            F64 => Self::Float(f64::from_le_bytes(reader.bytes()?)),
            kind => return Err(reader.corrupt(format!("the value type {kind} is not known"))),
        })
    }
}

// `gguf_metadata_value_type` of the format's description.
const U8: u32 = 0;
const I8: u32 = 1;
const U16: u32 = 2;
const I16: u32 = 3;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;
const I64: u32 = 11;
const F64: u32 = 12;

fn text(reader: &mut Reader<impl Read + Seek>) -> Result<Value, GgufError> {
    let length = reader.u64()?;
    if length > MAX_TEXT_BYTES {
        reader.skip(length)?;
        return Ok(Value::Unkept { length });
    }
    Ok(String::from_utf8(reader.take(length)?).map_or(Value::Unkept { length }, Value::Text))
}

fn list(reader: &mut Reader<impl Read + Seek>) -> Result<Value, GgufError> {
    let kind = reader.u32()?;
    let length = reader.u64()?;
    let size = match kind {
        BOOL if length <= MAX_LIST => {
            return Ok(Value::Integers(
                reader.take(length)?.iter().map(|byte| i32::from(*byte != 0)).collect(),
            ));
        }
        U8 | I8 | BOOL => 1,
        U16 | I16 => 2,
        U32 | I32 if length <= MAX_LIST => return integers(reader, kind, length),
        U32 | I32 | F32 => 4,
        U64 | I64 | F64 => 8,
        STRING => {
            reader.skip_texts(length)?;
            return Ok(Value::Unkept { length });
        }
        // llama.cpp does not read them either.
        ARRAY => return Err(reader.corrupt("a list of lists is not possible")),
        kind => return Err(reader.corrupt(format!("the value type {kind} is not known"))),
    };
    let bytes = length.checked_mul(size);
    reader.skip(bytes.ok_or_else(|| reader.corrupt(format!("a list of {length} elements is too long")))?)?;
    Ok(Value::Unkept { length })
}

fn integers(reader: &mut Reader<impl Read + Seek>, kind: u32, length: u64) -> Result<Value, GgufError> {
    let bytes = reader.take(length * 4)?;
    let words = bytes.as_chunks::<4>().0.iter();
    let integers: Option<Vec<i32>> = if kind == I32 {
        Some(words.map(|word| i32::from_le_bytes(*word)).collect())
    } else {
        words.map(|word| i32::try_from(u32::from_le_bytes(*word)).ok()).collect()
    };
    Ok(integers.map_or(Value::Unkept { length }, Value::Integers))
}
