//! Weights as a file holds them, and as they are computed with.

mod file;
mod weights;

pub use file::{ModelFile, Variable};
pub(crate) use weights::{EncoderLayer, LayerNorm, Weights};
