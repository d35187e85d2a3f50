//! The daemon: what it knows, and what each call does.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use gpu_driver::Driver;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::book::{Book, Key};
use super::error::{HostError, Refused};
use super::journal::{Journal, Recorded, RecordedShare, Tokens};
use super::process::{self, Process};
use super::routes;
use super::wire::{Lease, LeasedGpu, Notice};
use crate::{
    Allocate, Decision, Granted, HolderId, LeaseId, ManagerError, ManagerOptions, RequestId, ResourceManager,
    RestoredLease, Share, Usage,
};

/// How a [`Host`] is made.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The socket; its folder is to exist.
    pub socket: PathBuf,
    /// Where leases are written down; created where it does not exist.
    pub state: PathBuf,
    /// The manager's.
    pub manager: ManagerOptions,
}

/// See the module documentation.
pub struct Host {
    pub(super) shared: Arc<Shared>,
    listener: UnixListener,
    socket: PathBuf,
    /// Held as long as this daemon is there.
    _lock: File,
}

pub(super) struct Shared {
    pub(super) manager: ResourceManager,
    book: Mutex<Book>,
    disk: Mutex<Disk>,
    /// Processes whose end is waited for.
    watched: Mutex<JoinSet<()>>,
    /// Requests that wait, by their callers' own numbers of them.
    named: Mutex<HashMap<(HolderId, u64), RequestId>>,
}

struct Disk {
    journal: Journal,
    tokens: Tokens,
}

impl Host {
    /// Reads what an earlier daemon wrote, reads the driver, and listens. Within a tokio runtime.
    ///
    /// # Errors
    /// [`HostError::Busy`] where a daemon serves already, and those of files.
    pub fn open(driver: Box<dyn Driver>, options: HostOptions) -> Result<Self, HostError> {
        let HostOptions { socket, state, manager } = options;
        fs::create_dir_all(&state).map_err(HostError::io("create", &state))?;
        let lock_path = state.join("lock");
        let lock = File::create(&lock_path).map_err(HostError::io("create", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => {
                HostError::Busy { socket: socket.clone(), lock: lock_path.clone() }
            }
            errno => HostError::io("lock", &lock_path)(errno.into()),
        })?;
        let boot = process::boot().map_err(HostError::io("read", "/proc/sys/kernel/random/boot_id"))?;
        let journal =
            Journal::open(&state, &boot).map_err(HostError::io("read", state.join("leases.jsonl")))?;
        let (last, tokens) = Tokens::open(&state).map_err(HostError::io("read", state.join("tokens")))?;
        let newest = journal.held().keys().last().copied().unwrap_or(0);
        let manager = ManagerOptions { last_lease: last.max(newest), ..manager };
        let shared = Arc::new(Shared {
            manager: ResourceManager::new(driver, manager)?,
            book: Mutex::default(),
            disk: Mutex::new(Disk { journal, tokens }),
            watched: Mutex::default(),
            named: Mutex::default(),
        });
        shared.restore()?;
        let listener = listen(&socket)?;
        Ok(Self { shared, listener, socket, _lock: lock })
    }

    /// What there is, for monitors: as long as the daemon serves, and after that what there was.
    pub fn view(&self) -> HostView {
        HostView(Arc::clone(&self.shared))
    }

    /// Serves until `stop` is ready. Leases stay written down, so that the next daemon knows them.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), HostError> {
        let Self { shared, listener, socket, _lock: lock } = self;
        let app = routes::router(Arc::clone(&shared));
        let ending = Arc::clone(&shared);
        let stopping = async move {
            stop.await;
            // Those that wait and those that listen are told; otherwise their connections would never end.
            ending.manager.close();
            ending.book().hang_up();
        };
        let app = app.into_make_service_with_connect_info::<routes::Peer>();
        let served = axum::serve(listener, app).with_graceful_shutdown(stopping).await;
        // Nobody that connects now would be served.
        drop(fs::remove_file(&socket));
        drop(lock);
        served.map_err(HostError::io("serve", socket))
    }
}

/// A daemon, for those who only look.
#[derive(Clone)]
pub struct HostView(pub(super) Arc<Shared>);

impl HostView {
    /// The devices, as they were read last.
    pub fn usage(&self) -> Vec<Usage> {
        self.0.manager.usage()
    }

    /// How many leases are held, and how many requests wait.
    pub fn counts(&self) -> (usize, usize) {
        (self.0.manager.leases().len(), self.0.manager.waiting().len())
    }
}

/// A socket that only this user can open. What lies there is a daemon's that has ended: whoever lives holds the lock.
fn listen(socket: &PathBuf) -> Result<UnixListener, HostError> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(HostError::io("remove the old socket", socket)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(HostError::io("listen on", socket))?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))
        .map_err(HostError::io("set the mode of", socket))?;
    Ok(listener)
}

impl Shared {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an earlier daemon gave out to processes that live.
    fn restore(self: &Arc<Self>) -> Result<(), HostError> {
        let held: Vec<Recorded> = self.disk().journal.held().values().cloned().collect();
        let (now, began) = (self.manager.now(), epoch_ms());
        for of in held {
            let shares = of
                .gpus
                .iter()
                .filter_map(|gpu| Some(Share { device: self.manager.device(&gpu.uuid)?, bytes: gpu.bytes }));
            let shares: Vec<Share> = shares.collect();
            let holder = match self.holder(of.process, &of.client, false) {
                // Of GPUs that are not there nothing can be given out.
                Ok(holder) if of.ends > began && !shares.is_empty() => holder,
                _ => {
                    self.forget(of.lease);
                    continue;
                }
            };
            self.book().is_silent(holder);
            self.manager.restore(RestoredLease {
                lease: of.lease,
                holder,
                owner: of.owner,
                model: of.model,
                priority: of.priority,
                shares,
                expires_at: now + (of.ends - began),
                preemptible: of.preemptible,
                grace_ms: of.grace_ms,
            });
        }
        Ok(())
    }

    /// The holder that a caller is.
    pub(super) fn caller(self: &Arc<Self>, process: Process, client: &str) -> Result<HolderId, Refused> {
        self.holder(process, client, true)
    }

    fn holder(self: &Arc<Self>, process: Process, client: &str, heard: bool) -> Result<HolderId, Refused> {
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
            Decision::Overuse { holder, device, leased, used } => {
                (holder, Notice::Overuse { device, leased, used })
            }
            _ => return,
        };
        self.book().tell(holder, &notice);
    }

    /// A holder that was not heard of yet is waited for as long as it has something.
    fn may_be_settled(&self, holder: HolderId) {
        let silent = self.book().silent().contains(&holder);
        if silent && self.manager.leases().iter().all(|lease| lease.holder != holder) {
            let last = self.book().settled(holder);
            if last {
                self.manager.restored();
            }
        }
    }

    /// Asks for memory; dropping the future takes the request back, and so does [`Self::take_back`] by the caller's own number of it.
    pub(super) async fn allocate(
        self: &Arc<Self>,
        holder: HolderId,
        process: Process,
        client: &str,
        ask: Allocate,
        name: Option<u64>,
    ) -> Result<Lease, Refused> {
        let (tell, told) = oneshot::channel();
        let (me, recorded) = (Arc::clone(self), ask.clone());
        let client: Box<str> = client.into();
        let request = self.manager.allocate(holder, ask, move |answer| {
            let answer = answer.map_err(Refused::Manager).and_then(|granted| {
                let lease = granted.lease;
                me.record(process, client, recorded, granted).inspect_err(|_| me.give_back(holder, lease))
            });
            let granted = answer.as_ref().ok().map(|lease| lease.lease);
            // Whoever asked has hung up: nobody would give it back.
            if let (Err(_), Some(lease)) = (tell.send(answer), granted) {
                me.give_back(holder, lease);
            }
        })?;
        let mut pending = Pending { host: self, holder, request: Some(request), name, told };
        if let Some(name) = name {
            self.named().insert((holder, name), request);
        }
        let answer = (&mut pending.told).await.unwrap_or(Err(Refused::Manager(ManagerError::Closed)));
        pending.request = None;
        answer
    }

    /// A request is not wanted any longer; its answer says so, unless it was served before.
    pub(super) fn take_back(&self, holder: HolderId, name: u64) -> Result<(), Refused> {
        let request = self.named().get(&(holder, name)).copied().ok_or(Refused::NoSuchRequest(name))?;
        self.manager.cancel(holder, request);
        Ok(())
    }

    fn named(&self) -> MutexGuard<'_, HashMap<(HolderId, u64), RequestId>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a lease down, and says what its holder is told.
    fn record(
        &self,
        process: Process,
        client: Box<str>,
        ask: Allocate,
        granted: Granted,
    ) -> Result<Lease, Refused> {
        let Granted { lease, shares, uuids, expires_at, waited_ms } = granted;
        let expires_in_ms = expires_at.saturating_sub(self.manager.now());
        let of = |(share, uuid): (Share, Option<String>)| LeasedGpu {
            index: share.device,
            uuid: uuid.map(Into::into),
            bytes: share.bytes,
        };
        let gpus: Vec<LeasedGpu> = shares.into_iter().zip(uuids).map(of).collect();
        let written = |gpu: &LeasedGpu| Some(RecordedShare { uuid: gpu.uuid.clone()?, bytes: gpu.bytes });
        let recorded = Recorded {
            lease,
            process,
            client,
            owner: ask.owner,
            model: ask.model,
            priority: ask.priority,
            gpus: gpus.iter().filter_map(written).collect(),
            ends: epoch_ms().saturating_add(expires_in_ms),
            preemptible: ask.preemptible,
            grace_ms: ask.grace_ms,
        };
        let mut disk = self.disk();
        disk.tokens.cover(lease).and_then(|()| disk.journal.granted(recorded)).map_err(Refused::Storage)?;
        Ok(Lease { lease, fencing_token: lease, gpus, expires_in_ms, waited_ms })
    }

    /// No later daemon gives out a lease of this number.
    pub(super) fn cover(&self, lease: LeaseId) -> io::Result<()> {
        self.disk().tokens.cover(lease)
    }

    fn give_back(&self, holder: HolderId, lease: LeaseId) {
        // It may have ended by itself; then nothing is left to do.
        drop(self.manager.release(holder, lease));
        self.forget(lease);
    }

    pub(super) fn renew(&self, holder: HolderId, lease: LeaseId, duration_ms: u64) -> Result<u64, Refused> {
        let expires_at = self.manager.renew(holder, lease, duration_ms)?;
        let left = expires_at.saturating_sub(self.manager.now());
        let ends = epoch_ms().saturating_add(left);
        self.disk().journal.ends(lease, ends).map_err(Refused::Storage)?;
        Ok(left)
    }

    pub(super) fn release(&self, holder: HolderId, lease: LeaseId) -> Result<(), Refused> {
        self.manager.release(holder, lease)?;
        self.forget(lease);
        Ok(())
    }

    /// A lease has ended. Where that cannot be written, it ends for the next daemon when its time is over.
    fn forget(&self, lease: LeaseId) {
        self.write(|disk| disk.journal.gone(lease));
    }

    fn write(&self, write: impl FnOnce(&mut Disk) -> io::Result<()>) {
        drop(write(&mut self.disk()));
    }

    pub(super) fn is_recorded(&self, lease: LeaseId) -> bool {
        self.disk().journal.held().contains_key(&lease)
    }
}

/// A request whose answer is waited for.
struct Pending<'a> {
    host: &'a Shared,
    holder: HolderId,
    /// `None` when it was answered.
    request: Option<RequestId>,
    /// The caller's own number of it.
    name: Option<u64>,
    told: oneshot::Receiver<Result<Lease, Refused>>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            self.host.named().remove(&(self.holder, name));
        }
        let Some(request) = self.request else { return };
        self.told.close();
        match self.told.try_recv() {
            // Told just when whoever asked hung up.
            Ok(Ok(lease)) => self.host.give_back(self.holder, lease.lease),
            Ok(Err(_)) => {}
            Err(_) => self.host.manager.cancel(self.holder, request),
        }
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

/// This user's number: the only one whose processes are served.
pub(super) fn this_user() -> u32 {
    geteuid().as_raw()
}

fn epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
