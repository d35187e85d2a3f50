//! The probabilities are ONNX Runtime's. Needs `uat models pull silero-vad-6`; `fixtures/record.py` recorded what is compared with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use model_store::ModelStore;
use silero_vad::{SileroVad, VadError, WINDOW};
use testkit::speech::or_skipped;

/// Other kernels add in another order; ONNX Runtime's own differ as much from one processor to another.
const CLOSE: f32 = 1e-5;

/// The model's file, where it was pulled.
fn file() -> Option<Vec<u8>> {
    let path = or_skipped(ModelStore::open().unwrap().resolve("silero-vad-6"))?;
    Some(std::fs::read(path).unwrap())
}

fn silero() -> Option<SileroVad> {
    Some(SileroVad::from_bytes(&file()?).unwrap())
}

/// 1.6 s of a reader, then 1.6 s of noise.
fn signal() -> Vec<f32> {
    let speech = include_bytes!("fixtures/speech.s16").as_chunks().0;
    let speech = speech.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0);
    let noise = (0..25_600).scan(1_u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 8) as f32 / 16_777_216.0 - 0.5)
    });
    speech.chain(noise).collect()
}

fn recorded() -> Vec<f32> {
    include_str!("fixtures/probabilities.txt").lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn probabilities_are_those_of_the_reference() {
    let Some(vad) = silero() else { return };
    let (found, expected) = (vad.probabilities(&signal()).unwrap(), recorded());
    assert_eq!(found.len(), expected.len());
    for (window, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < CLOSE, "window {window}: {found} is not {expected}");
    }
    assert!(expected.iter().any(|probability| *probability > 0.9), "there is speech");
}

#[test]
fn a_stream_that_was_reset_has_forgotten_what_it_heard() {
    let Some(vad) = silero() else { return };
    let signal = signal();
    let (windows, _) = signal.as_chunks::<WINDOW>();
    let mut stream = vad.stream();
    let mut hear =
        || windows[..20].iter().map(|window| stream.probability(window).unwrap()).collect::<Vec<_>>();
    let (first, again) = (hear(), hear());
    assert_ne!(first, again);
    stream.reset();
    let forgotten: Vec<f32> =
        windows[..20].iter().map(|window| stream.probability(window).unwrap()).collect();
    assert_eq!(first, forgotten);
}

#[test]
fn a_sample_that_no_audio_has_is_refused_and_leaves_the_stream_as_it_was() {
    let Some(vad) = silero() else { return };
    let good = [0.25; WINDOW];
    for value in [f32::NAN, f32::INFINITY, 32_767.0] {
        let (mut stream, mut other) = (vad.stream(), vad.stream());
        let mut bad = good;
        bad[37] = value;
        let error = stream.probability(&bad).unwrap_err();
        assert!(matches!(error, VadError::Sample { index: 37, .. }), "{error}");
        assert_eq!(stream.probability(&good).unwrap(), other.probability(&good).unwrap());
    }
    let mut samples = vec![0.0; 3 * WINDOW];
    samples[2 * WINDOW + 5] = f32::NAN;
    let error = vad.probabilities(&samples).unwrap_err();
    assert!(error.to_string().starts_with("sample 1029"), "{error}");
}

#[test]
fn the_last_window_is_filled_up_with_silence() {
    let Some(vad) = silero() else { return };
    let signal = signal();
    let mut filled = signal[..WINDOW + 100].to_vec();
    let found = vad.probabilities(&filled).unwrap();
    filled.resize(2 * WINDOW, 0.0);
    assert_eq!((found.len(), &found), (2, &vad.probabilities(&filled).unwrap()));
    assert!(vad.probabilities(&[]).unwrap().is_empty());
}

#[test]
fn another_network_is_refused_by_the_tensor_that_tells() {
    let Some(file) = file() else { return };
    let refused = |file: &[u8]| match SileroVad::from_bytes(file) {
        Err(VadError::OtherModel { tensor, .. }) => tensor,
        other => panic!("{:?}", other.map(|_| "a network")),
    };
    assert_eq!(refused(&[]), "model.stft.forward_basis_buffer");
    // The nodes that read a tensor name it first.
    let place =
        |name: &[u8]| file.windows(name.len()).rposition(|part| part == name).expect("it is in the file");
    // A tensor of another name.
    let mut other = file.clone();
    let at = place(b"model.decoder.rnn.bias_hh");
    other[at] = b'n';
    assert_eq!(refused(&other), "model.decoder.rnn.bias_hh");
    // A kernel that is not a Fourier transform's: the name is followed by a tag, three bytes of length, and the numbers.
    let mut other = file.clone();
    let name = b"model.stft.forward_basis_buffer";
    let at = place(name) + name.len() + 4 + 4 * 5000;
    other[at..at + 4].copy_from_slice(&0.5_f32.to_le_bytes());
    assert_eq!(refused(&other), "model.stft.forward_basis_buffer");
}

#[test]
fn a_file_that_ends_early_is_refused() {
    let Some(file) = file() else { return };
    for length in [1, 100, 1000, file.len() / 2, file.len() - 1] {
        let error = SileroVad::from_bytes(&file[..length]).unwrap_err();
        assert_eq!(error.code(), "UAT_CORRUPT_VALUE", "{length}: {error}");
    }
}
