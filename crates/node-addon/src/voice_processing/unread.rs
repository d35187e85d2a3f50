//! What came of a live signal and was not read yet.

use std::collections::VecDeque;

use napi_derive::napi;
use parking_lot::Mutex;
use runtime::voice_processing::live::LiveEvent;
use tokio::sync::Notify;

use super::results::HeardSegment;
use crate::error::Crossing;

/// Events that wait for whoever reads them; then writing waits, too. Ten minutes of speech have some hundred.
const ROOM: usize = 1_000;

/// A `VoiceEvent`.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct LiveTold {
    /// Which.
    #[napi(js_name = "type")]
    pub kind: String,
    /// When speech began or ended.
    pub at_ms: Option<f64>,
    /// When the stretch of a partial text began.
    pub start_ms: Option<f64>,
    /// A partial text.
    pub text: Option<String>,
    /// UTF-16 units of it that will not change.
    pub committed: Option<u32>,
    /// What was said, for good.
    pub segment: Option<HeardSegment>,
    /// Of an error.
    pub code: Option<String>,
    /// Of an error.
    pub message: Option<String>,
}

impl LiveTold {
    /// `None` for what JavaScript is not told.
    fn of(event: LiveEvent) -> Option<Self> {
        let of = |kind: &str| Self { kind: kind.to_owned(), ..Self::default() };
        Some(match event {
            LiveEvent::SpeechStarted { at_ms } => Self { at_ms: Some(at_ms as f64), ..of("speech_started") },
            LiveEvent::SpeechStopped { at_ms } => Self { at_ms: Some(at_ms as f64), ..of("speech_stopped") },
            LiveEvent::Partial { start_ms, text, committed } => Self {
                start_ms: Some(start_ms as f64),
                committed: u32::try_from(text[..committed].encode_utf16().count()).ok(),
                text: Some(text),
                ..of("partial")
            },
            LiveEvent::Final(segment) => Self { segment: Some(segment.into()), ..of("final") },
            LiveEvent::Failed { code, message } => {
                Self { code: Some(code.to_owned()), message: Some(message), ..of("error") }
            }
            LiveEvent::TurnDone => return None,
        })
    }

    fn is_partial(&self) -> bool {
        self.kind == "partial"
    }
}

#[derive(Default)]
pub(super) struct Unread {
    state: Mutex<State>,
    /// Something was told, read, or has ended.
    changed: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<LiveTold>,
    /// Why, where it was not of itself.
    ended: Option<Option<Crossing>>,
}

impl Unread {
    pub(super) fn push(&self, event: LiveEvent) {
        let Some(told) = LiveTold::of(event) else { return };
        {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return;
            }
            // Of texts that nobody has read, the newest is enough.
            if told.is_partial() && state.events.back().is_some_and(LiveTold::is_partial) {
                state.events.pop_back();
            }
            state.events.push_back(told);
        }
        self.changed.notify_waiters();
    }

    /// The same where whoever is heard does not wait for whoever reads: of more than there is room for the newest stay.
    pub(super) fn push_over(&self, event: LiveEvent) {
        self.push(event);
        let mut state = self.state.lock();
        let over = state.events.len().saturating_sub(ROOM);
        state.events.drain(..over);
    }

    /// Once is enough: the first reason counts.
    pub(super) fn end(&self, why: Option<Crossing>) {
        self.state.lock().ended.get_or_insert(why);
        self.changed.notify_waiters();
    }

    pub(super) fn why_ended(&self) -> Option<Crossing> {
        self.state.lock().ended.clone().flatten()
    }

    pub(super) async fn ended(&self) {
        self.until(|state| state.ended.is_some().then_some(())).await;
    }

    pub(super) async fn has_room(&self) {
        self.until(|state| (state.events.len() < ROOM || state.ended.is_some()).then_some(())).await;
    }

    /// What was told since the last call; `None` when all was. A reason to end comes after what was told before it.
    pub(super) async fn next(&self) -> Result<Option<Vec<LiveTold>>, Crossing> {
        let next = self.until(|state| match &state.ended {
            _ if !state.events.is_empty() => Some(Ok(Some(state.events.drain(..).collect()))),
            Some(Some(why)) => Some(Err(why.clone())),
            Some(None) => Some(Ok(None)),
            None => None,
        });
        let next = next.await;
        self.changed.notify_waiters();
        next
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Heard from here on, so that nothing that happens after the look is missed.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state.lock()) {
                return found;
            }
            changed.await;
        }
    }
}
