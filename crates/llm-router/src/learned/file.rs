//! What was learned as bytes: a mark, a version, a length, a checksum, and the content in postcard's wire format.

use sha2::{Digest, Sha256};

use super::Learned;
use super::linear::Parabola;

const MARK: [u8; 8] = *b"UATLEARN";
/// Raised when the content or what [`super::PromptFeatures`] measures changes: weights are of no use to other
/// measures.
const VERSION: u32 = 2;
/// Mark, version, length of the content, SHA-256 of the content.
const HEAD: usize = 8 + 4 + 8 + 32;

/// Why bytes are no learned file. Whoever reads them goes on with priors, and says so once.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// It is something else.
    #[error("expected a file that `uat router train` wrote, got something else; train again")]
    NotLearned,
    /// Another version wrote it.
    #[error("expected version {VERSION}, got version {0}; train again with this release")]
    Version(u32),
    /// It was cut, or changed.
    #[error("the file is damaged: {0}; restore it, or train again")]
    Corrupt(String),
}

impl FileError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLearned | Self::Corrupt(_) => "UAT_CORRUPT_VALUE",
            Self::Version(_) => "UAT_UNSUPPORTED",
        }
    }
}

impl Learned {
    /// The bytes of a file, some 2 MB for two models and 10,000 rows.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Numbers, strings and lists always have a form: there is nothing that postcard could refuse.
        let content = postcard::to_stdvec(self).unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEAD + content.len());
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(&content));
        bytes.extend_from_slice(&content);
        bytes
    }

    /// Reads what [`Learned::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let cut = || FileError::Corrupt(format!("it ends after {} bytes", bytes.len()));
        let rest = bytes.strip_prefix(&MARK).ok_or(FileError::NotLearned)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(FileError::Version(version));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (checksum, content) = rest.split_first_chunk::<32>().ok_or_else(cut)?;
        let length = u64::from_le_bytes(*length);
        if content.len() as u64 != length {
            let got = content.len();
            return Err(FileError::Corrupt(format!("expected {length} bytes of content, got {got}")));
        }
        if Sha256::digest(content).as_slice() != checksum {
            return Err(FileError::Corrupt("its checksum is another".to_owned()));
        }
        Self::from_content(content)
    }

    /// Reads the content without its head; what it is checked for beyond the checksum is what estimating relies on.
    fn from_content(content: &[u8]) -> Result<Self, FileError> {
        let learned: Self =
            postcard::from_bytes(content).map_err(|error| FileError::Corrupt(error.to_string()))?;
        let models = learned.models.len();
        let sound = learned.predictor.as_ref().is_none_or(|p| {
            let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
            let blend = |b: &super::model::Blend| {
                finite(&b.ease)
                    && finite(&b.relative)
                    && (0.0..=1.0).contains(&b.trust)
                    && b.curve.len() == models
                    && b.curve.iter().all(Parabola::is_sound)
            };
            p.means.len() == models
                && finite(&p.means)
                && finite(&p.gate)
                && p.calibration.len() == models
                && p.calibration.iter().all(Parabola::is_sound)
                && blend(&p.familiar)
                && blend(&p.strange)
                && p.parts.is_sound(models)
        });
        if sound { Ok(learned) } else { Err(FileError::Corrupt("its parts do not fit together".to_owned())) }
    }
}
