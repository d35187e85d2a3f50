//! One request inside the batcher, and the channel to its client.

use std::fmt::Debug;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};

use crate::EngineError;
use crate::sampler::{Sampler, Sampling};
use crate::text::AnswerText;
use crate::token::Token;

/// Pieces of text that may wait for one client: at 100 tokens/s over half a second, then its lane pauses.
const EVENTS_IN_FLIGHT: usize = 64;

/// Why an answer ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string came.
    Stop,
    /// It reached `max_tokens` or the end of the context.
    Length,
}

impl FinishReason {
    /// OpenAI's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// A token with its probability, spelled out.
#[derive(Debug, Clone, PartialEq)]
pub struct SpelledToken {
    /// What it stands for; may be a part of a character.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// A token that was chosen, and the likeliest ones at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenProbabilities {
    /// The one that was chosen.
    pub chosen: SpelledToken,
    /// The likeliest, likeliest first.
    pub top: Vec<SpelledToken>,
}

/// More of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// Text that nothing takes back.
    pub text: String,
    /// Of the tokens since the last piece; empty unless the request asks for them.
    pub probabilities: Vec<TokenProbabilities>,
}

/// What a request's client receives.
#[derive(Debug)]
pub enum Event {
    /// More text; never empty.
    Piece(Piece),
    /// The answer is complete. Always the last event.
    Done {
        /// What was still held back. May be empty.
        rest: Piece,
        /// Why it ended.
        reason: FinishReason,
        /// Tokens that were sampled, the one that ended the answer included.
        completion_tokens: usize,
        /// Tokens of the prompt that an earlier request had read already.
        cached_tokens: usize,
    },
    /// The answer will not be completed. Always the last event.
    Failed(EngineError),
}

/// What an answer must look like.
pub trait Grammar: Debug + Send {
    /// A bit per token: which may come next; `None`: any. The tokens that end an answer are among them where it may end.
    ///
    /// # Errors
    /// [`EngineError::Internal`] if the grammar has become too large.
    fn allowed(&mut self) -> Result<Option<&[u32]>, EngineError>;
    /// This token was chosen out of those.
    ///
    /// # Errors
    /// [`EngineError::Internal`] as above.
    fn accept(&mut self, token: Token) -> Result<(), EngineError>;
}

/// A request that is ready to run.
#[derive(Debug)]
pub struct Job {
    /// At least one token, and at most the context less one.
    pub prompt: Vec<Token>,
    /// Most tokens of the answer.
    pub max_tokens: Option<usize>,
    /// See [`Sampling`].
    pub sampling: Sampling,
    /// What the answer must look like; `None`: anything.
    pub grammar: Option<Box<dyn Grammar>>,
    /// Control tokens that are part of the text here, each with what it says. Others stand for nothing.
    pub shown: Vec<(Token, Vec<u8>)>,
    /// See [`AnswerText`].
    pub stops: Vec<String>,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
    /// Where the answer goes.
    pub output: Output,
    /// The place in the bounded queue, given back when the request has ended.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The sending end of one answer. Dropping the receiver cancels the request.
#[derive(Debug)]
pub struct Output {
    events: Sender<Event>,
    /// Room for the last event is reserved from the start, so that ending never has to wait for a slow reader.
    last: OwnedPermit<Event>,
}

impl Output {
    /// A channel for one answer. `None` cannot happen: a fresh channel has room.
    pub fn channel() -> Option<(Self, Receiver<Event>)> {
        let (events, receiver) = channel(EVENTS_IN_FLIGHT + 1);
        let last = events.clone().try_reserve_owned().ok()?;
        Some((Self { events, last }, receiver))
    }

    /// Ends the request with an error.
    pub fn fail(self, error: EngineError) {
        self.last.send(Event::Failed(error));
    }
}

/// A request inside the batcher.
pub(super) struct Sequence {
    pub(super) arrival: u64,
    /// The prompt, then the answer.
    pub(super) tokens: Vec<Token>,
    pub(super) prompt_tokens: usize,
    /// How many of the prompt's tokens were there when it first ran; `None` before.
    pub(super) cached_tokens: Option<usize>,
    /// When it first ran.
    pub(super) started: Option<Instant>,
    /// Length of `tokens` at which the answer ends.
    pub(super) token_limit: usize,
    pub(super) sampler: Sampler,
    pub(super) grammar: Option<Box<dyn Grammar>>,
    pub(super) shown: Vec<(Token, Vec<u8>)>,
    pub(super) text: AnswerText,
    /// Probabilities of tokens whose text is still held back.
    pub(super) probabilities: Vec<TokenProbabilities>,
    /// What the client's channel had no room for: the lane pauses until it has.
    pub(super) unsent: Option<Piece>,
    deadline: Option<Instant>,
    output: Output,
    _place: Option<OwnedSemaphorePermit>,
}

/// How a request stands with its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The client waits or reads.
    Wanted,
    /// It has left.
    Left,
    /// It has stopped waiting.
    Late,
}

impl Sequence {
    pub(super) fn new(arrival: u64, cells: usize, job: Job) -> Self {
        let prompt_tokens = job.prompt.len();
        let most = prompt_tokens.saturating_add(job.max_tokens.unwrap_or(usize::MAX));
        Self {
            arrival,
            sampler: Sampler::new(job.sampling, &job.prompt),
            tokens: job.prompt,
            prompt_tokens,
            cached_tokens: None,
            started: None,
            token_limit: most.min(cells),
            grammar: job.grammar,
            shown: job.shown,
            text: AnswerText::new(job.stops),
            probabilities: Vec::new(),
            unsent: None,
            deadline: job.deadline,
            output: job.output,
            _place: job.place,
        }
    }

    /// Chooses the next token by the model's scores.
    pub(super) fn choose(&mut self, scores: &[f32]) -> Result<Token, EngineError> {
        let allowed = match &mut self.grammar {
            Some(grammar) => grammar.allowed()?,
            None => None,
        };
        self.sampler.choose(scores, allowed).ok_or_else(|| EngineError::Internal {
            message: "no token can follow: the model's scores are no numbers".to_owned(),
        })
    }

    /// What goes out with `text`.
    pub(super) fn piece(&mut self, text: String) -> Piece {
        Piece { text, probabilities: std::mem::take(&mut self.probabilities) }
    }

    /// Sends what is unsent if there is room.
    pub(super) fn deliver(&mut self, now: Instant) -> Standing {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Standing::Late;
        }
        let Some(piece) = self.unsent.take() else {
            return if self.is_abandoned() { Standing::Left } else { Standing::Wanted };
        };
        match self.output.events.try_send(Event::Piece(piece)) {
            Ok(()) => Standing::Wanted,
            Err(TrySendError::Full(Event::Piece(piece))) => {
                self.unsent = Some(piece);
                Standing::Wanted
            }
            Err(_) => Standing::Left,
        }
    }

    /// Whether the client has left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.output.events.is_closed()
    }

    /// Ends a request that nobody waits for.
    pub(super) fn dismiss(self, standing: Standing) {
        if standing == Standing::Late {
            let queued = self.started.is_none();
            self.fail(EngineError::DeadlineExceeded { queued });
        }
    }

    pub(super) fn fail(self, error: EngineError) {
        self.output.fail(error);
    }

    pub(super) fn finish(self, rest: Piece, reason: FinishReason) {
        self.output.last.send(Event::Done {
            rest,
            reason,
            completion_tokens: self.tokens.len() - self.prompt_tokens,
            cached_tokens: self.cached_tokens.unwrap_or(0),
        });
    }
}
