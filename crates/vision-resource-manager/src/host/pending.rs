//! Requests whose answers are waited for, by callers that may hang up.

use tokio::sync::oneshot;

use super::error::Refused;
use super::server::Shared;
use crate::{HolderId, ManagerError, RequestId};

/// A request whose answer is waited for; whoever drops it takes the request back.
pub(super) struct Pending<'a, T> {
    host: &'a Shared,
    holder: HolderId,
    /// `None` when it was answered.
    request: Option<RequestId>,
    /// The caller's own number of it.
    name: Option<u64>,
    told: oneshot::Receiver<Result<T, Refused>>,
    /// What becomes of an answer that nobody hears.
    undo: fn(&Shared, HolderId, T),
}

impl<'a, T> Pending<'a, T> {
    pub(super) fn new(
        host: &'a Shared,
        holder: HolderId,
        request: RequestId,
        name: Option<u64>,
        told: oneshot::Receiver<Result<T, Refused>>,
        undo: fn(&Shared, HolderId, T),
    ) -> Self {
        if let Some(name) = name {
            host.named().insert((holder, name), request);
        }
        Self { host, holder, request: Some(request), name, told, undo }
    }

    pub(super) async fn answer(mut self) -> Result<T, Refused> {
        let answer = (&mut self.told).await.unwrap_or(Err(Refused::Manager(ManagerError::Closed)));
        self.request = None;
        answer
    }
}

impl<T> Drop for Pending<'_, T> {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            self.host.named().remove(&(self.holder, name));
        }
        let Some(request) = self.request else { return };
        self.told.close();
        match self.told.try_recv() {
            // Told just when whoever asked hung up.
            Ok(Ok(given)) => (self.undo)(self.host, self.holder, given),
            Ok(Err(_)) => {}
            Err(_) => self.host.manager.cancel(self.holder, request),
        }
    }
}
