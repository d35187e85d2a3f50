//! The files of journals: whose they are, and that a process which is killed with SIGKILL loses no acknowledged write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "figures for whoever runs them by hand")]

mod on_sessions;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use on_sessions::{Scene, connect, data, is_unavailable, make, replaying, wait_for};
use redis_service::{Mode, Options, RedisService, RedisServiceError};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn journals_are_private_and_each_process_has_its_own() {
    let scene = Scene::new();
    let (one, two) = (scene.replaying().await, scene.replaying().await);
    scene.leave(&one).await;
    wait_for(&two, Mode::Fallback).await;
    let ids = [make(&one, "{}").await.id, make(&two, "{}").await.id];
    is_unavailable(one.sessions().get(&ids[1]).await);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let journals = scene.journals();
    assert_eq!(journals.len(), 2);
    assert!(journals.iter().all(|journal| mode(journal) == 0o600));
    assert!(!journals.iter().any(|journal| journal.to_string_lossy().contains("127.0.0.1")));
    for service in [one, two] {
        service.close().await;
    }
    // One heir for both; a torn record at the end of either was never acknowledged.
    for journal in &journals {
        std::fs::OpenOptions::new().append(true).open(journal).unwrap().write_all(&[7; 11]).unwrap();
    }
    let heir = scene.replaying().await;
    assert_eq!(heir.status().pending_replays, 2);
    scene.come_back(&heir).await;
    for id in &ids {
        assert!(data(&heir, id).await.is_some());
    }
    assert_eq!(scene.journals().len(), 1);
    heir.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_made_is_an_error_of_the_options() {
    let scene = Scene::new();
    let file = scene.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let folder = file.join("journal");
    let refused = RedisService::connect(replaying(&scene.server, &folder), None).await.err();
    assert!(
        matches!(&refused, Some(RedisServiceError::Config { field, .. }) if field == "journalDir"),
        "{refused:?}"
    );
    let new = scene.folder.path().join("a/b");
    connect(replaying(&scene.server, &new)).await.close().await;
    assert_eq!(std::fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
}

/// Names the folder and the Redis to the process that is going to be killed.
const CHILD_FOLDER: &str = "UAT_TEST_JOURNAL_FOLDER";
const CHILD_URL: &str = "UAT_TEST_JOURNAL_URL";

/// Not a test by itself: the process that [`whatever_was_acknowledged_survives_kill_9`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn writes_until_it_is_killed() {
    let (Ok(folder), Ok(url)) = (std::env::var(CHILD_FOLDER), std::env::var(CHILD_URL)) else {
        return;
    };
    let options = Options {
        url: Some(url),
        key_prefix: "app:".to_owned(),
        replay_writes: true,
        journal_dir: Some(folder.into()),
        max_replay: usize::MAX,
        ..Options::default()
    };
    let service = Arc::new(connect(options).await);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let service = Arc::clone(&service);
        tasks.spawn(async move {
            loop {
                let id = make(&service, "{\"n\":0}").await.id;
                // One line is one write of the pipe; what is in it was acknowledged.
                writeln!(std::io::stdout(), "made {id}").unwrap();
                service.sessions().update(&id, b"{\"n\":1}").await.unwrap();
                writeln!(std::io::stdout(), "updated {id}").unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives_kill_9() {
    let scene = Scene::new();
    scene.server.kill();
    let (mut acknowledged, mut updated) = (HashSet::new(), HashSet::new());
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_FOLDER, scene.folder.path())
            .env(CHILD_URL, scene.server.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (before, wanted) = (acknowledged.len(), 20 + 37 * round);
        let mut note = |line: String| {
            // The harness says what it runs on the same line as the first.
            if let Some((_, id)) = line.split_once("made ") {
                acknowledged.insert(id.to_owned());
            } else if let Some((_, id)) = line.split_once("updated ") {
                updated.insert(id.to_owned());
            }
            acknowledged.len()
        };
        while note(lines.next().expect("it goes on writing").unwrap()) < before + wanted {}
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            note(line.unwrap());
        }
    }
    assert!(acknowledged.len() > 400 && updated.len() > 200, "{} {}", acknowledged.len(), updated.len());

    let heir = scene.replaying().await;
    assert!(heir.status().pending_replays >= acknowledged.len() + updated.len());
    let check = async |when: &str| {
        for id in &acknowledged {
            let found = data(&heir, id).await;
            // The update may have been taken without having been acknowledged.
            let is_updated = found.as_deref() == Some("{\"n\":1}");
            assert!(is_updated || (found.is_some() && !updated.contains(id)), "{when}: {id}: {found:?}");
        }
    };
    check("without Redis").await;
    scene.server.restart().unwrap();
    wait_for(&heir, Mode::Redis).await;
    check("with Redis").await;
    assert_eq!((heir.status().pending_replays, heir.sessions().replay_conflicts()), (0, 0));
    println!(
        "{} sessions and {} updates were acknowledged, none was lost",
        acknowledged.len(),
        updated.len()
    );
    heir.close().await;
}
