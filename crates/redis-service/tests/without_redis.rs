//! The embedded tier: messages, computations, tags and `clear` within one process. Tokio's clock is stopped, so that waiting
//! costs nothing.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use redis_service::{
    Begin, ComputeError, Event, FlightOptions, Op, Options, RedisService, RedisServiceError, Reply,
    Subscription,
};

const TTL: Option<Duration> = Some(Duration::from_secs(3600));

async fn service() -> RedisService {
    RedisService::connect(Options::default(), None).await.unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn next(subscription: &mut Subscription) -> String {
    match subscription.next().await {
        Some(Ok(Event::Message { channel, payload })) => {
            format!("{}={}", String::from_utf8_lossy(&channel), String::from_utf8_lossy(&payload))
        }
        other => format!("{other:?}"),
    }
}

async fn has(service: &RedisService, key: &str) -> bool {
    service.run(Op::Has { key: bytes(key) }).await.unwrap() == Reply::Was(true)
}

#[tokio::test(start_paused = true)]
async fn messages_are_heard_within_the_service() {
    let service = service().await;
    let mut channel = service.subscribe(&[bytes("news.de")]).await.unwrap();
    let mut pattern = service.subscribe_patterns(&[bytes("news.*")]).await.unwrap();
    assert_eq!(service.publish(b"news.de", bytes("1")).await.unwrap(), 2);
    assert_eq!(service.publish(b"news.fr", bytes("2")).await.unwrap(), 1);
    assert_eq!(next(&mut channel).await, "news.de=1");
    assert_eq!(next(&mut pattern).await, "news.de=1");
    assert_eq!(next(&mut pattern).await, "news.fr=2");
    drop(pattern);
    assert_eq!(service.publish(b"news.fr", bytes("3")).await.unwrap(), 0);
    service.close().await;
    assert_eq!(next(&mut channel).await, "None");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_computation() {
    let (service, computed) = (service().await, Cell::new(0));
    let compute = || async {
        computed.set(computed.get() + 1);
        tokio::time::sleep(Duration::from_secs(7)).await;
        Ok::<_, ComputeError>(bytes("v"))
    };
    let mut cancelled = Box::pin(service.get_or_compute(bytes("k"), TTL, FlightOptions::default(), compute));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut cancelled).await.is_err());
    let mut callers: Vec<_> = (0..1000)
        .map(|_| Box::pin(service.get_or_compute(bytes("k"), TTL, FlightOptions::default(), compute)))
        .collect();
    for caller in &mut callers {
        assert!(poll(caller.as_mut()).is_pending());
    }
    drop(cancelled);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "v");
    }
    assert_eq!(computed.get(), 2);
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_held_renewed_and_passed_on() {
    let service = service().await;
    let Begin::Lead(lease) = service.flight_begin(&bytes("k"), Duration::ZERO).await.unwrap() else {
        unreachable!("nobody else computes");
    };
    let key = bytes("k");
    let waiting = Box::pin(service.flight_begin(&key, Duration::ZERO));
    let waiting = tokio::time::timeout(Duration::from_secs(1), waiting);
    assert!(waiting.await.is_err());
    assert!(service.flight_renew(&lease).await.unwrap());
    service.flight_finish(&lease, bytes("v"), TTL, Duration::ZERO).await.unwrap();
    assert!(!service.flight_renew(&lease).await.unwrap());
    assert_eq!(service.flight_begin(&bytes("k"), Duration::ZERO).await.unwrap(), Begin::Fresh(bytes("v")));
    let Begin::Stale(stale, Some(lease)) =
        service.flight_begin(&bytes("k"), Duration::from_secs(7200)).await.unwrap()
    else {
        unreachable!("less is left than the value may be stale");
    };
    assert_eq!(stale, "v");
    service.flight_abandon(&lease).await.unwrap();
    assert!(!has(&service, "~uat:lock:k").await);
}

#[tokio::test(start_paused = true)]
async fn tags_and_prefixes_remove_what_they_name() {
    let service = service().await;
    for (key, tag) in [("a:1", "red"), ("a:2", "blue"), ("b:1", "red")] {
        assert!(service.set_tagged(bytes(key), bytes("v"), TTL, None, &[bytes(tag)]).await.unwrap());
    }
    assert_eq!(service.invalidate_tag(b"red").await.unwrap(), 2);
    assert_eq!(service.invalidate_tag(b"red").await.unwrap(), 0);
    assert!(!has(&service, "b:1").await);
    assert_eq!(service.clear(b"a:").await.unwrap(), 1);
    assert!(!has(&service, "a:2").await);
}

#[tokio::test(start_paused = true)]
async fn raw_commands_need_redis() {
    let refused = service().await.command(vec![bytes("PING")]).await.unwrap_err();
    assert!(matches!(refused, RedisServiceError::Unsupported { .. }), "{refused:?}");
}
