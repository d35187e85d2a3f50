use std::task::Poll;

use futures_util::FutureExt;

use super::*;
use crate::report::CacheOutcome;

const MOST: usize = 100;

fn head() -> Head {
    let report = RoutingReport {
        request_id: "r".into(),
        model: "m".into(),
        endpoint: "e".into(),
        cache: CacheOutcome::Miss,
        attempts: Vec::new(),
        overhead_us: 0,
        dropped: Vec::new(),
        usage: None,
    };
    Head { report, dropped: Vec::new(), spoken: None, whole: None }
}

fn under_way() -> (Arc<Flight>, Waiter) {
    let (flight, first) = Flight::new(MOST);
    flight.begin(Ok(head()));
    (flight, first)
}

fn chunk(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 30])
}

/// What is there to read now, and how it ends if it does.
fn read(waiter: &Waiter, at_most: usize) -> (Vec<u8>, Option<Result<(), CoordinatorError>>) {
    let cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    while seen.len() < at_most {
        match waiter.poll_chunk(&cx) {
            Poll::Ready(Some(Ok(chunk))) => seen.push(chunk[0]),
            Poll::Ready(Some(Err(error))) => return (seen, Some(Err(error))),
            Poll::Ready(None) => return (seen, Some(Ok(()))),
            Poll::Pending => break,
        }
    }
    (seen, None)
}

#[test]
fn everybody_reads_everything_at_their_own_pace() {
    let (flight, first) = under_way();
    flight.push(chunk(1));
    flight.push(chunk(2));
    assert_eq!(read(&first, 9).0, [1, 2]);
    let second = flight.join().unwrap();
    flight.push(chunk(3));
    assert_eq!(read(&second, 2).0, [1, 2]);
    assert_eq!(read(&first, 9).0, [3]);
    flight.end(Ok(()), head().report, None);
    for (waiter, rest) in [(&first, &[][..]), (&second, &[3])] {
        let (seen, end) = read(waiter, 9);
        assert!(seen == rest && matches!(end, Some(Ok(()))));
    }
    assert!(!flight.deserted.is_cancelled());
    drop((first, second));
    assert!(!flight.deserted.is_cancelled(), "it has ended by itself");
}

#[test]
fn the_last_one_who_leaves_ends_it() {
    let (flight, first) = under_way();
    let second = flight.join().unwrap();
    drop(first);
    assert!(!flight.deserted.is_cancelled());
    drop(second);
    assert!(flight.deserted.is_cancelled());
    assert!(flight.join().is_none());
}

#[test]
fn one_that_was_dropped_tells_those_who_wait() {
    let (flight, first) = under_way();
    flight.push(chunk(1));
    flight.land();
    let (seen, end) = read(&first, 9);
    assert_eq!(seen, [1]);
    assert_eq!(end.unwrap().unwrap_err().code(), "UAT_INTERNAL");
    let (flight, first) = Flight::new(MOST);
    flight.land();
    assert_eq!(first.head().now_or_never().unwrap().unwrap_err().code(), "UAT_INTERNAL");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_and_the_furthest_waits_for_the_slowest() {
    let (flight, first) = under_way();
    let second = flight.join().unwrap();
    for byte in 1..=4 {
        flight.push(chunk(byte));
    }
    assert!(flight.join().is_none(), "120 bytes are more than are kept for those who come");
    assert_eq!(read(&first, 9).0, [1, 2, 3, 4]);
    assert!(flight.room().now_or_never().is_none(), "the second has read nothing");
    assert_eq!(read(&second, 1).0, [1]);
    flight.room().now_or_never().expect("90 bytes are kept");
    assert_eq!(flight.state.lock().held, 90);
    flight.push(chunk(5));
    drop(second);
    flight.room().now_or_never().expect("nobody is behind");
    assert_eq!(flight.state.lock().held, 30);
}

#[tokio::test(start_paused = true)]
async fn one_who_lets_the_others_wait_for_too_long_is_given_up() {
    let (flight, first) = under_way();
    let second = flight.join().unwrap();
    for byte in 1..=4 {
        flight.push(chunk(byte));
    }
    assert_eq!(read(&first, 9).0, [1, 2, 3, 4]);
    let began = Instant::now();
    flight.room().await;
    assert_eq!(began.elapsed(), PATIENCE);
    let (seen, end) = read(&second, 9);
    assert_eq!((seen, end.unwrap().unwrap_err().code()), (vec![], "UAT_OVERLOADED"));
    flight.push(chunk(5));
    assert_eq!(read(&first, 9).0, [5]);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_alone_is_waited_for() {
    let (flight, first) = under_way();
    for byte in 1..=4 {
        flight.push(chunk(byte));
    }
    let waiting = tokio::time::timeout(100 * PATIENCE, flight.room()).await;
    assert!(waiting.is_err(), "as long as it takes");
    assert_eq!(read(&first, 1).0, [1]);
    flight.room().now_or_never().expect("there is room again");
}
