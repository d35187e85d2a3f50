//! What is known of a model before llama.cpp is given its file.

use std::fs::File;
use std::path::Path;

use gguf::{GgufError, Header};

use crate::EngineError;
use crate::architectures::is_known_architecture;

/// Reads the header of a model's file and refuses what llama.cpp could not run, or would crash on. Takes milliseconds.
///
/// # Errors
/// [`EngineError::CorruptModel`] says what does not fit, [`EngineError::Load`] that it is sound but cannot be run,
/// [`EngineError::Storage`] that it cannot be read at all.
pub fn check(path: &Path) -> Result<Header, EngineError> {
    let unreadable = |error: &dyn std::fmt::Display| EngineError::Storage {
        message: format!("cannot read {}: {error}", path.display()),
    };
    let refused = |reason| EngineError::Load { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let header = Header::read(file).map_err(|error| match error {
        GgufError::Corrupt { .. } => {
            EngineError::CorruptModel { path: path.to_owned(), reason: error.to_string() }
        }
        GgufError::Split { .. } => refused(error.to_string()),
        GgufError::Io { .. } => unreadable(&error),
    })?;
    match header.architecture() {
        Some(name) if is_known_architecture(name) => Ok(header),
        Some(name) => Err(refused(format!(
            "its architecture \"{name}\" is not known to this version of the engine, which may be too old for it"
        ))),
        None => Err(refused("it does not say which architecture it has (general.architecture)".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let error = check(Path::new("no/such/model.gguf")).expect_err("is missing");
        assert_eq!(error.code(), "UAT_STORAGE");
        assert!(error.to_string().contains("no/such/model.gguf"));
    }
}
