//! Reading an answer in the client's dialect: whether it is whole, an error that a program can read, or neither.

use serde_json::Value;

use crate::asked::{Asked, Surface};

/// Bytes of a wrong answer that are shown, its last.
const SHOWN: usize = 700;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The right text, all of it, once, and a proper end.
    Complete,
    /// An error of this code or kind, after nothing or a right beginning.
    Failed(String),
    /// The client went away before.
    Left,
    /// Anything else.
    Wrong(String),
}

/// What a body says.
#[derive(Debug, Default)]
struct Read {
    text: String,
    /// Proper ends, and what comes with them: a finish reason.
    ends: u32,
    stopped: bool,
    error: Option<String>,
    /// Whether something came after the end or the error.
    more: bool,
}

impl Read {
    fn piece(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        self.more |= !text.is_empty() && self.is_over();
        self.text.push_str(text);
    }

    fn end(&mut self) {
        self.more |= self.is_over();
        self.ends += 1;
    }

    fn failed(&mut self, kind: Option<&str>) {
        self.more |= self.is_over();
        self.error = Some(kind.unwrap_or_default().to_owned());
    }

    fn is_over(&self) -> bool {
        self.ends > 0 || self.error.is_some()
    }
}

/// Judges an answer. `code` is its header `x-uat-code`.
pub(crate) fn judge(asked: &Asked, status: u16, code: Option<&str>, body: &str) -> Outcome {
    // The ends say most, and a list of whole ones could not be read.
    let shown = &body[body.ceil_char_boundary(body.len().saturating_sub(SHOWN))..];
    let wrong = |why: &str| Outcome::Wrong(format!("{why}: status {status}, {asked:?}, ... {shown:?}"));
    if status >= 400 {
        let has_error = serde_json::from_str(body).is_ok_and(|body: Value| !body["error"].is_null());
        return match code {
            Some(code) if has_error => Outcome::Failed(format!("{status} {code}")),
            _ => wrong("an error without a form"),
        };
    }
    let Ok(read) = read(asked, body) else { return wrong("a body that cannot be read") };
    let expected = asked.text();
    match &read.error {
        _ if read.more => wrong("something after the end"),
        Some(kind) if kind.is_empty() => wrong("an error without a kind"),
        Some(kind) if expected.starts_with(&read.text) => Outcome::Failed(format!("in a stream: {kind}")),
        Some(_) => wrong("another text before the error"),
        None if read.text != expected => {
            wrong(&format!("another text, {:?} instead of {expected:?}", read.text))
        }
        None if read.ends != 1 || !read.stopped => wrong("no proper end"),
        None => Outcome::Complete,
    }
}

fn read(asked: &Asked, body: &str) -> serde_json::Result<Read> {
    let mut read = Read::default();
    match (asked.surface, asked.stream) {
        (Surface::OpenAi, false) => {
            let answer: Value = serde_json::from_str(body)?;
            read.piece(answer["choices"][0]["message"]["content"].as_str());
            read.stopped = answer["choices"][0]["finish_reason"] == "stop";
            read.end();
        }
        (Surface::Anthropic, false) => {
            let answer: Value = serde_json::from_str(body)?;
            for block in answer["content"].as_array().into_iter().flatten() {
                read.piece(block["text"].as_str());
            }
            read.stopped = answer["stop_reason"] == "end_turn";
            read.end();
        }
        (Surface::OpenAi, true) => {
            for data in events(body) {
                if data == "[DONE]" {
                    read.end();
                    continue;
                }
                let chunk: Value = serde_json::from_str(data)?;
                if !chunk["error"].is_null() {
                    read.failed(chunk["error"]["uat_code"].as_str());
                }
                read.piece(chunk["choices"][0]["delta"]["content"].as_str());
                read.stopped |= chunk["choices"][0]["finish_reason"] == "stop";
            }
        }
        (Surface::Anthropic, true) => {
            for data in events(body) {
                let event: Value = serde_json::from_str(data)?;
                match event["type"].as_str() {
                    Some("content_block_delta") => read.piece(event["delta"]["text"].as_str()),
                    Some("message_delta") => read.stopped |= event["delta"]["stop_reason"] == "end_turn",
                    Some("message_stop") => read.end(),
                    Some("error") => read.failed(event["error"]["type"].as_str()),
                    _ => {}
                }
            }
        }
        (Surface::Ollama, _) => {
            for line in body.lines() {
                let line: Value = serde_json::from_str(line)?;
                if !line["error"].is_null() {
                    // Ollama's errors have no kind, only a sentence.
                    read.failed(line["error"].as_str().map(|_| "a sentence"));
                }
                read.piece(line["message"]["content"].as_str());
                if line["done"] == true {
                    read.stopped = line["done_reason"] == "stop";
                    read.end();
                }
            }
        }
    }
    Ok(read)
}

/// The data of server-sent events; comments and names are left out.
fn events(body: &str) -> impl Iterator<Item = &str> {
    body.lines().filter_map(|line| line.strip_prefix("data: "))
}
