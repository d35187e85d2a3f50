//! Dictionaries for zstd: the one that ships, and those that callers bring.

use std::sync::{Arc, LazyLock};

use zstd::zstd_safe::DDict;

use super::EnvelopeError;

/// Trained by `examples/train-dictionary`, which reproduces it byte for byte.
static LLM_JSON: &[u8] = include_bytes!("llm-json.dict");
/// Its id in envelopes. A better dictionary gets a new id: what is stored needs this one.
const LLM_JSON_ID: u32 = 1;
/// Set in the ids of callers' dictionaries, which are checksums, so that they never meet ours.
const FOREIGN: u32 = 1 << 31;

static SHIPPED: LazyLock<Option<Arc<Dictionary>>> =
    LazyLock::new(|| Dictionary::load(LLM_JSON_ID, LLM_JSON).map(Arc::new));

/// A dictionary, loaded once for decompression. To compress, each [`super::Encoder`] loads it for its level.
pub struct Dictionary {
    id: u32,
    bytes: Box<[u8]>,
    prepared: DDict<'static>,
}

impl Dictionary {
    /// A dictionary of the caller's: one that `zstd --train` made, or any bytes that resemble the values.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Compression`] if zstd cannot load it.
    pub fn new(bytes: &[u8]) -> Result<Arc<Self>, EnvelopeError> {
        let id = crc32fast::hash(bytes) | FOREIGN;
        Self::load(id, bytes).map(Arc::new).ok_or(EnvelopeError::Compression { level: 0 })
    }

    /// The one that ships, for the JSON of language models and of sessions. `None` only if zstd has no memory left.
    #[must_use]
    pub fn shipped() -> Option<Arc<Self>> {
        SHIPPED.clone()
    }

    /// As envelopes name it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn prepared(&self) -> &DDict<'static> {
        &self.prepared
    }

    fn load(id: u32, bytes: &[u8]) -> Option<Self> {
        Some(Self { id, bytes: bytes.into(), prepared: DDict::try_create(bytes)? })
    }
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary").field("id", &self.id).field("bytes", &self.bytes.len()).finish()
    }
}
