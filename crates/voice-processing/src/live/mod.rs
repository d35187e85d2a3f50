//! What was said by a signal that is still coming.
//!
//! [`Live`] is pure but for the network that finds speech: it takes samples, and what became of the [`Task`]s that it gave out, and gives
//! events. [`LiveVoice`] carries tasks out on threads of its own, those of all its streams in turn.
//!
//! While somebody speaks, the stretch under way is written down again and again, and what two texts in a row agree on is settled
//! ([`agreement`]). After a short silence it is written down as if nobody said any more; when the silence lasts, that text is
//! there already, and when somebody goes on it is thrown away.

mod agreement;
mod pool;
mod state;
mod turns;

use silero_vad::Settings;

use crate::Segment;

pub use pool::{LiveStream, LiveVoice};
pub use state::{Live, Task, TaskKind};

/// When live probabilities count as speech: those of files, but for how long a silence has to last.
const LIVE: Settings = Settings { min_silence_ms: 500, ..Settings::FILES };

/// How a live signal is heard.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveOptions {
    /// A code such as `de`; none lets a multilingual model find out by the first stretch.
    pub language: Option<String>,
    /// Speech begins at this probability (above 0, at most 1).
    pub threshold: f32,
    /// What might be said: names, spelling, style.
    pub prompt: Option<String>,
    /// How long after one partial text the next is begun, in ms of the signal; it takes at least as long as writing it down.
    pub partial_every_ms: u32,
    /// A silence of this length ends a turn, in ms; at least 100.
    pub endpoint_silence_ms: u32,
    /// Texts that are followed side by side where a stretch is written down for good.
    pub beam_size: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        // The silence is that of OpenAI's voice detection.
        Self {
            language: None,
            threshold: LIVE.threshold,
            prompt: None,
            partial_every_ms: 400,
            endpoint_silence_ms: LIVE.min_silence_ms,
            beam_size: 5,
        }
    }
}

/// What a live signal comes to. Times are ms of the signal from its beginning.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveEvent {
    /// Somebody speaks.
    SpeechStarted {
        /// Since when; it is known some 250 ms later.
        at_ms: u64,
    },
    /// What was said so far of the stretch under way.
    Partial {
        /// When the stretch began.
        start_ms: u64,
        /// The text so far.
        text: String,
        /// How many bytes of the text, from its beginning, no later partial text changes.
        committed: usize,
    },
    /// Nobody speaks any more.
    SpeechStopped {
        /// Since when.
        at_ms: u64,
    },
    /// What was said, for good. A long turn has several.
    Final(Segment),
    /// Everything of the turn that ended last was written down; between two [`Self::SpeechStarted`] there is one of these.
    TurnDone,
    /// A stretch could not be written down; the signal is heard further.
    Failed {
        /// The stable code.
        code: &'static str,
        /// What happened.
        message: String,
    },
}

/// Milliseconds as samples.
const fn samples(ms: u64) -> u64 {
    ms * crate::SAMPLE_RATE / 1000
}
