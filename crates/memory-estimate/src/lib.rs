//! How much memory a model takes, told from its file's header: weights, keys and values, and the buffers in which a batch is
//! computed, in each device and in the machine's own memory.
//!
//! It is what llama.cpp would allocate. llama.cpp can say that itself, without allocating (`uat-engine` asks it so), but only
//! where it is installed, after it has read a vocabulary, and for the devices that are there. This crate needs the header
//! alone and some milliseconds, so a scheduler can ask it about any model for any machine.
//!
//! - Weights are the tensors' sizes, padded, each where llama.cpp puts it: layers go to devices by their shares, what turns
//!   tokens into states stays in the machine's memory.
//! - Keys and values: per layer its own heads, cells in multiples of 256; layers with a window have as many as the windows of
//!   all conversations and a batch need. States of recurrent layers count here.
//! - Compute buffers: the operations of a batch are noted and allocated as ggml does, see `compute`.
//!
//! llama.cpp's numbers for 22 models are kept in `tests/llama_cpp/numbers.json`; a test holds every estimate against them.
//! What is not counted: what the process itself takes, a driver's context on a GPU ([`CUDA_CONTEXT_BYTES`]), and the scores of a
//! batch's last tokens, four bytes for each token of the vocabulary and conversation.
//!
//! ```no_run
//! use memory_estimate::{Options, estimate, open};
//!
//! let header = open("model.gguf".as_ref())?;
//! let options = Options { context_tokens: Some(8192), devices: vec![1.0], ..Options::default() };
//! let estimate = estimate(&header, &options)?;
//! println!("{} MiB on the GPU, {} MiB beside it", estimate.devices[0].total() >> 20, estimate.host.total() >> 20);
//! # Ok::<(), memory_estimate::EstimateError>(())
//! ```
//!
//! Everything but [`open`] and [`CalibrationFile`] is pure: bytes in, numbers out.

mod cache;
mod calibration;
mod compute;
mod config;
mod diffusion;
mod error;
mod estimate;
mod facts;
mod files;
mod model;
mod options;
mod projector;
mod safetensors;
mod source;
mod weights;
mod windows;

pub use calibration::{Calibration, CalibrationFile, Measured};
pub use error::EstimateError;
pub use estimate::{Confidence, Estimate, Part, estimate};
pub use files::open;
pub use options::{KvType, Options, Parallel};
pub use source::ModelHeader;

use model::Model;

/// What a process takes of one of NVIDIA's GPUs beside what it allocates there: CUDA's context and the libraries' workspaces. No
/// plan has it. On an H200 (driver 580.159, CUDA 13) llama.cpp took 594 to 603 MiB beyond its plan for 13 of 14 models, and 696 for a
/// mixture of experts of 28 GB; the context alone was 518. Cards with fewer multiprocessors take less.
pub const CUDA_CONTEXT_BYTES: u64 = 640 << 20;
