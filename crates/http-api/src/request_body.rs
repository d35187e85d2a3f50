//! Collects a request's body: bounded in size, in time and in structure.

use std::pin::{Pin, pin};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body::Body as _;
use http_body_util::BodyExt;
use llm_wire::bounds;
use tokio::time::Instant;

use crate::error::ApiError;

/// A client that sends nothing for this long is gone, or is holding the connection on purpose.
const PATIENCE: Duration = Duration::from_secs(30);
/// After [`PATIENCE`] a body must have come at this rate on average, in bytes per second: a dial-up modem's. Without
/// it a byte every 29 s would hold a connection for ever.
const SLOWEST: u64 = 8 << 10;
/// What is read and thrown away of a body that is too large, so that a client which writes everything before it reads
/// finds our answer instead of a reset connection.
const DISCARDED: usize = 64 << 20;
/// And how long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// A body in one frame is a slice of the connection's read buffer, and keeps all of that buffer for as long as the
/// request lives: the connection then allocates another. Up to this many bytes are copied out instead.
const COPIED: usize = 4 << 10;

/// The whole body, in one piece: no copy where a large one came in one frame. It is JSON, or will be refused.
pub(crate) async fn collect(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = pin!(body);
    if body.size_hint().lower() > limit as u64 {
        discard(body.as_mut()).await;
        return Err(ApiError::BodyTooLarge { limit });
    }
    let started = Instant::now();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(data) = next_piece(body.as_mut()).await? {
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit);
            rest.reserve(first.len() + data.len() + announced);
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
        if rest.len() > limit {
            discard(body.as_mut()).await;
            return Err(ApiError::BodyTooLarge { limit });
        }
        if is_too_slow(started.elapsed(), rest.len() as u64) {
            return Err(ApiError::BodyTooSlow { limit: PATIENCE });
        }
    }
    if rest.is_empty() && first.len() > limit {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let whole = match rest.is_empty() {
        true if first.len() <= COPIED => Bytes::copy_from_slice(&first),
        true => first,
        false => rest.freeze(),
    };
    bounds::check(&whole)?;
    Ok(whole)
}

/// The body piece by piece, for what is too large to be held; the same limits.
pub(crate) fn pieces(body: Body, limit: usize) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    let started = Instant::now();
    stream::try_unfold((body, 0_usize), move |(mut body, read)| async move {
        let Some(data) = next_piece(Pin::new(&mut body)).await? else { return Ok(None) };
        let read = read + data.len();
        if read > limit {
            discard(Pin::new(&mut body)).await;
            return Err(ApiError::BodyTooLarge { limit });
        }
        if is_too_slow(started.elapsed(), read as u64) {
            return Err(ApiError::BodyTooSlow { limit: PATIENCE });
        }
        Ok(Some((data, (body, read))))
    })
}

/// What a client sends next; nothing at the end.
async fn next_piece(mut body: Pin<&mut Body>) -> Result<Option<Bytes>, ApiError> {
    loop {
        match tokio::time::timeout(PATIENCE, body.frame()).await {
            Err(_) => return Err(ApiError::BodyTooSlow { limit: PATIENCE }),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(ApiError::BodyCut),
            // Trailers are no part of it.
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn is_too_slow(elapsed: Duration, received: u64) -> bool {
    elapsed.saturating_sub(PATIENCE) > Duration::from_secs(received / SLOWEST)
}

async fn discard(mut body: Pin<&mut Body>) {
    let reading = async {
        let mut read = 0;
        while read < DISCARDED {
            match body.frame().await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                // The client is gone or done: there is nobody to be polite to any more.
                Some(Err(_)) | None => break,
            }
        }
    };
    // Running out of time is no error: the answer is sent either way.
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(frames: &[&'static str]) -> Body {
        let frames: Vec<Result<Bytes, std::io::Error>> =
            frames.iter().map(|&frame| Ok(Bytes::from_static(frame.as_bytes()))).collect();
        Body::from_stream(stream::iter(frames))
    }

    #[tokio::test]
    async fn pieces_become_one_body() {
        assert_eq!(collect(frames(&["one", " ", "two"]), 7).await.unwrap(), "one two");
        assert_eq!(collect(Body::empty(), 7).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_large_body_in_one_piece_is_not_copied_and_a_small_one_does_not_keep_the_read_buffer() {
        for (length, is_copied) in [(COPIED, true), (COPIED + 1, false)] {
            let whole = Bytes::from(vec![b'x'; length]);
            let collected = collect(Body::from(whole.clone()), length).await.unwrap();
            assert_eq!(collected, whole);
            assert_eq!(collected.as_ptr() != whole.as_ptr(), is_copied, "{length} bytes");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_announced_or_not() {
        for body in [Body::from("12345678"), frames(&["1234", "5678"]), frames(&["12345678"])] {
            assert!(matches!(collect(body, 7).await, Err(ApiError::BodyTooLarge { limit: 7 })));
        }
    }

    #[tokio::test]
    async fn a_body_that_is_small_and_would_be_large_or_deep_as_a_tree_is_refused() {
        let wide = format!("[{}0]", "0,".repeat(bounds::MAX_VALUES));
        let deep = "[".repeat(bounds::MAX_DEPTH + 1);
        for body in [wide, deep] {
            let limit = body.len();
            let error = collect(Body::from(body), limit).await.unwrap_err();
            assert!(
                matches!(&error, ApiError::Runtime(inner) if inner.code() == "UAT_INVALID_INPUT"),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(matches!(collect(body, 7).await, Err(ApiError::BodyTooSlow { .. })));
    }

    #[test]
    fn drops_of_data_do_not_hold_a_connection() {
        assert!(!is_too_slow(Duration::from_secs(29), 1));
        assert!(is_too_slow(Duration::from_secs(58), 2));
        assert!(!is_too_slow(Duration::from_secs(600), 32 << 20));
    }
}
