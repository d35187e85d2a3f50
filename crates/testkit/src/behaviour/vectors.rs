//! What a request for embeddings gets.

use serde::{Deserialize, Serialize};

/// The vectors that answer a request for embeddings: component `i` of a text's is the byte at `i` modulo its length, of
/// tokens the token there, divided by 256. So they are the same everywhere, exact, and different for different inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vectors {
    /// Components of each, unless the request says how many.
    pub dimensions: usize,
    /// Whether they are base64, whatever the request says. Absent: as it says.
    pub base64: Option<bool>,
    /// So many of them are left out, from the end.
    pub missing: usize,
}

impl Default for Vectors {
    fn default() -> Self {
        Self { dimensions: 8, base64: None, missing: 0 }
    }
}
