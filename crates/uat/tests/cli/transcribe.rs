use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use model_store::ModelStore;

use crate::support::{Place, Ran};

/// "He was not an ill disposed young man", as a WAV file of 8 kHz.
fn sentence() -> Vec<u8> {
    let samples = include_bytes!("../../../whisper/tests/speech-8k.u8");
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend([8_000_u32, 8_000].iter().flat_map(|rate| rate.to_le_bytes()));
    wav.extend(b"\x01\0\x08\0data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(samples);
    wav
}

/// The folder of models that are pulled. Who reads the tests' output learns that they were not, whatever the harness captures.
fn models() -> Option<PathBuf> {
    let store = ModelStore::open().unwrap();
    for model in ["whisper-tiny.en", "silero-vad-6"] {
        if let Err(error) = store.resolve(model) {
            #[allow(clippy::explicit_write, reason = "the harness captures what macros print")]
            writeln!(io::stderr(), "SKIPPED, NOT PASSED: {error}").unwrap();
            return None;
        }
    }
    Some(store.dir().to_owned())
}

fn command(place: &Place, args: &[&str]) -> Option<Command> {
    let mut command = place.command(&[&["transcribe"], args].concat());
    command.env("UAT_MODELS", models()?);
    Some(command)
}

fn run(place: &Place, args: &[&str]) -> Option<Ran> {
    Some(Ran::from(command(place, args)?.output().unwrap()))
}

#[test]
fn a_model_that_is_not_here_is_named_with_the_command_that_pulls_it() {
    let place = Place::empty();
    std::fs::write(place.path().join("a.wav"), sentence()).unwrap();
    place
        .run(&["transcribe", "a.wav"])
        .assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "try: uat models pull whisper-tiny.en"]);
    place
        .run(&["transcribe", "a.wav", "--model", "smollm2-135m"])
        .assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "whisper-base"]);
}

#[test]
fn a_command_line_that_cannot_be_carried_out_is_refused_before_anything_is_read() {
    let place = Place::empty();
    place.run(&["transcribe"]).assert_failed(2, &["FILE"]);
    place.run(&["transcribe", "a.wav", "--beam", "0"]).assert_failed(2, &["--beam"]);
    place.run(&["transcribe", "a.wav", "b.wav", "--format", "srt"]).assert_failed(2, &["--out DIR"]);
    place
        .run(&["transcribe", "x/a.wav", "y/a.mp3", "--out", "texts"])
        .assert_failed(2, &["two recordings", "a.txt"]);
    assert!(!place.path().join("texts").exists());
}

#[test]
fn a_recording_is_written_down_in_each_format() {
    let place = Place::empty();
    std::fs::write(place.path().join("a.wav"), sentence()).unwrap();
    let Some(text) = run(&place, &["a.wav"]) else { return };
    assert!(text.code == 0 && text.stdout.contains("young man"), "{} {}", text.stdout, text.stderr);
    assert_eq!(text.stderr, "", "without a terminal there is no progress");
    let srt = run(&place, &["a.wav", "--format", "srt", "--beam", "1"]).unwrap();
    assert!(srt.stdout.starts_with("1\n00:00:0") && srt.stdout.contains(" --> "), "{}", srt.stdout);
    let vtt = run(&place, &["a.wav", "--format", "vtt"]).unwrap();
    assert!(vtt.stdout.starts_with("WEBVTT\n\n00:00:0"), "{}", vtt.stdout);
    let json = run(&place, &["a.wav", "--format", "json", "--words"]).unwrap().json();
    assert_eq!((&json["language"], &json["truncated"]), (&"en".into(), &false.into()));
    assert!(json["segments"][0]["words"].as_array().unwrap().len() > 5, "{json}");
    let mut child =
        command(&place, &["-"]).unwrap().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&sentence()).unwrap();
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).stdout, text.stdout);
}

#[test]
fn one_that_fails_is_named_and_the_others_are_written() {
    let place = Place::empty();
    std::fs::write(place.path().join("a.wav"), sentence()).unwrap();
    place.write("b.mp3", "no audio at all");
    let args = ["b.mp3", "nowhere.wav", "a.wav", "--out", "texts"];
    let Some(ran) = run(&place, &args) else { return };
    ran.assert_failed(1, &["error[UAT_AUDIO_FORMAT]: b.mp3", "error[UAT_NOT_FOUND]: nowhere.wav"]);
    let written = std::fs::read_to_string(place.path().join("texts/a.txt")).unwrap();
    assert!(written.contains("young man"), "{written}");
    let names: Vec<_> = std::fs::read_dir(place.path().join("texts")).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing half-written stays");
    let again = run(&place, &["a.wav", "--out", "texts"]).unwrap();
    assert_eq!((again.code, again.stdout.as_str()), (0, ""));
    assert!(again.stderr.contains("a.txt is there already"), "{}", again.stderr);
}
