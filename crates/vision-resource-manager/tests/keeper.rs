//! Models of servers on this machine that a gateway keeps for them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]
#![allow(clippy::disallowed_methods, reason = "each task is awaited or aborted by its test")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::FutureExt;
use gpu_driver::{Choice, FakeGpu, FakeMachine, open};
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;
use vision_resource_manager::host::{
    AllocateBody, Host, HostClient, HostOptions, HostView, Keeper, KeptModel,
};
use vision_resource_manager::{LeaseId, ManagerError, ManagerOptions, Priority, Settings};

const GIB: u64 = 1 << 30;
/// Nothing here takes so long; whoever waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon with one GPU of 8 GiB, and a process that stands for a server of models.
struct Place {
    folder: TempDir,
    machine: FakeMachine,
    view: HostView,
    server: Child,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = FakeMachine::new([FakeGpu { name: None, total: 8 * GIB }]);
        let settings = Settings { headroom: 0, ..Settings::default() };
        let options = HostOptions {
            socket: folder.path().join("gpu.sock"),
            state: folder.path().join("state"),
            manager: ManagerOptions { settings, poll_ms: 5, ..ManagerOptions::default() },
        };
        let host = Host::open(open(Choice::Fake(machine.clone())).unwrap(), options).unwrap();
        let view = host.view();
        tokio::spawn(host.serve(std::future::pending()));
        let server = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        Self { folder, machine, view, server }
    }

    fn keep(&self, name: &str, gib: u64) -> (Keeper, Receiver<LeaseId>) {
        let (tell, told) = channel(8);
        let model = KeptModel { name: name.into(), pid: self.server.id(), bytes: gib * GIB, load_ms: 1_000 };
        let keeper = self.view.keep(model, move |lease| tell.try_send(lease).unwrap()).unwrap();
        (keeper, told)
    }

    fn client(&self) -> HostClient {
        HostClient::new(self.folder.path().join("gpu.sock"), None)
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it does not hang")
}

#[tokio::test]
async fn a_model_stays_in_memory_between_uses_and_goes_when_somebody_needs_that() {
    let place = Place::new();
    let (keeper, mut unload) = place.keep("chat", 6);
    drop(soon(keeper.using(Priority::Normal, 10_000)).await.unwrap());
    let second = soon(keeper.using(Priority::Normal, 10_000)).await.unwrap();
    let held = soon(place.client().leases()).await.unwrap().leases;
    assert_eq!((held.len(), held[0].pid, held[0].expires_in_ms), (1, place.server.id(), None));

    let client = place.client();
    let wants = AllocateBody { wait_ms: 20_000, ..AllocateBody::new(4 * GIB) };
    let mut wanted = Box::pin(client.allocate(&wants));
    assert!(wanted.as_mut().now_or_never().is_none());
    assert!(unload.try_recv().is_err(), "who is being used stays");
    drop(second);
    let lease = tokio::select! {
        lease = soon(unload.recv()) => lease.unwrap(),
        _ = &mut wanted => panic!("the memory is given out while the model has it"),
    };
    keeper.unloaded(lease);
    soon(wanted).await.unwrap();
}

#[tokio::test]
async fn what_the_server_uses_is_its_models_and_is_not_counted_twice() {
    let place = Place::new();
    let (keeper, _unload) = place.keep("chat", 6);
    let using = soon(keeper.using(Priority::Normal, 10_000)).await.unwrap();
    place.machine.hold(0, place.server.id(), 6 * GIB).unwrap();
    // A reading later, 2 of 8 GiB are still there for others, and no more.
    let client = place.client();
    soon(client.allocate(&AllocateBody { wait_ms: 10_000, ..AllocateBody::new(2 * GIB) })).await.unwrap();
    let usage = &place.view.usage()[0];
    assert_eq!(usage.ledger.external, 0);
    drop(using);
}

#[tokio::test]
async fn who_goes_away_while_it_waits_leaves_the_line() {
    let place = Place::new();
    let _all = soon(place.client().allocate(&AllocateBody::new(8 * GIB))).await.unwrap();
    let (keeper, _unload) = place.keep("chat", 6);
    let mut waiting = Box::pin(keeper.using(Priority::Normal, 20_000));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(place.view.counts(), (1, 1));
    drop(waiting);
    assert_eq!(place.view.counts(), (1, 0));
    let refused = soon(keeper.using(Priority::Normal, 0)).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, ManagerError::Insufficient { .. }), "{refused}");
}

#[tokio::test]
async fn a_model_that_is_kept_no_longer_holds_nothing() {
    let place = Place::new();
    let (keeper, _unload) = place.keep("chat", 6);
    let using = soon(keeper.using(Priority::Normal, 10_000)).await.unwrap();
    drop(keeper);
    drop(using);
    soon(place.client().allocate(&AllocateBody { wait_ms: 10_000, ..AllocateBody::new(8 * GIB) }))
        .await
        .unwrap();
}
