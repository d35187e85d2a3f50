//! What can go wrong for whoever wants memory.

use crate::{Ended, LeaseId, Refusal};

/// Why a call did not work. One variant for each thing that a caller can do differently.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// There is no GPU that could be asked.
    #[error("there is no GPU: {tried}")]
    NoGpu {
        /// What was tried, and what came of it.
        tried: String,
    },
    /// There is not so much memory, and the time to wait is over.
    #[error("{}", insufficient(refusal))]
    Insufficient {
        /// What is in the way.
        refusal: Refusal,
    },
    /// As many wait as may.
    #[error("{waiting} requests wait for GPU memory already: try again later, or ask for less at a time")]
    Overloaded {
        /// How many.
        waiting: usize,
    },
    /// What was asked for makes no sense.
    #[error("{problem}")]
    Invalid {
        /// What is wrong with it.
        problem: Box<str>,
    },
    /// The lease has ended, or never was.
    #[error("lease {lease} has ended: its time was over, or it was released; allocate anew")]
    NoSuchLease {
        /// Which.
        lease: LeaseId,
    },
    /// Another process has the lease.
    #[error("lease {lease} belongs to another process")]
    NotYours {
        /// Which.
        lease: LeaseId,
    },
    /// The lease was taken back for somebody more important.
    #[error("lease {lease} was taken back for a request of higher priority")]
    Preempted {
        /// Which.
        lease: LeaseId,
    },
    /// An earlier manager gave out leases, and not all their holders have come back yet or are known to be gone.
    #[error(
        "leases that were given out before a restart are not accounted for yet: nothing is given out until their holders come back, end, or their time is over; wait longer"
    )]
    Restoring,
    /// The model that was to be used could not be loaded.
    #[error("the model could not be loaded; it is loaded again for the next that wants to use it")]
    LoadFailed,
    /// The caller does not want it any longer.
    #[error("the request was cancelled")]
    Cancelled,
    /// The manager is closed.
    #[error("the resource manager is closed")]
    Closed,
    /// The system gave no thread.
    #[error("no thread could be started: {0}")]
    Thread(String),
}

impl ManagerError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoGpu { .. } => "UAT_NO_GPU",
            Self::Insufficient { .. } => "UAT_INSUFFICIENT_VRAM",
            Self::Overloaded { .. } | Self::Restoring => "UAT_OVERLOADED",
            Self::Invalid { .. } => "UAT_INVALID_INPUT",
            Self::NoSuchLease { .. } => "UAT_LEASE_EXPIRED",
            Self::NotYours { .. } => "UAT_CONFLICT",
            Self::Preempted { .. } => "UAT_PREEMPTED",
            Self::LoadFailed => "UAT_ENGINE_UNAVAILABLE",
            Self::Cancelled => "UAT_CANCELLED",
            Self::Closed => "UAT_CLOSED",
            Self::Thread(_) => "UAT_INTERNAL",
        }
    }

    /// Whether the same request may work later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Insufficient { refusal } => {
                !matches!(refusal, Refusal::Insufficient { can_ever_fit: false, .. })
            }
            Self::Overloaded { .. }
            | Self::Restoring
            | Self::LoadFailed
            | Self::NoSuchLease { .. }
            | Self::Preempted { .. } => true,
            _ => false,
        }
    }

    /// What a refused request is told.
    pub(super) fn of_request(refusal: Refusal) -> Self {
        match refusal {
            Refusal::QueueFull { waiting } => Self::Overloaded { waiting },
            Refusal::Invalid { problem } => Self::Invalid { problem },
            Refusal::Cancelled => Self::Cancelled,
            Refusal::Restoring => Self::Restoring,
            Refusal::LoadFailed => Self::LoadFailed,
            refusal => Self::Insufficient { refusal },
        }
    }

    /// What somebody is told whose lease is not as it thought.
    pub(super) fn of_lease(lease: LeaseId, refusal: &Refusal, ended: Option<Ended>) -> Self {
        match (refusal, ended) {
            (Refusal::NotYours, _) => Self::NotYours { lease },
            (Refusal::Invalid { problem }, _) => Self::Invalid { problem: problem.clone() },
            (_, Some(Ended::Preempted)) => Self::Preempted { lease },
            _ => Self::NoSuchLease { lease },
        }
    }
}

fn insufficient(refusal: &Refusal) -> String {
    let mib = |bytes: &u64| bytes >> 20;
    match refusal {
        Refusal::Insufficient {
            asked,
            largest_free,
            device,
            leased,
            external,
            lost,
            can_ever_fit,
            expected_wait_ms,
        } => {
            let at = device.map_or(String::new(), |device| format!(" (on GPU {device})"));
            let gone = match lost {
                0 => String::new(),
                1 => "; a GPU has vanished".to_owned(),
                several => format!("; {several} GPUs have vanished"),
            };
            let until = match expected_wait_ms {
                None | Some(0) => String::new(),
                Some(ms) => format!(
                    "; what is in its way is expected to end within {} s, unless it is renewed",
                    ms.div_ceil(1_000)
                ),
            };
            let then = match (can_ever_fit, leased + external) {
                (false, _) => "it would not fit if nothing else were there: ask for less, or for fewer GPUs",
                (true, 0) => "wait until it is there again, or ask for less",
                (true, _) if *leased == 0 => {
                    "other programs have the rest: wait until they end, or ask for less"
                }
                (true, _) => "wait longer, ask for less, or release leases",
            };
            format!(
                "{} MiB were asked for, the largest free block has {} MiB{at}; leases hold {} MiB, other programs {} MiB{gone}{until}; {then}",
                mib(asked),
                mib(largest_free),
                mib(leased),
                mib(external)
            )
        }
        Refusal::Overuse { device, leased, used } => format!(
            "this process uses {} MiB of GPU {device} and has leased {} MiB there: nothing more is leased to it until the driver says that it uses less",
            mib(used),
            mib(leased)
        ),
        Refusal::Quota { quota, leased } => format!(
            "the owner may lease {} MiB at once and has, or was promised, {} MiB: release some, or raise its quota",
            mib(quota),
            mib(leased)
        ),
        _ => "the request was refused".to_owned(),
    }
}
