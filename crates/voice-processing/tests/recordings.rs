//! Recordings, heard with Silero's network (`uat models pull silero-vad-6`) and a transcriber that is scripted, or
//! Whisper (`uat models pull whisper-tiny.en`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use model_store::ModelStore;
use silero_vad::SileroVad;
use testkit::speech;
use voice_processing::{
    Ask, DetectOptions, Parts, PcmFormat, ProcessOptions, Said, Segment, Transcriber, Voice, VoiceError, Word,
};
use whisper::Whisper;

fn vad() -> Option<SileroVad> {
    let path = speech::or_skipped(ModelStore::open().unwrap().resolve("silero-vad-6"))?;
    Some(SileroVad::load(&path).unwrap())
}

fn whisper() -> Option<Whisper> {
    let store = ModelStore::open().unwrap();
    let files = store
        .resolve("whisper-tiny.en")
        .and_then(|model| Ok((model, store.resolve("whisper-tiny.en-tokenizer")?)));
    let (model, tokenizer) = speech::or_skipped(files)?;
    Some(Whisper::load_files(&model, &tokenizer, 2).unwrap())
}

/// Says how long each utterance is, and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<(usize, Ask)>>,
    checked: AtomicUsize,
}

impl Transcriber for Scripted {
    fn transcribe(&self, samples: &[f32], ask: &Ask, _: &AtomicBool) -> Result<Said, VoiceError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push((samples.len(), ask.clone()));
        let end_ms = samples.len() as u64 / 16;
        // The second word ends after the utterance, as Whisper's sometimes do.
        let word =
            |word: &str, start_ms, end_ms| Word { word: word.into(), start_ms, end_ms, confidence: 0.5 };
        let words = vec![word("number", 0, 100), word("n.", 90, end_ms + 500)];
        let text = format!("number {}.", asked.len());
        let segment = Segment { start_ms: 0, end_ms: end_ms + 500, text, confidence: 0.5, words };
        Ok(Said { language: "nl".into(), segments: vec![segment] })
    }

    fn check(&self, _: &Ask) -> Result<(), VoiceError> {
        self.checked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// 1.6 s of a reader at 16 kHz.
fn reader() -> Vec<u8> {
    include_bytes!("../../silero-vad/tests/fixtures/speech.s16").to_vec()
}

fn noise(seconds: usize, loud: f32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    let sample = |random: &mut fastrand::Rng| ((random.f32() - 0.5) * loud * 32_768.0) as i16;
    (0..seconds * 16_000).flat_map(|_| sample(&mut random).to_le_bytes()).collect()
}

fn silence(seconds: usize) -> Vec<u8> {
    vec![0; seconds * 32_000]
}

fn at(sample_rate: u32) -> ProcessOptions {
    ProcessOptions { pcm: Some(PcmFormat { sample_rate, channels: 1 }), ..ProcessOptions::default() }
}

fn with(words: impl Transcriber + 'static) -> Option<Voice> {
    Some(Voice::new(Parts { vad: vad()?, words: Some(Arc::new(words)) }))
}

fn hear(
    voice: &Voice,
    audio: Vec<u8>,
    options: &ProcessOptions,
) -> Result<voice_processing::VoiceResult, VoiceError> {
    voice.process(Cursor::new(audio), options, &mut |_| (), &AtomicBool::new(false))
}

#[test]
fn what_is_said_late_in_a_recording_has_its_own_time() {
    let Some(voice) = with(Scripted::default()) else { return };
    let audio = [silence(5), reader(), silence(5), reader(), silence(1)].concat();
    let options = ProcessOptions { word_timestamps: true, ..at(16_000) };
    let found = hear(&voice, audio, &options).unwrap();
    assert_eq!(found.text, "number 1. number 2.");
    let [first, second] = &found.segments[..] else { panic!("{:?}", found.segments) };
    assert!((4_500..5_500).contains(&first.start_ms) && first.end_ms <= 6_900, "{first:?}");
    assert!((11_000..12_200).contains(&second.start_ms) && second.end_ms <= 13_500, "{second:?}");
    for segment in &found.segments {
        let times: Vec<u64> = segment.words.iter().flat_map(|word| [word.start_ms, word.end_ms]).collect();
        assert!(times.is_sorted() && times[0] >= segment.start_ms, "{segment:?}");
        assert!(times.last() <= Some(&segment.end_ms), "{segment:?}");
    }
    assert_eq!(found.duration_ms, 14_200);
    assert!((2_000..4_500).contains(&found.speech_ms), "{}", found.speech_ms);
    assert_eq!(found.language, "nl");
}

#[test]
fn nobody_is_asked_what_was_said_in_silence_and_noise() {
    let words = Arc::new(Scripted::default());
    let Some(vad) = vad() else { return };
    let voice = Voice::new(Parts { vad, words: Some(Arc::clone(&words) as Arc<dyn Transcriber>) });
    for audio in [silence(3), noise(10, 0.2), noise(10, 2.0)] {
        let found = hear(&voice, audio, &at(16_000)).unwrap();
        assert_eq!((found.text.as_str(), found.segments.len(), found.speech_ms), ("", 0, 0));
    }
    assert!(words.asked.lock().unwrap().is_empty());
    let everything = ProcessOptions { vad: false, ..at(16_000) };
    let found = hear(&voice, noise(40, 0.2), &everything).unwrap();
    assert_eq!((found.segments.len(), found.speech_ms), (2, 40_000));
    assert_eq!(found.segments[1].end_ms, 40_000, "without voice activity detection all is heard");
    let asked: usize = words.asked.lock().unwrap().iter().map(|(samples, _)| samples).sum();
    assert_eq!(asked, 40 * 16_000);
}

#[test]
fn the_first_utterance_decides_on_the_language() {
    let words = Arc::new(Scripted::default());
    let Some(vad) = vad() else { return };
    let voice = Voice::new(Parts { vad, words: Some(Arc::clone(&words) as Arc<dyn Transcriber>) });
    let audio = [reader(), silence(5), reader(), silence(1)].concat();
    let options = ProcessOptions { prompt: Some("Dashwood".into()), ..at(16_000) };
    hear(&voice, audio, &options).unwrap();
    let asked = words.asked.lock().unwrap();
    let languages: Vec<_> = asked.iter().map(|(_, ask)| ask.language.as_deref()).collect();
    assert_eq!(languages, [None, Some("nl")]);
    assert!(asked.iter().all(|(_, ask)| ask.prompt.as_deref() == Some("Dashwood")));
    assert_eq!(words.checked.load(Ordering::Relaxed), 1, "once for a recording");
}

#[test]
fn without_transcription_segments_say_only_when() {
    let Some(vad) = vad() else { return };
    let voice = Voice::new(Parts { vad, words: None });
    let audio = [silence(2), reader(), silence(2)].concat();
    let options = ProcessOptions { transcribe: false, ..at(16_000) };
    let found = hear(&voice, audio.clone(), &options).unwrap();
    let [segment] = &found.segments[..] else { panic!("{:?}", found.segments) };
    assert!(segment.text.is_empty() && segment.confidence > 0.5, "{segment:?}");
    assert_eq!(segment.end_ms - segment.start_ms, found.speech_ms);
    let detect = DetectOptions { pcm: options.pcm, ..DetectOptions::default() };
    let cancel = AtomicBool::new(false);
    let speech = voice.detect_speech(Cursor::new(audio.clone()), &detect, &mut |_| (), &cancel).unwrap();
    let spoken = speech.segments.iter().map(|found| (found.start_ms, found.end_ms)).collect::<Vec<_>>();
    assert_eq!(spoken, [(segment.start_ms, segment.end_ms)]);
    assert_eq!(speech.probabilities.len(), (5_600_usize * 16).div_ceil(512));
    let error = hear(&voice, audio, &at(16_000)).unwrap_err();
    assert_eq!(error.code(), "UAT_MODEL_NOT_FOUND");
}

#[test]
fn progress_grows_to_the_end() {
    let Some(voice) = with(Scripted::default()) else { return };
    let mut told = Vec::new();
    let (audio, cancel) = (Cursor::new(noise(60, 0.1)), AtomicBool::new(false));
    voice.process(audio, &at(16_000), &mut |done| told.push(done), &cancel).unwrap();
    assert!(told.len() > 10 && told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&1.0));
}

#[test]
fn what_cannot_be_heard_is_told_by_its_code() {
    let Some(voice) = with(Scripted::default()) else { return };
    let code = |audio: Vec<u8>, options: &ProcessOptions| hear(&voice, audio, options).unwrap_err().code();
    assert_eq!(code(Vec::new(), &at(16_000)), "UAT_AUDIO_FORMAT");
    assert_eq!(code(b"no audio at all".to_vec(), &ProcessOptions::default()), "UAT_AUDIO_FORMAT");
    assert_eq!(code(silence(1), &at(7)), "UAT_INVALID_INPUT");
    let options = ProcessOptions { threshold: f32::NAN, ..at(16_000) };
    assert_eq!(code(silence(1), &options), "UAT_INVALID_INPUT");
    let (audio, cancel) = (Cursor::new(silence(1)), AtomicBool::new(true));
    let error = voice.process(audio, &at(16_000), &mut |_| (), &cancel).unwrap_err();
    assert_eq!(error.code(), "UAT_CANCELLED");
}

#[test]
fn a_sentence_is_written_down_where_it_was_said() {
    let Some(whisper) = whisper() else { return };
    let Some(voice) = with(whisper) else { return };
    let audio = [vec![0; 8 * 16_000], speech::pcm(), vec![0; 16_000]].concat();
    let options = ProcessOptions { word_timestamps: true, ..at(8_000) };
    let found = hear(&voice, audio, &options).unwrap();
    let text = found.text.to_lowercase();
    assert!(text.starts_with("he was not an") && text.contains("young man"), "{text}");
    let words: Vec<_> = found.segments.iter().flat_map(|segment| &segment.words).collect();
    assert!(words[0].start_ms >= 7_700 && words[words.len() - 1].end_ms <= 11_000, "{words:?}");
    assert_eq!(found.language, "en");
    assert!(found.segments.iter().all(|segment| segment.confidence > 0.3), "{:?}", found.segments);
}

#[test]
fn an_option_that_the_model_cannot_serve_is_named_before_anything_is_read() {
    let Some(whisper) = whisper() else { return };
    let Some(voice) = with(whisper) else { return };
    let german = ProcessOptions { language: Some("de".into()), ..ProcessOptions::default() };
    let error = hear(&voice, b"no audio at all".to_vec(), &german).unwrap_err();
    assert_eq!((error.code(), error.option()), ("UAT_INVALID_INPUT", Some("language")));
}
