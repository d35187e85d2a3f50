//! Who is told what.

use std::sync::Arc;

use super::{Granted, ManagerError, REMEMBERED, Started, State};
use crate::{Decision, HolderId, Share};

/// How a process hears of its leases.
pub(super) type Listener = Arc<dyn Fn(Decision) + Send + Sync>;

/// How whoever asked hears what came of it.
pub(super) enum Answer {
    Lease(Box<dyn FnOnce(Result<Granted, ManagerError>) + Send>),
    Use(Box<dyn FnOnce(Result<Started, ManagerError>) + Send>),
}

/// Something that somebody is to be told.
pub(super) enum Delivery {
    Granted(Box<dyn FnOnce(Result<Granted, ManagerError>) + Send>, Granted),
    Started(Box<dyn FnOnce(Result<Started, ManagerError>) + Send>, Started),
    Fail(Answer, ManagerError),
    Decided(Listener, Decision),
}

impl Delivery {
    pub(super) fn carry_out(self) {
        match self {
            Self::Granted(answer, granted) => answer(Ok(granted)),
            Self::Started(answer, started) => answer(Ok(started)),
            Self::Fail(Answer::Lease(answer), error) => answer(Err(error)),
            Self::Fail(Answer::Use(answer), error) => answer(Err(error)),
            Self::Decided(listener, decision) => listener(decision),
        }
    }
}

impl State {
    /// Puts into the outbox what a decision means for whom.
    pub(super) fn tell(&mut self, decision: Decision) {
        match decision {
            Decision::Granted { request, lease, shares, expires_at, waited_ms } => {
                if let Some(Answer::Lease(answer)) = self.answers.remove(&request) {
                    let uuid = |share: &Share| self.readings.uuid(share.device).map(ToOwned::to_owned);
                    let uuids = shares.iter().map(uuid).collect();
                    let granted = Granted { lease, shares, uuids, expires_at, waited_ms };
                    self.outbox.push_back(Delivery::Granted(answer, granted));
                }
            }
            Decision::Started { request, lease, waited_ms } => {
                if let Some(Answer::Use(answer)) = self.answers.remove(&request) {
                    let started = Started { request, lease, waited_ms };
                    self.outbox.push_back(Delivery::Started(answer, started));
                }
            }
            Decision::Refused { request, refusal } => {
                if let Some(answer) = self.answers.remove(&request) {
                    self.outbox.push_back(Delivery::Fail(answer, ManagerError::of_request(refusal)));
                }
            }
            Decision::Ended { lease, holder, reason } => {
                if self.ended.len() == REMEMBERED {
                    self.ended.pop_front();
                }
                self.ended.push_back((lease, reason));
                self.tell_holder(holder, decision);
            }
            Decision::Preempt { holder, .. }
            | Decision::Lost { holder, .. }
            | Decision::Found { holder, .. }
            | Decision::Load { holder, .. }
            | Decision::Unload { holder, .. }
            | Decision::Overuse { holder, .. } => self.tell_holder(holder, decision),
            Decision::Released { .. }
            | Decision::Queued { .. }
            | Decision::Renewed { .. }
            | Decision::Denied { .. }
            | Decision::ModelDenied { .. } => {}
        }
    }

    fn tell_holder(&mut self, holder: HolderId, decision: Decision) {
        if let Some(holder) = self.holders.get(&holder) {
            self.outbox.push_back(Delivery::Decided(Arc::clone(&holder.listener), decision));
        }
    }
}
