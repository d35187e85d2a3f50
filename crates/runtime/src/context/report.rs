use std::sync::Arc;

use context_pack::{Added, Left, Packed, Why};
use serde::Serialize;

/// What was added to a request, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextReport {
    /// In the order of the request's budget: instructions, turns from the latest back, passages from the best.
    pub added: Vec<Added>,
    /// What was there and not added.
    pub left: Vec<Left>,
    /// What was not there.
    pub missing: Vec<Missing>,
}

/// A provider that had nothing to give because something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The provider.
    pub source: Arc<str>,
    /// What is wrong.
    pub why: String,
}

impl ContextReport {
    /// As it was chosen.
    pub(super) fn of(packed: &Packed, left: Vec<Left>, missing: Vec<Missing>) -> Self {
        let left = left.into_iter().chain(packed.left.iter().cloned()).collect();
        Self { added: packed.added.clone(), left, missing }
    }

    /// The same where nothing can be added after all.
    pub(super) fn with_nothing(self) -> Self {
        let unadded = self.added.into_iter();
        let unadded = unadded.map(|Added { source, tokens }| Left { source, tokens, why: Why::Budget });
        Self { left: unadded.chain(self.left).collect(), added: Vec::new(), missing: self.missing }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let texts = self.missing.iter().map(|missing| missing.why.len()).sum::<usize>();
        (self.added.len() + self.left.len() + self.missing.len()) * (size_of::<Left>() + 32) + texts
    }
}
