//! A model that is ready to be asked.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rten::{Model, ModelOptions, NodeId, OpRegistry, Value, ValueOrView, op_registry};

use crate::EmbedError;
use crate::wordpiece::WordPiece;

/// Tokens that are read of a text, its two end marks included: what all-MiniLM-L6-v2 was made for
/// (`max_seq_length` of its `sentence_bert_config.json`), some 1,200 characters of English.
pub const MAX_TOKENS: usize = 256;

/// See the crate's documentation. Any number of threads may ask it at the same time.
pub struct Embedder {
    tokenizer: WordPiece,
    model: Model,
    ids: NodeId,
    mask: NodeId,
    /// Of which of two texts a token is; some models do not ask.
    types: Option<NodeId>,
    output: NodeId,
    dims: usize,
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder").field("dims", &self.dims).finish_non_exhaustive()
    }
}

impl Embedder {
    /// Reads the model and its `tokenizer.json`, and runs it once. With all-MiniLM-L6-v2 that takes 0.15 s and 160 MB: its weights
    /// are numbers of 8 bits in the file and of 32 in memory, there twice, for packed as the kernels want them a sentence
    /// takes 6 ms instead of 31.
    ///
    /// # Errors
    /// [`EmbedError::Read`], [`EmbedError::Model`], [`EmbedError::Tokenizer`].
    pub fn load(model: &Path, tokenizer: &Path) -> Result<Self, EmbedError> {
        let read =
            |path: &Path| fs::read(path).map_err(|source| EmbedError::Read { path: path.to_owned(), source });
        let tokenizer = WordPiece::read(&read(tokenizer)?)
            .map_err(|reason| EmbedError::Tokenizer { path: tokenizer.to_owned(), reason })?;
        let path = PathBuf::from(model);
        let unusable = |reason: String| EmbedError::Model { path: path.clone(), reason };
        let model = ModelOptions::with_ops(operators()).prepack_weights(true).load(read(model)?);
        let model = model.map_err(|error| unusable(error.to_string()))?;
        let node = |name: &str| model.node_id(name).map_err(|_| unusable(format!("no input {name}")));
        let (ids, mask, types) =
            (node("input_ids")?, node("attention_mask")?, model.find_node("token_type_ids"));
        let output = *model.output_ids().first().ok_or_else(|| unusable("no output".to_owned()))?;
        let mut embedder = Self { tokenizer, model, ids, mask, types, output, dims: 0 };
        embedder.dims = embedder.embed("").map_err(|error| unusable(error.to_string()))?.len();
        Ok(embedder)
    }

    /// How many numbers an embedding has: 384 with all-MiniLM-L6-v2.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The embedding of a text: a vector of length one, whose scalar product with another's says how alike the texts are, -1
    /// to 1. Of a long text only the first [`MAX_TOKENS`] tokens are read. The same text has the same embedding wherever and
    /// with whatever it is asked for. Blocks: milliseconds for a sentence.
    ///
    /// # Errors
    /// [`EmbedError::Run`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let ids = self.tokenizer.encode(text, MAX_TOKENS);
        let tokens = ids.len();
        let failed = |reason: String| EmbedError::Run { reason };
        let row = |numbers: Vec<i32>| {
            Value::from_shape([1, tokens], numbers).map_err(|error| failed(error.to_string()))
        };
        let mut inputs: Vec<(NodeId, ValueOrView<'_>)> =
            vec![(self.mask, row(vec![1; tokens])?.into()), (self.ids, row(ids)?.into())];
        if let Some(types) = self.types {
            inputs.push((types, row(vec![0; tokens])?.into()));
        }
        let [output] =
            self.model.run_n(inputs, [self.output], None).map_err(|error| failed(error.to_string()))?;
        let ([_, rows, dims], numbers) =
            output.into_shape_vec::<f32, 3>().map_err(|error| failed(error.to_string()))?;
        if rows != tokens || dims == 0 {
            return Err(failed(format!(
                "expected a vector for each of {tokens} tokens, got {rows} of {dims} numbers"
            )));
        }
        Ok(normalized_sum(&numbers, dims))
    }

    /// The embeddings of many texts, in their order, computed on all cores.
    ///
    /// # Errors
    /// [`EmbedError::Run`].
    pub fn embed_all(&self, texts: &[impl AsRef<str> + Sync]) -> Result<Vec<Vec<f32>>, EmbedError> {
        // A text on each core: texts are too short for several cores to share one well, and a batch of texts of unlike lengths
        // computes what is then masked. In the pool that the model runs in, so that no more threads compute than there are cores.
        rten::thread_pool().run(|| texts.par_iter().map(|text| self.embed(text.as_ref())).collect())
    }
}

/// The operators of BERT exports alone: all that there are would make every program that links this 1.6 MB larger.
fn operators() -> OpRegistry {
    op_registry!(
        Add,
        And,
        Cast,
        Concat,
        Div,
        Erf,
        Expand,
        Gather,
        GatherND,
        GreaterOrEqual,
        IsNaN,
        LayerNormalization,
        MatMul,
        Max,
        Mul,
        Range,
        Reshape,
        Shape,
        Slice,
        Softmax,
        Squeeze,
        Transpose,
        Unsqueeze,
        Where
    )
}

/// The mean of the rows, scaled to the length of one. There is no padding, so that every row counts; and a mean has the
/// direction of its sum.
fn normalized_sum(rows: &[f32], dims: usize) -> Vec<f32> {
    let mut sum = vec![0.0f32; dims];
    for row in rows.chunks_exact(dims) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
    // As PyTorch's `normalize` does, nothing is divided by zero.
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    for value in &mut sum {
        *value /= length;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_scaled_to_the_length_of_one() {
        assert_eq!(normalized_sum(&[1.0, 5.0, 5.0, 3.0], 2), [0.6, 0.8]);
        assert_eq!(normalized_sum(&[0.0, 0.0], 2), [0.0, 0.0]);
    }

    #[test]
    fn what_is_no_model_says_so() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let missing = Embedder::load(&here.join("none.onnx"), &here.join("none.json")).unwrap_err();
        assert_eq!((missing.code(), missing.retryable()), ("UAT_STORAGE", true));
        let wrong = Embedder::load(&here.join("Cargo.toml"), &here.join("Cargo.toml")).unwrap_err();
        assert_eq!(wrong.code(), "UAT_CORRUPT_VALUE");
        assert!(wrong.to_string().contains("Cargo.toml"), "{wrong}");
    }
}
