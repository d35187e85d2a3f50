//! `uat-fake-provider` as another language sees it: a line on standard output, HTTP, and an end on SIGTERM.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Program {
    child: Child,
    addr: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_uat-fake-provider"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, addr }
    }

    /// Sends a request that closes the connection, and returns the response.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.addr).unwrap();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        socket.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;

#[test]
fn the_flags_are_the_first_behaviour_and_control_changes_it() {
    let program = Program::start(&["--behaviour", "cut-after", "--after-chunks", "2", "--chunks", "5"]);
    let cut = program.ask("POST", "/v1/chat/completions", CHAT);
    assert!(cut.contains(" t1") && !cut.contains(" t2"), "{cut}");
    let script =
        r#"{"default":{"behaviour":"answer","text":"Blue."},"enqueue":[{"behaviour":"status","code":429}]}"#;
    assert!(program.ask("POST", "/__control", script).contains(r#"{"ok":true}"#));
    assert!(program.ask("POST", "/v1/chat/completions", CHAT).starts_with("HTTP/1.1 429"));
    assert!(program.ask("POST", "/v1/chat/completions", CHAT).contains("[DONE]"));
    assert!(program.ask("GET", "/__requests?count=3", "").contains(r#""count":3,"open_connections":0"#));
    program.ask("POST", "/__control", r#"{"reset":true}"#);
    assert!(program.ask("GET", "/__requests", "").contains(r#""count":0"#));
}

#[test]
fn a_wrong_script_is_refused_with_the_reason() {
    let program = Program::start(&[]);
    let answer = program.ask("POST", "/__control", r#"{"default":{"behaviour":"explode"}}"#);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("unknown variant `explode`"), "{answer}");
}

#[test]
fn a_wait_for_a_disconnect_ends_with_it_or_at_its_time() {
    let program = Program::start(&["--behaviour", "hang"]);
    assert!(program.ask("GET", "/__disconnects?count=1&timeout_ms=20", "").starts_with("HTTP/1.1 504"));
    let mut socket = TcpStream::connect(&program.addr).unwrap();
    let length = CHAT.len();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{CHAT}");
    socket.write_all(head.as_bytes()).unwrap();
    program.ask("GET", "/__requests?count=1", "");
    drop(socket);
    let seen = program.ask("GET", "/__disconnects?count=1", "");
    assert!(seen.contains(r#""count":1"#) && seen.contains(r#""path":"/v1/chat/completions""#), "{seen}");
}

#[test]
fn a_script_may_be_given_at_once_and_a_key_by_control() {
    let script = r#"{"behaviour":"content_type","content_type":"text/html"}"#;
    let program = Program::start(&["--script", script]);
    assert!(program.ask("POST", "/v1/chat/completions", CHAT).contains("content-type: text/html"));
    program.ask("POST", "/__control", r#"{"key":"k"}"#);
    assert!(program.ask("POST", "/v1/chat/completions", CHAT).starts_with("HTTP/1.1 401"));
    program.ask("POST", "/__control", r#"{"key":""}"#);
    assert!(program.ask("POST", "/v1/chat/completions", CHAT).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_tls_endpoint_is_told_with_the_file_of_its_authority() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_uat-fake-provider"))
        .args(["--tls", "expired"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let second = lines.map(Result::unwrap).nth(1).unwrap();
    let (url, file) = second.strip_prefix("listening on ").unwrap().split_once(" under ").unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    assert!(std::fs::read_to_string(file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    child.kill().unwrap();
    child.wait().unwrap();
}
