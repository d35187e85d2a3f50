//! Real processes on real sockets, with a script in the engine's place.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child_engine::{Engine, EngineError, EngineSpec};
use rustix::process::{Pid, Signal, getpgid, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A private folder and what was started for it. Engines of a test exit by themselves a second after it ended.
struct Fixture {
    folder: TempDir,
    mode: &'static str,
}

impl Fixture {
    fn new(mode: &'static str) -> Self {
        Self { folder: TempDir::new().unwrap(), mode }
    }

    fn engine(&self) -> Engine {
        let args = ["--mode".into(), self.mode.into(), "--starts".into(), self.starts_file().into()];
        let spec = EngineSpec {
            search: vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-engine")],
            runtime_dir: Some(self.folder.path().join("uat")),
            idle_exit: Duration::from_millis(700),
            args: args.into(),
        };
        Engine::with_env(spec, &|_| None)
    }

    fn starts_file(&self) -> PathBuf {
        self.folder.path().join("starts")
    }

    /// The process ids of all engines that were started.
    fn starts(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.starts_file()).unwrap_or_default();
        text.lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

/// The folder of `socket`, as an engine would find it.
fn private_dir(socket: &Path) {
    fs::create_dir(socket.parent().unwrap()).unwrap();
    fs::set_permissions(socket.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
}

async fn assert_answers(mut stream: UnixStream) {
    clients(&mut stream).await;
}

/// How many connections the engine has, as it says itself.
async fn clients(stream: &mut UnixStream) -> u32 {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = [0; 40];
    stream.read_exact(&mut answer).await.unwrap();
    let (head, body) = answer.split_at(38);
    assert!(head.starts_with(b"HTTP/1.1 200"));
    String::from_utf8_lossy(body).parse().unwrap()
}

fn kill(pid: u32) {
    kill_process(pid_of(pid), Signal::KILL).unwrap();
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Processes end in their own time: waits for what must come, at most ten seconds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_first_connection_starts_the_engine_and_later_ones_share_it() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    assert_eq!(engine.pid(), None, "nothing is started before the first call");

    assert_answers(engine.connect().await.unwrap()).await;
    assert_answers(engine.connect().await.unwrap()).await;
    let other = fixture.engine();
    assert_answers(other.connect().await.unwrap()).await;

    assert_eq!(fixture.starts().len(), 1);
    assert_eq!(engine.pid(), Some(fixture.starts()[0]));
    assert_eq!(engine.pid(), other.pid());
    assert_eq!(fs::metadata(engine.socket_path().unwrap()).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_look_at_the_engine_starts_none() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    assert!(engine.connect_running().await.unwrap().is_none());
    assert_eq!((fixture.starts().len(), engine.pid()), (0, None));

    let other = fixture.engine();
    other.connect().await.unwrap();
    assert_answers(engine.connect_running().await.unwrap().unwrap()).await;
    assert_eq!((fixture.starts().len(), engine.pid()), (1, None), "it holds no lease of its own");
}

#[tokio::test]
async fn calls_at_once_share_one_lease() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    let (one, two, three) = tokio::join!(engine.connect(), engine.connect(), engine.connect());
    let mut streams = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(clients(&mut streams[2]).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_start_one_engine() {
    let fixture = Fixture::new("slow");
    let engines: Vec<Engine> = (0..8).map(|_| fixture.engine()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for engine in engines {
        calls.spawn(async move {
            let (one, two) = tokio::join!(engine.connect(), engine.connect());
            assert_answers(one.unwrap()).await;
            assert_answers(two.unwrap()).await;
            engine
        });
    }
    let engines = calls.join_all().await;
    assert_eq!(fixture.starts().len(), 1);
    assert!(engines.iter().all(|engine| engine.pid() == Some(fixture.starts()[0])));
}

#[tokio::test]
async fn a_killed_engine_is_reaped_and_the_next_call_starts_a_new_one() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    engine.connect().await.unwrap();
    let first = engine.pid().unwrap();

    kill(first);
    eventually("the killed engine is reaped", || !exists(first)).await;
    assert!(engine.socket_path().unwrap().exists(), "a killed engine leaves its socket behind");

    assert_answers(engine.connect().await.unwrap()).await;
    assert_eq!(fixture.starts().len(), 2);
    assert_ne!(engine.pid(), Some(first));
}

#[tokio::test]
async fn after_a_kill_many_callers_start_one_new_engine() {
    let fixture = Fixture::new("slow");
    let engines = [fixture.engine(), fixture.engine(), fixture.engine()];
    for engine in &engines {
        engine.connect().await.unwrap();
    }
    let first = engines[0].pid().unwrap();
    kill(first);
    eventually("the killed engine is reaped", || !exists(first)).await;
    let [one, two, three] = &engines;
    let all = tokio::join!(one.connect(), two.connect(), three.connect(), one.connect(), two.connect());
    for stream in [all.0, all.1, all.2, all.3, all.4] {
        assert_answers(stream.unwrap()).await;
    }
    assert_eq!(fixture.starts().len(), 2);
}

#[tokio::test]
async fn a_crash_loop_is_answered_at_once_with_the_time_of_the_next_start() {
    let fixture = Fixture::new("exit");
    let engine = fixture.engine();
    for _ in 0..3 {
        let error = engine.connect().await.unwrap_err();
        let EngineError::Start { stderr, reason, .. } = &error else { panic!("{error}") };
        assert_eq!(stderr, "ggml: no usable backend");
        assert!(reason.contains('1'), "the exit status: {reason}");
        assert_eq!(error.code(), "UAT_ENGINE_UNAVAILABLE");
    }
    let error = engine.connect().await.unwrap_err();
    let EngineError::Crashing { crashes: 3, retry_in, .. } = error else { panic!("{error}") };
    assert!(retry_in <= Duration::from_secs(1), "{retry_in:?}");
    assert!(error.retryable());
    assert_eq!(fixture.starts().len(), 3, "the fourth call started nothing");
}

#[tokio::test]
async fn an_engine_that_dies_while_serving_counts_as_crashing_too() {
    let fixture = Fixture::new("mortal");
    let engine = fixture.engine();
    // The lease is answered and the engine dies: whether a call still gets a connection is a matter of luck.
    let error = loop {
        if let Err(error @ EngineError::Crashing { .. }) = engine.connect().await {
            break error;
        }
        assert!(fixture.starts().len() <= 3);
    };
    assert_eq!(error.code(), "UAT_ENGINE_UNAVAILABLE");
    assert_eq!(fixture.starts().len(), 3);
}

#[tokio::test]
async fn an_engine_that_is_just_exiting_is_replaced() {
    for mode in ["leaving", "retired"] {
        let fixture = Fixture::new(mode);
        let engine = fixture.engine();
        let socket = engine.socket_path().unwrap();
        private_dir(&socket);
        // Started by hand, as if by a process that has gone: nobody holds a lease.
        let mut child = tokio::process::Command::new(engine.locate().unwrap())
            .args(["--idle-exit-s", "9", "--mode", mode, "--socket"])
            .arg(&socket)
            .arg("--starts")
            .arg(fixture.starts_file())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("the engine listens", || socket.exists()).await;

        assert_answers(engine.connect().await.unwrap()).await;
        assert_eq!(fixture.starts().len(), 2, "{mode}");
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    let socket = engine.socket_path().unwrap();
    private_dir(&socket);
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());

    assert_answers(engine.connect().await.unwrap()).await;
    assert_eq!(fixture.starts().len(), 1);
}

/// The clock of this test is tokio's: it jumps to the next timer when nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn a_hung_engine_is_reported_with_its_process() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    let socket = engine.socket_path().unwrap();
    private_dir(&socket);
    let _never_accepts = UnixListener::bind(&socket).unwrap();

    let error = engine.connect().await.unwrap_err();
    let EngineError::Timeout { pid, .. } = error else { panic!("{error}") };
    assert_eq!(pid, Some(std::process::id()));
    assert!(error.retryable());
    assert_eq!(fixture.starts().len(), 0, "a second engine beside a hung one would not help");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_listens_is_ended() {
    let fixture = Fixture::new("deaf");
    let error = fixture.engine().connect().await.unwrap_err();
    let EngineError::Timeout { pid, .. } = error else { panic!("{error}") };
    assert!(!exists(pid.unwrap()));
}

#[tokio::test]
async fn a_folder_that_others_can_enter_is_refused_before_anything_starts() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    let dir = fixture.folder.path().join("uat");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let error = engine.connect().await.unwrap_err();
    assert!(matches!(error, EngineError::NotPrivate { .. }), "{error}");
    assert_eq!(fixture.starts().len(), 0);
}

#[tokio::test]
async fn the_engine_stays_while_it_is_held_and_goes_when_it_is_let_go() {
    let fixture = Fixture::new("serve");
    let (closed, dropped) = (fixture.engine(), fixture.engine());
    drop(closed.connect().await.unwrap());
    drop(dropped.connect().await.unwrap());
    let pid = closed.pid().unwrap();

    closed.close().await;
    assert_eq!(closed.pid(), None);
    assert!(matches!(closed.connect().await, Err(EngineError::Closed)));
    // Longer than idle_exit: the other one's lease keeps the engine although nobody is connected.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert!(exists(pid));

    drop(dropped);
    eventually("the engine exits once nobody holds it", || !exists(pid)).await;
}

#[tokio::test]
async fn an_abandoned_call_does_not_abandon_the_start() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    let abandoned = tokio::time::timeout(Duration::ZERO, engine.connect()).await;
    assert!(abandoned.is_err());
    assert_answers(engine.connect().await.unwrap()).await;
    assert_eq!(fixture.starts().len(), 1);
}

#[tokio::test]
async fn ctrl_c_in_the_terminal_does_not_reach_the_engine() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    engine.connect().await.unwrap();
    let group = getpgid(Some(pid_of(engine.pid().unwrap()))).unwrap();
    assert_ne!(group, getpgid(None).unwrap());
}

#[tokio::test]
async fn what_the_engine_writes_is_kept_from_others() {
    let fixture = Fixture::new("exit");
    let engine = fixture.engine();
    engine.connect().await.unwrap_err();
    let log = engine.socket_path().unwrap().with_extension("log");
    assert_eq!(fs::metadata(log).unwrap().mode() & 0o777, 0o600);
}

/// Not a benchmark: prints what a start and a connection cost with an engine that does nothing.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures() {
    let fixture = Fixture::new("serve");
    let engine = fixture.engine();
    let start = Instant::now();
    engine.connect().await.unwrap();
    println!("cold connect: {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..1000 {
        engine.connect().await.unwrap();
    }
    println!("warm connect: {:?}", start.elapsed() / 1000);
}
