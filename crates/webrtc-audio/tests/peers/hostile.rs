//! Bytes that nobody sends who means well.

use std::time::Duration;

use proptest::prelude::*;
use webrtc_audio::{Ended, OfferError};

use crate::world::{Browser, World, encode, sound};

#[test]
fn an_offer_that_cannot_be_read_is_refused_in_words() {
    let mut world = World::new(1);
    let (_, offer, _) = Browser::new("198.51.100.7:40000", true, world.now);
    let mut refused = |text: &str| world.peers.offer(text, world.now).unwrap_err();
    let cut = &offer[..offer.find("a=rtpmap").unwrap()];
    assert!(matches!(refused(cut), OfferError::NoOpus { .. }));
    let unsigned: String = offer
        .lines()
        .filter(|line| !line.contains("fingerprint"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    assert!(refused(&unsigned).to_string().contains("fingerprint"), "{}", refused(&unsigned));
    let lite = offer.replacen("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1);
    assert!(matches!(refused(&lite), OfferError::Refused { .. }));
    assert!(matches!(refused(&"x".repeat(1 << 20)), OfferError::TooLong { .. }));
    assert!(world.peers.is_empty());
}

#[test]
fn timestamps_that_run_away_give_no_more_sound_than_time_passed() {
    let mut world = World::new(7);
    let peer = world.connects("198.51.100.7:40000");
    let packet = encode(&sound(0.1), false).remove(3);
    for _ in 0..1_000 {
        let (now, timestamp) = (world.now, world.random.u32(..));
        world.browsers[0].send(timestamp, &packet, now);
        world.step();
    }
    world.passes(Duration::from_secs(2));
    // Seven seconds, and the five that a sender may be ahead.
    let heard = world.heard.get(&peer).map_or(0, Vec::len);
    assert!((16_000..=13 * 16_000).contains(&heard), "{heard}");
}

#[test]
fn a_flood_of_sound_gives_no_more_than_time_passed() {
    let mut world = World::new(7);
    let peer = world.connects("198.51.100.7:40000");
    let packet = encode(&sound(0.1), false).remove(3);
    for _ in 0..200 {
        for _ in 0..20 {
            let now = world.now;
            world.browsers[0].speak(&packet, 960, true, now);
            world.step_browser(0);
        }
        world.step();
    }
    let heard = world.heard[&peer].len();
    assert!(heard <= 7 * 16_000, "80 s of sound came within one: {heard}");
}

#[test]
fn a_peer_that_starts_its_count_anew_is_heard_on() {
    let mut world = World::new(7);
    let peer = world.connects("198.51.100.7:40000");
    let packets = encode(&sound(1.0), false);
    world.says(&packets, |_| true);
    let before = world.heard[&peer].len();
    for (index, packet) in packets.iter().enumerate() {
        let now = world.now;
        world.browsers[0].send(1_000_000 + 960 * index as u32, packet, now);
        world.passes(Duration::from_millis(20));
    }
    world.passes(Duration::from_millis(30));
    let heard = world.heard[&peer].len() - before;
    assert!((15_500..=16_500).contains(&heard), "{heard}");
}

#[test]
fn sound_that_is_none_is_silence_or_nothing() {
    let mut world = World::new(7);
    let peer = world.connects("198.51.100.7:40000");
    for _ in 0..500 {
        let payload: Vec<u8> = std::iter::repeat_with(|| world.random.u8(..)).take(40).collect();
        let now = world.now;
        world.browsers[0].speak(&payload, 960, true, now);
        world.passes(Duration::from_millis(20));
    }
    assert_eq!(world.ended, []);
    assert!(world.heard[&peer].iter().all(|sample| sample.is_finite()));
}

#[test]
fn strangers_and_damaged_datagrams_disturb_nobody() {
    let mut world = World::new(7);
    let peer = world.connects("198.51.100.7:40000");
    let packets = encode(&sound(2.0), false);
    for packet in &packets {
        let now = world.now;
        world.browsers[0].speak(packet, 960, true, now);
        for from in ["198.51.100.7:40000", "203.0.113.5:9"] {
            // What looks like STUN, DTLS, RTP, RTCP, and what looks like nothing.
            for first in [0_u8, 1, 20, 22, 23, 63, 128, 144, 191, 255] {
                let length = world.random.usize(0..200);
                let mut bytes: Vec<u8> =
                    std::iter::repeat_with(|| world.random.u8(..)).take(length).collect();
                bytes.insert(0, first);
                world.peers.receive(from.parse().unwrap(), &bytes, now);
            }
        }
        world.passes(Duration::from_millis(20));
    }
    world.passes(Duration::from_millis(200));
    assert_eq!(world.ended, []);
    assert_eq!(world.heard[&peer].len(), 32_000);
    assert!(world.peers.strangers() > 100 && world.peers.len() == 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_offer_with_anything_changed_is_answered_or_refused(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, "[ -~\r\n]{0,40}"), 1..6)
    ) {
        let mut world = World::new(1);
        let (_, mut offer, _) = Browser::new("198.51.100.7:40000", true, world.now);
        for (at, length, with) in cuts {
            let at = at.index(offer.len());
            let end = (at + length).min(offer.len());
            offer.replace_range(at..end, &with);
        }
        let taken = world.peers.offer(&offer, world.now);
        prop_assert_eq!(world.peers.len(), usize::from(taken.is_ok()));
        world.passes(Duration::from_secs(16));
        prop_assert!(world.peers.is_empty());
        let never = |(_, why): &(_, Ended)| matches!(why, Ended::NeverConnected { .. });
        prop_assert!(world.ended.iter().all(never), "{:?}", world.ended);
    }

    #[test]
    fn bytes_of_any_kind_end_nothing_but_their_own_session(
        datagrams in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..50)
    ) {
        let mut world = World::new(1);
        world.connects("198.51.100.7:40000");
        for (known, bytes) in datagrams {
            let from = if known { "198.51.100.7:40000" } else { "203.0.113.5:9" };
            let now = world.now;
            world.peers.receive(from.parse().unwrap(), &bytes, now);
            world.step();
        }
        prop_assert_eq!(&world.ended, &[]);
    }
}
