use super::*;

/// A packet of 20 ms.
fn packet(number: u16, timestamp: u32) -> Packet {
    Packet { source: 1, number, timestamp, length: 320, payload: Arc::from([0; 3]) }
}

/// Everything that can be told.
fn all(timeline: &mut Timeline, now: Instant) -> Vec<Piece> {
    std::iter::from_fn(|| timeline.pull(now)).collect()
}

fn lengths(pieces: &[Piece]) -> Vec<(char, u64)> {
    let kind = |piece: &Piece| match piece {
        Piece::Packet { .. } => 'p',
        Piece::Lost { .. } => 'l',
        Piece::Silence(_) => 's',
    };
    pieces.iter().map(|piece| (kind(piece), piece.length())).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn packets_in_order_come_at_once_across_both_wraps() {
    let (mut timeline, mut now) = (Timeline::default(), Instant::now());
    for index in 0..200_u16 {
        let number = 65_500_u16.wrapping_add(index);
        timeline.push(packet(number, (u32::MAX - 50_000).wrapping_add(u32::from(index) * 960)), now);
        assert_eq!(lengths(&all(&mut timeline, now)), [('p', 320)]);
        now += 20 * MS;
    }
    assert_eq!((timeline.position(), timeline.dropped), (64_000, 0));
}

#[test]
fn a_packet_that_is_ahead_waits_for_the_one_before_it() {
    let (mut timeline, now) = (Timeline::default(), Instant::now());
    timeline.push(packet(1, 0), now);
    assert_eq!(all(&mut timeline, now).len(), 1);
    timeline.push(packet(3, 1_920), now + 40 * MS);
    assert_eq!(all(&mut timeline, now + 40 * MS), []);
    timeline.push(packet(2, 960), now + 60 * MS);
    assert_eq!(lengths(&all(&mut timeline, now + 60 * MS)), [('p', 320), ('p', 320)]);
}

#[test]
fn a_packet_that_does_not_come_is_lost_after_a_while_and_late_when_it_comes() {
    let (mut timeline, now) = (Timeline::default(), Instant::now());
    timeline.push(packet(1, 0), now);
    all(&mut timeline, now);
    timeline.push(packet(3, 1_920), now + 40 * MS);
    let due = timeline.due().unwrap();
    assert_eq!(due, now + 140 * MS);
    assert_eq!(lengths(&all(&mut timeline, due)), [('l', 320), ('p', 320)]);
    timeline.push(packet(2, 960), due);
    assert_eq!((all(&mut timeline, due), timeline.dropped), (vec![], 1));
}

#[test]
fn a_gap_without_a_number_missing_is_silence() {
    let (mut timeline, now) = (Timeline::default(), Instant::now());
    timeline.push(packet(1, 0), now);
    all(&mut timeline, now);
    timeline.push(packet(2, 19_200), now + 400 * MS);
    assert_eq!(lengths(&all(&mut timeline, now + 400 * MS)), [('s', 6_080), ('p', 320)]);
}

#[test]
fn another_source_goes_on_where_the_clock_is() {
    let (mut timeline, now) = (Timeline::default(), Instant::now());
    timeline.push(packet(1, 0), now);
    all(&mut timeline, now);
    timeline.push(Packet { source: 2, ..packet(40_000, 77) }, now + 120 * MS);
    let pieces = lengths(&all(&mut timeline, now + 120 * MS));
    assert_eq!(pieces, [('s', 1_920), ('p', 320)]);
}

#[test]
fn when_it_is_due_something_comes() {
    let (mut timeline, mut now) = (Timeline::default(), Instant::now());
    timeline.push(Packet { payload: Arc::from([8]), ..packet(1, 0) }, now);
    all(&mut timeline, now);
    for _ in 0..100 {
        let due = timeline.due().unwrap();
        assert!(due > now && all(&mut timeline, due - MS).is_empty());
        now = due;
        assert_eq!(lengths(&all(&mut timeline, now)), [('s', STEP)]);
    }
    // 32 ms each, after the packet's own 20 and the patience.
    assert_eq!(timeline.position(), 320 + 100 * STEP);
}

#[test]
fn whatever_comes_the_clock_keeps_to_the_time_that_passed_and_little_is_held() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut timeline, start) = (Timeline::default(), Instant::now());
        let (mut now, mut position) = (start, 0);
        for _ in 0..2_000 {
            now += Duration::from_micros(random.u64(0..20_000));
            let wild = Packet {
                source: random.u32(0..2),
                number: random.u16(..),
                timestamp: random.u32(..),
                length: [40, 320, 1_920][random.usize(0..3)],
                payload: vec![0; random.usize(1..5)].into(),
            };
            timeline.push(wild, now);
            for piece in all(&mut timeline, now) {
                assert!(piece.length() > 0);
                position += piece.length();
            }
            assert_eq!(timeline.position(), position);
            assert!(timeline.held.len() <= MOST_HELD);
        }
        let passed = (now - start).as_millis() as u64 * 16;
        assert!(position <= passed + LEAD + 4_000, "{position} samples after {passed} (seed {seed})");
    }
}
