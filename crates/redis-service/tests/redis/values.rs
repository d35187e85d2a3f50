//! What is stored, and whose values are left alone.

use std::time::Duration;

use redis_service::envelope::CacheValue;
use redis_service::{OnlyIf, Options, RedisServiceError, SetOptions};

use crate::support::{connect, get, options, server, service, set, text, until};

#[tokio::test]
async fn each_kind_of_value_comes_back_as_it_was() {
    let server = server();
    for enable_compression in [false, true] {
        let service = connect(Options { enable_compression, ..options(server.url()) }).await;
        for value in [
            text(""),
            text("hello"),
            text("42"),
            text("x".repeat(5000)),
            CacheValue::Integer(-7),
            CacheValue::Json(r#"{"a":[1,2,null],"b":"é"}"#.into()),
            CacheValue::Json(format!("[{}]", "\"word\",".repeat(900) + "1").into()),
            CacheValue::Bytes(vec![0xf5, 0x55, 0x41, 0, 255].into()),
        ] {
            service.set("k", &value, &SetOptions::default()).await.unwrap();
            assert_eq!(service.get("k").await.unwrap(), Some(value.clone()));
            assert_eq!(service.get("k").await.unwrap(), Some(value), "near");
        }
    }
}

#[tokio::test]
async fn values_of_others_are_read_as_they_are_and_survive() {
    let server = server();
    let service = service(server.url()).await;
    server.cli(&["SET", "plain", "written by redis-cli"]).unwrap();
    assert_eq!(get(&service, "plain").await.as_deref(), Some("written by redis-cli"));
    assert_eq!(server.cli(&["GET", "plain"]).unwrap(), "written by redis-cli");
    set(&service, "ours", "readable for all").await;
    assert_eq!(server.cli(&["GET", "ours"]).unwrap(), "readable for all");
    server.cli(&["INCRBY", "n", "41"]).unwrap();
    assert_eq!(service.increment("n", 1, None).await.unwrap(), 42);
    assert_eq!(service.get("n").await.unwrap(), Some(CacheValue::Integer(42)));
}

#[tokio::test]
async fn a_broken_envelope_is_a_miss_and_goes_and_one_of_the_future_stays() {
    let server = server();
    let service = service(server.url()).await;
    let broken: &[&[u8]] = &[b"SET", b"broken", b"\xf5\x55\x41\x01\x03\x00\x05\x05\0\0\0\0hello"];
    let future: &[&[u8]] = &[b"SET", b"future", b"\xf5\x55\x41\x09\x03\x00\x05\x05\0\0\0\0hello"];
    server.call(broken).unwrap();
    server.call(future).unwrap();
    assert_eq!(service.get("broken").await.unwrap(), None);
    assert_eq!(service.get("future").await.unwrap(), None);
    assert_eq!(service.stats().corrupt, 1);
    until("the deletion", || server.cli(&["EXISTS", "broken"]).unwrap() == "0").await;
    assert_eq!(server.cli(&["EXISTS", "future"]).unwrap(), "1");
}

#[tokio::test]
async fn conditions_and_times_to_live_are_kept() {
    let server = server();
    let service = service(server.url()).await;
    let with = |only_if| SetOptions { only_if: Some(only_if), ttl: Some(Duration::from_secs(100)) };
    assert!(!service.set("k", &text("1"), &with(OnlyIf::Present)).await.unwrap());
    assert!(service.set("k", &text("2"), &with(OnlyIf::Absent)).await.unwrap());
    assert!(!service.set("k", &text("3"), &with(OnlyIf::Absent)).await.unwrap());
    assert_eq!(get(&service, "k").await.as_deref(), Some("2"));
    let ttl = service.ttl("k").await.unwrap().unwrap();
    assert!(ttl > Duration::from_secs(90) && ttl <= Duration::from_secs(100), "{ttl:?}");
    set(&service, "k", "without end").await;
    assert_eq!(service.ttl("k").await.unwrap(), None);
    assert!(service.expire("k", Duration::from_millis(20)).await.unwrap());
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(get(&service, "k").await, None);
    assert!(!service.has("k").await.unwrap());
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_named() {
    let server = server();
    let service = service(server.url()).await;
    server.cli(&["RPUSH", "list", "a"]).unwrap();
    let error = service.get("list").await.unwrap_err();
    assert!(matches!(&error, RedisServiceError::Conflict { key, .. } if key == "list"), "{error}");
    set(&service, "word", "abc").await;
    let error = service.increment("word", 1, None).await.unwrap_err();
    assert!(matches!(&error, RedisServiceError::Conflict { key, .. } if key == "word"), "{error}");
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let service = connect(Options::default()).await;
    for (key, says) in [("", "not empty"), ("~uat:x", "~uat:"), (&*"k".repeat(70_000), "65536")] {
        let error = service.get(key).await.unwrap_err().to_string();
        assert!(error.starts_with("key: ") && error.contains(says), "{error}");
    }
}
