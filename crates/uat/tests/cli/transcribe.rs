use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use model_store::ModelStore;
use testkit::speech;

use crate::support::{Place, Ran};

/// The folder of models that are pulled.
pub(crate) fn models() -> Option<PathBuf> {
    let store = ModelStore::open().unwrap();
    for model in ["whisper-tiny.en", "silero-vad-6"] {
        speech::or_skipped(store.resolve(model))?;
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
    std::fs::write(place.path().join("a.wav"), speech::SENTENCE).unwrap();
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
    std::fs::write(place.path().join("a.wav"), speech::SENTENCE).unwrap();
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
    std::fs::write(place.path().join("a.pcm"), speech::pcm()).unwrap();
    let raw = run(&place, &["a.pcm", "--pcm-rate", "8000"]).unwrap();
    assert!(raw.stdout.contains("young man"), "{} {}", raw.stdout, raw.stderr);
    let mut child =
        command(&place, &["-"]).unwrap().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(speech::SENTENCE).unwrap();
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).stdout, text.stdout);
}

#[test]
fn one_that_fails_is_named_and_the_others_are_written() {
    let place = Place::empty();
    std::fs::write(place.path().join("a.wav"), speech::SENTENCE).unwrap();
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

#[test]
fn after_ctrl_c_what_is_written_stays_and_nothing_is_half_written() {
    let place = Place::empty();
    std::fs::write(place.path().join("a.wav"), speech::SENTENCE).unwrap();
    let long = speech::pcm().repeat(400);
    std::fs::write(place.path().join("b.pcm"), long).unwrap();
    let args = ["a.wav", "b.pcm", "--pcm-rate", "8000", "--beam", "1", "--out", "texts"];
    let Some(mut command) = command(&place, &args) else { return };
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let written = place.path().join("texts/a.txt");
    while !written.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ends before anything is written");
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let names: Vec<_> = std::fs::read_dir(place.path().join("texts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a.txt"]);
}
