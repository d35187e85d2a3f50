//! The embedded tier against a model of a few lines, and what a model does not show: bounds, eviction, reclaimed memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn set(key: &str, value: &str, ttl_ms: Option<u64>) -> Op {
    Op::Set { key: bytes(key), stored: bytes(value), ttl: ttl_ms.map(Duration::from_millis), only_if: None }
}

fn get(embedded: &Embedded, key: &str, now: Instant) -> Option<Bytes> {
    match embedded.apply(&Op::Get { key: bytes(key), timed: true }, now).unwrap() {
        Reply::Stored { stored, origin: Origin::Embedded, .. } => stored,
        other => panic!("{other:?}"),
    }
}

impl Embedded {
    fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().bytes()).sum()
    }
}

/// What the operations mean, without bounds.
#[derive(Default)]
struct Model(BTreeMap<Bytes, (Bytes, Option<Instant>)>);

impl Model {
    fn apply(&mut self, op: &Op, now: Instant) -> Result<Reply, ()> {
        self.0.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
        let key = op.key().unwrap();
        let found = self.0.get(key).cloned();
        let ttl = found.as_ref().and_then(|(_, expires)| expires.map(|expires| expires - now));
        Ok(match op {
            Op::Get { .. } => {
                Reply::Stored { stored: found.map(|(stored, _)| stored), ttl, origin: Origin::Embedded }
            }
            Op::Set { stored, ttl, only_if, .. } => {
                let wanted = match only_if {
                    None => true,
                    Some(OnlyIf::Absent) => found.is_none(),
                    Some(OnlyIf::Present) => found.is_some(),
                };
                if wanted {
                    self.0.insert(key.clone(), (stored.clone(), ttl.map(|ttl| now + ttl)));
                }
                Reply::Was(wanted)
            }
            Op::Delete { .. } => Reply::Was(self.0.remove(key).is_some()),
            Op::Has { .. } => Reply::Was(found.is_some()),
            Op::Ttl { .. } => Reply::Ttl(ttl),
            Op::Expire { ttl, .. } => {
                if let Some((_, expires)) = self.0.get_mut(key) {
                    *expires = Some(now + *ttl);
                }
                Reply::Was(found.is_some())
            }
            Op::Increment { by, ttl, .. } => {
                let (before, expires) = found.unwrap_or((Bytes::from_static(b"0"), None));
                let before: i64 = std::str::from_utf8(&before).unwrap().parse().map_err(|_| ())?;
                let is_safe = |sum: &i64| sum.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs();
                let sum = before.checked_add(*by).filter(is_safe).ok_or(())?;
                self.0.insert(key.clone(), (sum.to_string().into(), expires.or(ttl.map(|ttl| now + ttl))));
                Reply::Number(sum)
            }
            Op::Raw(_) => return Err(()),
        })
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    let key = prop::sample::select(vec!["a", "b", "c", "dd"]).prop_map(bytes);
    let stored = prop::sample::select(vec!["1", "-7", "text", "", "9223372036854775807"]).prop_map(bytes);
    let ttl = prop::option::of((1_u64..40).prop_map(Duration::from_millis));
    let only_if = prop::sample::select(vec![None, Some(OnlyIf::Absent), Some(OnlyIf::Present)]);
    (key, stored, ttl, only_if, 0..7_u8, any::<i8>()).prop_map(|(key, stored, ttl, only_if, kind, by)| {
        match kind {
            0 => Op::Get { key, timed: true },
            1 | 2 => Op::Set { key, stored, ttl, only_if },
            3 => Op::Delete { key },
            4 => Op::Has { key },
            5 => match ttl {
                None => Op::Ttl { key },
                Some(ttl) => Op::Expire { key, ttl },
            },
            _ => Op::Increment { key, by: by.into(), ttl },
        }
    })
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(ops in prop::collection::vec((any_op(), 0_u64..15), 1..200)) {
        let (embedded, mut model, mut now) = (Embedded::new(1 << 20), Model::default(), Instant::now());
        for (op, step) in ops {
            now += Duration::from_millis(step);
            let got = embedded.apply(&op, now);
            match model.apply(&op, now) {
                Ok(reply) => prop_assert_eq!(got, Ok(reply), "{:?}", op),
                Err(()) => {
                    let is_conflict = matches!(got, Err(RedisServiceError::Conflict { .. }));
                    prop_assert!(is_conflict, "{:?}: {:?}", op, got);
                }
            }
            let mut keys = embedded.keys(b"", now);
            keys.sort();
            model.0.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
            prop_assert_eq!(keys, model.0.keys().cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_command_needs_a_redis() {
    let refused = Embedded::new(1 << 20).apply(&Op::Raw(crate::resp::Command::new("PING")), Instant::now());
    let error = refused.unwrap_err();
    assert!(
        matches!(error, RedisServiceError::Unsupported { .. }) && error.to_string().contains("url"),
        "{error}"
    );
}

#[test]
fn it_stays_within_its_bytes_and_keeps_what_is_used_through_a_scan() {
    let (embedded, now) = (Embedded::new(1 << 20), Instant::now());
    let value = "v".repeat(1000);
    for n in 0..100 {
        embedded.apply(&set(&format!("hot{n}"), &value, None), now).unwrap();
    }
    for n in 0..20_000 {
        embedded.apply(&set(&format!("cold{n}"), &value, None), now).unwrap();
        get(&embedded, &format!("hot{}", n % 100), now);
        assert!(embedded.bytes() <= 1 << 20);
    }
    let kept = (0..100).filter(|n| get(&embedded, &format!("hot{n}"), now).is_some()).count();
    assert!(kept >= 95, "{kept} of 100 values that are used all the time were kept");
}

#[test]
fn a_value_that_has_no_room_leaves_nothing_behind() {
    let (embedded, now) = (Embedded::new(1 << 20), Instant::now());
    embedded.apply(&set("k", "old", None), now).unwrap();
    let refused = embedded.apply(&set("k", &"v".repeat(2 << 20), None), now).unwrap_err();
    assert!(matches!(refused, RedisServiceError::Storage { .. }), "{refused}");
    assert_eq!(get(&embedded, "k", now), None);
}

#[test]
fn the_memory_of_expired_values_is_reclaimed_unread() {
    let (embedded, mut now) = (Embedded::new(64 << 20), Instant::now());
    for n in 0..10_000 {
        embedded.apply(&set(&format!("k{n}"), "v", Some(10)), now).unwrap();
    }
    let full = embedded.bytes();
    now += Duration::from_secs(1);
    for n in 0..4_000 {
        get(&embedded, &format!("other{n}"), now);
    }
    assert!(embedded.bytes() < full / 100, "{} of {full} bytes are still held", embedded.bytes());
}

#[test]
fn a_key_that_is_written_again_and_again_costs_one_place() {
    let (embedded, now) = (Embedded::new(1 << 20), Instant::now());
    for n in 0..10_000 {
        embedded.apply(&set("k", "v", Some(1_000_000 + n)), now).unwrap();
    }
    let places: usize = embedded.shards.iter().map(|shard| shard.lock().expiries()).sum();
    assert!(places <= 70, "{places}");
    assert_eq!(get(&embedded, "k", now + Duration::from_secs(1_100)), None);
}

#[test]
fn a_tag_names_the_values_that_carry_it_and_goes_with_them() {
    let (embedded, now) = (Embedded::new(1 << 20), Instant::now());
    let tag = |key: &str, tag: &str| embedded.tag(&bytes(key), &[bytes(tag)]);
    for key in ["a", "b", "c", "d"] {
        embedded.apply(&set(key, "v", (key == "c").then_some(1)), now).unwrap();
        tag(key, "t");
    }
    tag("nothing", "t");
    embedded.apply(&Op::Delete { key: bytes("a") }, now).unwrap();
    embedded.apply(&set("b", "again", None), now).unwrap();
    embedded.apply(&Op::Has { key: bytes("c") }, now + Duration::from_millis(1)).unwrap();
    let mut keys = embedded.take_tag(b"t");
    keys.sort();
    assert_eq!(keys, [bytes("b"), bytes("d")]);
    assert!(embedded.take_tag(b"t").is_empty());
}

#[test]
fn tags_do_not_outgrow_the_values() {
    let (embedded, mut now) = (Embedded::new(1 << 20), Instant::now());
    for n in 0..50_000 {
        let key = format!("k{n}");
        embedded.apply(&set(&key, "v", Some(100)), now).unwrap();
        embedded.tag(&bytes(&key), &[bytes(&format!("t{}", n % 1000)), bytes("all")]);
        now += Duration::from_micros(10);
    }
    let pairs = embedded.tags.lock().len();
    assert_eq!(
        pairs,
        2 * embedded
            .shards
            .iter()
            .map(|shard| shard.lock().keys(b"", now - Duration::from_secs(9)).len())
            .sum::<usize>()
    );
    assert!(pairs < 10_000, "{pairs}");
}
