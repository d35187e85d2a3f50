//! Features beside those of faster-whisper 1.x's extractor, of the same samples.

use std::f32::consts::TAU;

use whisper::Features;

/// A tone and a slow sweep, quieter by 40 dB after 1.25 s.
fn sound() -> Vec<f32> {
    let at = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        let (tone, sweep) = (440.0 * t, 3_000.0 * t * (1.0 + 0.1 * t));
        let value = 0.3 * (tone.fract() as f32 * TAU).sin() + 0.1 * (sweep.fract() as f32 * TAU).sin();
        if i < 20_000 { value } else { 0.01 * value }
    };
    (0..32_000).map(at).collect()
}

const MELS: [usize; 7] = [0, 5, 10, 20, 40, 60, 79];
const EXPECTED: [(usize, [f32; 7]); 4] = [
    (0, [0.8814, 0.9441, 1.227, 0.6846, -0.2161, 0.4037, 0.0841]),
    (50, [-0.6727, -0.6727, 1.2378, -0.6727, -0.6727, -0.6176, -0.6727]),
    (123, [-0.6727, -0.6727, 1.2378, -0.6727, -0.6727, 0.9818, -0.6727]),
    (150, [-0.6727, -0.6727, 0.2378, -0.6727, -0.6727, -0.6468, -0.6727]),
];

#[test]
fn features_are_those_of_the_reference() {
    let features = Features::of(&sound(), 80);
    assert_eq!(features.columns(), 200);
    for (column, expected) in EXPECTED {
        for (mel, expected) in MELS.into_iter().zip(expected) {
            let found = features.values[column * 80 + mel];
            assert!((found - expected).abs() < 0.01, "column {column}, mel {mel}: {found} is not {expected}");
        }
    }
    assert!((features.silence - -0.6727).abs() < 1e-3);
}

#[test]
fn silence_and_nothing_have_features() {
    let silent = Features::of(&[0.0; 1_600], 80);
    assert_eq!(silent.columns(), 10);
    assert!(silent.values.iter().all(|value| (value - silent.silence).abs() < 1e-6));
    assert_eq!(Features::of(&[], 80).columns(), 0);
}
