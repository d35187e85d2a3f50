//! What a caller wants.

use audio_input::PcmFormat;
use silero_vad::Settings;

use crate::Ask;

/// How a recording is heard.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessOptions {
    /// Whether only speech is written down. Without it the transcriber hears everything, and may make words up of noise.
    pub vad: bool,
    /// Speech begins at this probability (0 to 1).
    pub threshold: f32,
    /// Whether words are wanted, or only when somebody speaks.
    pub transcribe: bool,
    /// A code such as `de`; none lets a multilingual model find out by the first utterance.
    pub language: Option<String>,
    /// Whether words get times of their own.
    pub word_timestamps: bool,
    /// Texts that are followed side by side; 1 is fastest.
    pub beam_size: usize,
    /// 0 to 2; none begins at nought and goes up where a text repeats itself or is too unlikely.
    pub temperature: Option<f32>,
    /// What might be said: names, spelling, style. Every utterance is written with it in mind.
    pub prompt: Option<String>,
    /// How samples lie where the audio is in no container; none refuses such audio.
    pub pcm: Option<PcmFormat>,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self {
            vad: true,
            threshold: Settings::FILES.threshold,
            transcribe: true,
            language: None,
            word_timestamps: false,
            // faster-whisper's and OpenAI's own.
            beam_size: 5,
            temperature: None,
            prompt: None,
            pcm: None,
        }
    }
}

impl ProcessOptions {
    /// What a transcriber is asked.
    pub(crate) fn ask(&self) -> Ask {
        Ask {
            language: self.language.clone(),
            prompt: self.prompt.clone(),
            words: self.word_timestamps,
            beam_size: self.beam_size,
            temperature: self.temperature,
        }
    }
}

/// How speech is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectOptions {
    /// Speech begins at this probability (0 to 1).
    pub threshold: f32,
    /// How samples lie where the audio is in no container; none refuses such audio.
    pub pcm: Option<PcmFormat>,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self { threshold: Settings::FILES.threshold, pcm: None }
    }
}
