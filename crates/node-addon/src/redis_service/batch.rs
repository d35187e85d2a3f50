//! How operations and outcomes cross the border: all of a tick in one call, all of a socket's read in one call.
//!
//! A call into native code costs more than the bytes that it carries, so numbers cross as one `Float64Array`, keys as one
//! string, and only values that are written or read are strings or buffers of their own. The layout is mirrored in
//! `src/native/redis-service/batches.ts`.

use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::{Array, Uint8Array};
use redis_service::envelope::CacheValue;
use redis_service::{OnlyIf, Op, RedisService, RedisServiceError};

use super::inbox::Came;
use crate::error::Crossing;

/// Numbers of one operation: what it is, who waits for it, and one argument. Of one outcome: who waits, what came, and how long
/// it lives in ms.
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

/// An operation, or why it cannot be one, under the number of who waits for it.
type Numbered = (u32, Result<Op, RedisServiceError>);

/// Reads the operations of one tick.
pub(crate) fn read_operations(
    core: &RedisService,
    numbers: &[f64],
    keys: String,
    payloads: &Array<'_>,
) -> napi::Result<Vec<Numbered>> {
    let keys = Bytes::from(keys);
    let (mut from, mut payload) = (0, 0);
    let mut operations = Vec::with_capacity(numbers.len() / FIELDS);
    for fields in numbers.chunks_exact(FIELDS) {
        let &[what, number, argument] = fields else {
            break;
        };
        let what = what as u32;
        let end = keys[from..].iter().position(|byte| *byte == SEPARATOR).map_or(keys.len(), |at| from + at);
        let mut key = keys.slice(from..end);
        from = (end + 1).min(keys.len());
        if what & KEY_APART != 0 {
            key = Bytes::from(payloads.get::<String>(payload)?.unwrap_or_default());
            payload += 1;
        }
        let op = match what & !KEY_APART {
            GET => Ok(Op::Get { key, timed: false }),
            GET_TIMED => Ok(Op::Get { key, timed: true }),
            HAS => Ok(Op::Has { key }),
            TTL => Ok(Op::Ttl { key }),
            DELETE => Ok(Op::Delete { key }),
            EXPIRE => Ok(Op::Expire { key, ttl: millis(argument).unwrap_or(Duration::ZERO) }),
            INCREMENT => {
                let ttl = payloads.get::<f64>(payload)?.and_then(millis);
                payload += 1;
                Ok(Op::Increment { key, by: argument as i64, ttl })
            }
            set @ (SET | SET_ABSENT | SET_PRESENT) => {
                let only_if = match set {
                    SET_ABSENT => Some(OnlyIf::Absent),
                    SET_PRESENT => Some(OnlyIf::Present),
                    _ => None,
                };
                let value = read_value(payloads, &mut payload)?;
                core.encode(&value).map(|stored| Op::Set { key, stored, ttl: millis(argument), only_if })
            }
            other => return Err(Crossing::internal(&format!("there is no operation {other}")).into()),
        };
        operations.push((number as u32, op));
    }
    Ok(operations)
}

/// A value, by the number before it: 0 text, 1 JSON, 2 an integer, 3 bytes.
fn read_value(payloads: &Array<'_>, at: &mut u32) -> napi::Result<CacheValue> {
    let kind = payloads.get::<u32>(*at)?.unwrap_or_default();
    *at += 2;
    let payload = *at - 1;
    let text = || payloads.get::<String>(payload).map(|text| Bytes::from(text.unwrap_or_default()));
    Ok(match kind {
        0 => CacheValue::Text(text()?),
        1 => CacheValue::Json(text()?),
        2 => CacheValue::Integer(payloads.get::<f64>(payload)?.unwrap_or_default() as i64),
        _ => {
            let bytes = payloads.get::<Uint8Array>(payload)?;
            // Copied: a JavaScript buffer that another thread drops is given back through the event loop.
            CacheValue::Bytes(bytes.map(|bytes| Bytes::copy_from_slice(&bytes)).unwrap_or_default())
        }
    })
}

/// A negative number stands for "without end".
pub(crate) fn millis(number: f64) -> Option<Duration> {
    (number >= 0.0).then(|| Duration::from_millis(number as u64))
}

const NOTHING: u32 = 0;
const TEXT: u32 = 1;
const JSON: u32 = 2;
const NUMBER: u32 = 3;
const BYTES: u32 = 4;
const YES: u32 = 5;
const NO: u32 = 6;
const FAILED: u32 = 7;
const UNAVAILABLE: u32 = 8;
const OVERDUE: u32 = 9;
/// Added where the value may be kept near.
const KEEPABLE: u32 = 16;

/// Writes what came; returns what it is, and how long it lives.
pub(crate) fn write_outcome(values: &mut Array<'_>, at: u32, came: Came) -> napi::Result<(u32, f64)> {
    Ok(match came {
        Came::Nothing => (NOTHING, -1.0),
        Came::Was(was) => (if was { YES } else { NO }, -1.0),
        Came::Unavailable => (UNAVAILABLE, -1.0),
        Came::Overdue => (OVERDUE, -1.0),
        Came::Number(number) => {
            values.set(at, number)?;
            (NUMBER, -1.0)
        }
        Came::Failed(error) => {
            values.set(at, napi::Error::from(Crossing::from(error)).reason.clone())?;
            (FAILED, -1.0)
        }
        Came::Value(value, ttl, keepable) => {
            let kind = write_value(values, at, value)?;
            (if keepable { kind + KEEPABLE } else { kind }, ttl)
        }
    })
}

fn write_value(values: &mut Array<'_>, at: u32, value: CacheValue) -> napi::Result<u32> {
    Ok(match value {
        CacheValue::Text(text) => {
            values.set(at, utf8(&text)?)?;
            TEXT
        }
        CacheValue::Json(text) => {
            values.set(at, utf8(&text)?)?;
            JSON
        }
        CacheValue::Integer(number) => {
            values.set(at, number as f64)?;
            NUMBER
        }
        CacheValue::Bytes(bytes) => {
            values.set(at, Uint8Array::from(Vec::from(bytes)))?;
            BYTES
        }
    })
}

/// The decoder has checked it; JavaScript would be given replacement characters otherwise.
fn utf8(text: &Bytes) -> napi::Result<&str> {
    std::str::from_utf8(text).map_err(|_| Crossing::internal("a text that is not UTF-8").into())
}
