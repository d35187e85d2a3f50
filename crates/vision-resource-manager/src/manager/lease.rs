//! Leases, those of warm models among them.

use super::decision::{Refusal, Share};
use super::event::{HolderId, Priority, RequestId};

/// Memory that somebody has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lease {
    pub(super) holder: HolderId,
    pub(super) owner: Box<str>,
    pub(super) model: Option<Box<str>>,
    pub(super) priority: Priority,
    pub(super) shares: Vec<Share>,
    /// When it ends; instances of warm models have no end.
    pub(super) expires_at: Option<u64>,
    /// It was granted because it ends before this request needs its memory, so that it may not live longer.
    pub(super) ends_before: Option<(RequestId, u64)>,
    pub(super) preemptible: bool,
    pub(super) grace_ms: u64,
    /// Set when its holder was asked to give it back: for whom.
    pub(super) preempted_by: Option<Priority>,
    pub(super) lost: bool,
    /// Set where it is an instance of a warm model.
    pub(super) instance: Option<Instance>,
}

impl Lease {
    /// When something is due about it: its end, or that of a load or an unload.
    pub(super) fn due(&self) -> Option<u64> {
        self.expires_at.or_else(|| self.instance.as_ref()?.due)
    }

    /// Whether its memory is on its way out.
    pub(super) fn returning(&self) -> bool {
        self.preempted_by.is_some()
            || self.instance.as_ref().is_some_and(|instance| instance.state == InstanceState::Unloading)
    }
}

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstanceState {
    /// Until about then.
    Loading { until: u64 },
    /// It can be used.
    Ready,
    /// Its memory was promised to others.
    Unloading,
    /// It is loaded, or unloaded, for longer than anybody waits for. What it may take counts still.
    Overdue { loads: bool },
}

/// A warm model in memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instance {
    /// Its place in the list of models.
    pub(super) model: usize,
    pub(super) state: InstanceState,
    /// Who uses it, and since when.
    pub(super) uses: Vec<(RequestId, u64)>,
    /// When it was last used or loaded.
    pub(super) last: u64,
    /// When it is overdue, as long as it is being loaded or unloaded.
    pub(super) due: Option<u64>,
}

impl Instance {
    /// Whether nobody uses it, nor has for `hold_ms`.
    pub(super) fn evictable(&self, now: u64, hold_ms: u64) -> bool {
        self.idle() && now.saturating_sub(self.last) >= hold_ms
    }

    /// Why its memory cannot be given back now.
    pub(super) fn why_not_back(&self) -> Option<Refusal> {
        let problem = match self.state {
            InstanceState::Loading { .. } | InstanceState::Overdue { loads: true } => {
                "the model is being loaded: say that it is loaded, or that it failed"
            }
            InstanceState::Ready if !self.uses.is_empty() => {
                "the model is in use: say first that its uses have ended"
            }
            InstanceState::Ready | InstanceState::Unloading | InstanceState::Overdue { loads: false } => {
                return None;
            }
        };
        Some(Refusal::Invalid { problem: problem.into() })
    }

    /// Whether it is being loaded, overdue or not.
    pub(super) fn loads(&self) -> bool {
        matches!(self.state, InstanceState::Loading { .. } | InstanceState::Overdue { loads: true })
    }

    /// Whether it is being unloaded, overdue or not.
    pub(super) fn unloads(&self) -> bool {
        matches!(self.state, InstanceState::Unloading | InstanceState::Overdue { loads: false })
    }

    /// Whether it can be used and nobody does.
    pub(super) fn idle(&self) -> bool {
        self.state == InstanceState::Ready && self.uses.is_empty()
    }
}
