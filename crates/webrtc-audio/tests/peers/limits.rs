//! Who comes, who goes, and how much of all that is held.

use std::time::Duration;

use webrtc_audio::{Ended, OfferError, Options};

use crate::world::{Browser, Network, SERVER, World, encode, sound};

#[test]
fn what_is_told_before_the_channel_is_open_is_told_when_it_is_and_in_order() {
    let mut world = World::new(1);
    let peer = world.comes("198.51.100.7:40000").unwrap().peer;
    let said: Vec<String> = (0..100).map(|n| format!("{{\"n\":{n}}}")).collect();
    for message in &said {
        let now = world.now;
        world.peers.tell(peer, message.clone(), now);
    }
    world.passes(Duration::from_secs(2));
    assert_eq!(world.browsers[0].messages, said);
}

#[test]
fn who_never_opens_a_channel_is_not_told_without_end() {
    let mut world = World::new(1);
    let peer = world.comes("198.51.100.7:40000").unwrap().peer;
    for _ in 0..300 {
        let now = world.now;
        world.peers.tell(peer, "x".to_owned(), now);
    }
    world.step();
    assert_eq!(world.ended, [(peer, Ended::Unread { waiting: 257 })]);
    assert!(world.peers.is_empty());
}

#[test]
fn a_peer_that_vanishes_is_gone_after_a_while() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    world.passes(Duration::from_secs(60));
    assert_eq!(world.ended, [], "a peer that is silent shows that it is there");
    world.network.down = true;
    world.passes(Duration::from_secs(9));
    assert_eq!(world.ended, []);
    world.passes(Duration::from_secs(7));
    assert_eq!(world.ended, [(peer, Ended::Vanished { after: Duration::from_secs(15) })]);
    assert!(world.peers.is_empty() && world.peers.due().is_none());
}

#[test]
fn a_peer_that_leaves_is_gone_at_once() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    world.browsers[0].rtc.close().unwrap();
    world.passes(Duration::from_millis(100));
    assert_eq!(world.ended, [(peer, Ended::Left)]);
    assert!(world.peers.is_empty() && world.peers.due().is_none());
}

#[test]
fn a_session_that_is_closed_is_over_and_the_browser_knows() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    let now = world.now;
    assert!(world.peers.close(peer, now) && !world.peers.close(peer, now));
    world.passes(Duration::from_millis(100));
    assert!(!world.browsers[0].rtc.is_alive() && world.ended.is_empty() && world.peers.due().is_none());
}

#[test]
fn peers_at_one_port_are_told_apart() {
    let mut world = World::new(1);
    let peers: Vec<_> = (0..20).map(|n| world.connects(&format!("198.51.100.{n}:40000"))).collect();
    let packets = encode(&sound(0.5), false);
    for (index, packet) in packets.iter().enumerate() {
        for browser in 0..20 {
            // Each says something else.
            let now = world.now;
            let sends = index % 20 != browser;
            world.browsers[browser].speak(packet, 960, sends, now);
        }
        world.passes(Duration::from_millis(20));
    }
    world.passes(Duration::from_millis(200));
    let heard: Vec<_> = peers.iter().map(|peer| &world.heard[peer]).collect();
    assert!(heard.iter().all(|heard| heard.len() >= 7_600), "{:?}", heard.iter().map(|h| h.len()));
    assert!(heard.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(world.peers.strangers(), 0);
}

#[test]
fn a_peer_whose_network_changes_goes_on() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    let packets = encode(&sound(2.0), false);
    world.says(&packets[..50], |_| true);
    // The NAT gives it another port; consent is asked from there.
    world.moves(0, "203.0.113.9:1234");
    world.passes(Duration::from_secs(5));
    world.says(&packets[50..], |_| true);
    world.passes(Duration::from_millis(200));
    assert_eq!(world.ended, []);
    let heard = &world.heard[&peer];
    let loud = heard[heard.len() - 8_000..].iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    assert!(loud > 0.1, "{loud}");
}

#[test]
fn a_thousand_offers_a_second_hold_no_more_than_there_is_room_for() {
    let options = Options { sessions: 100, ..Options::new(vec![SERVER.parse().unwrap()]) };
    let mut world = World::with(options, 1);
    let (_, offer, _) = Browser::new("198.51.100.7:40000", true, world.now);
    let (mut taken, mut full) = (0, 0);
    for _ in 0..60 {
        for _ in 0..1_000 {
            match world.peers.offer(&offer, world.now) {
                Ok(_) => taken += 1,
                Err(OfferError::Full { most: 100 }) => full += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(world.peers.len() <= 100);
            while world.peers.happened().is_some() {}
        }
        world.passes(Duration::from_secs(1));
    }
    assert_eq!(taken + full, 60_000);
    // A hundred every 15 s.
    assert!((400..=500).contains(&taken), "{taken}");
    world.passes(Duration::from_secs(16));
    assert!(world.peers.is_empty() && world.peers.due().is_none());
    let never = Ended::NeverConnected { within: Duration::from_secs(15) };
    assert!(world.ended.iter().all(|(_, why)| *why == never));
}

#[test]
fn a_lossy_network_does_not_keep_a_peer_out() {
    for seed in 1..=5 {
        let mut world = World::new(seed);
        world.network = Network { lost: 5, twice: 5, late: 10, down: false };
        world.connects("198.51.100.7:40000");
    }
}

#[test]
fn an_offer_without_a_channel_says_so_and_is_heard() {
    let mut world = World::new(1);
    let (_, offer, _) = Browser::new("198.51.100.7:40000", false, world.now);
    assert!(!world.peers.offer(&offer, world.now).unwrap().has_channel);
}

#[test]
fn what_chromium_offers_is_answered() {
    let options =
        Options::new(vec!["203.0.113.1:5000".parse().unwrap(), "[2001:db8::1]:5000".parse().unwrap()]);
    let mut world = World::with(options, 1);
    let accepted = world.peers.offer(include_str!("chromium.sdp"), world.now).unwrap();
    let says = |line: &str| accepted.answer.lines().any(|said| said.starts_with(line));
    assert!(accepted.has_channel && says("a=ice-lite") && says("a=recvonly"), "{}", accepted.answer);
    // Opus alone, with what helps against loss; and the addresses that were named.
    assert!(
        says("a=rtpmap:111 opus/48000/2") && says("a=fmtp:111 ") && !accepted.answer.contains("red/48000")
    );
    for address in ["203.0.113.1 5000", "2001:db8::1 5000"] {
        assert!(accepted.answer.contains(address), "{}", accepted.answer);
    }
}
