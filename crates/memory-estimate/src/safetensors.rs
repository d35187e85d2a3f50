//! The header of a safetensors file, every length and offset checked.
//!
//! By hand because the `safetensors` crate wants the header in one slice with what follows it, and its errors say what is
//! wrong but not where. The format: <https://github.com/huggingface/safetensors#format>.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::EstimateError;

/// The longest header that is read, in bytes: the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Where the header's text begins, in bytes: its length stands in front.
const START: u64 = 8;

/// A file's tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) file_bytes: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    /// The row last, as its makers count.
    pub(crate) shape: Vec<u64>,
    /// For example `BF16`.
    pub(crate) kind: String,
    /// Of its data.
    pub(crate) bytes: u64,
}

/// # Errors
/// [`EstimateError::Corrupt`] with the place of what does not fit, [`EstimateError::Io`].
pub(crate) fn read(mut source: impl Read + Seek) -> Result<Table, EstimateError> {
    let io = |source| EstimateError::Io { path: PathBuf::new(), source };
    let file_bytes = source.seek(SeekFrom::End(0)).map_err(io)?;
    source.rewind().map_err(io)?;
    let corrupt = |offset, reason: String| EstimateError::Corrupt { offset, reason };
    if file_bytes < START {
        return Err(corrupt(0, format!("expected a length of 8 bytes, the file has {file_bytes}")));
    }
    let mut length = [0; 8];
    source.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(corrupt(
            0,
            format!("its header has {length} bytes, at most {MAX_HEADER_BYTES} are read"),
        ));
    }
    let data = START + length;
    if data > file_bytes {
        return Err(corrupt(0, format!("its header has {length} bytes, the file only {file_bytes}")));
    }
    let mut text = vec![0; length as usize];
    source.read_exact(&mut text).map_err(io)?;
    let entries: Entries = serde_json::from_slice(&text).map_err(|error| {
        corrupt(START + place(&text, &error), format!("its header is not sound: {error}"))
    })?;
    check(entries, data, file_bytes)
}

/// Where in the text a parser stopped.
fn place(text: &[u8], error: &serde_json::Error) -> u64 {
    let lines = text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let before: usize = lines.map(<[u8]>::len).sum();
    (before + error.column().saturating_sub(1)).min(text.len()) as u64
}

/// That tensors have the size of their shape, lie one behind the other, and fill the file.
fn check(entries: Entries, data: u64, file_bytes: u64) -> Result<Table, EstimateError> {
    let mut order: Vec<(&String, &Entry)> = entries.0.iter().collect();
    order.sort_by_key(|(_, entry)| entry.data_offsets);
    let available = file_bytes - data;
    let mut reached = 0;
    for (name, entry) in order {
        let [start, end] = entry.data_offsets;
        let at = data.saturating_add(start);
        let corrupt = |reason: String| EstimateError::Corrupt { offset: at.min(file_bytes), reason };
        if end < start || end > available {
            return Err(corrupt(format!(
                "tensor {name:?} lies at {start} to {end} of the data, which has {available} bytes"
            )));
        }
        if start < reached {
            return Err(corrupt(format!(
                "tensor {name:?} overlaps the one before it, which ends at {reached} of the data"
            )));
        }
        if start > reached {
            return Err(corrupt(format!(
                "there is a gap of {} bytes before tensor {name:?}",
                start - reached
            )));
        }
        let bits = bits(&entry.dtype)
            .ok_or_else(|| corrupt(format!("tensor {name:?} has the unknown type {:?}", entry.dtype)))?;
        let elements = entry.shape.iter().try_fold(1u64, |all, size| all.checked_mul(*size));
        let bytes = elements.and_then(|count| count.checked_mul(bits)).map(|bits| bits.div_ceil(8));
        if bytes != Some(end - start) {
            return Err(corrupt(format!(
                "tensor {name:?} of the shape {:?} and the type {} has {} bytes, which does not fit",
                entry.shape,
                entry.dtype,
                end - start
            )));
        }
        reached = end;
    }
    if reached != available {
        return Err(EstimateError::Corrupt {
            offset: data + reached,
            reason: format!("{} bytes of the data belong to no tensor", available - reached),
        });
    }
    let tensors = entries.0.into_iter().map(|(name, entry)| {
        let [start, end] = entry.data_offsets;
        (name, Tensor { shape: entry.shape, kind: entry.dtype, bytes: end - start })
    });
    Ok(Table { tensors: tensors.collect(), file_bytes })
}

/// Of a number of this type: `Dtype` of the format's own library.
fn bits(kind: &str) -> Option<u64> {
    Some(match kind {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// All entries but the one for notes; a name that occurs twice is refused.
#[derive(Debug)]
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value::<Entry>()?;
                    if let Some(_earlier) = entries.insert(name.clone(), entry) {
                        return Err(serde::de::Error::custom(format!("the tensor {name:?} occurs twice")));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Table)
    }
}
