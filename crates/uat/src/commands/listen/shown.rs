//! What was said, on the terminal or for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use indicatif::{ProgressBar, ProgressStyle};
use runtime::event_json;
use runtime::voice_processing::live::LiveEvent;

use crate::failure::Failure;

/// Whether standard output can still be written to.
#[derive(Debug, Clone, Default)]
pub(super) struct Broken(Arc<OnceLock<io::ErrorKind>>);

impl Broken {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.0.get().map_or(Ok(()), |kind| Err(io::Error::from(*kind).into()))
    }
}

/// Prints events as they come.
pub(super) struct Shown {
    json: bool,
    /// Where people look on, the text so far is there, and changes.
    line: Option<ProgressBar>,
    broken: Broken,
}

impl Shown {
    /// What to give events to, and whether that still reaches anybody.
    pub(super) fn listener(json: bool) -> (impl FnMut(LiveEvent) + Send + 'static, Broken) {
        let line = (!json && io::stderr().is_terminal()).then(line);
        let broken = Broken::default();
        let shown = Self { json, line, broken: broken.clone() };
        (move |event| shown.show(&event), broken)
    }

    fn show(&self, event: &LiveEvent) {
        if self.json {
            if let Some(document) = event_json(event) {
                self.print(&document.to_string());
            }
            return;
        }
        match event {
            LiveEvent::Partial { text, .. } => self.so_far(text),
            LiveEvent::Final(said) => {
                self.so_far("");
                self.print(said.text.trim());
            }
            LiveEvent::Failed { code, message } => note(&format!("error[{code}]: {message}")),
            LiveEvent::TurnDone => self.so_far(""),
            LiveEvent::SpeechStarted { .. } | LiveEvent::SpeechStopped { .. } => {}
        }
    }

    fn so_far(&self, text: &str) {
        if let Some(line) = &self.line {
            line.set_message(text.trim().to_owned());
        }
    }

    fn print(&self, text: &str) {
        let print = || {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}").and_then(|()| out.flush())
        };
        let printed = match &self.line {
            Some(line) => line.suspend(print),
            None => print(),
        };
        if let Err(error) = printed {
            // The first is the one that is told.
            let _ = self.broken.0.set(error.kind());
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// A line that is drawn anew as the text changes.
fn line() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    // The template is a constant; were it wrong, the default style would show as much.
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        line.set_style(style);
    }
    line
}

/// With standard error gone there is nobody left to tell.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
