//! The daemon: what it knows, and how it begins and ends.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use gpu_driver::Driver;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::book::Book;
use super::error::HostError;
use super::journal::{Journal, Recorded};
use super::models::Uses;
use super::process;
use super::routes;
use super::tokens::Tokens;
use crate::{HolderId, ManagerOptions, RequestId, ResourceManager, RestoredLease, Share, Usage};

/// So long a load or an unload may take, in ms, where the settings say nothing else: from a slow disk tens of GiB need as much.
const OVERDUE_MS: u64 = 60_000;

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
    /// What waits for the end of processes, and for that of patience with those that say nothing.
    pub(super) watched: Mutex<JoinSet<()>>,
    /// Requests that wait, by their callers' own numbers of them.
    named: Mutex<HashMap<(HolderId, u64), RequestId>>,
    pub(super) uses: Mutex<Uses>,
    /// Told whenever a lease has ended, and when the daemon ends.
    pub(super) ended: Notify,
    pub(super) ending: AtomicBool,
}

pub(super) struct Disk {
    pub(super) journal: Journal,
    pub(super) tokens: Tokens,
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
        let mut manager = ManagerOptions { last_lease: last.max(newest), ..manager };
        // A process that hangs while it loads would keep all others from loading on that GPU.
        manager.settings.overdue_ms.get_or_insert(OVERDUE_MS);
        let shared = Arc::new(Shared {
            manager: ResourceManager::new(driver, manager)?,
            book: Mutex::default(),
            disk: Mutex::new(Disk { journal, tokens }),
            watched: Mutex::default(),
            named: Mutex::default(),
            uses: Mutex::default(),
            ended: Notify::new(),
            ending: AtomicBool::new(false),
        });
        shared.restore()?;
        shared.give_up_on_silent();
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
            ending.ending.store(true, Ordering::Relaxed);
            ending.ended.notify_waiters();
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

    /// Requests that wait, by their callers' own numbers of them.
    pub(super) fn named(&self) -> MutexGuard<'_, HashMap<(HolderId, u64), RequestId>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
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
                Ok(holder) if of.ends.is_none_or(|ends| ends > began) && !shares.is_empty() => holder,
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
                expires_at: of.ends.map(|ends| now + (ends - began)),
                preemptible: of.preemptible,
                grace_ms: of.grace_ms,
            });
        }
        Ok(())
    }
}

/// This user's number: the only one whose processes are served.
pub(super) fn this_user() -> u32 {
    geteuid().as_raw()
}

pub(super) fn epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
