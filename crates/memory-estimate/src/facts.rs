//! What a file says of its model in numbers, by GGUF's names without the architecture in front.

use std::collections::BTreeMap;

use gguf::{Header, Value};

/// One number or one per layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    Number(u64),
    /// A factor, as far as it matters whether there is one.
    Fraction(f64),
    PerLayer(Vec<u64>),
}

/// The numbers of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) architecture: String,
    pub(crate) known: BTreeMap<String, Fact>,
}

impl Facts {
    /// Of a GGUF file, or of the first of several.
    pub(crate) fn of_gguf(header: &Header) -> Self {
        let architecture = header.architecture().unwrap_or_default().to_owned();
        let prefix = format!("{architecture}.");
        let fact = |value: &Value| match value {
            Value::Unsigned(_) | Value::Signed(_) => value.as_u64().map(Fact::Number),
            Value::Bool(value) => Some(Fact::Number(u64::from(*value))),
            Value::Float(value) => Some(Fact::Fraction(*value)),
            // What is below 0 means none.
            Value::Integers(list) => {
                Some(Fact::PerLayer(list.iter().map(|value| u64::try_from(*value).unwrap_or(0)).collect()))
            }
            Value::Text(_) | Value::Unkept { .. } => None,
        };
        let known = header
            .metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), fact(value)?)));
        Self { known: known.collect(), architecture }
    }

    /// One number; of a list the first.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.known.get(key)? {
            Fact::Number(value) => Some(*value),
            Fact::PerLayer(list) => list.first().copied(),
            Fact::Fraction(_) => None,
        }
    }

    /// The number of one layer.
    pub(crate) fn of_layer(&self, key: &str, layer: usize) -> Option<u64> {
        match self.known.get(key)? {
            Fact::PerLayer(list) => list.get(layer).copied(),
            _ => self.number(key),
        }
    }

    /// The numbers of all layers, if there is one for each.
    pub(crate) fn per_layer(&self, key: &str) -> Option<&[u64]> {
        match self.known.get(key)? {
            Fact::PerLayer(list) => Some(list),
            _ => None,
        }
    }

    /// Whether a factor is given that changes something.
    pub(crate) fn scales(&self, key: &str) -> bool {
        match self.known.get(key) {
            Some(Fact::Fraction(value)) => *value != 0.0 && (*value - 1.0).abs() > f64::EPSILON,
            _ => false,
        }
    }
}
