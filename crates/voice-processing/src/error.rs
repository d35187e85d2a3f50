//! Why nothing was heard.

use audio_input::AudioError;
use silero_vad::VadError;
use whisper::WhisperError;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// The audio cannot be decoded.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Voice activity cannot be told.
    #[error(transparent)]
    Vad(#[from] VadError),
    /// The local transcriber refuses, or fails.
    #[error(transparent)]
    Whisper(WhisperError),
    /// A transcriber somewhere else failed.
    #[error("{message}")]
    Transcriber {
        /// Its stable code.
        code: &'static str,
        /// What happened.
        message: String,
        /// Whether asking again may succeed.
        retryable: bool,
    },
    /// Words are wanted, and there is nobody who writes them.
    #[error("there is no model that transcribes: give one, or ask for speech without words")]
    NoTranscriber,
    /// A live signal came faster than it can be written down, and nobody waited.
    #[error("the texts are {behind_ms} ms behind the signal: wait for room before more is written")]
    Behind {
        /// Of signal.
        behind_ms: u64,
    },
    /// The system gives no thread.
    #[error("cannot start a thread that writes down: {0}")]
    Thread(#[source] std::io::Error),
    /// The caller wanted no more of it.
    #[error("the audio was not heard to its end: cancelled")]
    Cancelled,
}

impl VoiceError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Audio(error) => error.code(),
            Self::Vad(error) => error.code(),
            Self::Whisper(error) => error.code(),
            Self::Transcriber { code, .. } => code,
            Self::Behind { .. } => "UAT_OVERLOADED",
            Self::Thread(_) => "UAT_INTERNAL",
            Self::NoTranscriber => "UAT_MODEL_NOT_FOUND",
            Self::Cancelled => "UAT_CANCELLED",
        }
    }

    /// Whether the same call may succeed without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Audio(error) => error.retryable(),
            Self::Vad(error) => error.retryable(),
            Self::Behind { .. } => true,
            Self::Transcriber { retryable, .. } => *retryable,
            _ => false,
        }
    }

    /// The option at fault, if one is.
    pub fn option(&self) -> Option<&str> {
        match self {
            Self::Audio(AudioError::Field { field, .. }) => Some(field),
            Self::Vad(VadError::Setting { setting, .. }) => Some(setting),
            Self::Whisper(WhisperError::Option { option, .. }) => Some(option),
            _ => None,
        }
    }
}

impl From<WhisperError> for VoiceError {
    fn from(error: WhisperError) -> Self {
        match error {
            WhisperError::Cancelled => Self::Cancelled,
            error => Self::Whisper(error),
        }
    }
}
