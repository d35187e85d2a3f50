//! Leases.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use vision_resource_manager::host::{AllocateBody, ClientError, HeldState, HostClient, Notice};
use vision_resource_manager::{Ended, Priority, Refusal};

use crate::daemon::{Daemon, GIB, PATIENCE, gib, host, idler, next, refused};

#[tokio::test]
async fn a_lease_is_given_renewed_shown_and_given_back() {
    let daemon = Daemon::with_gpus(&[8, 8]);
    let client = daemon.client("a");
    let lease = client.allocate(&AllocateBody { gpus: 2, ..gib(6) }).await.unwrap();
    assert_eq!(
        lease.gpus.iter().map(|gpu| (gpu.index, gpu.bytes)).collect::<Vec<_>>(),
        [(0, 6 * GIB), (1, 6 * GIB)]
    );
    assert!(lease.gpus[0].uuid.as_deref().unwrap().starts_with("GPU-"));
    assert!((1..=60_000).contains(&lease.expires_in_ms));
    assert!(client.renew(lease.lease, 120_000).await.unwrap() > 60_000);
    let shown = client.leases().await.unwrap().leases;
    assert_eq!((shown.len(), shown[0].lease, shown[0].pid), (1, Some(lease.lease), std::process::id()));
    assert_eq!(client.gpus().await.unwrap().gpus[0].leased_bytes, 6 * GIB);
    client.release(lease.lease).await.unwrap();
    assert_eq!(client.gpus().await.unwrap().gpus[0].free_bytes, 8 * GIB);
    let (code, _) = refused(client.release(lease.lease).await);
    assert_eq!(code, "UAT_LEASE_EXPIRED");
}

#[tokio::test]
async fn whoever_waits_is_served_when_another_client_gives_back() {
    let daemon = Daemon::with_gpus(&[8]);
    let (one, other) = (daemon.client("one"), daemon.client("other"));
    let lease = one.allocate(&gib(6)).await.unwrap();
    let (code, message) = refused(other.allocate(&AllocateBody { wait_ms: 0, ..gib(6) }).await);
    assert_eq!(code, "UAT_INSUFFICIENT_VRAM");
    assert!(
        message.contains("largest free block has 2048 MiB (on GPU 0); leases hold 6144 MiB"),
        "{message}"
    );
    let waits = tokio::spawn(async move { other.allocate(&gib(6)).await });
    while one.leases().await.unwrap().leases.iter().all(|held| held.state != HeldState::Queued) {
        tokio::task::yield_now().await;
    }
    one.release(lease.lease).await.unwrap();
    let served = timeout(PATIENCE, waits).await.unwrap().unwrap().unwrap();
    assert!(served.fencing_token > lease.fencing_token);
}

#[tokio::test]
async fn whoever_hangs_up_while_it_waits_is_out_of_the_line() {
    let daemon = Daemon::with_gpus(&[8]);
    let (one, other) = (daemon.client("one"), daemon.client("other"));
    one.allocate(&gib(6)).await.unwrap();
    let waits = tokio::spawn(async move { other.allocate(&gib(6)).await });
    let queued =
        async || one.leases().await.unwrap().leases.iter().any(|held| held.state == HeldState::Queued);
    timeout(PATIENCE, async { while !queued().await {} }).await.unwrap();
    waits.abort();
    timeout(PATIENCE, async { while queued().await {} }).await.unwrap();
}

#[tokio::test]
async fn another_client_cannot_touch_a_lease() {
    let daemon = Daemon::with_gpus(&[8]);
    let (one, other) = (daemon.client("one"), daemon.client("other"));
    let lease = one.allocate(&gib(6)).await.unwrap().lease;
    let (code, _) = refused(other.release(lease).await);
    assert_eq!(code, "UAT_CONFLICT");
    let (code, _) = refused(other.renew(lease, 1_000).await);
    assert_eq!(code, "UAT_CONFLICT");
    one.renew(lease, 1_000).await.unwrap();
}

#[tokio::test]
async fn a_holder_hears_that_its_lease_is_wanted_and_that_it_has_ended() {
    let daemon = Daemon::with_gpus(&[8]);
    let (one, other) = (daemon.client("one"), daemon.client("other"));
    let mut events = one.events().await.unwrap();
    assert!(matches!(next(&mut events).await, Some(Notice::Listening { .. })));
    let cheap = AllocateBody { preemptible: true, grace_ms: 40, priority: Priority::Low, ..gib(6) };
    let lease = one.allocate(&cheap).await.unwrap().lease;
    let dear = AllocateBody { priority: Priority::High, ..gib(6) };
    let served = tokio::spawn(async move { other.allocate(&dear).await });
    let Some(Notice::Preempt { lease: asked, by_priority, .. }) = next(&mut events).await else {
        panic!("it is asked back")
    };
    assert_eq!((asked, by_priority), (lease, Priority::High));
    assert_eq!(next(&mut events).await, Some(Notice::Ended { lease, reason: Ended::Preempted }));
    timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
    assert_eq!(refused(one.renew(lease, 1_000).await).0, "UAT_PREEMPTED");
}

#[tokio::test]
async fn a_script_holds_a_lease_for_the_process_that_it_descends_from_and_nobody_else() {
    let daemon = Daemon::with_gpus(&[8]);
    let client = daemon.client("a");
    let parent = std::os::unix::process::parent_id();
    let lease = client.allocate(&AllocateBody { pid: Some(parent), ..gib(2) }).await.unwrap();
    assert_eq!(client.leases().await.unwrap().leases[0].pid, parent);
    client.release(lease.lease).await.unwrap();
    let mut child = idler();
    let (code, message) = refused(client.allocate(&AllocateBody { pid: Some(child.id()), ..gib(2) }).await);
    assert_eq!(code, "UAT_FORBIDDEN");
    assert!(message.contains("nor one that it descends from"), "{message}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_stopped_daemon_ends_what_listens_and_the_next_one_knows_the_leases() {
    let mut daemon = Daemon::with_gpus(&[8]);
    let client = daemon.client("a");
    let mut events = client.events().await.unwrap();
    next(&mut events).await.unwrap();
    let kept = client.allocate(&gib(3)).await.unwrap();
    let forgotten = client.allocate(&gib(3)).await.unwrap();
    daemon.stop().await;
    assert_eq!(next(&mut events).await, None);
    assert!(client.allocate(&gib(1)).await.unwrap_err().is_away());
    daemon.start();
    // Somebody else gets nothing before the holder was heard of.
    let other = daemon.client("other");
    let (code, message) = refused(other.allocate(&AllocateBody { wait_ms: 0, ..gib(1) }).await);
    assert_eq!(code, "UAT_OVERLOADED");
    assert!(message.contains("before a restart"), "{message}");
    let shown = other.leases().await.unwrap();
    assert!(
        shown.leases.iter().all(|held| held.restored) && shown.waiting_for == [std::process::id()],
        "{shown:?}"
    );
    let attached = client.attach(vec![kept.lease, 1_000_000]).await.unwrap();
    assert_eq!((attached.leases, attached.ended), (vec![kept.lease], vec![1_000_000]));
    // What it did not know of is free again, and numbers go on.
    let lease = other.allocate(&AllocateBody { wait_ms: 0, ..gib(5) }).await.unwrap();
    assert!(lease.lease > forgotten.lease);
    client.renew(kept.lease, 1_000).await.unwrap();
}

#[tokio::test]
async fn leases_that_end_are_no_reason_to_wait_for_their_holder() {
    let mut daemon = Daemon::with_gpus(&[8]);
    let client = daemon.client("a");
    client.allocate(&AllocateBody { duration_ms: 300, ..gib(6) }).await.unwrap();
    daemon.stop().await;
    daemon.start();
    let lease = timeout(PATIENCE, daemon.client("other").allocate(&gib(6))).await.unwrap().unwrap();
    assert!(lease.lease > 1);
}

#[tokio::test]
async fn there_is_one_daemon_for_a_folder() {
    let daemon = Daemon::with_gpus(&[8]);
    let error = host(daemon.folder.path(), &daemon.machine).err().unwrap();
    assert_eq!(error.code(), "UAT_CONFLICT");
    assert!(error.to_string().contains("serves") && error.to_string().contains("gpu.sock"), "{error}");
}

#[tokio::test]
async fn the_socket_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::with_gpus(&[8]);
    let mode = std::fs::metadata(daemon.folder.path().join("gpu.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn wrong_calls_are_told_what_is_expected() {
    let daemon = Daemon::with_gpus(&[8]);
    let check = async |method: &str, path: &str, body: &str, status: u16, said: &str| {
        let mut stream = UnixStream::connect(daemon.folder.path().join("gpu.sock")).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains(said), "{path}: {answer}");
    };
    check("GET", "/v1/nothing", "", 404, "UAT_NOT_FOUND").await;
    check("PUT", "/v1/leases", "", 404, "UAT_NOT_FOUND").await;
    check("POST", "/v1/leases", "{}", 400, "missing field `bytes`").await;
    check("POST", "/v1/leases", r#"{"bytes":1,"byte":2}"#, 400, "unknown field `byte`").await;
    check("POST", "/v1/leases", r#"{"bytes":-1}"#, 400, "UAT_INVALID_INPUT").await;
    check("POST", "/v1/leases", r#"{"bytes":0}"#, 400, "bytes, gpus and duration have to be above 0").await;
    check(
        "POST",
        "/v1/leases",
        r#"{"bytes":99999999999999}"#,
        503,
        "would not fit if nothing else were there",
    )
    .await;
    check("DELETE", "/v1/leases/abc", "", 400, "expected a lease's or a request's number").await;
    check("DELETE", "/v1/leases/77", "", 410, "UAT_LEASE_EXPIRED").await;
    check("POST", "/v1/leases/77/renew", "", 410, "UAT_LEASE_EXPIRED").await;
}

#[tokio::test]
async fn without_a_daemon_it_is_said_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let client = HostClient::new(folder.path().join("gpu.sock"), None);
    let error = client.gpus().await.unwrap_err();
    assert!(error.is_away() && error.to_string().contains("uat gpu daemon"), "{error}");
}

#[tokio::test]
async fn a_request_that_waits_is_taken_back_by_its_number_and_answered_so() {
    let daemon = Daemon::with_gpus(&[8]);
    let (client, other) = (daemon.client("a"), daemon.client("b"));
    let held = client.allocate(&gib(8)).await.unwrap();
    let wants = AllocateBody { request: Some(7), wait_ms: 600_000, ..gib(8) };
    let (answer, ()) = tokio::join!(client.allocate(&wants), async {
        while client.leases().await.unwrap().leases.len() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(client.leases().await.unwrap().leases[1].request.is_some());
        // Another client's request of this number is another one.
        assert_eq!(refused(other.take_back(7).await).0, "UAT_NOT_FOUND");
        client.take_back(7).await.unwrap();
    });
    assert_eq!(refused(answer).0, "UAT_CANCELLED");
    assert_eq!(refused(client.take_back(7).await).0, "UAT_NOT_FOUND");
    client.release(held.lease).await.unwrap();
    assert_eq!(client.leases().await.unwrap().leases, []);
}

#[tokio::test]
async fn what_is_in_the_way_is_told_in_bytes_too() {
    let daemon = Daemon::with_gpus(&[8]);
    let client = daemon.client("a");
    let error = client.allocate(&AllocateBody { wait_ms: 0, ..gib(9) }).await.unwrap_err();
    let ClientError::Refused(problem) = error else { panic!("{error}") };
    let Some(Refusal::Insufficient { asked, largest_free, can_ever_fit, .. }) = problem.refusal else {
        panic!("{problem:?}")
    };
    assert_eq!((asked, largest_free, can_ever_fit), (9 * GIB, 8 * GIB, false));
}
