//! Why a request is not admitted.

use std::sync::Arc;
use std::time::Duration;

use crate::account::{Period, What};
use crate::key::Key;
use crate::meters::Short;
use crate::money::NanoUsd;
use crate::purse::Shortage;

/// One variant for each thing that a caller can do differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The key may not use the model.
    #[error("the key {key:?} may not use the model {model:?}: expected one that its `models` allow")]
    Model {
        /// The key's name.
        key: Arc<str>,
        /// The model.
        model: Arc<str>,
    },
    /// The key has a budget, and nobody knows what the model costs.
    #[error(
        "the key {key:?} has a budget, and the price of the model {model:?} is not known: set `price` of the model in [[models]]"
    )]
    UnknownPrice {
        /// The key's name.
        key: Arc<str>,
        /// The model.
        model: Arc<str>,
    },
    /// The key was revoked after the request had come.
    #[error("the key {key:?} was revoked")]
    Revoked {
        /// The key's name.
        key: Arc<str>,
    },
    /// The window's requests or tokens are used up, or held by requests that have not ended.
    #[error(
        "the key {key:?} is limited to {limit} {what} a {period}: expected at most {left} more, got {needed}; try again in {} s",
        retry_after.as_secs_f64().ceil()
    )]
    Rate {
        /// The key's name.
        key: Arc<str>,
        /// Requests or tokens.
        what: What,
        /// Of what window.
        period: Period,
        /// What the window allows.
        limit: u64,
        /// What is left of it.
        left: u64,
        /// What the request needs at most.
        needed: u64,
        /// When it may succeed: a second where requests that have not ended hold what is missing, else the end of the window.
        retry_after: Duration,
    },
    /// The day's money is spent, or held by requests that have not ended.
    #[error(
        "the key {key:?} has a budget of {limit} a day: expected a request of at most {left}, got one that may cost {needed}; a smaller \
         max_tokens may fit, or try again in {} s", retry_after.as_secs_f64().ceil()
    )]
    Budget {
        /// The key's name.
        key: Arc<str>,
        /// What the day allows.
        limit: NanoUsd,
        /// What is left of it.
        left: NanoUsd,
        /// What the request may cost at most.
        needed: NanoUsd,
        /// When it may succeed: a second where requests that have not ended hold what is missing, else the end of the day (UTC).
        retry_after: Duration,
    },
    /// The ledger is away, and what was claimed before is used.
    #[error("the {what} of the key {key:?} cannot be counted: {reason}; try again in 1 s")]
    Away {
        /// The key's name.
        key: Arc<str>,
        /// What could not be counted.
        what: What,
        /// Why the ledger counts as away.
        reason: Arc<str>,
    },
    /// [`close`](crate::Allowances::close) was called.
    #[error("limits are not counted any more: this instance is closed")]
    Closed,
}

impl Refused {
    /// What a shortage is to the caller.
    pub(crate) fn short(
        key: &Arc<Key>,
        needed: u64,
        (what, period, shortage): Short,
        outage: Option<Arc<str>>,
    ) -> Self {
        let key = key.name().clone();
        let Shortage { limit, left, may_fit, is_away, retry_after } = shortage;
        if is_away && may_fit {
            let reason = outage.unwrap_or_else(|| "the ledger of limits does not answer".into());
            return Self::Away { key, what, reason };
        }
        match what {
            What::Money => Self::Budget {
                key,
                limit: NanoUsd(limit),
                left: NanoUsd(left),
                needed: NanoUsd(needed),
                retry_after,
            },
            What::Requests | What::Tokens => {
                Self::Rate { key, what, period, limit, left, needed, retry_after }
            }
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Model { .. } | Self::UnknownPrice { .. } => "UAT_FORBIDDEN",
            Self::Revoked { .. } => "UAT_UNAUTHORIZED",
            Self::Rate { .. } | Self::Away { .. } => "UAT_RATE_LIMITED",
            Self::Budget { .. } => "UAT_BUDGET_EXCEEDED",
            Self::Closed => "UAT_CLOSED",
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Rate { .. } | Self::Budget { .. } | Self::Away { .. })
    }

    /// For the header `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate { retry_after, .. } | Self::Budget { retry_after, .. } => Some(*retry_after),
            Self::Away { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The field of the request that is at fault, if one is.
    pub fn param(&self) -> Option<&'static str> {
        matches!(self, Self::Model { .. } | Self::UnknownPrice { .. }).then_some("model")
    }
}
