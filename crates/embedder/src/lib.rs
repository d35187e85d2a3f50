//! Sentence embeddings on this machine: a text becomes a vector, and texts that say the same have vectors that point the same way.
//!
//! A BERT-like model as ONNX (the catalogue's `minilm-l6` is all-MiniLM-L6-v2: Reimers and Gurevych, arXiv 1908.10084) is
//! run on the CPU by [rten](https://github.com/robertknight/rten), which is Rust alone; onnxruntime's binding downloads a
//! library when it is built. The vectors of the tokens are averaged and scaled to the length of one, as sentence-transformers
//! does. This crate knows nothing of where models lie, nor of what embeddings are for.
//!
//! ```no_run
//! use embedder::Embedder;
//!
//! let embedder = Embedder::load("model.onnx".as_ref(), "tokenizer.json".as_ref())?;
//! let texts = ["How do I sort a list in Python?", "Sorting lists in Python", "What do whales eat?"];
//! let [asked, same, other] = &embedder.embed_all(&texts)?[..] else { unreachable!() };
//! let alike = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
//! assert!(alike(asked, same) > alike(asked, other));
//! # Ok::<(), embedder::EmbedError>(())
//! ```

mod embedder;
mod error;
mod wordpiece;

pub use embedder::{Embedder, MAX_TOKENS};
pub use error::EmbedError;
