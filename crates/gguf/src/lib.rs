//! Reads the header of a GGUF model file: what the model is, and whether the file is whole.
//!
//! llama.cpp maps a model file into memory, and reading past the end of a truncated one kills the process with SIGBUS. So
//! every length and offset is checked here first, tensors included, against the length of the source. Nothing that the file
//! says makes reading slow or large: at most [`MAX_HEADER_BYTES`] are read, large values are counted and not kept, and a
//! model of 100 MB takes a few milliseconds.
//!
//! By hand because llama.cpp's own reader (and its Rust binding) does not compare the tensors with the file's length, and
//! the complete readers in Rust (candle, gguf-rs) load what they read. The format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. This crate knows nothing of paths, of llama.cpp, nor of
//! what is done with a model.
//!
//! ```no_run
//! let header = gguf::Header::read(std::fs::File::open("model.gguf")?)?;
//! println!("{:?}, {} parameters, {}", header.architecture(), header.tensors.elements, header.quantization());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod header;
mod metadata;
mod reader;
mod tensors;

pub use error::GgufError;
pub use header::{Header, MAX_HEADER_BYTES, Pieces};
pub use metadata::Value;
pub use tensors::{Tensor, TensorType, Tensors, TypeTotal};
