//! A model that is loaded.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::decode::{Context, Options};
use crate::kernels::Level;
use crate::model::{ModelFile, Weights};
use crate::tokenizer::Tokenizer;
use crate::transcript::{Transcript, transcribe};
use crate::{WhisperError, decode};

/// Holds the start of the list of names; arrays are read past it.
const BUFFER_BYTES: usize = 4 << 10;

/// A model, ready to listen. Several threads may ask it at once; they share its threads.
pub struct Whisper {
    weights: Weights,
    tokenizer: Tokenizer,
    rules: decode::Rules,
    level: Level,
    pool: ThreadPool,
}

impl Whisper {
    /// Reads `model.bin` and `tokenizer.json` of a folder; computes with `threads` threads, at least one.
    ///
    /// # Errors
    /// [`WhisperError::Read`] where a file is missing; [`WhisperError::Corrupt`], [`WhisperError::Unsupported`] or
    /// [`WhisperError::Tokenizer`] where it is not what it should be; [`WhisperError::Threads`].
    pub fn load(folder: &Path, threads: usize) -> Result<Self, WhisperError> {
        Self::load_files(&folder.join("model.bin"), &folder.join("tokenizer.json"), threads)
    }

    /// The same of two files, wherever they lie.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_files(model: &Path, tokenizer: &Path, threads: usize) -> Result<Self, WhisperError> {
        Self::load_at(model, tokenizer, threads, Level::best())
    }

    /// The same, computed with the instructions of `level`, which the machine must have: see [`Level::available`].
    ///
    /// # Errors
    /// As [`Self::load`], and [`WhisperError::Option`] where the machine does not have them.
    pub fn load_at(
        model: &Path,
        tokenizer: &Path,
        threads: usize,
        level: Level,
    ) -> Result<Self, WhisperError> {
        let available = Level::available();
        if !available.contains(&level) {
            let (got, expected) = (format!("{level:?}"), format!("one of {available:?}"));
            return Err(WhisperError::Option { option: "level", got, expected });
        }
        let threads = threads.max(1);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("whisper-{index}"))
            .build()
            .map_err(|error| WhisperError::Threads { threads, reason: error.to_string() })?;
        let file =
            File::open(model).map_err(|source| WhisperError::Read { path: model.to_owned(), source })?;
        let mut file = ModelFile::read(BufReader::with_capacity(BUFFER_BYTES, file))?;
        let weights = pool.install(|| Weights::read(&mut file))?;
        let tokenizer = Tokenizer::load(tokenizer, weights.vocabulary())?;
        let rules = decode::Rules::of(&tokenizer);
        Ok(Self { weights, tokenizer, rules, level, pool })
    }

    /// Whether it knows other languages than English.
    pub fn multilingual(&self) -> bool {
        self.tokenizer.multilingual()
    }

    /// The codes of the languages that it knows, such as `de`.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        let known = if self.multilingual() { self.tokenizer.languages() } else { &[] };
        let english = (!self.multilingual()).then_some("en");
        known.iter().map(|(code, _)| code.as_str()).chain(english)
    }

    /// Writes down what was said in 16 kHz mono, of any length. Blocks; `cancel` is looked at before each token.
    ///
    /// # Errors
    /// [`WhisperError::Samples`] and [`WhisperError::Option`] before anything is computed; [`WhisperError::Cancelled`].
    pub fn transcribe(
        &self,
        samples: &[f32],
        options: &Options,
        cancel: &AtomicBool,
    ) -> Result<Transcript, WhisperError> {
        self.check(options)?;
        if let Some(index) = samples.iter().position(|sample| !sample.is_finite()) {
            return Err(WhisperError::Samples { index });
        }
        let context = Context {
            weights: &self.weights,
            tokenizer: &self.tokenizer,
            rules: &self.rules,
            level: self.level,
            options,
            cancel,
        };
        self.pool.install(|| transcribe(&context, samples))
    }

    /// Whether [`Self::transcribe`] would take these options.
    ///
    /// # Errors
    /// [`WhisperError::Option`] with what was expected.
    pub fn check(&self, options: &Options) -> Result<(), WhisperError> {
        let refuse = |option, got: String, expected: &str| {
            Err(WhisperError::Option { option, got, expected: expected.to_owned() })
        };
        if let Some(language) = &options.language
            && !self.languages().any(|known| known == language)
        {
            let expected = format!("one of {}", self.languages().collect::<Vec<_>>().join(" "));
            return refuse("language", language.clone(), &expected);
        }
        if options.translate && !self.multilingual() {
            return refuse("translate", "true".to_owned(), "false for a model that knows English alone");
        }
        for (option, size) in [("beam_size", options.beam_size), ("best_of", options.best_of)] {
            if !(1..=32).contains(&size) {
                return refuse(option, size.to_string(), "1 to 32");
            }
        }
        let bad = options.temperatures.iter().find(|temperature| !(0.0..=2.0).contains(*temperature));
        match bad {
            _ if options.temperatures.is_empty() => {
                refuse("temperatures", "empty".to_owned(), "at least one")
            }
            Some(temperature) => refuse("temperatures", temperature.to_string(), "0 to 2"),
            None => Ok(()),
        }
    }
}
