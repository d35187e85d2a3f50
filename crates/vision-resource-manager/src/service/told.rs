//! Who is told what.

use std::sync::Arc;

use super::{Granted, ManagerError, Notice, REMEMBERED, Started, State};
use crate::{Decision, LeaseId};

/// How a process hears of its leases.
pub(super) type Listener = Arc<dyn Fn(Notice) + Send + Sync>;

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
    Notice(Listener, Notice),
}

impl Delivery {
    pub(super) fn carry_out(self) {
        match self {
            Self::Granted(answer, granted) => answer(Ok(granted)),
            Self::Started(answer, started) => answer(Ok(started)),
            Self::Fail(Answer::Lease(answer), error) => answer(Err(error)),
            Self::Fail(Answer::Use(answer), error) => answer(Err(error)),
            Self::Notice(listener, notice) => listener(notice),
        }
    }
}

impl State {
    /// Puts into the outbox what a decision means for whom.
    pub(super) fn tell(&mut self, decision: Decision) {
        match decision {
            Decision::Granted { request, lease, shares, expires_at, waited_ms } => {
                if let Some((holder, Answer::Lease(answer))) = self.answers.remove(&request) {
                    self.lease_of.insert(lease, holder);
                    let granted = Granted { lease, shares, expires_at, waited_ms };
                    self.outbox.push_back(Delivery::Granted(answer, granted));
                }
            }
            Decision::Started { request, lease, waited_ms } => {
                if let Some((_, Answer::Use(answer))) = self.answers.remove(&request) {
                    let started = Started { request, lease, waited_ms };
                    self.outbox.push_back(Delivery::Started(answer, started));
                }
            }
            Decision::Refused { request, refusal } => {
                if let Some((_, answer)) = self.answers.remove(&request) {
                    self.outbox.push_back(Delivery::Fail(answer, ManagerError::of_request(refusal)));
                }
            }
            Decision::Preempt { lease, until, by } => {
                self.notice_of(lease, Notice::Preempt { lease, until, by });
            }
            Decision::Ended { lease, reason } => {
                if self.ended.len() == REMEMBERED {
                    self.ended.pop_front();
                }
                self.ended.push_back((lease, reason));
                self.notice_of(lease, Notice::Ended { lease, reason });
                self.forget(lease);
            }
            Decision::Released { lease } => self.forget(lease),
            Decision::Lost { lease } => self.notice_of(lease, Notice::Lost { lease }),
            Decision::Found { lease } => self.notice_of(lease, Notice::Found { lease }),
            Decision::Unload { lease } => self.notice_of(lease, Notice::Unload { lease }),
            Decision::Load { lease, holder, model, share } => {
                self.lease_of.insert(lease, holder);
                self.notice(holder, Notice::Load { lease, model, share });
            }
            Decision::Overuse { holder, device, leased, used } => {
                self.notice(holder, Notice::Overuse { device, leased, used });
            }
            Decision::Queued { .. } | Decision::Renewed { .. } | Decision::Denied { .. } => {}
        }
    }

    fn notice_of(&mut self, lease: LeaseId, notice: Notice) {
        if let Some(holder) = self.lease_of.get(&lease).copied() {
            self.notice(holder, notice);
        }
    }

    fn notice(&mut self, holder: crate::HolderId, notice: Notice) {
        if let Some(holder) = self.holders.get(&holder) {
            self.outbox.push_back(Delivery::Notice(Arc::clone(&holder.listener), notice));
        }
    }

    fn forget(&mut self, lease: LeaseId) {
        self.lease_of.remove(&lease);
    }
}
