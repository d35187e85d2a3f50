//! The header as a whole.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use crate::reader::Reader;
use crate::{GgufError, Tensor, Tensors, Value};

/// How much of a file is read at most: ten times the largest vocabularies, and still a fraction of a second.
pub const MAX_HEADER_BYTES: u64 = 256 << 20;
/// The format's limit of a key, in bytes.
const MAX_KEY_BYTES: u64 = 65_535;
/// Many times what any converter writes (some fifty); bounds what the table of entries takes beside their content.
const MAX_ENTRIES: u64 = 4096;
/// The default of `general.alignment`, in bytes.
const DEFAULT_ALIGNMENT: u64 = 32;

/// What the header of a sound file says; of a whole model, or of one of its parts where [`Pieces`] allows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Of the format: 2 or 3.
    pub version: u32,
    /// Of the file, in bytes.
    pub file_bytes: u64,
    /// Tensors begin at multiples of this many bytes.
    pub alignment: u64,
    /// Where the tensors' data begins, in bytes from the start.
    pub data_start: u64,
    /// Every key; large values are only counted, see [`Value::Unkept`].
    pub metadata: BTreeMap<String, Value>,
    /// The tensors, summed up.
    pub tensors: Tensors,
}

/// Which files are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// Only files that hold a whole model.
    Whole,
    /// One file of a split model too, for a caller who looks at all of them. What is checked is that file.
    AnyPart,
}

impl Header {
    /// Reads and checks the header of the file that `source` holds from its first to its last byte. Keeps some 10 KB for a
    /// usual model, the chat template mostly.
    ///
    /// # Errors
    /// [`GgufError::Corrupt`] with the place of what does not fit, [`GgufError::Split`], [`GgufError::Io`].
    pub fn read(source: impl Read + Seek) -> Result<Self, GgufError> {
        Self::read_tensors(source, Pieces::Whole, |_| {})
    }

    /// As [`read`](Self::read); shows `each` tensor on the way. None is kept, for a large model has thousands.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`GgufError::Split`] only for [`Pieces::Whole`].
    pub fn read_tensors(
        source: impl Read + Seek,
        pieces: Pieces,
        mut each: impl FnMut(&Tensor),
    ) -> Result<Self, GgufError> {
        let mut reader = Reader::new(source)?;
        let magic = reader.bytes::<4>()?;
        if magic != *b"GGUF" {
            let found = magic.escape_ascii();
            return Err(
                reader.corrupt(format!("expected the letters GGUF at its beginning, got \"{found}\""))
            );
        }
        let version = reader.u32()?;
        if (2..=3).contains(&version.swap_bytes()) {
            return Err(
                reader.corrupt("it was written for big-endian machines, expected the little-endian form")
            );
        }
        if !(2..=3).contains(&version) {
            return Err(reader.corrupt(format!("version {version} is not known, expected 2 or 3")));
        }
        let tensor_count = reader.u64()?;
        let entry_count = reader.u64()?;
        if tensor_count == 0 && pieces == Pieces::Whole {
            return Err(reader.corrupt("it holds no tensors"));
        }

        let metadata = read_metadata(&mut reader, entry_count)?;
        let parts = metadata.get("split.count").and_then(Value::as_u64).filter(|count| *count > 1);
        if let (Some(count), Pieces::Whole) = (parts, pieces) {
            return Err(GgufError::Split { count });
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Unsigned(bytes)) if bytes.is_power_of_two() && *bytes <= u64::from(u32::MAX) => {
                *bytes
            }
            Some(other) => {
                return Err(reader.corrupt(format!("the alignment is {other:?}, expected a power of two")));
            }
        };

        let (tensors, end) = Tensors::read(&mut reader, tensor_count, alignment, &mut each)?;
        // The position is at most MAX_HEADER_BYTES, the alignment at most 4 GiB.
        let data_start = reader.position().next_multiple_of(alignment);
        let needed =
            data_start.checked_add(end).ok_or_else(|| reader.corrupt("the tensors' sizes overflow"))?;
        let file_bytes = reader.length();
        if needed > file_bytes {
            return Err(reader.corrupt(format!(
                "it is truncated: its tensors need {needed} bytes, the file has {file_bytes}"
            )));
        }
        Ok(Self { version, file_bytes, alignment, data_start, metadata, tensors })
    }

    /// `general.architecture`, for example `llama`.
    pub fn architecture(&self) -> Option<&str> {
        self.text("general.architecture")
    }

    /// `general.name`: what its maker calls the model.
    pub fn name(&self) -> Option<&str> {
        self.text("general.name")
    }

    /// `general.size_label`, for example `135M`.
    pub fn size_label(&self) -> Option<&str> {
        self.text("general.size_label")
    }

    /// `tokenizer.chat_template`: a Jinja template. Base models have none.
    pub fn chat_template(&self) -> Option<&str> {
        self.text("tokenizer.chat_template")
    }

    /// `tokenizer.ggml.model`, for example `gpt2`.
    pub fn tokenizer(&self) -> Option<&str> {
        self.text("tokenizer.ggml.model")
    }

    /// How the weights are stored: the name of `general.file_type`, for example `Q4_K_M`; without one, of the type that
    /// takes the most bytes.
    pub fn quantization(&self) -> &'static str {
        let named = self.metadata.get("general.file_type").and_then(Value::as_u64).and_then(file_type);
        named.or_else(|| self.tensors.main_type().map(|kind| kind.name())).unwrap_or("unknown")
    }

    /// Tokens that the model was trained to look at.
    pub fn context_length(&self) -> Option<u64> {
        self.of_architecture("context_length")?.as_u64()
    }

    /// Numbers in an embedding, and in the state between layers.
    pub fn embedding_length(&self) -> Option<u64> {
        self.of_architecture("embedding_length")?.as_u64()
    }

    /// Layers.
    pub fn block_count(&self) -> Option<u64> {
        self.of_architecture("block_count")?.as_u64()
    }

    /// Attention heads of each layer; one number where all layers have the same.
    pub fn head_count(&self) -> Option<Vec<u64>> {
        self.per_layer("attention.head_count")
    }

    /// Key and value heads of each layer; one number where all layers have the same. What the cache of a context takes
    /// follows from it.
    pub fn head_count_kv(&self) -> Option<Vec<u64>> {
        self.per_layer("attention.head_count_kv")
    }

    /// How an embedding model sums up its tokens: 0 not at all, 1 mean, 2 first, 3 last, 4 rank (llama.cpp's
    /// `llama_pooling_type`). Models that chat have none.
    pub fn pooling_type(&self) -> Option<u64> {
        self.of_architecture("pooling_type")?.as_u64()
    }

    /// A value below the architecture's own name: `llama.KEY`.
    pub fn of_architecture(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("{}.{key}", self.architecture()?))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)?.as_text()
    }

    fn per_layer(&self, key: &str) -> Option<Vec<u64>> {
        match self.of_architecture(key)? {
            Value::Integers(values) => values.iter().map(|value| u64::try_from(*value).ok()).collect(),
            value => Some(vec![value.as_u64()?]),
        }
    }
}

fn read_metadata(
    reader: &mut Reader<impl Read + Seek>,
    count: u64,
) -> Result<BTreeMap<String, Value>, GgufError> {
    if count > MAX_ENTRIES {
        return Err(
            reader.corrupt(format!("it announces {count} metadata entries, at most {MAX_ENTRIES} are read"))
        );
    }
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = reader.name("metadata entry", MAX_KEY_BYTES)?;
        let value = Value::read(reader)?;
        if metadata.contains_key(&key) {
            return Err(reader.corrupt(format!("the metadata key {key:?} occurs twice")));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// llama.cpp's `llama_ftype`, as the quantization tool names them.
fn file_type(code: u64) -> Option<&'static str> {
    Some(match code {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4_MOE",
        39 => "NVFP4",
        40 => "Q1_0",
        41 => "Q2_0",
        _ => return None,
    })
}
