//! What the header of a model file says, whichever format it has.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use gguf::{Header, Pieces, Value};

use crate::diffusion;
use crate::facts::Facts;
use crate::model::{Model, Weight};
use crate::projector::Projector;
use crate::{EstimateError, config, safetensors};

/// What a model's header says, as far as memory is concerned. Read it once, estimate as often as you like.
#[derive(Debug, Clone)]
pub struct ModelHeader {
    pub(crate) kind: Kind,
    pub(crate) notes: Vec<String>,
    file_bytes: u64,
    tensors: u64,
}

/// What sort of model it is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Language(Box<Model>),
    Projector(Projector),
}

impl ModelHeader {
    /// Of a GGUF file that holds a whole model.
    ///
    /// # Errors
    /// [`EstimateError::Corrupt`] with the place of what does not fit, [`EstimateError::Unsupported`] for diffusion models, one
    /// file of several, and headers that do not say enough; [`EstimateError::Io`].
    pub fn read_gguf(source: impl Read + Seek) -> Result<Self, EstimateError> {
        let mut parts = GgufParts::default();
        parts.add(source, Pieces::Whole)?;
        parts.finish()
    }

    /// Of safetensors files and the `config.json` beside them, as text.
    ///
    /// # Errors
    /// The same.
    pub fn read_safetensors<R: Read + Seek>(
        sources: impl IntoIterator<Item = R>,
        config: Option<&str>,
    ) -> Result<Self, EstimateError> {
        let mut tables = Vec::new();
        for source in sources {
            tables.push(safetensors::read(source)?);
        }
        Self::of_tables(&tables, config)
    }

    pub(crate) fn of_tables(
        tables: &[safetensors::Table],
        config: Option<&str>,
    ) -> Result<Self, EstimateError> {
        let names = || tables.iter().flat_map(|table| table.tensors.keys().map(String::as_str));
        if let Some(what) = diffusion::by_tensors(names()) {
            return Err(diffusion::refused(what));
        }
        let config = config.ok_or_else(|| {
            EstimateError::unsupported(
                "a safetensors file alone",
                "it holds weights only: give the folder in which config.json lies beside it",
            )
        })?;
        let facts = config::facts(config)?;
        let file_bytes = tables.iter().fold(0u64, |sum, table| sum.saturating_add(table.file_bytes));
        let count = tables.iter().map(|table| table.tensors.len() as u64).sum();
        let model = Model::new(facts, config::tensors(tables))?;
        let note = "a folder of safetensors is estimated as llama.cpp would run it without changing the type of its weights";
        Ok(Self {
            kind: Kind::Language(Box::new(model)),
            notes: vec![note.to_owned()],
            file_bytes,
            tensors: count,
        })
    }

    /// The architecture, by llama.cpp's name, for example `qwen3moe`.
    pub fn architecture(&self) -> &str {
        match &self.kind {
            Kind::Language(model) => &model.facts.architecture,
            Kind::Projector(projector) => &projector.facts.architecture,
        }
    }

    /// What tells this model from others without reading its weights: architecture, size of its files, count of its tensors.
    pub fn fingerprint(&self) -> String {
        format!("{}-{}-{}", self.architecture(), self.file_bytes, self.tensors)
    }
}

/// The files of a model, of which the first says what it is.
#[derive(Debug, Default)]
pub(crate) struct GgufParts {
    first: Option<Header>,
    tensors: BTreeMap<String, Weight>,
    file_bytes: u64,
}

impl GgufParts {
    /// Reads one more file. Returns how many the model has, as this one says.
    pub(crate) fn add(&mut self, source: impl Read + Seek, pieces: Pieces) -> Result<u64, EstimateError> {
        let mut twice = None;
        let tensors = &mut self.tensors;
        let header = Header::read_tensors(source, pieces, |tensor| {
            let weight = Weight { shape: tensor.dimensions, kind: tensor.kind.name(), bytes: tensor.bytes };
            if tensors.insert(tensor.name.clone(), weight).is_some() {
                twice.get_or_insert_with(|| tensor.name.clone());
            }
        })?;
        if let Some(name) = twice {
            let reason = format!("the tensor {name:?} occurs twice");
            return Err(EstimateError::Corrupt { offset: header.data_start, reason });
        }
        self.file_bytes = self.file_bytes.saturating_add(header.file_bytes);
        let count = header.metadata.get("split.count").and_then(Value::as_u64).unwrap_or(1);
        self.first.get_or_insert(header);
        Ok(count)
    }

    pub(crate) fn finish(self) -> Result<ModelHeader, EstimateError> {
        let Some(header) = self.first else {
            return Err(EstimateError::unsupported("no file", "at least one is needed"));
        };
        let facts = Facts::of_gguf(&header);
        let architecture = facts.architecture.clone();
        let names = self.tensors.keys().map(String::as_str);
        if let Some(what) = diffusion::by_architecture(&architecture).or_else(|| diffusion::by_tensors(names))
        {
            return Err(diffusion::refused(what));
        }
        if architecture.is_empty() {
            return Err(EstimateError::unsupported(
                "this model",
                "its header does not say which architecture it has (general.architecture)",
            ));
        }
        let kind = header.metadata.get("general.type").and_then(Value::as_text);
        if let Some(kind @ ("adapter" | "imatrix")) = kind {
            return Err(EstimateError::unsupported(
                format!("a file of the type {kind:?}"),
                "it is no model: give the model that it belongs to",
            ));
        }
        let (tensors, file_bytes) = (self.tensors.len() as u64, self.file_bytes);
        let kind = if architecture == "clip" || kind == Some("mmproj") {
            let weights = self.tensors.values().fold(0u64, |sum, weight| sum.saturating_add(weight.bytes));
            Kind::Projector(Projector { facts, weights })
        } else {
            Kind::Language(Box::new(Model::new(facts, self.tensors)?))
        };
        Ok(ModelHeader { kind, notes: Vec::new(), file_bytes, tensors })
    }
}
