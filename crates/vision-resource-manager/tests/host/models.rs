//! Warm models: loaded and unloaded by the processes that have them, when the daemon says so.

use futures_util::FutureExt;
use tokio::time::timeout;
use vision_resource_manager::host::{
    AllocateBody, AttachBody, Events, HostClient, Instance, InstanceState, ModelBody, Notice, OptimizeBody,
    Use, UseBody,
};
use vision_resource_manager::{LeaseId, Priority};

use crate::daemon::{Daemon, GIB, PATIENCE, gib, next, refused};

/// A client that has models.
struct Owner {
    client: HostClient,
    events: Events,
}

impl Owner {
    async fn of(daemon: &Daemon, name: &str) -> Self {
        let client = daemon.client(name);
        let mut events = client.events().await.unwrap();
        assert!(matches!(next(&mut events).await, Some(Notice::Listening { .. })));
        Self { client, events }
    }

    async fn has(daemon: &Daemon, name: &str, gib: u64) -> Self {
        let owner = Self::of(daemon, name).await;
        owner.client.register(&ModelBody { load_ms: 10, ..ModelBody::new("m", gib * GIB) }).await.unwrap();
        owner
    }

    async fn told_to_load(&mut self) -> LeaseId {
        match next(&mut self.events).await {
            Some(Notice::Load { lease, .. }) => lease,
            other => panic!("it is told to load: {other:?}"),
        }
    }

    async fn told_to_unload(&mut self) -> LeaseId {
        match next(&mut self.events).await {
            Some(Notice::Unload { lease }) => lease,
            other => panic!("it is told to unload: {other:?}"),
        }
    }

    /// Loads the model and begins to use it.
    async fn uses(&mut self, request: u64) -> Use {
        let client = daemonless(&self.client);
        let using = tokio::spawn(async move { client.use_model("m", wants(request)).await });
        let lease = self.told_to_load().await;
        self.client.loaded(lease, 5).await.unwrap();
        let begun = timeout(PATIENCE, using).await.unwrap().unwrap().unwrap();
        assert_eq!((begun.r#use, begun.lease), (request, lease));
        begun
    }

    /// Loads the model, which nobody uses then.
    async fn is_warm(&mut self) -> LeaseId {
        let lease = self.uses(1).await.lease;
        self.client.done(1).await.unwrap();
        lease
    }
}

/// Another handle of the same client.
fn daemonless(client: &HostClient) -> HostClient {
    HostClient::new(client.socket(), client.name())
}

fn wants(request: u64) -> UseBody {
    UseBody { request, priority: Priority::Normal, wait_ms: 20_000 }
}

/// Whoever does not wait for it.
fn now(gib: u64) -> AllocateBody {
    AllocateBody { wait_ms: 0, ..AllocateBody::new(gib * GIB) }
}

#[tokio::test]
async fn a_model_is_loaded_by_its_process_for_the_first_use_and_is_there_for_the_next() {
    let daemon = Daemon::with_gpus(&[4, 8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let begun = owner.uses(1).await;
    assert_eq!((begun.gpus[0].index, begun.gpus[0].bytes), (1, 6 * GIB));
    assert!(begun.gpus[0].uuid.as_deref().unwrap().starts_with("GPU-"));
    let second = owner.client.use_model("m", wants(2)).await.unwrap();
    assert_eq!(second.lease, begun.lease);
    let held = owner.client.leases().await.unwrap().leases;
    assert_eq!((held.len(), held[0].uses, held[0].expires_in_ms), (1, Some(2), None));
    assert_eq!(held[0].model.as_deref(), Some("m"));
    assert_eq!(owner.client.gpus().await.unwrap().gpus[1].leased_bytes, 6 * GIB);
}

#[tokio::test]
async fn uses_that_come_together_share_one_load() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let uses: Vec<_> = (1..=5)
        .map(|request| {
            let client = daemonless(&owner.client);
            tokio::spawn(async move { client.use_model("m", wants(request)).await.unwrap().lease })
        })
        .collect();
    let lease = owner.told_to_load().await;
    owner.client.loaded(lease, 5).await.unwrap();
    for used in uses {
        assert_eq!(timeout(PATIENCE, used).await.unwrap().unwrap(), lease);
    }
}

#[tokio::test]
async fn an_idle_model_goes_when_another_process_needs_its_memory_and_one_in_use_stays() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let lease = owner.uses(1).await.lease;
    let other = daemon.client("b");
    let mut wanted = Box::pin(async { other.allocate(&gib(4)).await });
    assert!(wanted.as_mut().now_or_never().is_none());
    while owner.client.leases().await.unwrap().leases.len() < 2 {
        assert!(wanted.as_mut().now_or_never().is_none());
    }
    assert!(owner.events.next().now_or_never().is_none(), "who is being used stays");
    owner.client.done(1).await.unwrap();
    assert_eq!(owner.told_to_unload().await, lease);
    assert!(wanted.as_mut().now_or_never().is_none(), "it is not unloaded yet");
    owner.client.release(lease).await.unwrap();
    timeout(PATIENCE, wanted).await.unwrap().unwrap();
}

#[tokio::test]
async fn models_of_two_processes_have_one_name_and_nothing_else_in_common() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut one = Owner::has(&daemon, "a", 3).await;
    let mut other = Owner::has(&daemon, "b", 4).await;
    let (first, second) = (one.uses(1).await.lease, other.uses(1).await.lease);
    assert_ne!(first, second);
    assert_eq!(refused(one.client.loaded(second, 1).await).0, "UAT_CONFLICT");
    assert_eq!(refused(one.client.release(second).await).0, "UAT_CONFLICT");
    assert_eq!(refused(daemon.client("c").use_model("m", wants(1)).await).0, "UAT_INVALID_INPUT");
}

#[tokio::test]
async fn a_load_that_failed_is_that_for_the_first_that_waits() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let client = daemonless(&owner.client);
    let using = tokio::spawn(async move { client.use_model("m", wants(1)).await });
    let lease = owner.told_to_load().await;
    owner.client.load_failed(lease).await.unwrap();
    let (code, _) = refused(timeout(PATIENCE, using).await.unwrap().unwrap());
    assert_eq!(code, "UAT_ENGINE_UNAVAILABLE");
    assert!(matches!(next(&mut owner.events).await, Some(Notice::Ended { .. })));
    assert_eq!(owner.client.leases().await.unwrap().leases, []);
    owner.uses(2).await;
}

#[tokio::test]
async fn a_load_that_hangs_keeps_no_other_process_waiting() {
    let daemon = Daemon::impatient(&[8]);
    let mut hangs = Owner::has(&daemon, "a", 3).await;
    let client = daemonless(&hangs.client);
    let waits =
        tokio::spawn(async move { client.use_model("m", UseBody { wait_ms: 300, ..wants(1) }).await });
    hangs.told_to_load().await;
    let mut other = Owner::has(&daemon, "b", 3).await;
    timeout(PATIENCE, other.uses(1)).await.unwrap();
    assert_eq!(refused(timeout(PATIENCE, waits).await.unwrap().unwrap()).0, "UAT_INSUFFICIENT_VRAM");
    // What it may have taken so far is not given out.
    assert_eq!(refused(other.client.allocate(&now(3)).await).0, "UAT_INSUFFICIENT_VRAM");
}

#[tokio::test]
async fn an_unload_that_hangs_keeps_nobody_from_being_served_elsewhere() {
    let daemon = Daemon::impatient(&[8, 6]);
    let taken = daemon.client("c").allocate(&AllocateBody { devices: vec![1], ..gib(6) }).await.unwrap();
    let mut hangs = Owner::has(&daemon, "a", 8).await;
    hangs.is_warm().await;
    let other = daemon.client("b");
    let wants = tokio::spawn(async move { other.allocate(&gib(6)).await });
    hangs.told_to_unload().await;
    daemon.client("c").release(taken.lease).await.unwrap();
    assert_eq!(timeout(PATIENCE, wants).await.unwrap().unwrap().unwrap().gpus[0].index, 1);
}

#[tokio::test]
async fn whoever_hangs_up_or_takes_back_does_not_use_it() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let client = daemonless(&owner.client);
    let waits = tokio::spawn(async move { client.use_model("m", wants(1)).await });
    let lease = owner.told_to_load().await;
    owner.client.take_back(1).await.unwrap();
    assert_eq!(refused(timeout(PATIENCE, waits).await.unwrap().unwrap()).0, "UAT_CANCELLED");
    let client = daemonless(&owner.client);
    let waits = tokio::spawn(async move { client.use_model("m", wants(2)).await });
    let waiting = async || owner.client.leases().await.unwrap().leases.len();
    timeout(PATIENCE, async { while waiting().await < 2 {} }).await.unwrap();
    waits.abort();
    timeout(PATIENCE, async { while waiting().await > 1 {} }).await.unwrap();
    owner.client.loaded(lease, 1).await.unwrap();
    assert_eq!(owner.client.leases().await.unwrap().leases[0].uses, Some(0));
}

#[tokio::test]
async fn numbers_of_uses_are_the_clients_own() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    owner.uses(7).await;
    assert_eq!(refused(owner.client.use_model("m", wants(7)).await).0, "UAT_INVALID_INPUT");
    assert_eq!(refused(owner.client.done(8).await).0, "UAT_NOT_FOUND");
    assert_eq!(refused(daemon.client("b").done(7).await).0, "UAT_NOT_FOUND");
    owner.client.done(7).await.unwrap();
    assert_eq!(refused(owner.client.done(7).await).0, "UAT_NOT_FOUND");
}

#[tokio::test]
async fn a_model_in_use_is_not_given_back_and_one_that_is_registered_no_longer_is_unloaded() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let lease = owner.uses(1).await.lease;
    let (code, message) = refused(owner.client.release(lease).await);
    assert!(code == "UAT_INVALID_INPUT" && message.contains("in use"), "{code}: {message}");
    assert_eq!(refused(owner.client.unregister("m").await).0, "UAT_INVALID_INPUT");
    owner.client.done(1).await.unwrap();
    owner.client.unregister("m").await.unwrap();
    assert_eq!(owner.told_to_unload().await, lease);
    owner.client.release(lease).await.unwrap();
    assert_eq!(refused(owner.client.use_model("m", wants(2)).await).0, "UAT_INVALID_INPUT");
}

#[tokio::test]
async fn names_with_anything_in_them_are_names() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::of(&daemon, "a").await;
    let name = "org/qwen3:0.6b ?#%ü";
    owner.client.register(&ModelBody::new(name, GIB)).await.unwrap();
    let client = daemonless(&owner.client);
    let using = tokio::spawn(async move { client.use_model(name, wants(1)).await });
    let Some(Notice::Load { lease, model, .. }) = next(&mut owner.events).await else {
        panic!("it is loaded")
    };
    assert_eq!(&*model, name);
    owner.client.loaded(lease, 1).await.unwrap();
    timeout(PATIENCE, using).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn room_is_made_among_the_models_of_all_processes() {
    let daemon = Daemon::with_gpus(&[8]);
    let (mut one, mut other) = (Owner::has(&daemon, "a", 4).await, Owner::has(&daemon, "b", 4).await);
    let lease = one.is_warm().await;
    other.uses(1).await;
    let body = OptimizeBody { target_free_bytes: Some(8 * GIB), device: None, wait_ms: 20_000 };
    let third = daemon.client("c");
    let making = tokio::spawn(async move { third.optimize(body).await.unwrap() });
    assert_eq!(one.told_to_unload().await, lease);
    one.client.release(lease).await.unwrap();
    let made = timeout(PATIENCE, making).await.unwrap().unwrap();
    assert_eq!((made.unloaded[0].lease, made.unloaded[0].bytes), (lease, 4 * GIB));
    assert_eq!((made.unloaded.len(), made.unloading.len()), (1, 0), "one in use stays");
    let none = daemon.client("c").optimize(OptimizeBody { wait_ms: 0, ..body }).await.unwrap();
    assert!(none.unloaded.is_empty() && none.unloading.is_empty());
}

#[tokio::test]
async fn whoever_listens_late_is_told_what_is_to_be_done() {
    let daemon = Daemon::with_gpus(&[8]);
    let client = daemon.client("a");
    client.register(&ModelBody::new("m", 6 * GIB)).await.unwrap();
    let mut using = Box::pin(client.use_model("m", wants(1)));
    assert!(using.as_mut().now_or_never().is_none());
    let other = daemonless(&client);
    timeout(PATIENCE, async {
        while other.leases().await.unwrap().leases.iter().all(|held| !held.loading) {
            assert!(using.as_mut().now_or_never().is_none());
        }
    })
    .await
    .unwrap();
    let mut owner = Owner::of(&daemon, "a").await;
    let lease = owner.told_to_load().await;
    owner.client.loaded(lease, 1).await.unwrap();
    assert_eq!(timeout(PATIENCE, using).await.unwrap().unwrap().lease, lease);
}

#[tokio::test]
async fn a_daemon_that_ends_waits_for_no_model_to_be_unloaded() {
    let mut daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let lease = owner.is_warm().await;
    let other = daemon.client("b");
    let body = OptimizeBody { target_free_bytes: Some(8 * GIB), device: None, wait_ms: u64::MAX };
    let making = tokio::spawn(async move { other.optimize(body).await.unwrap() });
    assert_eq!(owner.told_to_unload().await, lease);
    daemon.stop().await;
    let made = timeout(PATIENCE, making).await.unwrap().unwrap();
    assert_eq!((made.unloaded.len(), made.unloading[0].lease), (0, lease));
}

/// What the owner of a model that was loaded says to a daemon that was started again.
fn still_has(lease: LeaseId, state: InstanceState, uses: &[u64]) -> AttachBody {
    let model = ModelBody::new("m", 6 * GIB);
    AttachBody { leases: vec![], instances: vec![Instance { lease, model, state, uses: uses.to_vec() }] }
}

#[tokio::test]
async fn a_daemon_that_comes_back_gives_out_nothing_of_a_model_that_was_loaded() {
    let mut daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let lease = owner.uses(1).await.lease;
    daemon.stop().await;
    daemon.start();
    let other = daemon.client("b");
    assert_eq!(refused(other.allocate(&now(1)).await).0, "UAT_OVERLOADED", "its process was not heard of");
    let attached = owner.client.reattach(&still_has(lease, InstanceState::Ready, &[1])).await.unwrap();
    assert_eq!((attached.leases, attached.ended), (vec![lease], vec![]));
    other.allocate(&now(2)).await.unwrap();
    assert_eq!(refused(other.allocate(&now(1)).await).0, "UAT_INSUFFICIENT_VRAM");
    // It is used on, and unloaded when its use has ended and somebody needs its memory.
    let mut owner = Owner::of(&daemon, "a").await;
    assert_eq!(owner.client.use_model("m", wants(2)).await.unwrap().lease, lease);
    owner.client.done(1).await.unwrap();
    owner.client.done(2).await.unwrap();
    let wanted = tokio::spawn(async move { other.allocate(&gib(6)).await });
    assert_eq!(owner.told_to_unload().await, lease);
    owner.client.release(lease).await.unwrap();
    timeout(PATIENCE, wanted).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_daemon_that_comes_back_knows_loads_and_unloads_that_are_under_way() {
    let mut daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let client = daemonless(&owner.client);
    let waits = tokio::spawn(async move { client.use_model("m", wants(1)).await });
    let lease = owner.told_to_load().await;
    daemon.stop().await;
    assert!(timeout(PATIENCE, waits).await.unwrap().unwrap().is_err());
    daemon.start();
    let owner = Owner::of(&daemon, "a").await;
    owner.client.reattach(&still_has(lease, InstanceState::Loading, &[])).await.unwrap();
    let client = daemonless(&owner.client);
    let waits = tokio::spawn(async move { client.use_model("m", wants(2)).await });
    owner.client.loaded(lease, 5).await.unwrap();
    assert_eq!(timeout(PATIENCE, waits).await.unwrap().unwrap().unwrap().lease, lease);
    owner.client.done(2).await.unwrap();
    daemon.stop().await;
    daemon.start();
    let owner = Owner::of(&daemon, "a").await;
    owner.client.reattach(&still_has(lease, InstanceState::Unloading, &[])).await.unwrap();
    assert_eq!(owner.client.gpus().await.unwrap().gpus[0].free_bytes, 2 * GIB);
    owner.client.release(lease).await.unwrap();
    assert_eq!(owner.client.gpus().await.unwrap().gpus[0].free_bytes, 8 * GIB);
}

#[tokio::test]
async fn what_a_client_does_not_know_of_is_given_back() {
    let mut daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    let lease = owner.uses(1).await.lease;
    daemon.stop().await;
    daemon.start();
    let again = daemon.client("a");
    again.attach(vec![]).await.unwrap();
    assert_eq!(again.leases().await.unwrap().leases, []);
    // The same of a daemon that was there all the time, in use or being loaded.
    let mut owner = Owner::has(&daemon, "a", 6).await;
    assert!(owner.uses(1).await.lease > lease);
    let ended = owner.client.reattach(&still_has(lease, InstanceState::Ready, &[])).await.unwrap().ended;
    assert_eq!(ended, [lease]);
    let client = daemonless(&owner.client);
    let waits = tokio::spawn(async move { client.use_model("m", wants(2)).await });
    owner.told_to_load().await;
    owner.client.attach(vec![]).await.unwrap();
    assert!(timeout(PATIENCE, waits).await.unwrap().unwrap().is_err());
    assert_eq!(owner.client.leases().await.unwrap().leases, []);
}

#[tokio::test]
async fn a_process_that_dies_takes_its_models_with_it() {
    let daemon = Daemon::with_gpus(&[8]);
    let mut owner = Owner::has(&daemon, "a", 6).await;
    owner.uses(1).await;
    // A shell that has another model of 2 GiB, in use, until it is killed.
    let mut shell = crate::daemon::scripted(&daemon, MODEL_IN_USE);
    let full = async || {
        let held = owner.client.leases().await.unwrap().leases;
        held.iter().filter(|held| held.uses == Some(1)).count() == 2
    };
    timeout(PATIENCE, async { while !full().await {} }).await.unwrap();
    let other = daemon.client("b");
    let wanted = tokio::spawn(async move { other.allocate(&gib(2)).await });
    let queued = async || owner.client.leases().await.unwrap().leases.len() == 3;
    timeout(PATIENCE, async { while !queued().await {} }).await.unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    timeout(PATIENCE, wanted).await.unwrap().unwrap().unwrap();
    assert_eq!(owner.client.leases().await.unwrap().leases.len(), 2);
}

/// Python's standard library is enough: a model is registered, loaded, and used until the process ends.
const MODEL_IN_USE: &str = r#"
import http.client, json, socket, sys, threading, time
class Daemon(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
def call(method, path, body=None):
    connection = Daemon("uat")
    connection.request(method, path, json.dumps(body))
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status < 300, text
events = Daemon("uat")
events.request("GET", "/v1/events")
lines = events.getresponse()
call("POST", "/v1/models", {"name": "other", "bytes": 2 << 30})
threading.Thread(target=call, args=("POST", "/v1/models/other/uses", {"request": 1}), daemon=True).start()
while True:
    event = json.loads(lines.readline())
    if event["event"] == "load":
        call("POST", "/v1/leases/%d/loaded" % event["lease"], {"took_ms": 1})
        time.sleep(600)
"#;
