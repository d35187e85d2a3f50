//! What counts as speech, told of probabilities that are written down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use proptest::prelude::*;
use silero_vad::{Detector, Event, Segment, Settings, VadError, WINDOW, segments};

/// Without what widens segments.
const BARE: Settings =
    Settings { threshold: 0.5, min_speech_ms: 250, min_silence_ms: 100, pre_roll_ms: 0, tail_ms: 0 };

/// Probabilities, as runs of the same one.
fn runs(of: &[(usize, f32)]) -> Vec<f32> {
    of.iter().flat_map(|&(windows, probability)| std::iter::repeat_n(probability, windows)).collect()
}

/// Segments in windows, to compare with runs.
#[track_caller]
fn check(settings: Settings, of: &[(usize, f32)], expected: &[(f64, f64)]) {
    let probabilities = runs(of);
    let length = (probabilities.len() * WINDOW) as u64;
    let windows = |sample: u64| sample as f64 / WINDOW as f64;
    let found: Vec<(f64, f64)> = segments(&probabilities, length, settings)
        .unwrap()
        .into_iter()
        .map(|Segment { start, end }| (windows(start), windows(end)))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn speech_lasts_from_its_first_to_its_last_loud_window() {
    check(BARE, &[(10, 0.1), (20, 0.9), (10, 0.1)], &[(10.0, 30.0)]);
}

#[test]
fn silence_has_no_segments() {
    check(BARE, &[(50, 0.49)], &[]);
    check(BARE, &[], &[]);
}

#[test]
fn a_click_is_no_speech() {
    // 7 windows are 224 ms, 8 are 256.
    check(BARE, &[(10, 0.1), (7, 0.9), (10, 0.1)], &[]);
    check(BARE, &[(10, 0.1), (8, 0.9), (10, 0.1)], &[(10.0, 18.0)]);
}

#[test]
fn a_short_pause_does_not_end_speech() {
    // 3 windows are 96 ms, 4 are 128.
    check(BARE, &[(10, 0.9), (3, 0.1), (10, 0.9), (9, 0.1)], &[(0.0, 23.0)]);
    check(BARE, &[(10, 0.9), (4, 0.1), (10, 0.9), (9, 0.1)], &[(0.0, 10.0), (14.0, 24.0)]);
}

#[test]
fn a_probability_between_the_thresholds_changes_nothing() {
    check(BARE, &[(10, 0.9), (20, 0.4), (10, 0.1)], &[(0.0, 30.0)]);
    check(BARE, &[(10, 0.4), (10, 0.9), (10, 0.1)], &[(10.0, 20.0)]);
}

#[test]
fn speech_at_the_end_of_the_signal_ends_with_it() {
    check(BARE, &[(10, 0.1), (20, 0.9)], &[(10.0, 30.0)]);
    check(BARE, &[(10, 0.1), (20, 0.9), (1, 0.1)], &[(10.0, 30.0)]);
}

#[test]
fn the_end_of_the_signal_does_not_reach_into_the_silence_that_filled_the_last_window() {
    let mut detector = Detector::new(BARE).unwrap();
    let started = (0..10).filter_map(|_| detector.push(0.9)).count();
    let length = 10 * WINDOW as u64 - 100;
    assert_eq!((started, detector.finish(length)), (1, Some(Event::SpeechStopped { at_sample: length })));
}

#[test]
fn pre_roll_and_tail_widen_a_segment() {
    // 300 ms are 9.375 windows, 100 ms 3.125.
    check(Settings::FILES, &[(20, 0.1), (20, 0.9), (20, 0.1)], &[(20.0 - 9.375, 40.0 + 3.125)]);
}

#[test]
fn the_pre_roll_begins_neither_before_the_signal_nor_within_the_segment_before() {
    check(
        Settings::FILES,
        &[(5, 0.1), (20, 0.9), (6, 0.1), (20, 0.9), (9, 0.1)],
        &[(0.0, 25.0 + 3.125), (25.0 + 3.125, 51.0 + 3.125)],
    );
}

#[test]
fn a_live_signal_learns_of_speech_when_it_has_lasted_and_of_silence_when_it_has_lasted() {
    let mut detector = Detector::new(Settings { pre_roll_ms: 32, ..BARE }).unwrap();
    let told: Vec<(usize, Event)> = runs(&[(10, 0.1), (20, 0.9), (10, 0.1)])
        .into_iter()
        .enumerate()
        .filter_map(|(window, probability)| Some((window, detector.push(probability)?)))
        .collect();
    let at = |window: u64| window * WINDOW as u64;
    assert_eq!(
        told,
        [(17, Event::SpeechStarted { at_sample: at(9) }), (33, Event::SpeechStopped { at_sample: at(30) }),]
    );
}

#[test]
fn settings_that_cannot_hold_are_refused_by_name() {
    let name = |settings| match Detector::new(settings) {
        Err(VadError::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    for threshold in [0.0, -1.0, 1.5, f32::NAN] {
        assert_eq!(name(Settings { threshold, ..BARE }), "threshold");
    }
    assert_eq!(name(Settings { tail_ms: 101, ..BARE }), "tail_ms");
}

proptest! {
    #[test]
    fn segments_are_in_order_apart_and_within_the_signal(
        probabilities in prop::collection::vec(0.0_f32..1.0, 0..400),
        cut in 0_u64..WINDOW as u64,
        pre_roll_ms in 0_u32..500,
    ) {
        let length = (probabilities.len() * WINDOW) as u64;
        let length = length.saturating_sub(cut);
        let found = segments(&probabilities, length, Settings { pre_roll_ms, min_speech_ms: 64, ..Settings::FILES }).unwrap();
        let mut last = 0;
        for Segment { start, end } in found {
            prop_assert!(last <= start && start < end && end <= length, "{last} {start} {end} of {length}");
            last = end;
        }
    }
}
