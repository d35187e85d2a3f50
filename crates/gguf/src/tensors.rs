//! The table of tensors: sizes, and that each lies inside the file.

use std::fmt;
use std::io::{Read, Seek};

use crate::GgufError;
use crate::reader::Reader;

/// `GGML_MAX_NAME`, its closing zero included.
const MAX_NAME_BYTES: u64 = 63;
/// `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;

/// All tensors of a file together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tensors {
    /// How many.
    pub count: u64,
    /// Numbers in all of them: the model's parameters.
    pub elements: u64,
    /// Size of the data in bytes, without the gaps between tensors.
    pub bytes: u64,
    /// The same by type, in the order of the first occurrence.
    pub by_type: Vec<TypeTotal>,
}

/// The tensors of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeTotal {
    /// How each number is stored.
    pub kind: TensorType,
    /// How many.
    pub count: u64,
    /// Numbers in them.
    pub elements: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// How a tensor's numbers are stored: a `ggml_type`. Only known types are ever made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorType {
    code: u32,
    name: &'static str,
    elements_per_block: u64,
    bytes_per_block: u64,
}

impl TensorType {
    /// llama.cpp's name, for example `Q4_K`.
    pub fn name(self) -> &'static str {
        self.name
    }

    fn of(code: u32) -> Option<Self> {
        TYPES.iter().copied().find(|kind| kind.code == code)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Tensors {
    /// Reads `count` descriptions; returns the sum, and where the last byte of data ends relative to its start.
    pub(crate) fn read(
        reader: &mut Reader<impl Read + Seek>,
        count: u64,
        alignment: u64,
        each: &mut impl FnMut(&Tensor),
    ) -> Result<(Self, u64), GgufError> {
        let mut all = Self::default();
        let mut end = 0;
        for _ in 0..count {
            let tensor = Tensor::read(reader)?;
            let named = |reason: &str| reader.corrupt(format!("{reason} tensor {:?}", tensor.name));
            if !tensor.offset.is_multiple_of(alignment) {
                let reason = format!("the offset {} is not a multiple of {alignment}, in", tensor.offset);
                return Err(named(&reason));
            }
            let tensor_end = tensor.offset.checked_add(tensor.bytes);
            end = end.max(tensor_end.ok_or_else(|| named("the end overflows, of"))?);
            all.add(&tensor).ok_or_else(|| named("the sum of all sizes overflows, at"))?;
            each(&tensor);
        }
        Ok((all, end))
    }

    /// The type that takes the most bytes.
    pub fn main_type(&self) -> Option<TensorType> {
        self.by_type.iter().max_by_key(|total| total.bytes).map(|total| total.kind)
    }

    fn add(&mut self, tensor: &Tensor) -> Option<()> {
        self.count += 1;
        self.elements = self.elements.checked_add(tensor.elements)?;
        self.bytes = self.bytes.checked_add(tensor.bytes)?;
        let total = match self.by_type.iter_mut().find(|total| total.kind == tensor.kind) {
            Some(total) => total,
            None => {
                self.by_type.push(TypeTotal { kind: tensor.kind, count: 0, elements: 0, bytes: 0 });
                self.by_type.last_mut()?
            }
        };
        total.count += 1;
        total.elements += tensor.elements;
        total.bytes += tensor.bytes;
        Some(())
    }
}

/// One tensor, as the table describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// For example `blk.0.attn_q.weight`.
    pub name: String,
    /// How its numbers are stored.
    pub kind: TensorType,
    /// Numbers in each direction, the row first; 1 where there is no such direction.
    pub dimensions: [u64; 4],
    /// Numbers in all.
    pub elements: u64,
    /// Size of the data in bytes.
    pub bytes: u64,
    /// Where its data begin, in bytes from the start of all data.
    pub offset: u64,
}

impl Tensor {
    fn read(reader: &mut Reader<impl Read + Seek>) -> Result<Self, GgufError> {
        let name = reader.name("tensor", MAX_NAME_BYTES)?;
        let dimensions = reader.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(reader.corrupt(format!(
                "tensor {name:?} has {dimensions} dimensions, at most {MAX_DIMENSIONS} are possible"
            )));
        }
        let mut sizes = [1; MAX_DIMENSIONS as usize];
        let mut elements: u64 = 1;
        for size in sizes.iter_mut().take(dimensions as usize) {
            *size = reader.u64()?;
            elements = elements
                .checked_mul(*size)
                .ok_or_else(|| reader.corrupt(format!("the size of tensor {name:?} overflows")))?;
        }
        let (code, row) = (reader.u32()?, sizes[0]);
        let kind = TensorType::of(code)
            .ok_or_else(|| reader.corrupt(format!("tensor {name:?} has the unknown type {code}")))?;
        if !row.is_multiple_of(kind.elements_per_block) {
            return Err(reader.corrupt(format!(
                "tensor {name:?} of type {kind} has rows of {row} elements, expected a multiple of {}",
                kind.elements_per_block
            )));
        }
        let bytes = (elements / kind.elements_per_block)
            .checked_mul(kind.bytes_per_block)
            .ok_or_else(|| reader.corrupt(format!("the size of tensor {name:?} overflows")))?;
        Ok(Self { name, kind, dimensions: sizes, elements, bytes, offset: reader.u64()? })
    }
}

const fn kind(code: u32, name: &'static str, elements_per_block: u64, bytes_per_block: u64) -> TensorType {
    TensorType { code, name, elements_per_block, bytes_per_block }
}

/// By `ggml_type`: elements and bytes of one block, as in `GGML_QUANT_SIZES` of
/// <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py>. What is missing was removed from ggml.
const TYPES: &[TensorType] = &[
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(9, "Q8_1", 32, 36),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(16, "IQ2_XXS", 256, 66),
    kind(17, "IQ2_XS", 256, 74),
    kind(18, "IQ3_XXS", 256, 98),
    kind(19, "IQ1_S", 256, 50),
    kind(20, "IQ4_NL", 32, 18),
    kind(21, "IQ3_S", 256, 110),
    kind(22, "IQ2_S", 256, 82),
    kind(23, "IQ4_XS", 256, 136),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 56),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
    kind(39, "MXFP4", 32, 17),
    kind(40, "NVFP4", 64, 36),
    kind(41, "Q1_0", 128, 18),
    kind(42, "Q2_0", 64, 18),
];
