//! Headers of models that everybody knows, with their real sizes and without their weights: llama.cpp loads them where it
//! is told not to allocate, so that what it reckons for them can be compared with what we reckon.
//!
//! A file is its header and a hole. Written to a disk it takes some megabytes for its vocabulary, whatever size it claims.

mod catalogue;
mod layers;
mod sparse;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

pub use catalogue::{Make, catalogue, model};
pub use sparse::SparseFile;

use crate::{GgufFile, GgufTensor};

/// How the weights of a model are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// As llama.cpp's `Q4_K_M`: mostly Q4_K; the output, half of the values and of what leads down Q6_K.
    Q4KM,
    /// All matrices Q8_0.
    Q8,
    /// All matrices Q4_0, the embeddings too: what a processor of this type keeps a second time in another order.
    Q4,
    /// All matrices F16.
    F16,
    /// Experts MXFP4, the rest Q8_0.
    Mxfp4,
}

/// `ggml_type`.
const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;
const Q6_K: u32 = 14;
const MXFP4: u32 = 39;

/// A model file that is being written down.
#[derive(Debug, Clone)]
pub struct ModelFile {
    file: GgufFile,
    architecture: &'static str,
    recipe: Recipe,
    data: u64,
}

impl ModelFile {
    /// Begins a model with a vocabulary of `tokens` tokens.
    pub fn new(architecture: &'static str, recipe: Recipe, tokens: u32) -> Self {
        let names: Vec<u8> = (0..tokens).flat_map(|token| GgufFile::string(&token_text(token))).collect();
        let kinds: Vec<u8> = (0..tokens).flat_map(|token| token_kind(token).to_le_bytes()).collect();
        let file = GgufFile { entries: Vec::new(), tensors: Vec::new() }
            .text("general.architecture", architecture)
            .text("general.name", "Weightless")
            .text("tokenizer.ggml.model", "llama")
            .list("tokenizer.ggml.tokens", 8, tokens.into(), &names)
            .list("tokenizer.ggml.scores", 6, tokens.into(), &vec![0; tokens as usize * 4])
            .list("tokenizer.ggml.token_type", 5, tokens.into(), &kinds)
            .integer("tokenizer.ggml.bos_token_id", 1)
            .integer("tokenizer.ggml.eos_token_id", 2)
            .text("tokenizer.chat_template", "{{ messages[0].content }}");
        Self { file, architecture, recipe, data: 0 }
    }

    /// Adds a number below the architecture's name.
    #[must_use]
    pub fn number(mut self, key: &str, value: u32) -> Self {
        self.file = self.file.integer(&format!("{}.{key}", self.architecture), value);
        self
    }

    /// Adds a fraction below the architecture's name.
    #[must_use]
    pub fn fraction(mut self, key: &str, value: f32) -> Self {
        self.file = self.file.value(&format!("{}.{key}", self.architecture), 6, &value.to_le_bytes());
        self
    }

    /// Adds one number per layer below the architecture's name.
    #[must_use]
    pub fn numbers(mut self, key: &str, values: &[u32]) -> Self {
        let content: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.file = self.file.list(&format!("{}.{key}", self.architecture), 4, values.len() as u64, &content);
        self
    }

    /// Adds any entry.
    #[must_use]
    pub fn entry(mut self, key: &str, kind: u32, content: &[u8]) -> Self {
        self.file = self.file.value(key, kind, content);
        self
    }

    /// Adds a tensor of the type that the recipe has for it. The row comes first.
    #[must_use]
    pub fn tensor(self, name: &str, dimensions: &[u64]) -> Self {
        let kind = self.kind_of(name, dimensions);
        self.tensor_of(name, dimensions, kind)
    }

    /// Adds a tensor of a certain `ggml_type`.
    #[must_use]
    pub fn tensor_of(mut self, name: &str, dimensions: &[u64], kind: u32) -> Self {
        let (block, bytes) = match kind {
            F32 => (1, 4),
            F16 => (1, 2),
            Q4_0 => (32, 18),
            Q8_0 => (32, 34),
            Q4_K => (256, 144),
            Q6_K => (256, 210),
            _ => (32, 17),
        };
        let size = dimensions.iter().product::<u64>() / block * bytes;
        let tensor =
            GgufTensor { name: name.to_owned(), dimensions: dimensions.to_vec(), kind, offset: self.data };
        self.file.tensors.push(tensor);
        self.data = (self.data + size).next_multiple_of(32);
        self
    }

    fn kind_of(&self, name: &str, dimensions: &[u64]) -> u32 {
        let small = dimensions.len() < 2
            || ["ffn_gate_inp", "ssm_conv1d", "ssm_a", "shortconv.conv"]
                .iter()
                .any(|part| name.contains(part));
        if small {
            return F32;
        }
        let blocks = |size: u64| dimensions[0].is_multiple_of(size);
        let layer: u32 = name.split('.').nth(1).and_then(|layer| layer.parse().ok()).unwrap_or(0);
        let better = name == "output.weight"
            || name == "token_embd.weight"
            || (layer.is_multiple_of(2) && (name.contains("ffn_down") || name.contains("attn_v.")));
        match self.recipe {
            Recipe::F16 => F16,
            _ if !blocks(32) => F16,
            Recipe::Q4 => Q4_0,
            Recipe::Mxfp4 if name.contains("_exps") => MXFP4,
            Recipe::Q4KM if blocks(256) && better => Q6_K,
            Recipe::Q4KM if blocks(256) => Q4_K,
            Recipe::Q4KM | Recipe::Q8 | Recipe::Mxfp4 => Q8_0,
        }
    }

    /// What stands in front of the hole.
    pub fn header(&self) -> Vec<u8> {
        self.file.header()
    }

    /// The file as a test reads it.
    pub fn open(&self) -> SparseFile {
        SparseFile::new(self.header(), self.data)
    }

    /// Writes the file with a hole for its weights.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let header = self.header();
        let mut file = File::create(path)?;
        file.write_all(&header)?;
        file.set_len(header.len() as u64 + self.data)
    }

    /// The same model in `count` files, named as llama.cpp's `llama-gguf-split` names them: the first holds what the model
    /// is, each a part of the tensors.
    pub fn split(&self, name: &str, count: usize) -> Vec<(String, Self)> {
        let share = self.file.tensors.len().div_ceil(count);
        let all = self.file.tensors.len() as u32;
        let part = |(index, tensors): (usize, &[GgufTensor])| {
            let entries = if index == 0 { self.file.entries.clone() } else { Vec::new() };
            let empty = Self { file: GgufFile { entries, tensors: Vec::new() }, data: 0, ..self.clone() }
                .entry("split.no", 2, &(index as u16).to_le_bytes())
                .entry("split.count", 2, &(count as u16).to_le_bytes())
                .entry("split.tensors.count", 5, &all.to_le_bytes());
            let part = tensors
                .iter()
                .fold(empty, |part, tensor| part.tensor_of(&tensor.name, &tensor.dimensions, tensor.kind));
            (format!("{name}-{:05}-of-{count:05}.gguf", index + 1), part)
        };
        self.file.tensors.chunks(share.max(1)).enumerate().map(part).collect()
    }
}

/// Texts like those of a vocabulary: a few special ones, each byte, and words of some seven letters.
fn token_text(token: u32) -> String {
    match token {
        0 => "<unk>".to_owned(),
        1 => "<s>".to_owned(),
        2 => "</s>".to_owned(),
        3..259 => format!("<0x{:02X}>", token - 3),
        _ => format!("\u{2581}t{token:05x}"),
    }
}

/// llama.cpp's `llama_token_type`: 1 normal, 2 unknown, 3 control, 6 a byte.
fn token_kind(token: u32) -> i32 {
    match token {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    }
}
