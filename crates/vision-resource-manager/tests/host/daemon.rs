//! What the tests stand on.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gpu_driver::{Choice, FakeGpu, FakeMachine, open};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vision_resource_manager::host::{
    AllocateBody, ClientError, Events, Host, HostClient, HostError, HostOptions, Notice,
};
use vision_resource_manager::{ManagerOptions, Settings};

pub(crate) const GIB: u64 = 1 << 30;
/// Nothing here takes so long; whoever waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon, until it is stopped.
pub(crate) struct Daemon {
    pub(crate) folder: TempDir,
    pub(crate) machine: FakeMachine,
    settings: Settings,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Result<(), HostError>>>,
}

pub(crate) fn host(folder: &Path, machine: &FakeMachine) -> Result<Host, HostError> {
    host_of(folder, machine, Settings { headroom: 0, ..Settings::default() })
}

fn host_of(folder: &Path, machine: &FakeMachine, settings: Settings) -> Result<Host, HostError> {
    let options = HostOptions {
        socket: folder.join("gpu.sock"),
        state: folder.join("state"),
        manager: ManagerOptions { settings, poll_ms: 5, ..ManagerOptions::default() },
    };
    Host::open(open(Choice::Fake(machine.clone())).unwrap(), options)
}

impl Daemon {
    pub(crate) fn with_gpus(gib: &[u64]) -> Self {
        Self::set_to(Settings { headroom: 0, ..Settings::default() }, gib)
    }

    /// Loads and unloads that take longer than a fifth of a second are not waited for; models last used just now may go.
    pub(crate) fn impatient(gib: &[u64]) -> Self {
        Self::set_to(Settings { headroom: 0, hold_ms: 0, overdue_ms: Some(200), ..Settings::default() }, gib)
    }

    fn set_to(settings: Settings, gib: &[u64]) -> Self {
        let gpus = gib.iter().map(|gib| FakeGpu { name: None, total: gib * GIB });
        let mut daemon = Self {
            folder: tempfile::tempdir().unwrap(),
            machine: FakeMachine::new(gpus),
            settings,
            stop: None,
            served: None,
        };
        daemon.start();
        daemon
    }

    pub(crate) fn start(&mut self) {
        let host = host_of(self.folder.path(), &self.machine, self.settings.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        self.served = Some(tokio::spawn(host.serve(async move { drop(stopped.await) })));
        self.stop = Some(stop);
    }

    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, self.served.take().unwrap()).await.unwrap().unwrap().unwrap();
    }

    pub(crate) fn client(&self, name: &str) -> HostClient {
        HostClient::new(self.folder.path().join("gpu.sock"), Some(name))
    }
}

pub(crate) fn gib(gib: u64) -> AllocateBody {
    AllocateBody::new(gib * GIB)
}

pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (String, String) {
    let error = answer.unwrap_err();
    (error.code().to_owned(), error.to_string())
}

pub(crate) async fn next(events: &mut Events) -> Option<Notice> {
    timeout(PATIENCE, events.next()).await.expect("an event comes").unwrap()
}

/// A process that does nothing until it is killed.
pub(crate) fn idler() -> Child {
    Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap()
}

/// A process of Python's that is told where the socket is.
pub(crate) fn scripted(daemon: &Daemon, script: &str) -> Child {
    let socket = daemon.folder.path().join("gpu.sock");
    Command::new("python3").arg("-c").arg(script).arg(socket).stdin(Stdio::null()).spawn().unwrap()
}
