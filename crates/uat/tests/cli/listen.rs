use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::speech;

use crate::support::{Place, Ran};
use crate::transcribe::models;

fn command(place: &Place, args: &[&str]) -> Option<Command> {
    let mut command = place.command(&[&["listen"], args].concat());
    command.env("UAT_MODELS", models()?);
    Some(command)
}

/// With these samples on standard input.
fn hear(place: &Place, args: &[&str], sound: &[u8]) -> Option<Ran> {
    let mut command = command(place, &[&["-"], args].concat())?;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sound).unwrap();
    Some(Ran::from(child.wait_with_output().unwrap()))
}

#[test]
fn what_comes_on_standard_input_is_written_down_line_by_line() {
    let place = Place::empty();
    let Some(ran) = hear(&place, &["--pcm-rate", "8000"], &speech::pcm()) else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("young man"), "{}", ran.stdout);
}

#[test]
fn a_program_gets_every_event() {
    let place = Place::empty();
    let Some(ran) = hear(&place, &["--pcm-rate", "8000", "--json"], &speech::pcm()) else { return };
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["type"], "speech_started");
    let last = events.iter().rfind(|event| event["type"] == "final").unwrap();
    assert!(last["segment"]["text"].as_str().unwrap().len() > 5, "{last}");
    assert!(events.iter().all(|event| {
        event["type"] != "partial"
            || event["text"].as_str().unwrap().starts_with(event["settled"].as_str().unwrap())
    }));
}

#[test]
fn half_a_sample_at_the_end_is_nothing() {
    let place = Place::empty();
    let Some(ran) = hear(&place, &[], &[0; 7]) else { return };
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

#[test]
fn a_microphone_is_heard_by_the_program_that_records() {
    let place = Place::empty();
    place.write("arecord", "#!/bin/sh\necho \"$@\" > told\ncat sound\n");
    std::fs::write(place.path().join("sound"), at_16_khz()).unwrap();
    make_executable(&place);
    let Some(mut command) = command(&place, &["--device", "hw:1"]) else { return };
    let ran = Ran::from(command.env("PATH", path_with(&place)).output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("young man"), "{} {}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("Listening by arecord"), "{}", ran.stderr);
    let told = std::fs::read_to_string(place.path().join("told")).unwrap();
    assert_eq!(told.trim(), "-q -t raw -f S16_LE -r16000 -c1 -Dhw:1");
}

#[test]
fn a_machine_without_a_microphone_or_a_recorder_is_told_what_to_try() {
    let place = Place::empty();
    place.write("arecord", "#!/bin/sh\necho 'audio open error: No such file or directory' >&2\nexit 1\n");
    make_executable(&place);
    let Some(mut without) = command(&place, &[]) else { return };
    let ran = Ran::from(without.env("PATH", path_with(&place)).output().unwrap());
    ran.assert_failed(1, &["audio open error", "error[UAT_UPSTREAM]: arecord ended", "--device"]);
    let empty = tempfile::tempdir().unwrap();
    let nothing = Ran::from(command(&place, &[]).unwrap().env("PATH", empty.path()).output().unwrap());
    nothing.assert_failed(1, &["error[UAT_NOT_FOUND]", "arecord and parec", "uat listen -"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let place = Place::empty();
    place.run(&["listen", "a.wav"]).assert_failed(2, &["a.wav"]);
    place.run(&["listen", "--pcm-rate", "8000"]).assert_failed(2, &["--pcm-rate"]);
    place.run(&["listen", "--silence", "5"]).assert_failed(2, &["--silence"]);
    place.run(&["listen", "-"]).assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "uat models pull"]);
    let Some(ran) = hear(&place, &["--pcm-rate", "5"], &[]) else { return };
    ran.assert_failed(1, &["5"]);
}

/// The sentence with each sample twice.
fn at_16_khz() -> Vec<u8> {
    speech::pcm().chunks(2).flat_map(|sample| [sample, sample].concat()).collect()
}

fn make_executable(place: &Place) {
    use std::os::unix::fs::PermissionsExt as _;
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path().join("arecord"), all).unwrap();
}

fn path_with(place: &Place) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(place.path().to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}
