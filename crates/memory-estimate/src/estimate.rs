//! What a model takes, put together.

use serde::{Deserialize, Serialize};

use crate::cache::{self, Layout};
use crate::compute;
use crate::options::Options;
use crate::projector;
use crate::source::{Kind, ModelHeader};
use crate::weights;
use crate::{EstimateError, Model};

/// No machine has so much: a sum above it comes of numbers that cannot be right.
const MOST_BYTES: u64 = 1 << 56;

/// Memory in one place, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Weights.
    pub weights: u64,
    /// Keys and values of all tokens, and the states of recurrent layers.
    pub cache: u64,
    /// Buffers in which a batch is computed.
    pub compute: u64,
}

impl Part {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.compute)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            cache: self.cache.saturating_add(other.cache),
            compute: self.compute.saturating_add(other.compute),
        }
    }
}

/// How an estimate was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// By the engine itself, which loaded the model without allocating. This crate never says so of its own.
    Exact,
    /// From the file's header.
    Formula,
    /// From the header, corrected by what a load really took.
    Calibrated,
}

/// What a model takes with certain [`Options`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// In the machine's own memory.
    pub host: Part,
    /// In each device, in the order of [`Options::devices`].
    pub devices: Vec<Part>,
    /// How the numbers were found.
    pub confidence: Confidence,
    /// Tokens that the cache holds, all conversations together.
    pub context_tokens: u64,
    /// What a reader should know about the numbers, in whole sentences.
    pub notes: Vec<String>,
}

impl Estimate {
    /// All places together.
    pub fn sum(&self) -> Part {
        self.devices.iter().fold(self.host, |sum, device| sum.and(*device))
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.sum().total()
    }
}

/// What the model takes with these options. Takes some tenths of a millisecond, for a model of hundred layers a few.
///
/// # Errors
/// [`EstimateError::Option`] for options that make no sense, [`EstimateError::Overflow`] for a header whose numbers do not.
pub fn estimate(header: &ModelHeader, options: &Options) -> Result<Estimate, EstimateError> {
    options.check()?;
    let estimate = match &header.kind {
        Kind::Projector(projector) => projector::estimate(projector, options),
        Kind::Language(model) => of_language(model, options)?,
    };
    if estimate.total() > MOST_BYTES {
        return Err(EstimateError::Overflow { what: "all parts together" });
    }
    Ok(Estimate { notes: header.notes.iter().chain(&estimate.notes).cloned().collect(), ..estimate })
}

fn of_language(model: &Model, options: &Options) -> Result<Estimate, EstimateError> {
    if options.context_tokens.is_none() && model.trained == 0 {
        return Err(EstimateError::option(
            "context_tokens",
            "the header does not say how many tokens the model was trained on: give a number",
        ));
    }
    let layout = Layout::new(model, options);
    let places = weights::places(model, options);
    let mut parts = vec![Part::default(); 1 + options.devices.len()];
    for (part, bytes) in parts.iter_mut().zip(weights::per_place(model, options, &places)) {
        part.weights = bytes;
    }
    for (bytes, place) in cache::per_layer(model, options, &layout).into_iter().zip(&places) {
        if let Some(part) = parts.get_mut(*place) {
            part.cache = part.cache.saturating_add(bytes);
        }
    }
    for (part, bytes) in parts.iter_mut().zip(compute::buffers(model, options, &layout, &places)) {
        part.compute = bytes;
    }
    let mut parts = parts.into_iter();
    let host = parts.next().unwrap_or_default();
    Ok(Estimate {
        host,
        devices: parts.collect(),
        confidence: Confidence::Formula,
        context_tokens: layout.cells.saturating_mul(layout.streams),
        notes: notes(model, options, &layout),
    })
}

fn notes(model: &Model, options: &Options, layout: &Layout) -> Vec<String> {
    let mut notes = Vec::new();
    let trained = model.trained.checked_next_multiple_of(256).filter(|trained| *trained > 0);
    if trained.is_some_and(|trained| layout.cells > trained) {
        notes.push(format!(
            "a context of {} tokens is more than the {} that the model was trained on: answers may make no sense",
            layout.cells, model.trained
        ));
    }
    if !KNOWN.contains(&model.facts.architecture.as_str()) {
        notes.push(format!(
            "the architecture {:?} was not compared with llama.cpp: it is estimated like those that it resembles",
            model.facts.architecture
        ));
    }
    if model.skipped > 0 {
        notes.push("layers that predict further tokens are not loaded and not counted".to_owned());
    }
    if options.offloads() && options.gpu_layers.is_some_and(|layers| (layers as usize) <= model.layers.len())
    {
        notes.push(
            "with a part of the layers on a device, long prompts take its memory for copies of the others' weights"
                .to_owned(),
        );
    }
    notes
}

/// Architectures for which the numbers were compared with llama.cpp's own.
const KNOWN: [&str; 17] = [
    "command-r",
    "deepseek2",
    "falcon",
    "falcon-h1",
    "gemma2",
    "gemma3",
    "gpt-oss",
    "jamba",
    "lfm2",
    "llama",
    "mamba",
    "mamba2",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "qwen3next",
];
