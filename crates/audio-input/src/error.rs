//! Why audio could not be read.

use std::io;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There is nothing to hear.
    #[error("the audio is empty: expected samples, found {found}")]
    Empty {
        /// What there is instead.
        found: &'static str,
    },
    /// No container that is known, and the caller did not say that it is raw PCM.
    #[error(
        "the audio begins with {begins}, which is no known container (wav, flac, mp3, aac, m4a/mp4, ogg, webm/mkv); say sample rate and channels if it is raw 16-bit PCM"
    )]
    Unrecognised {
        /// Its first bytes, in hexadecimal.
        begins: String,
    },
    /// A known container with contents that are not decoded.
    #[error(
        "{container} audio with {feature} is not supported; convert it to wav, flac, mp3, m4a (AAC-LC) or ogg/opus"
    )]
    Unsupported {
        /// The container.
        container: &'static str,
        /// Codec or feature, by name.
        feature: String,
    },
    /// A known container that is damaged beyond what can be left out.
    #[error("the {container} audio is damaged: {reason} (near byte {offset})")]
    Damaged {
        /// The container.
        container: &'static str,
        /// About where reading stood, in bytes from the start.
        offset: u64,
        /// What was expected and what is there.
        reason: String,
    },
    /// A number in a header, or given by the caller, that no audio has.
    #[error("{field}: expected {expected}, got {found}")]
    Field {
        /// The number.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A sample that is not finite.
    #[error("sample {index} of channel {channel} is {value}: expected finite samples")]
    Sample {
        /// Which one, from 0, at the audio's own rate.
        index: u64,
        /// Of which channel, from 0.
        channel: usize,
        /// What it is.
        value: f32,
    },
    /// The source could not be read.
    #[error("reading the audio failed near byte {offset}: {source}")]
    Io {
        /// About where reading stood, in bytes from the start.
        offset: u64,
        /// What the source said.
        #[source]
        source: io::Error,
    },
}

impl AudioError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. }
            | Self::Unrecognised { .. }
            | Self::Unsupported { .. }
            | Self::Damaged { .. } => "UAT_AUDIO_FORMAT",
            Self::Field { .. } | Self::Sample { .. } => "UAT_INVALID_INPUT",
            Self::Io { .. } => "UAT_STORAGE",
        }
    }

    /// Whether reading again may succeed without anybody changing the audio.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
