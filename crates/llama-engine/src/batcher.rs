//! Continuous batching: many requests share one model, and each step computes one batch for all of them.
//!
//! The loop is driven step by step and knows the model only as a [`Decoder`], so that its promises are tested with a toy
//! model: every answer is what it would have been alone, whoever came, left, read slowly or was preempted meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};

use crate::EngineError;
use crate::request::Sampling;
use crate::schedule::{self, Lane, Limits};
use crate::stats::Stats;
use crate::text::AnswerText;

/// A token's number in the model's vocabulary.
pub type Token = i32;

/// Pieces of text that may wait for one client: at 100 tokens/s over half a second, then its lane pauses.
const EVENTS_IN_FLIGHT: usize = 64;

/// One token of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// What.
    pub token: Token,
    /// Where in its conversation, from 0.
    pub position: usize,
    /// Whose.
    pub lane: usize,
    /// Whether the next token will be sampled after it.
    pub sample: bool,
}

/// Why a batch could not be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeFailure {
    /// The context's cells did not suffice after all; with fewer lanes they may.
    NoRoom,
    /// Anything else, in llama.cpp's words.
    Failed(String),
}

/// What the batcher needs of a model.
pub trait Decoder {
    /// Chooses tokens for one request; keeps its random state.
    type Sampler;

    /// A sampler for one request.
    fn sampler(&self, sampling: &Sampling) -> Self::Sampler;
    /// Computes a batch. Positions of a lane are consecutive and continue where its last batch ended.
    ///
    /// # Errors
    /// [`DecodeFailure`]; the lanes' states are then unknown and must be forgotten.
    fn decode(&mut self, batch: &[Input]) -> Result<(), DecodeFailure>;
    /// The next token after the `index`-th input of the last batch, which had `sample` set.
    fn sample(&mut self, sampler: &mut Self::Sampler, index: usize) -> Token;
    /// Frees a lane's cells.
    fn forget(&mut self, lane: usize);
    /// Appends the bytes that a token stands for.
    fn append_piece(&self, token: Token, bytes: &mut Vec<u8>);
    /// Whether the token ends the answer.
    fn ends_answer(&self, token: Token) -> bool;
}

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

/// What a request's client receives.
#[derive(Debug)]
pub enum Event {
    /// More text; never empty.
    Text(String),
    /// The answer is complete. Always the last event.
    Done {
        /// Text that was still held back. May be empty.
        text: String,
        /// Why it ended.
        reason: FinishReason,
        /// Tokens that were sampled, the one that ended the answer included.
        completion_tokens: usize,
    },
    /// The answer will not be completed. Always the last event.
    Failed(EngineError),
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
    /// See [`AnswerText`].
    pub stops: Vec<String>,
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
struct Sequence<S> {
    arrival: u64,
    /// The prompt, then the answer.
    tokens: Vec<Token>,
    prompt_tokens: usize,
    /// How many of `tokens` the model has seen in the current lane.
    cached: usize,
    /// Length of `tokens` at which the answer ends.
    token_limit: usize,
    sampler: S,
    text: AnswerText,
    output: Output,
    /// Text for which the client's channel had no room: the lane pauses until it has.
    unsent: Option<String>,
    _place: Option<OwnedSemaphorePermit>,
}

/// The requests of one model and the loop over them.
pub struct Batcher<D: Decoder> {
    decoder: D,
    limits: Limits,
    lanes: Vec<Option<Sequence<D::Sampler>>>,
    /// Oldest first; preempted requests return to their place by age.
    waiting: VecDeque<Sequence<D::Sampler>>,
    arrivals: u64,
    stats: Arc<Stats>,
    batch: Vec<Input>,
    piece: Vec<u8>,
}

/// What the caller should do before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Step again at once.
    Busy,
    /// Every request waits for its client to read: step again soon.
    Paused,
    /// Nothing to do until a job comes.
    Idle,
}

impl<D: Decoder> Batcher<D> {
    /// `lanes` requests run at a time.
    pub fn new(decoder: D, lanes: usize, limits: Limits, stats: Arc<Stats>) -> Self {
        let lanes = std::iter::repeat_with(|| None).take(lanes.max(1)).collect();
        Self {
            decoder,
            limits,
            lanes,
            waiting: VecDeque::new(),
            arrivals: 0,
            stats,
            batch: Vec::new(),
            piece: Vec::new(),
        }
    }

    /// Queues a request.
    pub fn add(&mut self, job: Job) {
        let prompt_tokens = job.prompt.len();
        if prompt_tokens == 0 || prompt_tokens >= self.limits.cells {
            job.output.fail(EngineError::ContextLengthExceeded {
                prompt: prompt_tokens,
                context: self.limits.cells,
            });
            return;
        }
        let token_limit =
            prompt_tokens.saturating_add(job.max_tokens.unwrap_or(usize::MAX)).min(self.limits.cells);
        self.stats.prompt_tokens.fetch_add(prompt_tokens as u64, Ordering::Relaxed);
        self.stats.queued.fetch_add(1, Ordering::Relaxed);
        self.waiting.push_back(Sequence {
            arrival: self.arrivals,
            tokens: job.prompt,
            prompt_tokens,
            cached: 0,
            token_limit,
            sampler: self.decoder.sampler(&job.sampling),
            text: AnswerText::new(job.stops),
            output: job.output,
            unsent: None,
            _place: job.place,
        });
        self.arrivals += 1;
    }

    /// Ends every request with `error`.
    pub fn fail_all(&mut self, error: &EngineError) {
        for lane in 0..self.lanes.len() {
            self.end(lane, |sequence| sequence.output.fail(error.clone()));
        }
        for sequence in self.waiting.drain(..) {
            decrement(&self.stats.queued);
            sequence.output.fail(error.clone());
        }
    }

    /// Drops who has left, lets in who waits, computes one batch and sends what it yields.
    pub fn step(&mut self) -> Progress {
        self.deliver_and_drop_cancelled();
        self.admit();
        let plan = schedule::plan(&self.views(), self.limits);
        for lane in plan.preempt {
            self.preempt(lane);
        }
        if plan.slices.is_empty() {
            let idle = self.waiting.is_empty() && self.lanes.iter().all(Option::is_none);
            return if idle { Progress::Idle } else { Progress::Paused };
        }

        self.batch.clear();
        let mut ends = Vec::with_capacity(self.lanes.len());
        for slice in &plan.slices {
            let Some(sequence) = self.lanes.get_mut(slice.lane).and_then(Option::as_mut) else { continue };
            let positions = sequence.cached..sequence.cached + slice.count;
            sequence.cached = positions.end;
            let last = positions.end - 1;
            for position in positions {
                let sample = slice.sample && position == last;
                let token = sequence.tokens[position];
                self.batch.push(Input { token, position, lane: slice.lane, sample });
            }
            if slice.sample {
                ends.push((slice.lane, self.batch.len() - 1));
            }
        }
        match self.decoder.decode(&self.batch) {
            Ok(()) => {
                for (lane, index) in ends {
                    self.take_token(lane, index);
                }
            }
            Err(failure) => self.recover(&failure),
        }
        Progress::Busy
    }

    fn views(&self) -> Vec<Lane> {
        let view = |(id, sequence): (usize, &Option<Sequence<D::Sampler>>)| {
            let sequence = sequence.as_ref()?;
            Some(Lane {
                id,
                arrival: sequence.arrival,
                tokens: sequence.tokens.len(),
                cached: sequence.cached,
                paused: sequence.unsent.is_some(),
            })
        };
        self.lanes.iter().enumerate().filter_map(view).collect()
    }

    fn deliver_and_drop_cancelled(&mut self) {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].as_mut().is_some_and(|sequence| !sequence.deliver()) {
                self.stats.cancelled.fetch_add(1, Ordering::Relaxed);
                self.end(lane, drop);
            }
        }
        let stats = &self.stats;
        self.waiting.retain_mut(|sequence| {
            let stays = sequence.deliver();
            if !stays {
                decrement(&stats.queued);
                stats.cancelled.fetch_add(1, Ordering::Relaxed);
            }
            stays
        });
    }

    /// Gives free lanes to the oldest requests whose client reads. While the oldest does not fit, no younger one
    /// overtakes it: it would wait for ever behind a row of small ones.
    fn admit(&mut self) {
        let reads = |sequence: &Sequence<D::Sampler>| sequence.unsent.is_none();
        while self.waiting.iter().any(reads) {
            // First the lane: finding one may put a paused request back into the queue, before the next one's place.
            let Some(lane) = self.free_lane() else { return };
            let Some(next) = self.waiting.iter().position(reads) else { return };
            let running = self.lanes.iter().flatten();
            let committed = running.clone().map(|sequence| sequence.tokens.len()).sum();
            if !schedule::fits(self.waiting[next].tokens.len(), committed, running.count(), self.limits.cells)
            {
                return;
            }
            if let Some(sequence) = self.waiting.remove(next) {
                decrement(&self.stats.queued);
                self.stats.active.fetch_add(1, Ordering::Relaxed);
                self.lanes[lane] = Some(sequence);
            }
        }
    }

    /// An empty lane, or else the one of the youngest request that is paused: its client does not read, another's does.
    fn free_lane(&mut self) -> Option<usize> {
        if let Some(lane) = self.lanes.iter().position(Option::is_none) {
            return Some(lane);
        }
        let paused = |lane: &Lane| lane.paused;
        let lane = self.views().into_iter().filter(paused).max_by_key(|lane| lane.arrival)?.id;
        self.preempt(lane);
        Some(lane)
    }

    /// Puts a running request back among those that wait, in order of age. Its tokens are read again later.
    fn preempt(&mut self, lane: usize) {
        let Some(mut sequence) = self.lanes.get_mut(lane).and_then(Option::take) else { return };
        self.decoder.forget(lane);
        sequence.cached = 0;
        decrement(&self.stats.active);
        self.stats.queued.fetch_add(1, Ordering::Relaxed);
        self.stats.preemptions.fetch_add(1, Ordering::Relaxed);
        let place = self.waiting.partition_point(|other| other.arrival < sequence.arrival);
        self.waiting.insert(place, sequence);
    }

    /// Samples a lane's next token and sends the text that it releases.
    fn take_token(&mut self, lane: usize, index: usize) {
        let Some(sequence) = self.lanes.get_mut(lane).and_then(Option::as_mut) else { return };
        let token = self.decoder.sample(&mut sequence.sampler, index);
        self.stats.generated_tokens.fetch_add(1, Ordering::Relaxed);
        sequence.tokens.push(token);
        if self.decoder.ends_answer(token) {
            let text = sequence.text.finish().text;
            self.done(lane, text, FinishReason::Stop);
            return;
        }
        self.piece.clear();
        self.decoder.append_piece(token, &mut self.piece);
        let mut released = sequence.text.push(&self.piece);
        if released.stopped {
            self.done(lane, released.text, FinishReason::Stop);
        } else if sequence.tokens.len() >= sequence.token_limit {
            let rest = sequence.text.finish();
            released.text.push_str(&rest.text);
            self.done(
                lane,
                released.text,
                if rest.stopped { FinishReason::Stop } else { FinishReason::Length },
            );
        } else if !released.text.is_empty() {
            sequence.unsent = Some(released.text);
            sequence.deliver();
        }
    }

    fn done(&mut self, lane: usize, text: String, reason: FinishReason) {
        self.end(lane, |sequence| {
            let completion_tokens = sequence.tokens.len() - sequence.prompt_tokens;
            sequence.output.last.send(Event::Done { text, reason, completion_tokens });
        });
    }

    /// Frees a lane and hands its request to `last`.
    fn end(&mut self, lane: usize, last: impl FnOnce(Sequence<D::Sampler>)) {
        if let Some(sequence) = self.lanes.get_mut(lane).and_then(Option::take) {
            self.decoder.forget(lane);
            decrement(&self.stats.active);
            last(sequence);
        }
    }

    /// A failed batch leaves the lanes in it in an unknown state. With others around, the youngest gives way and the rest
    /// is read again; alone, it fails.
    fn recover(&mut self, failure: &DecodeFailure) {
        let mut lanes = self.views();
        lanes.sort_unstable_by_key(|lane| lane.arrival);
        match failure {
            DecodeFailure::NoRoom if lanes.len() > 1 => {
                for lane in lanes.split_off(1) {
                    self.preempt(lane.id);
                }
                if let Some(sequence) = self.lanes[lanes[0].id].as_mut() {
                    sequence.cached = 0;
                    self.decoder.forget(lanes[0].id);
                }
            }
            _ => {
                let message = match failure {
                    DecodeFailure::NoRoom => "llama.cpp found no room in an empty context".to_owned(),
                    DecodeFailure::Failed(message) => message.clone(),
                };
                for lane in lanes {
                    let error = EngineError::Internal { message: message.clone() };
                    self.end(lane.id, |sequence| sequence.output.fail(error));
                }
            }
        }
    }
}

impl<S> Sequence<S> {
    /// Sends what is unsent if there is room. Returns false if the client has left.
    fn deliver(&mut self) -> bool {
        let Some(text) = self.unsent.take() else { return !self.output.events.is_closed() };
        match self.output.events.try_send(Event::Text(text)) {
            Ok(()) => true,
            Err(TrySendError::Full(Event::Text(text))) => {
                self.unsent = Some(text);
                true
            }
            Err(_) => false,
        }
    }
}

fn decrement(counter: &AtomicUsize) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
