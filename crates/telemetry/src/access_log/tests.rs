use std::time::UNIX_EPOCH;

use super::*;
use crate::ended::{Fate, Tokens};
use crate::semconv::Operation;

fn request(id: &str) -> EndedRequest {
    EndedRequest {
        received: UNIX_EPOCH + Duration::from_secs(1_000),
        request_id: id.into(),
        key: None,
        method: "GET".into(),
        path: "/v1/models".into(),
        route: Some("/v1/models"),
        operation: None,
        status: 200,
        fate: Fate::Answered,
        code: None,
        model: None,
        endpoint: None,
        cache: None,
        attempts: Vec::new(),
        tokens: None,
        cost_nano_usd: None,
        first_content: None,
        total: Duration::from_micros(1_234),
        overhead: None,
    }
}

fn written(request: &EndedRequest) -> serde_json::Value {
    serde_json::from_slice(&line(request)).unwrap()
}

#[test]
fn a_line_says_what_there_is_to_say() {
    assert_eq!(
        written(&request("r")),
        serde_json::json!({
            "time": "1970-01-01T00:16:40.000000Z", "request_id": "r", "method": "GET", "path": "/v1/models",
            "status": 200, "outcome": "ok", "total_ms": 1.234
        })
    );
    let chat = EndedRequest {
        key: Some("team-a".into()),
        operation: Some(Operation::Chat),
        model: Some("m".into()),
        endpoint: Some("e".into()),
        cache: Some("miss"),
        tokens: Some(Tokens { prompt: 5, cached_prompt: 0, completion: 2 }),
        cost_nano_usd: Some(2_500_000),
        first_content: Some(Duration::from_millis(20)),
        overhead: Some(Duration::from_micros(70)),
        ..request("r")
    };
    let line = written(&chat);
    assert_eq!(
        (&line["key"], &line["attempts"], &line["cost_usd"]),
        (&"team-a".into(), &0.into(), &0.0025.into())
    );
    assert_eq!((&line["prompt_tokens"], &line["overhead_us"]), (&5.into(), &70.into()));
}

#[test]
fn what_a_client_sends_cannot_forge_a_line() {
    let forged = EndedRequest { path: "/x\n{\"status\":200}\u{1b}[2J".into(), ..request("r") };
    let line = line(&forged);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert!(!line.contains(&0x1b));
}

#[test]
fn lines_are_appended_and_all_there_once_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::fs::write(&path, "{\"kept\":true}\n").unwrap();
    let counts = Arc::new(Counts::default());
    let log = AccessLog::open(&AccessLogTo::File(path.clone()), Arc::clone(&counts)).unwrap();
    (0..1_000).for_each(|number| log.write(&request(&number.to_string())));
    drop(log);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("{\"kept\":true}\n"));
    assert_eq!(text.lines().count(), 1_001);
    assert_eq!((counts.lines_written(), counts.lines_dropped()), (1_000, 0));
}

#[test]
fn a_rotated_log_goes_on_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let mut target = Target::open(&AccessLogTo::File(path.clone())).unwrap();
    target.write_all(b"old\n").unwrap();
    std::fs::rename(&path, &rotated).unwrap();
    target.look(Instant::now());
    target.write_all(b"old\n").unwrap();
    target.look(Instant::now() + LOOK_EVERY);
    target.write_all(b"new\n").unwrap();
    assert_eq!(std::fs::read_to_string(rotated).unwrap(), "old\nold\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "new\n");
}

#[test]
fn what_does_not_fit_is_counted() {
    let (lines, queue) = sync_channel(1);
    let counts = Arc::new(Counts::default());
    let log = AccessLog { lines: Some(lines), thread: None, counts: Arc::clone(&counts) };
    (0..3).for_each(|_| log.write(&request("r")));
    assert_eq!(counts.lines_dropped(), 2);
    drop(queue);
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let to = AccessLogTo::File("/nowhere/at/all/access.log".into());
    let error = AccessLog::open(&to, Arc::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all/access.log"), "{error}");
}
