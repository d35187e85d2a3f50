//! The embedder of the catalogue's models.

use embedder::Embedder;
use llm_wire::WireError;
use model_store::{ModelStore, Purpose};

use crate::errors::RuntimeError;

/// The catalogue's model for sentence embeddings that is used unless another one is named.
pub const EMBEDDING_MODEL: &str = "minilm-l6";

/// Loads a catalogue model for sentence embeddings. Blocks for some tenths of a second.
///
/// # Errors
/// `UAT_INVALID_INPUT` for another name, with those that there are; `UAT_MODEL_NOT_FOUND` with the command that pulls it;
/// `UAT_CORRUPT_VALUE`, `UAT_STORAGE`.
pub fn open_embedder(name: &str) -> Result<Embedder, RuntimeError> {
    let known = || ModelStore::catalogue().iter().filter(|entry| entry.purpose == Purpose::Embedding);
    let parts = known().find(|entry| entry.name == name).map(|entry| entry.needs);
    let Some(&[tokenizer]) = parts else {
        let names: Vec<_> = known().map(|entry| entry.name).collect();
        return Err(RuntimeError::Input(WireError::Invalid {
            field: "embedding".to_owned(),
            expected: format!("a model for embeddings: {}", names.join(", ")),
            got: name.to_owned(),
        }));
    };
    let store = ModelStore::open()?;
    Ok(Embedder::load(&store.resolve(name)?, &store.resolve(tokenizer)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_model_is_not_taken_for_one_that_embeds() {
        let error = open_embedder("smollm2-135m").unwrap_err();
        assert_eq!(error.code(), "UAT_INVALID_INPUT");
        assert!(error.to_string().contains(EMBEDDING_MODEL), "{error}");
    }
}
