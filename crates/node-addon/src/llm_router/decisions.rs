//! The decisions of the last while, so that they can be explained and their answers judged.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::Routed;

use crate::error::Crossing;

/// As many as a server keeps reports.
const MOST: usize = 1_024;
/// The same in bytes: each holds what was known of every model.
const MOST_BYTES: usize = 4 << 20;

/// A ring, the oldest forgotten first; looked through from its end, for that is what is asked for, and seldom.
#[derive(Default)]
pub(super) struct Decisions(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    kept: VecDeque<Kept>,
    bytes: usize,
}

struct Kept {
    routed: Arc<Routed>,
    /// The model that answered, if one did.
    answered: Option<Arc<str>>,
    is_judged: bool,
    bytes: usize,
}

impl Kept {
    fn id(&self) -> &str {
        &self.routed.decision().plan.request_id
    }
}

impl Decisions {
    pub(super) fn keep(&self, routed: Arc<Routed>, answered: Option<Arc<str>>) {
        let bytes = size_of::<Kept>() + routed.weight();
        let mut ring = self.0.lock();
        ring.bytes += bytes;
        ring.kept.push_back(Kept { routed, answered, is_judged: false, bytes });
        while ring.kept.len() > MOST || ring.bytes > MOST_BYTES {
            let Some(oldest) = ring.kept.pop_front() else { break };
            ring.bytes = ring.bytes.saturating_sub(oldest.bytes);
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Routed>> {
        let ring = self.0.lock();
        ring.kept.iter().rev().find(|kept| kept.id() == id).map(|kept| Arc::clone(&kept.routed))
    }

    /// Who answered, and after which decision; once for each answer.
    pub(super) fn judged(&self, id: &str) -> Result<(Arc<str>, Arc<Routed>), Crossing> {
        let mut ring = self.0.lock();
        let Some(kept) = ring.kept.iter_mut().rev().find(|kept| kept.id() == id) else {
            return Err(Crossing::unknown_request(id));
        };
        let Some(answered) = &kept.answered else {
            return Err(Crossing::not_to_be_judged(id, "has no answer that could be judged"));
        };
        if std::mem::replace(&mut kept.is_judged, true) {
            return Err(Crossing::not_to_be_judged(id, "was judged already: it counts once"));
        }
        Ok((Arc::clone(answered), Arc::clone(&kept.routed)))
    }

    /// What was said of the answer could not be kept: it may be said again.
    pub(super) fn is_not_judged(&self, id: &str) {
        let mut ring = self.0.lock();
        if let Some(kept) = ring.kept.iter_mut().rev().find(|kept| kept.id() == id) {
            kept.is_judged = false;
        }
    }
}
