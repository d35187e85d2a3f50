//! Turns the text of an answer back into content and calls, as it arrives.
//!
//! By hand because no streaming parser reads what each model puts around its JSON; the JSON itself is only walked over:
//! its validity is the grammar's concern.

use fastrand::Rng;
use serde_json::Value;

use super::format::Atom;
use super::{Choice, ToolFormat, Tools};
use crate::constraint::Trigger;

/// What a piece of text means to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolDelta {
    /// Text of the answer.
    Content(String),
    /// A call begins.
    Begin {
        /// Which of this answer's calls, from 0.
        index: usize,
        /// Nine letters and digits, which every template takes back.
        id: String,
        /// One of the request's tools.
        name: String,
    },
    /// The arguments of the call that began last go on. The fragments of one call add up to a JSON object.
    Arguments {
        /// As in `Begin`.
        index: usize,
        /// A part of the JSON text.
        fragment: String,
    },
}

/// Reads one answer. It holds back no more than may turn out to be the beginning of a call.
#[derive(Debug)]
pub struct ToolCallReader {
    trigger: Trigger,
    prefix: String,
    separator: Option<String>,
    suffix: String,
    atoms: Vec<Atom>,
    names: Vec<String>,
    state: State,
    /// Not yet understood.
    held: String,
    /// Whitespace behind a call, dropped unless text follows.
    blank: String,
    /// Calls that have begun.
    calls: usize,
    rng: Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Free text.
    Free,
    /// From the trigger to the arguments of the first call: may still turn out to be text.
    Opening,
    /// Inside the arguments.
    Arguments(Json),
    /// From the arguments to the end of the call's JSON.
    Closing,
    /// Behind a call: the suffix follows, or the opening of another call.
    Between,
}

/// Where in a JSON object a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Json {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Json {
    /// True when the byte closes the object.
    fn ends_with(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

/// How the beginning of a text compares with what is looked for.
enum Match<T> {
    /// It may still become it.
    More,
    /// It is something else.
    Other,
    /// It is it, and this many bytes long.
    Found(usize, T),
}

impl ToolCallReader {
    /// For one answer to a request with `tools`. `rng` makes up the calls' ids.
    pub fn new(format: &ToolFormat, tools: &Tools, rng: Rng) -> Self {
        Self {
            trigger: format.trigger(),
            prefix: format.prefix().to_owned(),
            separator: format.separator().map(str::to_owned),
            suffix: format.suffix().to_owned(),
            atoms: format.atoms(),
            names: tools.functions.iter().map(|function| function.name.clone()).collect(),
            // Where there must be a call, nothing else comes first.
            state: if tools.choice == Choice::Auto { State::Free } else { State::Opening },
            held: String::new(),
            blank: String::new(),
            calls: 0,
            rng,
        }
    }

    /// How many calls have begun. Where there is any, an answer that ended by itself has the finish reason `tool_calls`.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Goes over the next piece of the answer.
    pub fn push(&mut self, text: &str) -> Vec<ToolDelta> {
        let mut deltas = Vec::new();
        if self.state == State::Free {
            let found = self.trigger.push(text.as_bytes());
            self.found(found, &mut deltas);
        } else {
            self.held.push_str(text);
        }
        while self.step(&mut deltas) {}
        deltas
    }

    /// The answer has ended. What might still have become a call is content; what stands behind one and is no call is, too,
    /// unless it only closes it.
    pub fn finish(&mut self) -> Vec<ToolDelta> {
        let mut deltas = Vec::new();
        let rest = match self.state {
            State::Free => String::from_utf8_lossy(&self.trigger.finish()).into_owned(),
            State::Opening => std::mem::take(&mut self.held),
            State::Between => match match_text(&self.held, &self.suffix) {
                Match::Found(length, ()) => self.held.split_off(length),
                Match::More | Match::Other => String::new(),
            },
            State::Arguments(_) | State::Closing => String::new(),
        };
        self.content(&rest, &mut deltas);
        deltas
    }

    fn found(&mut self, found: crate::constraint::Found, deltas: &mut Vec<ToolDelta>) {
        // The trigger begins where a character does, so both halves are text.
        self.content(&String::from_utf8_lossy(&found.free), deltas);
        if let Some(call) = found.call {
            self.held = String::from_utf8_lossy(&call).into_owned();
            self.state = State::Opening;
        }
    }

    fn content(&mut self, text: &str, deltas: &mut Vec<ToolDelta>) {
        let mut text = std::mem::take(&mut self.blank) + text;
        // Models write line ends after their calls; they are not said to anybody unless something follows.
        if self.calls > 0 {
            self.blank = text.split_off(text.trim_end().len());
        }
        match deltas.last_mut() {
            _ if text.is_empty() => {}
            Some(ToolDelta::Content(content)) => content.push_str(&text),
            _ => deltas.push(ToolDelta::Content(text)),
        }
    }

    /// Understands as much of the held text as belongs together; false where more is needed.
    fn step(&mut self, deltas: &mut Vec<ToolDelta>) -> bool {
        match self.state {
            State::Free => false,
            State::Opening => match self.opening(&self.prefix) {
                Match::More => false,
                Match::Found(length, name) => self.begin(length, name, deltas),
                Match::Other => {
                    let held = std::mem::take(&mut self.held);
                    self.state = State::Free;
                    let found = self.trigger.miss(held.as_bytes());
                    self.found(found, deltas);
                    true
                }
            },
            State::Arguments(mut json) => {
                let end = self.held.bytes().position(|byte| json.ends_with(byte)).map(|at| at + 1);
                let fragment = match end {
                    Some(end) => {
                        let rest = self.held.split_off(end);
                        std::mem::replace(&mut self.held, rest)
                    }
                    None => std::mem::take(&mut self.held),
                };
                self.state = if end.is_some() { State::Closing } else { State::Arguments(json) };
                if !fragment.is_empty() {
                    deltas.push(ToolDelta::Arguments { index: self.calls - 1, fragment });
                }
                end.is_some()
            }
            State::Closing => match self.closing() {
                Match::More => false,
                Match::Found(length, ()) => self.go_on(length, State::Between),
                Match::Other => self.free(deltas),
            },
            State::Between => match self.separator.as_deref().map(|separator| self.opening(separator)) {
                Some(Match::More) => false,
                Some(Match::Found(length, name)) => self.begin(length, name, deltas),
                Some(Match::Other) | None => match match_text(&self.held, &self.suffix) {
                    Match::More => false,
                    Match::Found(length, ()) => {
                        self.held.drain(..length);
                        self.free(deltas)
                    }
                    Match::Other => self.free(deltas),
                },
            },
        }
    }

    fn go_on(&mut self, length: usize, state: State) -> bool {
        self.held.drain(..length);
        self.state = state;
        true
    }

    fn begin(&mut self, length: usize, name: String, deltas: &mut Vec<ToolDelta>) -> bool {
        let id = std::iter::repeat_with(|| self.rng.alphanumeric()).take(9).collect();
        deltas.push(ToolDelta::Begin { index: self.calls, id, name });
        self.calls += 1;
        self.blank.clear();
        self.go_on(length, State::Arguments(Json::default()))
    }

    /// What is held is looked through for another call, as free text is.
    fn free(&mut self, deltas: &mut Vec<ToolDelta>) -> bool {
        let held = std::mem::take(&mut self.held);
        self.state = State::Free;
        let found = self.trigger.push(held.as_bytes());
        self.found(found, deltas);
        true
    }

    /// Everything from the mark before a call to its arguments; finds the name.
    fn opening(&self, mark: &str) -> Match<String> {
        let mut at = match match_text(&self.held, mark) {
            Match::Found(length, ()) => length,
            Match::More => return Match::More,
            Match::Other => return Match::Other,
        };
        let mut called = String::new();
        for atom in &self.atoms {
            let rest = &self.held[at..];
            let matched = match atom {
                Atom::Text(text) => match_text(rest, text),
                Atom::Id => match_string(rest).without(),
                Atom::Name => match match_string(rest) {
                    Match::Found(length, name) if self.names.contains(&name) => {
                        called = name;
                        Match::Found(length, ())
                    }
                    Match::Found(..) | Match::Other => Match::Other,
                    Match::More => Match::More,
                },
                Atom::Arguments => {
                    let json = rest.trim_start();
                    return match json.chars().next() {
                        None => Match::More,
                        Some('{') => Match::Found(self.held.len() - json.len(), called),
                        Some(_) => Match::Other,
                    };
                }
            };
            match matched {
                Match::Found(length, ()) => at += length,
                Match::More => return Match::More,
                Match::Other => return Match::Other,
            }
        }
        Match::Other
    }

    /// Everything after the arguments.
    fn closing(&self) -> Match<()> {
        let mut at = 0;
        let after = self.atoms.iter().skip_while(|atom| **atom != Atom::Arguments).skip(1);
        for atom in after {
            let rest = &self.held[at..];
            let matched = match atom {
                Atom::Text(text) => match_text(rest, text),
                _ => match_string(rest).without(),
            };
            match matched {
                Match::Found(length, ()) => at += length,
                other => return other,
            }
        }
        Match::Found(at, ())
    }
}

impl<T> Match<T> {
    fn without(self) -> Match<()> {
        match self {
            Self::More => Match::More,
            Self::Other => Match::Other,
            Self::Found(length, _) => Match::Found(length, ()),
        }
    }
}

/// Compares whatever is no whitespace.
fn match_text(held: &str, wanted: &str) -> Match<()> {
    let mut wanted = wanted.chars().filter(|char| !char.is_whitespace()).peekable();
    let mut length = 0;
    for char in held.chars() {
        let Some(next) = wanted.peek() else { break };
        if !char.is_whitespace() {
            if char != *next {
                return Match::Other;
            }
            wanted.next();
        }
        length += char.len_utf8();
    }
    if wanted.peek().is_some() { Match::More } else { Match::Found(length, ()) }
}

fn match_string(held: &str) -> Match<String> {
    let json = held.trim_start();
    let skipped = held.len() - json.len();
    if !json.starts_with('"') {
        return if json.is_empty() { Match::More } else { Match::Other };
    }
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                return match serde_json::from_str(&json[..=at]) {
                    Ok(Value::String(text)) => Match::Found(skipped + at + 1, text),
                    _ => Match::Other,
                };
            }
            _ => {}
        }
    }
    Match::More
}
