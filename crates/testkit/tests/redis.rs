//! Real Redis servers do what the tests ask of them, and nothing of them is left afterwards.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::redis::{RedisCluster, RedisServer, Reply, Sentinels};
use tokio::net::TcpSocket;

/// Set in the process that is killed to see what becomes of its server; its line begins with it.
const HOST: &str = "UAT_TESTKIT_HOST";

/// What Redis's own client prints for a command; it shares no code with ours.
fn redis_cli(url: &str, arguments: &[&str], words: &[&str]) -> String {
    // It takes an absent name for a user of that name.
    let url = url.replace("://:", "://default:");
    let mut command = Command::new("redis-cli");
    command.args(["--no-auth-warning", "-u", &url]).args(arguments).args(words);
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap().trim().to_owned()
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_server_answers_on_its_url_and_keeps_bytes_as_they_are() {
    let server = RedisServer::start().unwrap();
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    assert_ne!(server.port(), 6379);
    assert_eq!(redis_cli(&server.url(), &[], &["SET", "k", "v"]), "OK");
    assert_eq!(server.cli(&["GET", "k"]).unwrap(), "v");
    let raw = b"\xf5UA\r\n\0\xff".to_vec();
    server.call(&[b"SET".as_slice(), b"raw", &raw]).unwrap();
    assert_eq!(server.call(&["GET", "raw"]).unwrap(), Reply::Bytes(raw));
    assert_eq!(server.call(&["GET", "none"]).unwrap(), Reply::Nil);
    assert_eq!(server.info("role").unwrap().as_deref(), Some("master"));
    assert!(server.cli(&["INCR", "k"]).unwrap_err().to_string().starts_with("ERR value is not an integer"));
}

#[test]
fn a_large_value_passes_whole() {
    let server = RedisServer::start().unwrap();
    let large = vec![b'x'; 100_000_000];
    server.call(&[b"SET".as_slice(), b"large", &large]).unwrap();
    assert!(server.call(&["GET", "large"]).unwrap() == Reply::Bytes(large), "100 MB came back changed");
}

#[test]
fn a_killed_server_refuses_and_returns_empty_on_the_same_port() {
    let server = RedisServer::start().unwrap();
    for _ in 0..3 {
        let (port, pid) = (server.port(), server.pid().unwrap());
        server.cli(&["SET", "k", "v"]).unwrap();
        server.kill();
        assert!(!is_alive(pid));
        assert_eq!(server.pid(), None);
        let refused = TcpStream::connect(server.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(server.cli(&["PING"]).is_err());
        assert!(server.freeze().is_err());
        let taken = TcpSocket::new_v4().unwrap().bind(server.address().parse().unwrap());
        assert!(taken.is_err(), "nobody who asks for a free port is given the server's");
        server.restart().unwrap();
        assert_eq!(server.port(), port);
        assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "0");
    }
}

#[test]
fn a_frozen_server_accepts_and_is_silent_until_it_thaws() {
    let server = RedisServer::start().unwrap();
    server.freeze().unwrap();
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let silence = client.read(&mut [0; 16]).unwrap_err();
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    server.thaw().unwrap();
    client.set_read_timeout(None).unwrap();
    let mut pong = [0; 7];
    client.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    // A frozen server can be killed.
    server.freeze().unwrap();
    server.restart().unwrap();
    assert_eq!(server.cli(&["PING"]).unwrap(), "PONG");
}

#[test]
fn passwords_and_users_are_asked_for() {
    let builder = RedisServer::builder().password("p@ss: \"word\\").maxmemory("3mb");
    let builder =
        builder.acl_user("app", "s/e=cret", "~app:* &app:* +@all").arg("--maxmemory-policy", "allkeys-lru");
    let server = builder.start().unwrap();
    let anonymous = format!("redis://{}", server.address());
    assert!(redis_cli(&anonymous, &[], &["PING"]).contains("NOAUTH"));
    assert_eq!(redis_cli(&server.url(), &[], &["PING"]), "PONG");
    let app = server.url_for("app").unwrap();
    assert_eq!(redis_cli(&app, &[], &["SET", "app:k", "v"]), "OK");
    assert!(redis_cli(&app, &[], &["SET", "k", "v"]).contains("NOPERM"));
    assert_eq!(server.url_for("nobody"), None);
    // In no order: the last line has no end.
    let settings = server.cli(&["CONFIG", "GET", "maxmemory*"]).unwrap();
    assert_eq!(settings.lines().filter(|line| *line == "3145728").count(), 1, "{settings}");
    // We get in whatever becomes of the password.
    server.cli(&["CONFIG", "SET", "requirepass", "another"]).unwrap();
    assert!(redis_cli(&server.url(), &[], &["PING"]).contains("WRONGPASS"));
    assert_eq!(server.cli(&["GET", "app:k"]).unwrap(), "v");
}

#[test]
fn what_does_not_fit_is_refused() {
    let server = RedisServer::builder().maxmemory("3mb").start().unwrap();
    let megabyte = "x".repeat(1_000_000);
    let refusal = (0..10).find_map(|n| server.cli(&["SET", &n.to_string(), &megabyte]).err());
    assert!(refusal.unwrap().to_string().starts_with("OOM"));
}

#[test]
fn a_tls_server_is_trusted_through_its_own_authority_only() {
    let server = RedisServer::builder().tls().password("p").start().unwrap();
    let other = RedisServer::builder().tls().start().unwrap();
    assert!(server.url().starts_with("rediss://:p@127.0.0.1:"));
    let ask = |host: &str, ca: &Path| {
        let url = server.url().replace("127.0.0.1", host);
        redis_cli(&url, &["--cacert", ca.to_str().unwrap()], &["PING"])
    };
    assert_eq!(ask("127.0.0.1", server.ca_file().unwrap()), "PONG");
    assert_eq!(ask("localhost", server.ca_file().unwrap()), "PONG");
    assert!(ask("127.0.0.1", other.ca_file().unwrap()).contains("certificate verify failed"));
    assert_eq!(server.cli(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_wrong_setting_is_told_with_what_redis_said() {
    let error = RedisServer::builder().arg("maxmemory", "much").start().unwrap_err().to_string();
    assert!(error.contains("it ended") && error.contains("argument must be a memory value"), "{error}");
}

#[test]
fn dropping_ends_the_process_and_removes_its_folder_even_in_a_panic() {
    let mut seen = (0, String::new());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let server = RedisServer::start().unwrap();
        let folder = server.cli(&["CONFIG", "GET", "dir"]).unwrap().lines().nth(1).unwrap().to_owned();
        seen = (server.pid().unwrap(), folder);
        assert!(is_alive(seen.0) && Path::new(&seen.1).is_dir());
        server.freeze().unwrap();
        std::panic::resume_unwind(Box::new("the test fails"));
    }));
    assert!(panicked.is_err());
    assert!(!is_alive(seen.0) && !Path::new(&seen.1).exists());
}

#[test]
fn a_cluster_moves_the_slots_of_a_killed_master_to_its_replica() {
    let cluster = RedisCluster::start().unwrap();
    assert_eq!(cluster.nodes().len(), 6);
    assert!(cluster.url().starts_with("redis+cluster://127.0.0.1:"));
    // The example of the cluster specification.
    assert_eq!(cluster.slot_of("123456789").unwrap(), 12_739);
    assert_eq!([0, 5_461, 16_383].map(|slot| cluster.master_of_slot(slot).unwrap()), [0, 1, 2]);
    let master = cluster.master_of("k").unwrap();
    cluster.servers()[master].cli(&["SET", "k", "v"]).unwrap();
    assert_eq!(cluster.servers()[master].cli(&["WAIT", "1", "4000"]).unwrap(), "1");
    assert_eq!(cluster.kill_master_of("k").unwrap(), master);
    cluster.wait_for_failover_from(master).unwrap();
    assert_eq!(cluster.master_of("k").unwrap(), master + 3, "the replica took over");
    assert_eq!(cluster.servers()[master + 3].cli(&["GET", "k"]).unwrap(), "v");
    // The old master comes back as a replica of the new one.
    cluster.servers()[master].restart().unwrap();
    cluster.wait_for_failover_from(master).unwrap();
    assert_eq!(cluster.kill_master_of_slot(0).unwrap(), if master == 0 { 3 } else { 0 });
}

#[test]
fn sentinels_name_the_replica_when_the_master_is_killed() {
    let sentinels = Sentinels::start().unwrap();
    assert!(
        sentinels.url().starts_with("redis+sentinel://127.0.0.1:") && sentinels.url().ends_with("/mymaster")
    );
    assert_eq!(sentinels.sentinels().len(), 3);
    let servers = sentinels.servers();
    servers[0].cli(&["SET", "k", "v"]).unwrap();
    assert_eq!(servers[0].cli(&["WAIT", "1", "4000"]).unwrap(), "1");
    assert!(servers[1].cli(&["SET", "k", "v"]).unwrap_err().to_string().starts_with("READONLY"));
    assert_eq!(sentinels.kill_master().unwrap(), 0);
    sentinels.wait_for_failover_from(0).unwrap();
    assert_eq!(sentinels.master().unwrap(), 1);
    assert_eq!(servers[1].cli(&["GET", "k"]).unwrap(), "v");
    assert_eq!(servers[1].cli(&["SET", "k", "w"]).unwrap(), "OK");
}

#[test]
fn a_server_does_not_outlive_the_process_that_started_it() {
    // This test once more, in a process of its own: there it starts a server, says so, and waits for its end.
    if std::env::var_os(HOST).is_some() {
        let server = RedisServer::start().unwrap();
        println!("{HOST} {} {}", server.pid().unwrap(), server.url());
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let name = "a_server_does_not_outlive_the_process_that_started_it";
    let mut host = Command::new(std::env::current_exe().unwrap());
    host.args(["--exact", name, "--nocapture"]).env(HOST, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = host.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find_map(|line| line.split_once(HOST).map(|(_, rest)| rest.trim().to_owned()));
    let (pid, url) = told.as_deref().and_then(|told| told.split_once(' ')).unwrap();
    let pid: u32 = pid.parse().unwrap();
    let folder = redis_cli(url, &[], &["CONFIG", "GET", "dir"]);
    let folder = Path::new(folder.lines().nth(1).unwrap());
    assert!(is_alive(pid) && folder.is_dir());
    // SIGKILL: nothing of its own can run any more.
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_alive(pid) || folder.exists() {
        assert!(Instant::now() < deadline, "{pid} or its folder is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}
