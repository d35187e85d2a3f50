//! Who writes speech down.

use std::sync::atomic::AtomicBool;

use whisper::{Options, Whisper};

use crate::{Segment, VoiceError, Word};

/// Writes utterances down.
pub trait Transcriber: Send + Sync {
    /// What was said in 16 kHz mono of at most 30 s; times are from its beginning.
    ///
    /// # Errors
    /// [`VoiceError::Cancelled`] when `cancel` was set meanwhile; what else goes wrong.
    fn transcribe(&self, samples: &[f32], ask: &Ask, cancel: &AtomicBool) -> Result<Said, VoiceError>;

    /// Refuses what cannot be asked, before any audio is read.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT`.
    fn check(&self, _ask: &Ask) -> Result<(), VoiceError> {
        Ok(())
    }
}

/// How an utterance is written down.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    /// A code such as `de`, where it is known.
    pub language: Option<String>,
    /// What might be said: names, spelling, style.
    pub prompt: Option<String>,
    /// Whether words get times.
    pub words: bool,
    /// Texts that are followed side by side.
    pub beam_size: usize,
    /// 0 to 2; none leaves it to the transcriber.
    pub temperature: Option<f32>,
}

/// What an utterance says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// The code of its language.
    pub language: String,
    /// In the order of time; ms from the utterance's beginning.
    pub segments: Vec<Segment>,
}

impl Transcriber for Whisper {
    fn transcribe(&self, samples: &[f32], ask: &Ask, cancel: &AtomicBool) -> Result<Said, VoiceError> {
        let transcript = Whisper::transcribe(self, samples, &options(ask), cancel)?;
        let segments = transcript.segments.into_iter().map(|segment| Segment {
            start_ms: segment.start_ms.into(),
            end_ms: segment.end_ms.into(),
            text: segment.text.trim().to_owned(),
            confidence: segment.avg_logprob.exp().clamp(0.0, 1.0),
            words: segment.words.into_iter().map(word).collect(),
        });
        Ok(Said { language: transcript.language, segments: segments.collect() })
    }

    fn check(&self, ask: &Ask) -> Result<(), VoiceError> {
        Ok(Whisper::check(self, &options(ask))?)
    }
}

fn options(ask: &Ask) -> Options {
    let mut options = Options {
        language: ask.language.clone(),
        initial_prompt: ask.prompt.clone(),
        words: ask.words,
        beam_size: ask.beam_size,
        ..Options::default()
    };
    // OpenAI's meaning: nought is the automatic choice, and any other temperature is kept to.
    if let Some(temperature) = ask.temperature.filter(|temperature| *temperature != 0.0) {
        options.temperatures = vec![temperature];
    }
    options
}

fn word(word: whisper::Word) -> Word {
    Word {
        word: word.text.trim().to_owned(),
        start_ms: word.start_ms.into(),
        end_ms: word.end_ms.into(),
        confidence: word.probability.clamp(0.0, 1.0),
    }
}
