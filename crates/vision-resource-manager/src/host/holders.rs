//! Who holds what: processes are entered when they call, and what they had is free when they end.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::book::Key;
use super::error::Refused;
use super::process::Process;
use super::server::{Shared, epoch_ms};
use super::wire::Notice;
use crate::{Decision, HolderId, LeaseView};

/// A client that lives reconnects within a second. Warm models of one that does not stay counted, with or without waiting for it.
const SILENT_MS: u64 = 60_000;

impl Shared {
    /// The holder that a caller is.
    pub(super) fn caller(self: &Arc<Self>, process: Process, client: &str) -> Result<HolderId, Refused> {
        self.holder(process, client, true)
    }

    pub(super) fn holder(
        self: &Arc<Self>,
        process: Process,
        client: &str,
        heard: bool,
    ) -> Result<HolderId, Refused> {
        let key = Key { process, client: client.into() };
        let mut book = self.book();
        let holder = match book.find(&key) {
            Some(holder) => holder,
            None => {
                // Opened before it is looked at again: the number cannot have gone to another process meanwhile.
                let watch = if book.knows(process) { None } else { Some(watched(process)?) };
                let me = Arc::downgrade(self);
                let holder = self.manager.join(process.of_manager(), move |decision| {
                    if let Some(host) = Weak::upgrade(&me) {
                        host.decided(decision);
                    }
                })?;
                book.enter(key, holder);
                if let Some(watch) = watch {
                    self.watch(process, watch);
                }
                holder
            }
        };
        let last = heard && book.settled(holder);
        drop(book);
        if last {
            self.manager.restored();
        }
        Ok(holder)
    }

    /// Frees what a process had as soon as it has ended.
    fn watch(self: &Arc<Self>, process: Process, ended: AsyncFd<rustix::fd::OwnedFd>) {
        let me = Arc::downgrade(self);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        while watched.try_join_next().is_some() {}
        watched.spawn(async move {
            drop(ended.readable().await);
            if let Some(host) = Weak::upgrade(&me) {
                host.ended(process);
            }
        });
    }

    fn ended(&self, process: Process) {
        let (gone, last) = self.book().leave(process);
        self.uses().retain(|(holder, _), _| !gone.contains(holder));
        // What they had is written off by the decisions about them.
        for holder in gone {
            self.manager.leave(holder);
        }
        if last {
            self.manager.restored();
        }
    }

    /// Something was decided about a holder that it did not ask for.
    fn decided(&self, decision: Decision) {
        let (holder, notice) = match decision {
            Decision::Preempt { lease, holder, until, by } => {
                let grace_ms = until.saturating_sub(self.manager.now());
                self.write(|disk| disk.journal.ends(lease, epoch_ms().saturating_add(grace_ms)));
                (holder, Notice::Preempt { lease, grace_ms, by_priority: by })
            }
            Decision::Ended { lease, holder, reason } => {
                self.forget(lease);
                self.may_be_settled(holder);
                (holder, Notice::Ended { lease, reason })
            }
            Decision::Lost { lease, holder } => (holder, Notice::Lost { lease }),
            Decision::Found { lease, holder } => (holder, Notice::Found { lease }),
            Decision::Load { lease, holder, model, share } => {
                match self.begin_load(holder, lease, model, share) {
                    Ok(notice) => (holder, notice),
                    // Nobody would know of it after a restart.
                    Err(_) => return self.manager.load_failed(holder, lease),
                }
            }
            Decision::Unload { lease, holder } => (holder, Notice::Unload { lease }),
            Decision::Overuse { holder, device, leased, used } => {
                (holder, Notice::Overuse { device, leased, used })
            }
            _ => return,
        };
        self.book().tell(holder, &notice);
    }

    /// A holder that was not heard of yet is waited for as long as it has something: of warm models, which have no end, for a minute.
    fn may_be_settled(&self, holder: HolderId) {
        let silent = self.book().silent().contains(&holder);
        let all = self.manager.now() < SILENT_MS;
        let waits_for = |lease: &LeaseView| lease.holder == holder && (all || lease.expires_at.is_some());
        if silent && !self.manager.leases().iter().any(waits_for) {
            let last = self.book().settled(holder);
            if last {
                self.manager.restored();
            }
        }
    }

    /// Nobody that has warm models alone is waited for when a minute is over.
    pub(super) fn give_up_on_silent(self: &Arc<Self>) {
        if self.book().silent().is_empty() {
            return;
        }
        let me = Arc::downgrade(self);
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            tokio::time::sleep(Duration::from_millis(SILENT_MS)).await;
            if let Some(host) = Weak::upgrade(&me) {
                let silent: Vec<HolderId> = host.book().silent().iter().copied().collect();
                silent.into_iter().for_each(|holder| host.may_be_settled(holder));
            }
        });
    }
}

/// What becomes readable when the process ends.
fn watched(process: Process) -> Result<AsyncFd<rustix::fd::OwnedFd>, Refused> {
    let gone = || Refused::Forbidden(format!("process {} has ended", process.pid));
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let fd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|_| gone())?;
    if !process.lives() {
        return Err(gone());
    }
    #[expect(
        deprecated,
        reason = "an OwnedFd is its descriptor for life; the other constructor is unsafe code"
    )]
    AsyncFd::with_interest(fd, Interest::READABLE).map_err(Refused::Storage)
}
