//! Which server a key belongs to. Pure.

use std::collections::HashMap;

use crate::options::Place;
use crate::resp::Value;

/// Hash slots of a cluster.
pub(crate) const SLOTS: usize = 16_384;

/// What a cluster says of itself: for each slot its master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotMap {
    /// The masters, in the order of their appearance.
    pub(crate) masters: Vec<Place>,
    /// For each slot an index into `masters`; `u16::MAX` where nobody serves it.
    pub(crate) owners: Vec<u16>,
}

/// The slot of a key: CRC16/XMODEM of the key, or of what stands in its first pair of braces, if anything does
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
pub(crate) fn slot_of(prefix: &[u8], key: &[u8]) -> u16 {
    let joined;
    let whole = if prefix.is_empty() {
        key
    } else {
        joined = [prefix, key].concat();
        &joined[..]
    };
    crc16::State::<crc16::XMODEM>::calculate(hash_tag(whole).unwrap_or(whole)) % 16_384
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let inside = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
    let tag = &inside[..inside.iter().position(|byte| *byte == b'}')?];
    (!tag.is_empty()).then_some(tag)
}

/// Reads the answer of `CLUSTER SLOTS`. `asked` is the node that answered: an empty address means itself.
pub(crate) fn read_slots(answer: Value, asked: &Place) -> Option<SlotMap> {
    let mut map = SlotMap { masters: Vec::new(), owners: vec![u16::MAX; SLOTS] };
    let mut known: HashMap<Place, u16> = HashMap::new();
    for range in answer.into_elements()? {
        let mut range = range.into_elements()?.into_iter();
        let first = usize::try_from(range.next()?.as_integer()?).ok()?;
        let last = usize::try_from(range.next()?.as_integer()?).ok()?;
        let mut master = range.next()?.into_elements()?.into_iter();
        let host = master.next()?.as_str().unwrap_or_default().to_owned();
        let port = u16::try_from(master.next()?.as_integer()?).ok()?;
        let host = match (host.is_empty(), asked) {
            (true, Place::Tcp { host, .. }) => host.clone(),
            _ => host,
        };
        let place = Place::Tcp { host, port };
        let next = u16::try_from(map.masters.len()).ok()?;
        let owner = *known.entry(place.clone()).or_insert(next);
        if owner == next {
            map.masters.push(place);
        }
        map.owners.get_mut(first..=last)?.fill(owner);
    }
    (!map.masters.is_empty()).then_some(map)
}

/// Where a refused command is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// For good: the slot has moved.
    Moved(u16, Place),
    /// This once: the slot is moving.
    Ask(Place),
}

/// Reads `MOVED 3999 127.0.0.1:6381` and `ASK 3999 127.0.0.1:6381`; `asked` is the node that answered.
pub(crate) fn read_redirect(text: &str, asked: &Place) -> Option<Redirect> {
    let mut words = text.split(' ');
    let kind = words.next()?;
    let slot = words.next()?.parse().ok()?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    let host = match (host.is_empty(), asked) {
        (true, Place::Tcp { host, .. }) => host.clone(),
        _ => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
    };
    let place = Place::Tcp { host, port: port.parse().ok()? };
    match kind {
        "MOVED" => Some(Redirect::Moved(slot, place)),
        "ASK" => Some(Redirect::Ask(place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn keys_hash_as_redis_says_tags_included() {
        // From the cluster specification and `CLUSTER KEYSLOT`.
        assert_eq!(slot_of(b"", b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"", b"{user1000}.following"), slot_of(b"", b"{user1000}.followers"));
        assert_eq!(slot_of(b"app:", b"k"), slot_of(b"", b"app:k"));
    }

    #[test]
    fn redirects_name_their_node() {
        let asked = tcp("h", 1);
        assert_eq!(
            read_redirect("MOVED 3999 127.0.0.1:6381", &asked),
            Some(Redirect::Moved(3999, tcp("127.0.0.1", 6381)))
        );
        assert_eq!(read_redirect("ASK 3999 :6381", &asked), Some(Redirect::Ask(tcp("h", 6381))));
        assert_eq!(read_redirect("WRONGTYPE x", &asked), None);
    }

    #[test]
    fn the_slots_of_an_answer_have_masters_and_gaps_have_none() {
        let node = |port| {
            Value::Array(vec![
                Value::Bulk(Bytes::from_static(b"127.0.0.1")),
                Value::Integer(port),
                Value::Bulk(Bytes::from_static(b"id")),
            ])
        };
        let range = |from, to, port| {
            Value::Array(vec![Value::Integer(from), Value::Integer(to), node(port), node(9)])
        };
        let map = read_slots(
            Value::Array(vec![range(0, 99, 1), range(200, 299, 2), range(300, 399, 1)]),
            &tcp("h", 1),
        )
        .unwrap();
        assert_eq!(map.masters, [tcp("127.0.0.1", 1), tcp("127.0.0.1", 2)]);
        assert_eq!((map.owners[0], map.owners[250], map.owners[399], map.owners[150]), (0, 1, 0, u16::MAX));
        assert_eq!(read_slots(Value::Array(vec![range(0, 20_000, 1)]), &tcp("h", 1)), None);
    }
}
