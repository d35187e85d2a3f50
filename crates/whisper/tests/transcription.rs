//! A model itself, where it was pulled (`uat models pull whisper-tiny.en`).
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::f32::consts::TAU;
use std::sync::atomic::AtomicBool;

use model_store::ModelStore;
use testkit::speech;
use whisper::kernels::Level;
use whisper::{Options, Whisper, WhisperError};

/// The model at each level.
fn tiny(level: Level) -> Option<Whisper> {
    let store = ModelStore::open().unwrap();
    let files = store
        .resolve("whisper-tiny.en")
        .and_then(|model| Ok((model, store.resolve("whisper-tiny.en-tokenizer")?)));
    let (model, tokenizer) = speech::or_skipped(files)?;
    Some(Whisper::load_at(&model, &tokenizer, 2, level).unwrap())
}

fn hum(seconds: usize) -> Vec<f32> {
    (0..seconds * 16_000).map(|i| 0.1 * (TAU * 50.0 * i as f32 / 16_000.0).sin()).collect()
}

/// "He was not an ill disposed young man", from LibriVox's recording of Sense and Sensibility (public domain), as 8-bit samples of 8 kHz.
fn speech() -> Vec<f32> {
    let bytes = &speech::SENTENCE[44..];
    let value = |at: usize| (f32::from(bytes[at.min(bytes.len() - 1)]) - 128.0) / 128.0;
    (0..bytes.len() * 2)
        .map(|at| if at % 2 == 0 { value(at / 2) } else { (value(at / 2) + value(at / 2 + 1)) / 2.0 })
        .collect()
}

#[test]
fn a_sentence_is_written_down_with_the_times_of_its_words_at_every_level() {
    for level in Level::available() {
        let Some(whisper) = tiny(level) else { return };
        let options = Options { words: true, ..Options::default() };
        let found = whisper.transcribe(&speech(), &options, &AtomicBool::new(false)).unwrap();
        let text = found.text().to_lowercase();
        assert!(text.starts_with("he was not an") && text.contains("young man"), "{level:?}: {text}");
        let words: Vec<_> = found.segments.iter().flat_map(|segment| &segment.words).collect();
        assert_eq!(words.iter().map(|word| word.text.as_str()).collect::<String>().trim(), found.text());
        assert!(words.windows(2).all(|pair| pair[0].start_ms <= pair[1].start_ms), "{words:?}");
        assert!(words.iter().all(|word| word.start_ms <= word.end_ms && word.end_ms <= 3_000), "{words:?}");
    }
}

#[test]
fn a_short_utterance_is_written_down_once() {
    let Some(whisper) = tiny(Level::best()) else { return };
    // Without fallback to other temperatures, which would hide it.
    for (beam_size, samples) in [(1, 16_000), (5, 16_000), (1, 24_000), (5, 24_000)] {
        let options = Options { beam_size, temperatures: vec![0.0], ..Options::default() };
        let found = whisper.transcribe(&speech()[..samples], &options, &AtomicBool::new(false)).unwrap();
        let count = found.text().split_whitespace().count();
        assert!((1..=8).contains(&count), "{beam_size} {samples}: {}", found.text());
    }
}

#[test]
fn nobody_speaks_in_silence_or_hum() {
    let Some(whisper) = tiny(Level::best()) else { return };
    for samples in [vec![0.0; 48_000], Vec::new()] {
        let found = whisper.transcribe(&samples, &Options::default(), &AtomicBool::new(false)).unwrap();
        assert_eq!(found.text(), "");
    }
    // A model without voice activity detection may hear something in a hum, but it ends.
    whisper.transcribe(&hum(3), &Options::default(), &AtomicBool::new(false)).unwrap();
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is() {
    let Some(whisper) = tiny(Level::best()) else { return };
    let ask = |samples: &[f32], options: &Options, cancel| {
        whisper.transcribe(samples, options, &AtomicBool::new(cancel)).unwrap_err()
    };
    let german = Options { language: Some("de".to_owned()), ..Options::default() };
    assert!(matches!(ask(&[0.0], &german, false), WhisperError::Option { option: "language", .. }));
    let none = Options { beam_size: 0, ..Options::default() };
    assert!(matches!(ask(&[0.0], &none, false), WhisperError::Option { option: "beam_size", .. }));
    assert!(matches!(ask(&[0.0, f32::NAN], &Options::default(), false), WhisperError::Samples { index: 1 }));
    assert!(matches!(ask(&hum(1), &Options::default(), true), WhisperError::Cancelled));
}
