//! Why nobody is heard.

use std::time::Duration;

/// Why nobody can be heard at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WebRTC cannot be served: {reason}")]
pub struct CannotStart {
    /// What is wrong.
    pub reason: String,
}

/// Why an offer is not taken: one variant per thing that a caller can do differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Longer than any browser's.
    #[error("expected an SDP offer of at most {longest} bytes, got {length}")]
    TooLong {
        /// In bytes.
        length: usize,
        /// In bytes.
        longest: usize,
    },
    /// Something else altogether.
    #[error("expected an SDP offer, whose first line is `v=0`, got `{begins}`")]
    NotSdp {
        /// Its beginning.
        begins: String,
    },
    /// More tracks than a page has.
    #[error("expected at most {most} tracks (m= lines), got {tracks}")]
    TooManyTracks {
        /// How many there are.
        tracks: usize,
        /// How many there may be.
        most: usize,
    },
    /// Nobody can be heard.
    #[error("expected an audio track (m=audio), got {got}: add the microphone's track to the connection")]
    NoAudio {
        /// The kinds of tracks there are.
        got: String,
    },
    /// Audio that is not understood.
    #[error("expected audio that can be sent as Opus, got {got}")]
    NoOpus {
        /// The codecs of the audio track.
        got: String,
    },
    /// An audio track in the wrong direction.
    #[error("expected an audio track that is sent (a=sendonly or a=sendrecv), got a={got}")]
    NotSent {
        /// Its direction.
        got: String,
    },
    /// It cannot be read, or contradicts itself.
    #[error("the SDP offer cannot be taken: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: String,
    },
    /// Too many are heard already.
    #[error("{most} sessions are open, which is as many as there may be: end one, or come back later")]
    Full {
        /// How many there may be.
        most: usize,
    },
}

impl OfferError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "UAT_OVERLOADED",
            _ => "UAT_INVALID_INPUT",
        }
    }
}

/// Why a session ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The browser closed it.
    #[error("the peer left")]
    Left,
    /// Nothing came of the browser any more.
    #[error("the peer has vanished: nothing came of it for {} s", after.as_secs())]
    Vanished {
        /// For so long.
        after: Duration,
    },
    /// The browser took the answer and never came.
    #[error("the peer did not connect within {} s", within.as_secs())]
    NeverConnected {
        /// The time that it had.
        within: Duration,
    },
    /// What is told piles up.
    #[error("the peer does not take what it is told: {waiting} messages wait for its data channel")]
    Unread {
        /// How many.
        waiting: usize,
    },
    /// The connection broke: the browser's messages contradict the protocols.
    #[error("the connection broke: {reason}")]
    Broken {
        /// What the protocol's implementation says.
        reason: String,
    },
}
