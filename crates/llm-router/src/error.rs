use std::sync::Arc;

use crate::decision::Decision;
use crate::filter::Rejection;

/// Why nobody was chosen. One variant for each thing that a caller can do differently.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// No model that may be asked is of this tier.
    #[error(
        "unknown tier `{tier}`; {}",
        those_that_exist(known, "there are no tiers: a model names its own with `tier`")
    )]
    UnknownTier {
        /// The name that was asked for.
        tier: Arc<str>,
        /// The tiers that there are, the nearest name first.
        known: Vec<Arc<str>>,
    },
    /// No model says that it can do this.
    #[error(
        "unknown capability `{capability}`; {}",
        those_that_exist(known, "no model names any with `capabilities`")
    )]
    UnknownCapability {
        /// The word that was asked for.
        capability: Arc<str>,
        /// Those that some model has, the nearest word first.
        known: Vec<Arc<str>>,
    },
    /// There is no model that may be asked.
    #[error("there is no model that may be asked; GET /v1/models lists those that there are")]
    NoModel,
    /// Every model is ruled out.
    #[error("no model meets what is asked for; `{nearest}` comes nearest: it {rejection}")]
    NoCandidate {
        /// The model that misses by least.
        nearest: Arc<str>,
        /// What it misses, and by how much.
        rejection: Box<Rejection>,
        /// Why each was ruled out.
        decision: Box<Decision>,
    },
}

impl RouterError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTier { .. } | Self::NoModel => "UAT_MODEL_NOT_FOUND",
            Self::UnknownCapability { .. } => "UAT_INVALID_INPUT",
            Self::NoCandidate { .. } => "UAT_NO_CANDIDATE",
        }
    }

    /// Whether the same question may be answered later: only what is slow now may be quicker then.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::NoCandidate { rejection, .. } if matches!(**rejection, Rejection::Latency { .. }))
    }
}

/// The words, those first that most resemble what was asked for.
pub(crate) fn nearest_first(asked: &str, known: impl IntoIterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    let mut words: Vec<(f64, Arc<str>)> =
        known.into_iter().map(|word| (strsim::jaro_winkler(asked, &word), word)).collect();
    words.sort_by(|a, b| b.0.total_cmp(&a.0));
    words.into_iter().map(|(_, word)| word).collect()
}

fn those_that_exist(known: &[Arc<str>], none: &str) -> String {
    /// More do not help anybody to see what was meant.
    const SHOWN: usize = 20;
    if known.is_empty() {
        return none.to_owned();
    }
    let shown: Vec<&str> = known.iter().take(SHOWN).map(|word| &**word).collect();
    let more = if known.len() > SHOWN { format!(" and {} more", known.len() - SHOWN) } else { String::new() };
    format!("there are `{}`{more}", shown.join("`, `"))
}
