//! Subscriptions: nothing is missed without a gap, and there is no gap without a break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_service::{Event, RedisServiceError, Subscription};
use testkit::redis::{RedisCluster, RedisServer, Sentinels};

use crate::{bytes, cli, connect, service};

/// The next event, as `channel=payload` or `gap`.
async fn next(subscription: &mut Subscription) -> String {
    let event = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
    match event.expect("an event within ten seconds") {
        Some(Ok(Event::Message { channel, payload })) => {
            format!("{}={}", String::from_utf8_lossy(&channel), String::from_utf8_lossy(&payload))
        }
        Some(Ok(Event::Gap { .. })) => "gap".to_owned(),
        Some(Err(error)) => format!("{error:?}"),
        None => "end".to_owned(),
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn subscribers(server: &RedisServer) -> String {
    subscribers_of(server, "p:a")
}

fn subscribers_of(server: &RedisServer, channel: &str) -> String {
    cli(server, &format!("PUBSUB NUMSUB {channel}")).split_whitespace().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_is_published_is_heard_under_the_prefix() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let mut channels = service.subscribe(&[bytes("a"), bytes("b")]).await.unwrap();
    let mut patterns = service.subscribe_patterns(&[bytes("a*")]).await.unwrap();
    assert_eq!(service.publish(b"a", bytes("1")).await.unwrap(), 2);
    assert_eq!(service.publish(b"b", bytes("2")).await.unwrap(), 1);
    cli(&server, "PUBLISH a unprefixed");
    cli(&server, "PUBLISH p:ab 3");
    assert_eq!(next(&mut channels).await, "a=1");
    assert_eq!(next(&mut channels).await, "b=2");
    assert_eq!(next(&mut patterns).await, "a=1");
    assert_eq!(next(&mut patterns).await, "ab=3");
}

#[tokio::test]
async fn the_connection_comes_with_the_first_subscription_and_goes_with_the_last() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let listeners =
        || cli(&server, "CLIENT LIST TYPE pubsub").lines().filter(|line| !line.is_empty()).count();
    assert_eq!(listeners(), 0);
    let one = service.subscribe(&[bytes("a"), bytes("b")]).await.unwrap();
    let mut other = service.subscribe(&[bytes("a"), bytes("c")]).await.unwrap();
    assert_eq!(listeners(), 1);
    drop(one);
    until("b is left alone", || subscribers_of(&server, "p:b") == "0").await;
    assert_eq!(subscribers(&server), "1");
    service.publish(b"a", bytes("still heard")).await.unwrap();
    assert_eq!(next(&mut other).await, "a=still heard");
    drop(other);
    until("the connection ends", || listeners() == 0).await;
    let mut again = service.subscribe(&[bytes("a")]).await.unwrap();
    service.publish(b"a", bytes("new")).await.unwrap();
    assert_eq!(next(&mut again).await, "a=new");
    service.close().await;
    assert_eq!(next(&mut again).await, "end");
    assert!(matches!(service.subscribe(&[bytes("a")]).await, Err(RedisServiceError::Closed)));
}

/// Publishes numbers while the connection is killed again and again: each number that is missing must lie where a gap is reported, and
/// there is no more than one gap for each kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loss_over_200_kills_is_reported_as_a_gap_and_nothing_else_is() {
    const KILLS: u64 = 200;
    let server = Arc::new(RedisServer::start().unwrap());
    let service = Arc::new(service(server.url()).await);
    let mut subscription = service.subscribe(&[bytes("a")]).await.unwrap();
    let (publisher, at) = (Arc::clone(&service), Arc::clone(&server));
    let work = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Handle::current();
        let (mut number, mut killed) = (0_u64, 0);
        while killed < KILLS {
            // Some kills come at once after a confirmation, some in the midst of messages.
            for _ in 0..(killed % 7) * 5 {
                runtime.block_on(publisher.publish(b"a", bytes(number.to_string()))).unwrap();
                number += 1;
            }
            if killed % 3 == 0 {
                std::thread::sleep(Duration::from_millis(killed % 5));
            }
            killed += at.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap().parse::<u64>().unwrap();
        }
        // Bounded, so that a reader that has failed meanwhile ends the test.
        let killed_all = Instant::now();
        while subscribers(&at) != "1" && killed_all.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        runtime.block_on(publisher.publish(b"a", bytes("last"))).unwrap();
        number
    });
    let (mut expected, mut gaps, mut missing, mut gap_before) = (0_u64, 0, 0, false);
    loop {
        match next(&mut subscription).await.as_str() {
            "gap" => {
                gaps += 1;
                gap_before = true;
            }
            "a=last" => break,
            message => {
                let number: u64 = message.trim_start_matches("a=").parse().unwrap();
                assert!(number >= expected, "{number} came after {expected}");
                assert!(number == expected || gap_before, "{expected}..{number} is missing without a gap");
                missing += number - expected;
                expected = number + 1;
                gap_before = false;
            }
        }
    }
    let published = work.await.unwrap();
    assert!(published == expected || gap_before, "{expected}..{published} is missing without a gap");
    assert!((1..=KILLS).contains(&gaps), "{gaps} gaps for {KILLS} kills");
    println!("{published} published, {missing} missed, {gaps} gaps for {KILLS} kills");
}

#[tokio::test]
async fn a_break_between_confirmation_and_first_message_is_a_gap() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let mut quiet = service.subscribe(&[bytes("a")]).await.unwrap();
    assert_eq!(cli(&server, "CLIENT KILL TYPE pubsub"), "1");
    assert_eq!(next(&mut quiet).await, "gap");
    service.publish(b"a", bytes("1")).await.unwrap();
    assert_eq!(next(&mut quiet).await, "a=1");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_within_about_a_second() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let mut subscription = service.subscribe(&[bytes("a")]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    server.freeze().unwrap();
    let frozen = Instant::now();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.thaw().unwrap();
    let event = subscription.next().await;
    let Some(Ok(Event::Gap { since })) = event else { panic!("{event:?}") };
    assert!(since <= frozen.elapsed() + Duration::from_millis(300), "{since:?}");
    assert!(since >= Duration::from_millis(1000), "{since:?}");
}

#[tokio::test]
async fn a_server_that_is_started_again_is_subscribed_to_again() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let mut subscription = service.subscribe(&[bytes("a")]).await.unwrap();
    server.kill();
    let refused = service.publish(b"a", bytes("lost")).await.unwrap_err();
    assert!(refused.retryable(), "{refused:?}");
    let waiting = service.subscribe(&[bytes("a")]).await;
    assert!(matches!(waiting, Err(RedisServiceError::Unavailable { .. })));
    server.restart().unwrap();
    assert_eq!(next(&mut subscription).await, "gap");
    until("one is subscribed, and none for the one that gave up", || subscribers(&server) == "1").await;
    cli(&server, "PUBLISH p:a back");
    assert_eq!(next(&mut subscription).await, "a=back");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_gets_one_gap_in_the_place_of_what_it_lost() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let mut slow = service.subscribe(&[bytes("a")]).await.unwrap();
    let mut quick = service.subscribe(&[bytes("a")]).await.unwrap();
    for number in 0..1100 {
        service.publish(b"a", bytes(number.to_string())).await.unwrap();
        assert_eq!(next(&mut quick).await, format!("a={number}"));
    }
    assert_eq!(next(&mut slow).await, "gap");
    for number in 76..1100 {
        assert_eq!(next(&mut slow).await, format!("a={number}"));
    }
    service.publish(b"a", bytes("on")).await.unwrap();
    assert_eq!(next(&mut slow).await, "a=on");
}

#[tokio::test]
async fn a_user_who_may_not_is_told_so_and_the_others_hear_on() {
    let server = RedisServer::builder().acl_user("app", "pw", "~* &p:a +@all").start().unwrap();
    let options = redis_service::Options {
        url: server.url_for("app"),
        key_prefix: "p:".to_owned(),
        ..redis_service::Options::default()
    };
    let service = connect(options).await;
    let mut allowed = service.subscribe(&[bytes("a")]).await.unwrap();
    let refused = service.subscribe(&[bytes("secret")]).await;
    assert!(matches!(refused, Err(RedisServiceError::Unauthorized { .. })));
    service.publish(b"a", bytes("1")).await.unwrap();
    assert_eq!(next(&mut allowed).await, "a=1");
}

#[tokio::test]
async fn subscriptions_of_a_cluster_outlive_the_node_that_they_were_made_at() {
    let cluster = RedisCluster::start().unwrap();
    let service = service(cluster.url()).await;
    let mut subscription = service.subscribe(&[bytes("a")]).await.unwrap();
    let counts = |index: usize| subscribers(&cluster.servers()[index]);
    let index = (0..3).find(|index| counts(*index) == "1").unwrap();
    cluster.servers()[index].kill();
    assert_eq!(next(&mut subscription).await, "gap");
    let other = (index + 1) % 3;
    cli(&cluster.servers()[other], "PUBLISH p:a 1");
    assert_eq!(next(&mut subscription).await, "a=1");
}

#[tokio::test]
async fn subscriptions_follow_the_master_that_the_sentinels_name() {
    let sentinels = Sentinels::start().unwrap();
    let service = service(sentinels.url()).await;
    let mut subscription = service.subscribe(&[bytes("a")]).await.unwrap();
    let old = sentinels.kill_master().unwrap();
    sentinels.wait_for_failover_from(old).unwrap();
    assert_eq!(next(&mut subscription).await, "gap");
    cli(&sentinels.servers()[sentinels.master().unwrap()], "PUBLISH p:a 1");
    assert_eq!(next(&mut subscription).await, "a=1");
}
