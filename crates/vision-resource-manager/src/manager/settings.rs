//! What a manager is set to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How memory is given out. Bytes and milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of each device that are never given out: what drivers and libraries take without being asked.
    pub headroom: u64,
    /// How much earlier a request counts as having come for each step of its priority, in ms. Priority
    /// therefore puts nobody before what came more than three such steps earlier.
    pub aging_ms: u64,
    /// Requests that may wait at once; more are refused.
    pub max_waiting: usize,
    /// So many may be served before somebody that came first. Then, or when half of the time is over that its caller
    /// waits, the device where it will fit soonest is kept for it alone, warm models in use there included.
    pub max_overtaken: u32,
    /// An idle warm model is not unloaded for so many ms after its last use: who just got an answer asks again.
    pub hold_ms: u64,
    /// Models that may be loading at once on one device.
    pub loads_per_device: u32,
    /// A load or an unload that takes longer, in ms, is not waited for any more: it keeps its memory, and its device may load others.
    /// A load has at least four times as long as it is known to take. `None`: whoever loads is believed to come to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue_ms: Option<u64>,
    /// Whether two instances of a model may share a device.
    pub replicas_share_device: bool,
    /// Bytes that one owner may lease at once on all devices together.
    pub quotas: BTreeMap<Box<str>, u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            headroom: 256 << 20,
            aging_ms: 10_000,
            max_waiting: 1_000,
            max_overtaken: 200,
            hold_ms: 600,
            loads_per_device: 1,
            overdue_ms: None,
            replicas_share_device: false,
            quotas: BTreeMap::new(),
        }
    }
}
