//! Whatever the bytes say, reading neither panics nor takes more memory than the file is long, and ends quickly. A program
//! of its own, with one test, because it counts what the whole process allocates.

use std::io::Cursor;
use std::time::{Duration, Instant};

use gguf::Header;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use testkit::GgufFile;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The reading buffer of 64 KiB, and the table of entries.
const FIXED_BYTES: usize = 96 << 10;

/// Overwrites, cuts, and numbers put where counts and lengths stand.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    Number(usize, u64),
    Cut(usize),
    Doubled(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let numbers = prop_oneof![
        any::<u64>(),
        (0u32..64).prop_map(|bit| 1 << bit),
        (0u32..64).prop_map(|bit| u64::MAX >> bit),
        0u64..10_000,
    ];
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (any::<usize>(), numbers).prop_map(|(at, number)| Change::Number(at, number)),
        1 => any::<usize>().prop_map(Change::Cut),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Change::Doubled(from, to)),
    ]
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    let length = file.len().max(1);
    match *change {
        Change::Byte(at, byte) => {
            if let Some(place) = file.get_mut(at % length) {
                *place = byte;
            }
        }
        Change::Number(at, number) => {
            if let Some(places) = file.get_mut(at % length..).and_then(|rest| rest.first_chunk_mut()) {
                *places = number.to_le_bytes();
            }
        }
        Change::Cut(at) => file.truncate(at % length),
        Change::Doubled(from, to) => {
            let (from, to) = (from % length, to % length);
            file.extend_from_within(from.min(to)..from.max(to));
        }
    }
}

#[test]
fn any_content_is_read_within_its_own_length() {
    let noise = prop::collection::vec(any::<u8>(), 0..4096)
        .prop_map(|noise| [b"GGUF\x03\0\0\0", &noise[..]].concat());
    let mutated = prop::collection::vec(change(), 1..8).prop_map(|changes| {
        let mut file = GgufFile::llama().bytes();
        changes.iter().for_each(|change| apply(&mut file, change));
        file
    });
    let content = prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..4096), 1 => noise, 8 => mutated];

    let mut runner = TestRunner::new(Config { cases: 20_000, ..Config::default() });
    let outcome = runner.run(&content, |bytes| {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let started = Instant::now();
        // Both outcomes are fine: a changed byte may well leave a sound file.
        let _ = Header::read(Cursor::new(&bytes));
        let took = started.elapsed();
        let peak = ALLOCATOR.peak_usage().saturating_sub(before);
        prop_assert!(peak <= bytes.len() + FIXED_BYTES, "{} bytes took {peak}", bytes.len());
        // A millisecond would do: the rest is for a machine that does something else meanwhile.
        prop_assert!(took < Duration::from_secs(1), "{} bytes took {took:?}", bytes.len());
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}
