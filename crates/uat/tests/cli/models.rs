use std::process::Stdio;

use testkit::{FakeHub, GgufFile, HubFault};

use crate::support::Place;

#[test]
fn the_list_says_what_is_here() {
    let place = Place::empty();
    let ran = place.run(&["models", "list"]);
    let line = ran.stdout.lines().find(|line| line.starts_with("smollm2-135m"));
    assert!(line.is_some_and(|line| line.contains("absent") && line.contains("98.4 MB")), "{}", ran.stdout);
    let list = place.run(&["models", "list", "--json"]).json();
    assert_eq!(list["folder"].as_str(), place.path().join("models").to_str());
    assert_eq!(list["models"][0]["state"], "absent");
    assert_eq!(list["models"][0]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::empty();
    let mut child =
        place.command(&["models", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn paths_are_printed_alone() {
    let place = Place::empty();
    let ran = place.run(&["models", "path"]);
    assert_eq!(ran.stdout.trim(), place.path().join("models").to_str().unwrap());
    place
        .run(&["models", "path", "smollm2-135m"])
        .assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "try: uat models pull smollm2-135m"]);
    place.run(&["models", "path", "smolm2-135"]).assert_failed(1, &["did you mean smollm2-135m"]);
}

#[test]
fn removing_what_is_not_here_is_no_error() {
    let ran = Place::empty().run(&["models", "rm", "smollm2-135m"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "smollm2-135m was not here\n"));
}

#[test]
fn a_file_that_is_not_the_catalogues_is_refused() {
    let place = Place::empty();
    place.write("wrong.gguf", "GGUF and nothing else");
    let ran = place.run(&["models", "pull", "smollm2-135m", "--from", "wrong.gguf"]);
    ran.assert_failed(1, &["error[UAT_CORRUPT_VALUE]", "wrong.gguf"]);
    assert!(place.run(&["models", "list"]).stdout.contains("absent"), "nothing is left of it");
}

#[test]
fn ctrl_c_ends_a_download_and_leaves_nothing() {
    let place = Place::empty();
    // An interpreter that downloads for ever.
    let python = place.path().join("python");
    std::fs::write(&python, "#!/bin/sh\necho started > \"$UAT_MODELS.started\"\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = place
        .command(&["models", "pull", "smollm2-135m"])
        .env("UAT_PYTHON", &python)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = place.path().join("models.started");
    while !started.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(
        std::process::Command::new("kill")
            .args(["-s", "INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.run(&["models", "list"]).stdout.contains("absent"), "nothing is left of it");
}

#[test]
fn a_file_is_added_listed_and_forgotten() {
    let place = Place::empty();
    std::fs::write(place.path().join("My.gguf"), GgufFile::llama().bytes()).unwrap();
    let added = place.run(&["models", "add", "My.gguf", "--json"]).json();
    assert_eq!((added["name"].as_str(), added["state"].as_str()), (Some("my"), Some("here")));
    let list = place.run(&["models", "list"]).stdout;
    assert!(list.lines().any(|line| line.starts_with("my ") && line.contains("My.gguf")), "{list}");
    assert_eq!(
        place.run(&["models", "path", "my"]).stdout.trim(),
        place.path().join("My.gguf").to_str().unwrap()
    );
    assert_eq!(place.run(&["models", "rm", "my"]).stdout, "forgot my; its file stays where it is\n");
    assert!(place.path().join("My.gguf").exists());
    place.run(&["models", "rm", "my"]).assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]"]);
}

#[test]
fn what_cannot_be_added_says_why() {
    let place = Place::empty();
    place.write("noise.gguf", "PK and nothing else");
    place
        .run(&["models", "add", "noise.gguf"])
        .assert_failed(1, &["error[UAT_CORRUPT_VALUE]", "letters GGUF"]);
    place.run(&["models", "add", "none.gguf"]).assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "none.gguf"]);
    place.run(&["models", "add", "what is this"]).assert_failed(1, &["error[UAT_INVALID_INPUT]", "ORG/REPO"]);
}

#[test]
fn ctrl_c_leaves_a_download_from_the_hub_that_goes_on_later() {
    let place = Place::empty();
    let hub = FakeHub::start().unwrap();
    let mut content = GgufFile::llama().bytes();
    content.resize(2_000_000, 1);
    hub.put("org/repo", "small.gguf", content);
    hub.enqueue(HubFault::CutAfter(1_000_000));
    // After the cut the hub asks for a pause, in which it is interrupted.
    hub.enqueue(HubFault::Status { code: 429, headers: vec![("retry-after".to_owned(), "60".to_owned())] });
    let args = ["models", "add", "org/repo"];
    let mut child =
        place.command(&args).env("HF_ENDPOINT", hub.endpoint()).stderr(Stdio::null()).spawn().unwrap();
    while hub.requests().iter().filter(|request| request.range.is_some()).count() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let output = place.command(&args).env("HF_ENDPOINT", hub.endpoint()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ranges: Vec<_> =
        hub.requests().into_iter().filter(|request| request.to_store).map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=1000000-".to_owned())]);
    assert!(place.run(&["models", "list"]).stdout.contains("org/repo@c0ffee:small.gguf"));
}
