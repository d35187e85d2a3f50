//! Session writes while a real Redis is away: what is acknowledged survives everything, and nobody's later write is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "figures for whoever runs them by hand")]

mod on_sessions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use on_sessions::connect;
use on_sessions::{Scene, data, is_unavailable, make, of_user, replaying, wait_for, wait_until};
use redis_service::{CreateOptions, Mode, Options, RedisServiceError};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_without_redis_is_seen_at_once_and_by_everybody_later() {
    let scene = Scene::new();
    let (service, other) = (scene.replaying().await, scene.other().await);
    let sessions = service.sessions();
    let [known, read, gone, moved, strange] = {
        let made = [make(&service, "{}").await, make(&other, "{}").await, make(&service, "{}").await];
        let [known, read, gone] = made;
        sessions.get(&read.id).await.unwrap();
        [known, read, gone, make(&service, "{\"moves\":1}").await, make(&other, "{}").await]
    };
    scene.leave(&service).await;

    let made = make(&service, "{\"n\":1}").await;
    assert_eq!(sessions.get(&made.id).await.unwrap().unwrap(), made);
    sessions.update(&made.id, b"{\"n\":2}").await.unwrap();
    sessions.update(&made.id, b"{\"n\":3}").await.unwrap();
    assert_eq!(data(&service, &made.id).await.as_deref(), Some("{\"n\":3}"));
    sessions.update(&known.id, b"{\"known\":1}").await.unwrap();
    sessions.update(&read.id, b"{\"read\":1}").await.unwrap();
    assert!(sessions.destroy(&gone.id).await.unwrap());
    assert!(!sessions.destroy(&gone.id).await.unwrap());
    assert_eq!(data(&service, &gone.id).await, None);
    let gone_update = sessions.update(&gone.id, b"{}").await;
    assert!(matches!(gone_update, Err(RedisServiceError::NotFound { .. })), "{gone_update:?}");
    let gone_put = sessions.put(&gone.id, b"{}", CreateOptions::default()).await;
    assert!(matches!(gone_put, Err(RedisServiceError::Conflict { .. })), "{gone_put:?}");
    let next = sessions.regenerate(&moved.id).await.unwrap();
    let last = sessions.regenerate(&next.id).await.unwrap();
    assert_eq!(data(&service, &moved.id).await, None);
    sessions.put("mine", b"{\"mine\":1}", of_user("ann")).await.unwrap();
    // What only Redis can know.
    is_unavailable(sessions.get(&strange.id).await);
    is_unavailable(sessions.update(&strange.id, b"{}").await);
    is_unavailable(sessions.regenerate(&strange.id).await);
    is_unavailable(sessions.touch(&made.id, None).await);
    is_unavailable(sessions.list_for_user("ann").await);
    is_unavailable(sessions.revoke_all("ann").await);
    assert!(sessions.destroy(&strange.id).await.unwrap(), "ended whatever it was");
    assert_eq!(service.status().pending_replays, 10);

    scene.come_back(&service).await;
    for service in [&service, &other] {
        for (id, expected) in [
            (&made.id, Some("{\"n\":3}")),
            (&known.id, Some("{\"known\":1}")),
            (&read.id, Some("{\"read\":1}")),
            (&last.id, Some("{\"moves\":1}")),
            (&"mine".to_owned(), Some("{\"mine\":1}")),
            (&gone.id, None),
            (&moved.id, None),
            (&next.id, None),
            (&strange.id, None),
        ] {
            assert_eq!(data(service, id).await.as_deref(), expected);
        }
        assert_eq!(service.sessions().list_for_user("ann").await.unwrap().len(), 5);
    }
    assert_eq!(sessions.replay_conflicts(), 0);
    assert_eq!(other.sessions().revoke_all("ann").await.unwrap(), 5);
    service.close().await;
    drop(service);
    assert_eq!(scene.journals(), Vec::<PathBuf>::new(), "an empty journal goes with its process");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_outage_after_another_loses_no_write() {
    let scene = Scene::new();
    let service = scene.replaying().await;
    let id = make(&service, "{}").await.id;
    for n in 0..5 {
        scene.leave(&service).await;
        // Seen online before the first outage only; then by its being replayed and read.
        let written = format!("{{\"n\":{n}}}");
        service.sessions().update(&id, written.as_bytes()).await.unwrap();
        scene.come_back(&service).await;
        assert_eq!(data(&service, &id).await, Some(written));
    }
    assert_eq!(service.sessions().replay_conflicts(), 0);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wrote_since_wins_and_a_tombstone_over_all() {
    let scene = Scene::new();
    let (service, other) = (scene.replaying().await, scene.other().await);
    let [written, destroyed, moved, ended] = [
        make(&service, "{}").await,
        make(&service, "{}").await,
        make(&service, "{}").await,
        make(&service, "{}").await,
    ];
    scene.leave(&service).await;
    let sessions = service.sessions();
    sessions.update(&written.id, b"{\"offline\":1}").await.unwrap();
    sessions.update(&written.id, b"{\"offline\":2}").await.unwrap();
    sessions.update(&destroyed.id, b"{\"offline\":1}").await.unwrap();
    let next = sessions.regenerate(&moved.id).await.unwrap();
    let last = sessions.regenerate(&next.id).await.unwrap();
    sessions.destroy(&ended.id).await.unwrap();
    // The process ends without having seen Redis again.
    service.close().await;
    drop(service);
    scene.server.thaw().unwrap();
    wait_for(&other, Mode::Redis).await;
    other.sessions().update(&written.id, b"{\"other\":1}").await.unwrap();
    other.sessions().destroy(&destroyed.id).await.unwrap();
    other.sessions().destroy(&moved.id).await.unwrap();
    other.sessions().update(&ended.id, b"{\"other\":1}").await.unwrap();

    let heir = scene.replaying().await;
    assert_eq!(data(&heir, &written.id).await.as_deref(), Some("{\"other\":1}"));
    for id in [&destroyed.id, &moved.id, &next.id, &last.id, &ended.id] {
        assert_eq!(data(&heir, id).await, None);
    }
    // The update that came second, and the session that had no ancestor any more.
    assert_eq!(heir.sessions().replay_conflicts(), 2);
    heir.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_replayed_twice_changes_nothing_the_second_time() {
    let scene = Scene::new();
    let (service, other) = (scene.replaying().await, scene.other().await);
    let [updated, rewritten, destroyed, moved] = [
        make(&service, "{}").await,
        make(&service, "{}").await,
        make(&service, "{}").await,
        make(&service, "{}").await,
    ];
    scene.leave(&service).await;
    let sessions = service.sessions();
    let made = make(&service, "{\"n\":1}").await;
    sessions.update(&updated.id, b"{\"offline\":1}").await.unwrap();
    sessions.update(&updated.id, b"{\"offline\":2}").await.unwrap();
    sessions.update(&rewritten.id, b"{\"offline\":1}").await.unwrap();
    sessions.destroy(&destroyed.id).await.unwrap();
    let next = sessions.regenerate(&moved.id).await.unwrap();
    // As a process leaves it that dies between the replay and the emptying of its journal.
    let [journal] = &scene.journals()[..] else { panic!("there is one journal") };
    let left = std::fs::read(journal).unwrap();
    scene.come_back(&service).await;
    service.close().await;
    drop(service);
    other.sessions().update(&rewritten.id, b"{\"later\":1}").await.unwrap();
    std::fs::write(journal, left).unwrap();

    let heir = scene.replaying().await;
    for (id, expected) in [
        (&made.id, Some("{\"n\":1}")),
        (&updated.id, Some("{\"offline\":2}")),
        (&rewritten.id, Some("{\"later\":1}")),
        (&next.id, Some("{}")),
        (&destroyed.id, None),
        (&moved.id, None),
    ] {
        assert_eq!(data(&heir, id).await.as_deref(), expected);
    }
    assert_eq!((heir.status().pending_replays, heir.sessions().replay_conflicts()), (0, 0));
    heir.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_to_live_runs_from_when_a_write_was_taken() {
    let scene = Scene::new();
    let service = scene.replaying().await;
    scene.leave(&service).await;
    let lives = |ms, absolute: Option<u64>| CreateOptions {
        ttl: Duration::from_millis(ms),
        absolute_ttl: absolute.map(Duration::from_millis),
        rolling: true,
        ..CreateOptions::default()
    };
    let sessions = service.sessions();
    let long = sessions.create(b"{}", lives(60_000, None)).await.unwrap();
    let capped = sessions.create(b"{}", lives(60_000, Some(30_000))).await.unwrap();
    let short = sessions.create(b"{}", lives(200, None)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(data(&service, &short.id).await, None);
    scene.come_back(&service).await;
    let left = |id: &str| -> i64 {
        let hash = scene.server.cli(&["KEYS", "*"]).unwrap();
        let key = hash.lines().find(|key| key.ends_with(&sha256(id))).map(str::to_owned);
        key.map_or(-2, |key| scene.server.cli(&["PTTL", &key]).unwrap().parse().unwrap())
    };
    assert!((40_000..59_500).contains(&left(&long.id)), "{}", left(&long.id));
    assert!((10_000..29_500).contains(&left(&capped.id)), "{}", left(&capped.id));
    assert_eq!(left(&short.id), -2);
    let seen = sessions.get(&capped.id).await.unwrap().unwrap();
    assert!(seen.expires_at_ms <= capped.expires_at_ms + 1000);
    assert_eq!(sessions.replay_conflicts(), 0);
    service.close().await;
}

fn sha256(id: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(id.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_refuses_and_loses_nothing() {
    let scene = Scene::new();
    let service = connect(Options { max_replay: 5, ..replaying(&scene.server, scene.folder.path()) }).await;
    scene.leave(&service).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(make(&service, "{}").await.id);
    }
    is_unavailable(service.sessions().create(b"{}", CreateOptions::default()).await);
    is_unavailable(service.sessions().destroy(&ids[0]).await);
    assert_eq!(service.status().pending_replays, 5);
    scene.come_back(&service).await;
    for id in &ids {
        assert!(data(&service, id).await.is_some());
    }
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writes_share_an_fsync_and_none_is_lost() {
    const WRITES: usize = 2000;
    let scene = Scene::new();
    let service = Arc::new(scene.replaying().await);
    scene.leave(&service).await;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..WRITES {
        let service = Arc::clone(&service);
        tasks.spawn(async move { make(&service, &format!("{{\"n\":{n}}}")).await.id });
    }
    let ids = tasks.join_all().await;
    println!("{WRITES} concurrent writes acknowledged in {:?}", start.elapsed());
    let start = Instant::now();
    scene.come_back(&service).await;
    println!("replayed, with the time until Redis was back, in {:?}", start.elapsed());
    let other = scene.other().await;
    for id in &ids {
        assert!(data(&other, id).await.is_some());
    }
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_cut_short_is_done_again() {
    let scene = Scene::new();
    let (service, other) = (Arc::new(scene.replaying().await), scene.other().await);
    let known = make(&service, "{}").await.id;
    scene.leave(&service).await;
    let mut ids = Vec::new();
    for n in 0..1500 {
        let id = make(&service, &format!("{{\"n\":{n}}}")).await.id;
        service.sessions().update(&id, format!("{{\"n\":{n},\"again\":1}}").as_bytes()).await.unwrap();
        ids.push(id);
    }
    service.sessions().update(&known, b"{\"known\":1}").await.unwrap();
    let mut cuts = 0;
    while service.status().pending_replays > 0 && cuts < 40 {
        scene.server.thaw().unwrap();
        let now = Instant::now();
        // Each time a little further into the replay.
        wait_until("a part is replayed", || {
            service.status().mode == Mode::Redis || now.elapsed() > Duration::from_secs(3)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(cuts % 7)).await;
        scene.server.freeze().unwrap();
        cuts += 1;
        tokio::time::sleep(Duration::from_millis(60)).await;
        if service.status().mode == Mode::Fallback && service.status().pending_replays > 0 {
            let late = make(&service, "{\"n\":0,\"again\":1}").await.id;
            ids.push(late);
        }
    }
    scene.come_back(&service).await;
    wait_for(&other, Mode::Redis).await;
    for id in &ids {
        assert!(data(&other, id).await.is_some_and(|data| data.contains("again")));
    }
    assert_eq!(data(&other, &known).await.as_deref(), Some("{\"known\":1}"));
    assert_eq!(service.sessions().replay_conflicts(), 0);
    println!("{} sessions over {cuts} cuts", ids.len());
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_from_a_redis_that_has_not_taken_the_journal_yet() {
    let scene = Scene::new();
    let service = scene.replaying().await;
    let id = make(&service, "{\"old\":1}").await.id;
    // Redis will be there and refuse to write.
    scene.server.cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    scene.leave(&service).await;
    service.sessions().update(&id, b"{\"new\":1}").await.unwrap();
    scene.server.thaw().unwrap();
    wait_for(&service, Mode::Redis).await;
    let read = service.sessions().get(&id).await;
    assert!(matches!(read, Err(RedisServiceError::Storage { .. })), "{read:?}");
    assert_eq!(service.status().pending_replays, 1);
    scene.server.cli(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(data(&service, &id).await.as_deref(), Some("{\"new\":1}"));
    service.close().await;
}
