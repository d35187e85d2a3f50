//! What is heard, and when.

use std::time::Duration;

use crate::world::{Network, World, encode, encode_with, sound};

/// What is heard of ten seconds, over this network.
fn heard(network: Network, seed: u64) -> Vec<f32> {
    let mut world = World::new(seed);
    let peer = world.connects("198.51.100.7:40000");
    let packets = encode(&sound(10.0), false);
    // The clock begins with the first packet that comes.
    world.says(&packets[..1], |_| true);
    world.network = network;
    world.says(&packets[1..], |_| true);
    world.network = Network::default();
    world.passes(Duration::from_millis(300));
    world.heard.remove(&peer).unwrap_or_default()
}

/// Of the 20 ms stretches of two signals, the part that sounds alike.
fn alike(one: &[f32], other: &[f32]) -> f64 {
    let frames: Vec<bool> = one
        .chunks_exact(320)
        .zip(other.chunks_exact(320))
        .map(|(a, b)| {
            let dot = |x: &[f32], y: &[f32]| -> f64 {
                x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            dot(a, b) > 0.9 * (dot(a, a) * dot(b, b)).sqrt()
        })
        .collect();
    frames.iter().filter(|alike| **alike).count() as f64 / frames.len() as f64
}

/// Where a signal lies in another, in samples of 16 kHz: within a millisecond or two.
fn offset(one: &[f32], other: &[f32]) -> isize {
    let correlation = |shift: isize| -> f64 {
        (2_000..150_000_isize)
            .step_by(7)
            .map(|n| f64::from(one[n as usize]) * f64::from(other[(n + shift) as usize]))
            .sum()
    };
    (-400..=400).max_by(|a, b| correlation(*a).total_cmp(&correlation(*b))).unwrap()
}

#[test]
fn what_is_said_is_heard_at_its_time() {
    let said: Vec<f32> = sound(10.0).chunks_exact(3).map(|three| three[0]).collect();
    let heard = heard(Network::default(), 1);
    assert_eq!(heard.len(), 160_000, "every sample is there once");
    // The encoder looks 6.5 ms ahead, and the decoder's filter adds a little.
    let offset = offset(&said, &heard);
    assert!((90..=130).contains(&offset), "{offset} samples late");
}

#[test]
fn loss_reordering_and_repetition_move_nothing_in_time() {
    let clean = heard(Network::default(), 1);
    for seed in 1..=3 {
        let network = Network { lost: 5, twice: 5, late: 10, down: false };
        let lossy = heard(network, seed);
        // Packets at the very end may be lost with nothing behind them.
        assert!((158_000..=160_000).contains(&lossy.len()), "{} samples", lossy.len());
        assert_eq!(offset(&clean, &lossy), 0);
        let alike = alike(&clean, &lossy);
        assert!(alike > 0.93, "{alike} of it sounds as it does without loss (seed {seed})");
    }
}

#[test]
fn a_packet_that_was_lost_is_made_up_of_the_next() {
    let of = |packets: &[Vec<u8>], lost: bool| {
        let mut world = World::new(1);
        let peer = world.connects("198.51.100.7:40000");
        for (index, packet) in packets.iter().enumerate() {
            world.network.lost = if lost && index % 10 == 5 { 100 } else { 0 };
            let now = world.now;
            world.browsers[0].speak(packet, 960, true, now);
            // On its way, or not, before the network changes again.
            world.passes(Duration::from_millis(20));
        }
        world.passes(Duration::from_millis(300));
        world.heard.remove(&peer).unwrap()
    };
    let alike = |redundant| {
        let packets = encode_with(&sound(8.0), false, redundant);
        let (clean, lossy) = (of(&packets, false), of(&packets, true));
        assert_eq!(clean.len(), lossy.len());
        alike(&clean, &lossy)
    };
    let (with, without) = (alike(true), alike(false));
    println!("{with} sounds alike with redundancy, {without} without");
    assert!(with > without + 0.02, "{with} {without}");
}

#[test]
fn where_nobody_speaks_and_nothing_is_sent_time_goes_on() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    let (speech, pause) = (sound(1.0), vec![0.0; 3 * 48_000]);
    let packets = encode(&[&speech[..], &pause, &speech].concat(), true);
    // As libwebrtc does: the first packet that holds nothing is sent, those after it are not.
    let empty = |index: usize| packets.get(index).is_some_and(|packet| packet.len() <= 2);
    let sends = |index: usize| !empty(index) || !empty(index.wrapping_sub(1));
    let sent = (0..packets.len()).filter(|index| sends(*index)).count();
    assert!(sent < 140, "{sent} of {} packets are sent", packets.len());
    world.says(&packets[..180], sends);
    let before = world.heard[&peer].len();
    let passed = 180 * 320;
    assert!((passed - 2_400..=passed).contains(&before), "the pause is heard while it lasts: {before}");
    world.says(&packets[180..], |index| sends(180 + index));
    world.passes(Duration::from_millis(30));
    let heard = &world.heard[&peer];
    assert_eq!(heard.len(), 5 * 16_000);
    let loud = |range: std::ops::Range<usize>| heard[range].iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    let (paused, spoken) = (loud(20_000..63_900), loud(64_000..80_000));
    assert!(paused < 0.02 && spoken > 0.1, "{paused} {spoken}");
}

#[test]
fn a_network_that_stalls_for_a_while_loses_nothing() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    let packets = encode(&sound(3.0), false);
    world.says(&packets[..50], |_| true);
    // 600 ms of packets come at once.
    let now = world.now;
    world.passes(Duration::from_millis(600));
    for packet in &packets[50..80] {
        world.browsers[0].speak(packet, 960, true, now);
        world.step();
    }
    world.says(&packets[80..], |_| true);
    world.passes(Duration::from_millis(100));
    let mut clean = World::new(1);
    let other = clean.connects("198.51.100.7:40000");
    clean.says(&packets, |_| true);
    clean.passes(Duration::from_millis(100));
    assert_eq!(world.heard[&peer], clean.heard[&other]);
}

#[test]
fn who_stops_sending_without_a_word_is_silent_after_a_second() {
    let mut world = World::new(1);
    let peer = world.connects("198.51.100.7:40000");
    world.says(&encode(&sound(1.0), false), |_| true);
    world.passes(Duration::from_millis(900));
    assert_eq!(world.heard[&peer].len(), 16_000);
    world.passes(Duration::from_secs(4));
    let heard = world.heard[&peer].len();
    // One second was said, and 4.9 have passed.
    assert!((77_000..=78_600).contains(&heard), "{heard}");
}
