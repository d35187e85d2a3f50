//! `uat cache` against real Redis servers, in good order and not.

use std::time::{Duration, Instant};

use testkit::redis::{RedisCluster, RedisServer};

use crate::support::{Place, Ran};

/// `uat cache ...` at a server.
fn cache(server: &RedisServer, args: &[&str]) -> Ran {
    at(&server.url(), args)
}

fn at(url: &str, args: &[&str]) -> Ran {
    Place::empty().run(&[&["cache"], args, &["--url", url]].concat())
}

#[track_caller]
fn check(ran: Ran, code: i32, stdout: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (code, stdout), "{}", ran.stderr);
}

#[test]
fn a_value_is_written_read_and_deleted() {
    let server = RedisServer::start().unwrap();
    check(cache(&server, &["set", "greeting", "hello", "--ttl", "5m"]), 0, "greeting is written\n");
    assert!(server.cli(&["TTL", "greeting"]).unwrap().parse::<u32>().unwrap() > 290);
    check(cache(&server, &["get", "greeting"]), 0, "hello");
    let document = cache(&server, &["get", "greeting", "--json"]).json();
    assert_eq!((&document["type"], &document["value"]), (&"text".into(), &"hello".into()));
    assert!(document["ttlMs"].as_u64().unwrap() > 290_000);
    check(cache(&server, &["delete", "greeting", "nothing"]), 0, "deleted 1 of 2\n");
    check(cache(&server, &["get", "greeting"]), 1, "");
}

#[test]
fn a_miss_is_exit_code_one_and_nothing_said() {
    let server = RedisServer::start().unwrap();
    let ran = cache(&server, &["get", "nothing"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (1, "", ""));
    assert_eq!(cache(&server, &["get", "nothing", "--json"]).json()["found"], false);
}

#[test]
fn json_is_stored_as_other_languages_store_it() {
    let server = RedisServer::start().unwrap();
    check(cache(&server, &["set", "n", "41", "--json-value"]), 0, "n is written\n");
    assert_eq!(server.cli(&["INCR", "n"]).unwrap(), "42");
    check(cache(&server, &["get", "n"]), 0, "42");
    check(cache(&server, &["set", "o", r#"{"a":[1,"x"]}"#, "--json-value"]), 0, "o is written\n");
    check(cache(&server, &["get", "o"]), 0, r#"{"a":[1,"x"]}"#);
    assert_eq!(cache(&server, &["get", "o", "--json"]).json()["value"]["a"][1], "x");
    check(cache(&server, &["set", "digits", "42"]), 0, "digits is written\n");
    assert_eq!(cache(&server, &["get", "digits", "--json"]).json()["type"], "text");
    cache(&server, &["set", "o", "{", "--json-value"])
        .assert_failed(1, &["error[UAT_INVALID_INPUT]", "JSON"]);
}

#[test]
fn a_value_may_come_from_standard_input() {
    let server = RedisServer::start().unwrap();
    let args = ["cache", "set", "k", "-", "--url", &server.url()];
    check(Place::empty().run_with_input(&args, "from a pipe\n"), 0, "k is written\n");
    check(cache(&server, &["get", "k"]), 0, "from a pipe\n");
}

#[test]
fn a_write_may_depend_on_what_is_there() {
    let server = RedisServer::start().unwrap();
    let absent = cache(&server, &["set", "k", "v", "--only-if", "present"]);
    check(absent, 1, "k is not written: there is no value\n");
    check(cache(&server, &["set", "k", "v", "--only-if", "absent"]), 0, "k is written\n");
    let ran = cache(&server, &["set", "k", "w", "--only-if", "absent", "--json"]);
    assert_eq!((ran.code, &ran.json()["written"]), (1, &false.into()));
    check(cache(&server, &["get", "k"]), 0, "v");
}

#[test]
fn everything_is_deleted_only_after_a_yes() {
    let server = RedisServer::start().unwrap();
    for key in ["a:1", "a:2", "b:1"] {
        server.cli(&["SET", key, "v"]).unwrap();
    }
    check(cache(&server, &["clear", "a:"]), 0, "deleted 2 value(s)\n");
    let args = ["cache", "clear", "--url", &server.url()];
    let refused = Place::empty().run_with_input(&args, "n\n");
    refused.assert_failed(1, &["Delete all values at 127.0.0.1:", "nothing was deleted"]);
    cache(&server, &["clear"]).assert_failed(1, &["--yes"]);
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "1");
    check(Place::empty().run_with_input(&args, "y\n"), 0, "deleted 1 value(s)\n");
    assert_eq!(cache(&server, &["clear", "--yes", "--json"]).json()["deleted"], 0);
}

#[test]
fn the_configuration_names_the_server_and_the_prefix() {
    let server = RedisServer::builder().password("secret").start().unwrap();
    let place = Place::empty();
    place.write("uat.toml", "[redis]\nurl_env = \"THE_REDIS\"\nkey_prefix = \"app:\"\n");
    let run = |args: &[&str]| {
        Ran::from(
            place.command(&[&["cache"], args].concat()).env("THE_REDIS", server.url()).output().unwrap(),
        )
    };
    check(run(&["set", "k", "v"]), 0, "k is written\n");
    assert_eq!(server.cli(&["GET", "app:k"]).unwrap(), "v");
    let status = run(&["status", "--json"]).json();
    assert_eq!((&status["mode"], &status["keys"]), (&"redis".into(), &1.into()));
    assert!(status["server"].as_str().unwrap().contains(' '), "{status}");
    assert_eq!(status["near"], true);
    let text = run(&["status"]).stdout;
    assert!(text.contains("near tier   on") && text.contains("key prefix  app:"), "{text}");
    place.run(&["cache", "status"]).assert_failed(1, &["error[UAT_CONFIG]", "THE_REDIS is not set"]);
}

#[test]
fn without_a_url_it_says_where_one_goes() {
    Place::empty()
        .run(&["cache", "status"])
        .assert_failed(1, &["error[UAT_CONFIG]", "[redis]", "try: ", "--url", "UAT__REDIS__URL"]);
}

#[test]
fn what_waiting_does_not_mend_is_said_at_once() {
    let server = RedisServer::builder().password("secret").start().unwrap();
    let wrong = at(&format!("redis://:wrong@{}", server.address()), &["get", "k"]);
    wrong.assert_failed(1, &["error[UAT_UNAUTHORIZED]", "WRONGPASS"]);
    assert!(!wrong.stderr.contains("wrong@"), "{}", wrong.stderr);
    at("http://h", &["status"]).assert_failed(1, &["error[UAT_CONFIG]", "redis://"]);
    at("redis://nowhere.invalid", &["status"]).assert_failed(1, &["error[UAT_CONFIG]", "nowhere.invalid"]);
    cache(&server, &["get", "~uat:x"]).assert_failed(1, &["error[UAT_INVALID_INPUT]", "~uat:"]);
    cache(&server, &["set", "k", "v", "--ttl", "soon"]).assert_failed(2, &["--ttl"]);
    cache(&server, &["set", "k", "v", "--ttl", "0s"]).assert_failed(1, &["error[UAT_INVALID_INPUT]", "ttl"]);
    cache(&server, &["delete"]).assert_failed(2, &["KEY"]);
    cache(&server, &["bench", "--clients", "0"]).assert_failed(2, &["--clients"]);
}

#[test]
fn a_server_that_is_away_or_frozen_is_an_error_within_two_seconds() {
    let server = RedisServer::start().unwrap();
    server.cli(&["SET", "k", "v"]).unwrap();
    server.freeze().unwrap();
    for args in [&["get", "k"][..], &["set", "k", "w"], &["delete", "k"], &["status"], &["bench"]] {
        let began = Instant::now();
        cache(&server, args).assert_failed(1, &["error[UAT_STORAGE]: Redis does not answer: ", "try: "]);
        assert!(began.elapsed() < Duration::from_secs(2), "{args:?} took {:?}", began.elapsed());
    }
    server.thaw().unwrap();
    check(cache(&server, &["get", "k"]), 0, "v");
    server.kill();
    cache(&server, &["get", "k"]).assert_failed(1, &["error[UAT_STORAGE]", "refused"]);
}

#[test]
fn what_is_no_value_of_the_cache_is_said() {
    let server = RedisServer::start().unwrap();
    server.cli(&["LPUSH", "list", "x"]).unwrap();
    cache(&server, &["get", "list"]).assert_failed(1, &["error[UAT_CONFLICT]", "WRONGTYPE"]);
    // An envelope of a version to come.
    server.call(&[&b"SET"[..], b"later", b"\xf5UA\x09rest"]).unwrap();
    cache(&server, &["get", "later"]).assert_failed(1, &["error[UAT_CORRUPT_VALUE]", "newer version"]);
    assert_eq!(server.cli(&["EXISTS", "later"]).unwrap(), "1");
}

#[test]
fn a_cluster_is_one_cache() {
    let cluster = RedisCluster::start().unwrap();
    let keys = ["a", "b", "c", "d", "e"];
    for key in keys {
        check(at(&cluster.url(), &["set", key, "v"]), 0, &format!("{key} is written\n"));
    }
    check(at(&cluster.url(), &["get", "c"]), 0, "v");
    assert_eq!(at(&cluster.url(), &["status", "--json"]).json()["keys"], serde_json::Value::Null);
    check(at(&cluster.url(), &["clear", "--yes"]), 0, "deleted 5 value(s)\n");
}

#[test]
fn reads_and_writes_are_measured_and_nothing_stays() {
    let server = RedisServer::start().unwrap();
    let args = ["bench", "--seconds", "1", "--clients", "10", "--bytes", "100"];
    let document = cache(&server, &[&args[..], &["--json"]].concat()).json();
    for kind in ["set", "get"] {
        let figures = &document[kind];
        assert!(figures["calls"].as_u64().unwrap() > 100, "{document}");
        assert!(figures["p50Us"].as_u64() <= figures["p99Us"].as_u64(), "{document}");
    }
    assert_eq!((&document["mode"], &document["get"]["missed"]), (&"redis".into(), &0.into()));
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "0");
}

#[test]
fn ctrl_c_ends_a_measurement_and_leaves_nothing() {
    let server = RedisServer::start().unwrap();
    let place = Place::empty();
    let args = ["cache", "bench", "--seconds", "60", "--url", &server.url()];
    let mut child = place.command(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
    while server.cli(&["DBSIZE"]).unwrap() == "0" {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "0");
}

#[test]
fn the_doctor_asks_the_configured_redis() {
    let server = RedisServer::start().unwrap();
    let place = Place::empty();
    place.write("uat.toml", &format!("[redis]\nurl = \"{}\"\n", server.url()));
    let redis = || {
        let document = place.run(&["doctor", "--json"]).json();
        let checks = document["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["what"] == "redis").unwrap()
    };
    assert_eq!(redis()["verdict"], "ok");
    server.kill();
    let away = redis();
    assert_eq!(away["verdict"], "note");
    assert!(away["found"].as_str().unwrap().contains("does not answer"), "{away}");
    assert!(!Place::empty().run(&["doctor"]).stdout.contains("redis"), "it asks only what is configured");
}
