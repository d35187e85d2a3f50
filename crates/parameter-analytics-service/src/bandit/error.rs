use std::sync::Arc;

use super::outstanding::DecisionId;

/// Why a bandit did not do what it was asked. One variant for each thing that a caller can do differently.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BanditError {
    /// A value that cannot be meant.
    #[error("{what} must be {expected}, and was {arrived}; {help}")]
    Invalid {
        /// Which value.
        what: String,
        /// What it may be.
        expected: String,
        /// What it was.
        arrived: String,
        /// What to try.
        help: &'static str,
    },
    /// No arm has this name.
    #[error("there is no arm `{arm}`; there are `{}`", known.join("`, `"))]
    UnknownArm {
        /// The name that was asked for.
        arm: Arc<str>,
        /// Those that there are.
        known: Vec<Arc<str>>,
    },
    /// The decision is not waited for.
    #[error("no decision {id} is waited for: {why}")]
    UnknownDecision {
        /// What was given.
        id: DecisionId,
        /// What may have happened to it, and what to try.
        why: &'static str,
    },
    /// The decision has had its reward.
    #[error(
        "decision {id} was rewarded before, and a reward counts once; send each decision's reward one time"
    )]
    Rewarded {
        /// What was given.
        id: DecisionId,
    },
    /// An arm of this name is there.
    #[error("there is an arm `{arm}` already; give the new one another name")]
    ArmExists {
        /// The name.
        arm: Arc<str>,
    },
    /// All arms are retired, or the last one would be.
    #[error("a bandit needs an arm that may be chosen, and there would be none; add one first")]
    NoArm,
    /// Increments of differently made bandits cannot be added.
    #[error(
        "increments of bandits that differ in `{field}` cannot be added; make both with the same options"
    )]
    Differs {
        /// The option that differs.
        field: &'static str,
    },
}

impl BanditError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "UAT_INVALID_INPUT",
            Self::UnknownArm { .. } | Self::UnknownDecision { .. } => "UAT_NOT_FOUND",
            Self::Rewarded { .. } | Self::ArmExists { .. } | Self::NoArm | Self::Differs { .. } => {
                "UAT_CONFLICT"
            }
        }
    }

    pub(super) fn invalid(
        what: impl Into<String>,
        expected: impl Into<String>,
        arrived: impl ToString,
        help: &'static str,
    ) -> Self {
        Self::Invalid { what: what.into(), expected: expected.into(), arrived: arrived.to_string(), help }
    }
}
