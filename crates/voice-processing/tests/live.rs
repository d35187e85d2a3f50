//! Live signals, heard with Silero's network (`uat models pull silero-vad-6`) and a transcriber that is scripted, or Whisper
//! (`uat models pull whisper-tiny.en`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use model_store::ModelStore;
use silero_vad::SileroVad;
use testkit::speech;
use voice_processing::live::{Live, LiveEvent, LiveOptions, LiveVoice, Task, TaskKind};
use voice_processing::{Ask, PcmFormat, Said, Segment, Transcriber, VoiceError};
use whisper::Whisper;

const EIGHT: PcmFormat = PcmFormat { sample_rate: 8_000, channels: 1 };

/// The path of a pulled model.
fn model(name: &str) -> Option<PathBuf> {
    speech::or_skipped(ModelStore::open().unwrap().resolve(name))
}

fn vad() -> Option<SileroVad> {
    Some(SileroVad::load(&model("silero-vad-6")?).unwrap())
}

/// Of 3 s at 8 kHz.
fn sentence() -> Vec<i16> {
    speech::pcm().as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect()
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * 8]
}

fn said(text: &str, ms: u64) -> Said {
    let segment = Segment { end_ms: ms, text: text.into(), confidence: 0.9, ..Segment::default() };
    Said { language: "en".into(), segments: vec![segment] }
}

/// As many words as there are half seconds.
fn counted(task: &Task) -> Said {
    let words: Vec<String> = (1..=task.samples.len() / 8_000).map(|word| format!("w{word}")).collect();
    said(&words.join(" "), task.samples.len() as u64 / 16)
}

/// Hears a signal in frames, each task answered before the next frame.
fn hear(
    live: &mut Live,
    signal: &[i16],
    frame: usize,
    answer: &mut dyn FnMut(&Task) -> Said,
) -> Vec<LiveEvent> {
    let mut events = Vec::new();
    let mut settle = |live: &mut Live, events: &mut Vec<LiveEvent>| {
        while let Some(task) = live.next_task() {
            live.told(task.id, Ok(answer(&task)));
        }
        events.extend(std::iter::from_fn(|| live.next_event()));
    };
    for frame in signal.chunks(frame) {
        live.push_i16(frame).unwrap();
        settle(live, &mut events);
    }
    live.end().unwrap();
    settle(live, &mut events);
    assert!(live.is_done());
    events
}

#[test]
fn words_are_read_while_somebody_speaks_and_the_last_text_is_there_when_the_silence_is_long_enough() {
    let Some(vad) = vad() else { return };
    let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
    let signal = [silence(500), sentence(), silence(1_500)].concat();
    let mut kinds = Vec::new();
    let events = hear(&mut live, &signal, 160, &mut |task| {
        kinds.push(task.kind);
        counted(task)
    });
    assert!(matches!(events[0], LiveEvent::SpeechStarted { at_ms: 200..900 }), "{events:?}");
    let partials: Vec<_> = events.iter().filter(|event| matches!(event, LiveEvent::Partial { .. })).collect();
    assert!(partials.len() > 4, "{events:?}");
    let place = |wanted: fn(&LiveEvent) -> bool| events.iter().position(wanted).unwrap();
    let stopped = place(|event| matches!(event, LiveEvent::SpeechStopped { .. }));
    let last = place(|event| matches!(event, LiveEvent::Final(_)));
    assert_eq!((last, events.last()), (stopped + 1, Some(&LiveEvent::TurnDone)), "{events:?}");
    assert!(kinds.contains(&TaskKind::Speculative) && !kinds.contains(&TaskKind::Final), "{kinds:?}");
    let mut settled = String::new();
    for event in partials {
        let LiveEvent::Partial { text, committed, .. } = event else { unreachable!() };
        assert!(text[..*committed].starts_with(&settled), "{text} after {settled}");
        settled = text[..*committed].to_owned();
    }
    assert!(!settled.is_empty());
}

#[test]
fn frames_of_any_length_come_to_the_same_text() {
    let Some(vad) = vad() else { return };
    let signal = [silence(300), sentence(), silence(900), sentence(), silence(100)].concat();
    let finals = |frame| {
        let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
        let events = hear(&mut live, &signal, frame, &mut counted);
        let finals = events.into_iter().filter(|event| matches!(event, LiveEvent::Final(_)));
        finals.collect::<Vec<_>>()
    };
    let expected = finals(160);
    assert_eq!(expected.len(), 2, "{expected:?}");
    for frame in [1, 37, 1_000, 100_000] {
        assert_eq!(finals(frame), expected, "frames of {frame}");
    }
}

#[test]
fn who_goes_on_speaking_makes_the_early_text_void() {
    let Some(vad) = vad() else { return };
    let patient = LiveOptions { endpoint_silence_ms: 1_500, ..LiveOptions::default() };
    let mut live = Live::new(&vad, EIGHT, patient).unwrap();
    let pause = [silence(300), sentence(), silence(300)].concat();
    let mut speculated = 0;
    let events = hear(&mut live, &[pause, sentence(), silence(1_700)].concat(), 160, &mut |task| {
        speculated += usize::from(task.kind == TaskKind::Speculative);
        counted(task)
    });
    assert!(speculated >= 2);
    let finals: Vec<_> = events.iter().filter(|event| matches!(event, LiveEvent::Final(_))).collect();
    assert_eq!(finals.len(), 1, "{events:?}");
}

#[test]
fn a_text_that_is_late_is_waited_for_and_its_lag_is_told() {
    let Some(vad) = vad() else { return };
    let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
    live.push_i16(&[silence(300), sentence(), silence(1_000)].concat()).unwrap();
    let task = live.next_task().unwrap();
    assert_eq!(task.kind, TaskKind::Final);
    assert!(live.next_task().is_none(), "one at a time");
    live.push_i16(&silence(2_000)).unwrap();
    assert!((1_900..3_000).contains(&live.behind_ms()), "{}", live.behind_ms());
    live.told(task.id + 1, Ok(said("somebody else's", 100)));
    live.told(task.id, Ok(said("mine", 100)));
    assert_eq!(live.behind_ms(), 0);
    let events: Vec<_> = std::iter::from_fn(|| live.next_event()).collect();
    assert!(
        matches!(&events[..], [.., LiveEvent::Final(segment), LiveEvent::TurnDone] if segment.text == "mine"),
        "{events:?}"
    );
}

#[test]
fn a_stretch_that_cannot_be_written_down_is_told_and_the_next_is_heard() {
    let Some(vad) = vad() else { return };
    let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
    let broken = || VoiceError::Transcriber { code: "UAT_UPSTREAM", message: "no".into(), retryable: false };
    let signal = [sentence(), silence(900)].concat();
    for frame in signal.chunks(160) {
        live.push_i16(frame).unwrap();
        while let Some(task) = live.next_task() {
            live.told(task.id, Err(broken()));
        }
    }
    let events: Vec<_> = std::iter::from_fn(|| live.next_event()).collect();
    let failed = events.iter().filter(|event| matches!(event, LiveEvent::Failed { .. })).count();
    assert_eq!(failed, 1, "{events:?}");
    let events = hear(&mut live, &signal, 160, &mut counted);
    assert!(events.iter().any(|event| matches!(event, LiveEvent::Final(_))), "{events:?}");
}

#[test]
fn silence_and_what_cannot_be_come_to_nothing() {
    let Some(vad) = vad() else { return };
    let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
    assert_eq!(hear(&mut live, &silence(20_000), 160, &mut counted), []);
    live.push_i16(&sentence()).unwrap();
    assert!(live.next_task().is_none() && live.end().is_ok(), "after its end a signal says nothing");
    let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
    assert_eq!(live.push_f32(&[0.0, f32::NAN]).unwrap_err().code(), "UAT_INVALID_INPUT");
    let silent = LiveOptions { endpoint_silence_ms: 1, ..LiveOptions::default() };
    assert!(Live::new(&vad, EIGHT, silent).is_err());
    let none = PcmFormat { sample_rate: 0, channels: 1 };
    assert!(Live::new(&vad, none, LiveOptions::default()).is_err());
}

/// Takes part in a test's count of texts that are written down at the same time.
struct Slow {
    asked: AtomicUsize,
}

impl Transcriber for Slow {
    fn transcribe(&self, samples: &[f32], _: &Ask, cancel: &AtomicBool) -> Result<Said, VoiceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match cancel.load(Ordering::Relaxed) {
            true => Err(VoiceError::Cancelled),
            false => Ok(said("text", samples.len() as u64 / 16)),
        }
    }
}

#[test]
fn many_streams_share_a_thread_and_each_gets_all_that_was_said() {
    let Some(vad) = vad() else { return };
    let voice = Arc::new(LiveVoice::new(vad, Arc::new(Slow { asked: AtomicUsize::new(0) }), 1).unwrap());
    let signal = [silence(300), sentence(), silence(900), sentence(), silence(900)].concat();
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let events = Arc::new(Mutex::new(Vec::new()));
            let told = Arc::clone(&events);
            let stream =
                voice.stream(EIGHT, LiveOptions::default(), move |event| told.lock().unwrap().push(event));
            (stream.unwrap(), events)
        })
        .collect();
    for frame in signal.chunks(160) {
        for (stream, _) in &streams {
            stream.wait_for_room();
            stream.write_i16(frame).unwrap();
        }
    }
    for (stream, events) in &streams {
        stream.end().unwrap();
        stream.end().unwrap();
        stream.wait_until_done();
        let events = events.lock().unwrap();
        assert_eq!(
            events.iter().filter(|event| matches!(event, LiveEvent::Final(_))).count(),
            2,
            "{events:?}"
        );
    }
}

#[test]
fn a_stream_that_is_left_takes_nobody_s_time() {
    let Some(vad) = vad() else { return };
    let slow = Arc::new(Slow { asked: AtomicUsize::new(0) });
    let voice = Arc::new(LiveVoice::new(vad, Arc::clone(&slow) as Arc<dyn Transcriber>, 1).unwrap());
    let stream = voice.stream(EIGHT, LiveOptions::default(), |_| ()).unwrap();
    stream.write_i16(&[sentence(), silence(100)].concat()).unwrap();
    drop(stream);
    // The threads end: nothing is left that they would wait for.
    drop(Arc::into_inner(voice).unwrap());
    assert!(slow.asked.load(Ordering::Relaxed) <= 1);
}

#[test]
fn whisper_hears_a_sentence_as_it_is_said() {
    let (Some(vad), Some(model), Some(tokenizer)) =
        (vad(), model("whisper-tiny.en"), model("whisper-tiny.en-tokenizer"))
    else {
        return;
    };
    let whisper = Whisper::load_files(&model, &tokenizer, 2).unwrap();
    let mut live = Live::new(&vad, EIGHT, LiveOptions::default()).unwrap();
    let signal = [silence(300), sentence(), silence(900)].concat();
    let events = hear(&mut live, &signal, 160, &mut |task| {
        Transcriber::transcribe(&whisper, &task.samples, &task.ask, &task.cancel).unwrap()
    });
    let [.., LiveEvent::Final(segment), LiveEvent::TurnDone] = &events[..] else { panic!("{events:?}") };
    assert!(segment.text.to_lowercase().contains("young man"), "{events:?}");
    assert!(
        events.iter().any(|event| matches!(event, LiveEvent::Partial { committed: 1.., .. })),
        "{events:?}"
    );
}

struct Panics;

impl Transcriber for Panics {
    fn transcribe(&self, _: &[f32], _: &Ask, _: &AtomicBool) -> Result<Said, VoiceError> {
        panic!("on purpose")
    }
}

#[test]
fn a_transcriber_that_panics_fails_the_stretch_and_nobody_waits_for_it() {
    let Some(vad) = vad() else { return };
    let voice = Arc::new(LiveVoice::new(vad, Arc::new(Panics), 1).unwrap());
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let stream =
        voice.stream(EIGHT, LiveOptions::default(), move |event| told.lock().unwrap().push(event)).unwrap();
    stream.write_i16(&[sentence(), silence(900)].concat()).unwrap();
    stream.end().unwrap();
    stream.wait_until_done();
    let events = events.lock().unwrap();
    assert!(
        matches!(&events[..], [.., LiveEvent::Failed { code: "UAT_INTERNAL", .. }, LiveEvent::TurnDone]),
        "{events:?}"
    );
}

#[test]
fn a_beginning_that_is_told_late_is_still_there_however_long_a_silence_may_be() {
    let Some(vad) = vad() else { return };
    let patient = LiveOptions { endpoint_silence_ms: 4_000, ..LiveOptions::default() };
    let mut live = Live::new(&vad, EIGHT, patient).unwrap();
    let syllable = sentence()[1_200..2_400].to_vec();
    let signal = [silence(300), syllable, silence(2_500), sentence(), silence(4_500)].concat();
    let events = hear(&mut live, &signal, 160, &mut counted);
    assert!(matches!(events[0], LiveEvent::SpeechStarted { at_ms: ..600 }), "{events:?}");
    // The text is as long as what was heard: to the end of the sentence, if nothing of its beginning is missing.
    let end_ms = events.iter().find_map(|event| match event {
        LiveEvent::Final(segment) => Some(segment.end_ms),
        _ => None,
    });
    assert!(end_ms.is_some_and(|end_ms| (5_500..6_100).contains(&end_ms)), "{events:?}");
}
