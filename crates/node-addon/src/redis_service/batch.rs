//! How operations and outcomes cross the border: all of a tick in one call, all of a socket's read in one call.
//!
//! A call into native code costs more than the bytes that it carries, so numbers cross as one `Float64Array`, keys as one
//! string, and only values that are written or read are strings or buffers of their own. The layout is mirrored in
//! `src/native/redis-service/batch.ts`.

use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::{Array, Uint8Array};
use redis_service::{OnlyIf, Op};

/// Numbers of one operation: what it is, who waits for it, and one argument.
pub(crate) const FIELDS: usize = 3;

const GET: u32 = 0;
const GET_TIMED: u32 = 1;
const HAS: u32 = 2;
const TTL: u32 = 3;
const DELETE: u32 = 4;
const EXPIRE: u32 = 5;
const INCREMENT: u32 = 6;
const SET: u32 = 7;
const SET_ABSENT: u32 = 8;
const SET_PRESENT: u32 = 9;
/// Added to what an operation is: its key contains a zero byte and comes among the payloads.
const KEY_APART: u32 = 64;

/// Between keys in the one string that holds them.
const SEPARATOR: u8 = 0;

/// Reads the operations of one tick. Each payload of a write has been encoded by the caller's `encode`.
pub(crate) fn read_operations(
    numbers: &[f64],
    keys: String,
    payloads: &Array<'_>,
    mut encode: impl FnMut(&Array<'_>, &mut u32) -> napi::Result<Bytes>,
) -> napi::Result<Vec<(u32, Op)>> {
    let keys = Bytes::from(keys);
    let mut from = 0;
    let mut payload = 0;
    let mut operations = Vec::with_capacity(numbers.len() / FIELDS);
    for fields in numbers.chunks_exact(FIELDS) {
        let &[what, number, argument] = fields else {
            break;
        };
        let what = what as u32;
        let end = memchr(&keys[from..]).map_or(keys.len(), |at| from + at);
        let mut key = keys.slice(from..end);
        from = (end + 1).min(keys.len());
        if what & KEY_APART != 0 {
            key = Bytes::from(payloads.get::<String>(payload)?.unwrap_or_default());
            payload += 1;
        }
        let op = match what & !KEY_APART {
            GET => Op::Get { key, timed: false },
            GET_TIMED => Op::Get { key, timed: true },
            HAS => Op::Has { key },
            TTL => Op::Ttl { key },
            DELETE => Op::Delete { key },
            EXPIRE => Op::Expire { key, ttl: millis(argument).unwrap_or(Duration::ZERO) },
            INCREMENT => {
                let by = argument as i64;
                let ttl = payloads.get::<f64>(payload)?.and_then(millis);
                payload += 1;
                Op::Increment { key, by, ttl }
            }
            set @ (SET | SET_ABSENT | SET_PRESENT) => {
                let only_if = match set {
                    SET_ABSENT => Some(OnlyIf::Absent),
                    SET_PRESENT => Some(OnlyIf::Present),
                    _ => None,
                };
                let stored = encode(payloads, &mut payload)?;
                Op::Set { key, stored, ttl: millis(argument), only_if }
            }
            other => return Err(napi::Error::from_reason(format!("there is no operation {other}"))),
        };
        operations.push((number as u32, op));
    }
    Ok(operations)
}

/// A payload that is a string or bytes, by the number before it: 0 text, 1 JSON, 2 an integer's digits, 3 bytes.
pub(crate) fn read_payload(payloads: &Array<'_>, at: &mut u32) -> napi::Result<(u32, Bytes)> {
    let kind = payloads.get::<u32>(*at)?.unwrap_or_default();
    let bytes = if kind == 3 {
        let bytes = payloads.get::<Uint8Array>(*at + 1)?;
        // Copied: a JavaScript buffer that another thread drops is given back through the event loop.
        bytes.map(|bytes| Bytes::copy_from_slice(&bytes)).unwrap_or_default()
    } else {
        Bytes::from(payloads.get::<String>(*at + 1)?.unwrap_or_default())
    };
    *at += 2;
    Ok((kind, bytes))
}

/// A negative number stands for "without end".
fn millis(number: f64) -> Option<Duration> {
    (number >= 0.0).then(|| Duration::from_millis(number as u64))
}

fn memchr(keys: &[u8]) -> Option<usize> {
    keys.iter().position(|byte| *byte == SEPARATOR)
}
