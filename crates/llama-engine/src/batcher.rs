//! Continuous batching: many requests share one model, and each step computes one batch for all of them.
//!
//! The loop is driven step by step and knows the model only as a [`Decoder`], so that its promises are tested with a toy
//! model: every answer is what it would have been alone, whoever came, left, read slowly, was preempted meanwhile or began
//! like another.
//!
//! A request runs in a row of the model's cache. The row that begins most like it is continued or shared, so that a long
//! conversation, or a prompt that many requests begin with, is read once. See [`cells`](crate::cells).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::EngineError;
use crate::cells::{self, Cells};
use crate::pace::Pace;
use crate::sampler::Scored;
use crate::schedule::{self, Lane};
use crate::stats::Stats;
use crate::token::Token;

mod sequence;

pub use sequence::{Event, FinishReason, Grammar, Job, Output, Piece, SpelledToken, TokenProbabilities};
use sequence::{Sequence, Standing};

/// A request waits for another to read what both begin with if that saves at least this many tokens.
const WORTH_WAITING: usize = 16;

/// How long a row is kept that nobody comes back to. Every cell in use costs every token of every stream a look: a full
/// cache made one stream of a small model 20 % slower.
const KEEP: Duration = Duration::from_secs(120);

/// Smaller batches are computed to their end even if nobody wants them any more: that takes no longer than a token or two.
const WORTH_STOPPING: usize = 32;

/// One token of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// What.
    pub token: Token,
    /// Where in its conversation, from 0.
    pub position: usize,
    /// Whose: a row of the cache.
    pub row: usize,
    /// Whether the next token will be sampled after it.
    pub sample: bool,
}

/// Why a batch was not computed. None of its tokens counts as seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeFailure {
    /// The context's cells did not suffice after all; with fewer lanes they may.
    NoRoom,
    /// Nobody wanted it any more.
    Abandoned,
    /// Anything else, in llama.cpp's words.
    Failed(String),
}

/// What the batcher needs of a model.
pub trait Decoder {
    /// Computes a batch. Positions of a row are consecutive and continue where its last batch ended. May stop early once
    /// `abandoned` returns true.
    ///
    /// # Errors
    /// [`DecodeFailure`]; the rows in the batch must then be truncated.
    fn decode(&mut self, batch: &[Input], abandoned: &dyn Fn() -> bool) -> Result<(), DecodeFailure>;
    /// The score of each token of the vocabulary after the `index`-th input of the last batch, which had `sample` set.
    fn scores(&self, index: usize) -> &[f32];
    /// Whether rows can be cut and shared at any token. Recurrent models keep one state instead.
    fn can_share(&self) -> bool;
    /// Only the first `length` tokens of a row stay. `length` is 0 unless [`can_share`](Self::can_share).
    fn truncate(&mut self, row: usize, length: usize);
    /// Lets the empty row `to` use the first `length` tokens of `from`.
    fn share(&mut self, from: usize, to: usize, length: usize);
    /// Appends the bytes that a token stands for.
    fn append_piece(&self, token: Token, bytes: &mut Vec<u8>);
    /// Whether the token ends the answer.
    fn ends_answer(&self, token: Token) -> bool;
}

/// The sizes of a batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Requests that run at a time.
    pub lanes: usize,
    /// Rows of the cache, at least one more than `lanes`: the others keep what earlier requests have read.
    pub rows: usize,
    /// Most tokens in one batch.
    pub batch: usize,
    /// Cells of the cache, in tokens.
    pub cells: usize,
}

/// The requests of one model and the loop over them.
pub struct Batcher<D: Decoder> {
    decoder: D,
    sizes: Sizes,
    pace: Pace,
    cells: Cells,
    /// By row. At most `sizes.lanes` run.
    running: Vec<Option<Sequence>>,
    /// Oldest first; preempted requests return to their place by age.
    waiting: VecDeque<Sequence>,
    arrivals: u64,
    /// When the current step began.
    now: Instant,
    clock: Box<dyn Fn() -> Instant + Send>,
    stats: Arc<Stats>,
    batch: Vec<Input>,
    bytes: Vec<u8>,
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
    /// `clock` tells the time before and after each batch.
    pub fn new(
        decoder: D,
        sizes: Sizes,
        stats: Arc<Stats>,
        clock: impl Fn() -> Instant + Send + 'static,
    ) -> Self {
        let sizes = Sizes { lanes: sizes.lanes.max(1), rows: sizes.rows.max(sizes.lanes + 1), ..sizes };
        Self {
            decoder,
            sizes,
            pace: Pace::default(),
            cells: Cells::new(sizes.rows, sizes.cells),
            running: std::iter::repeat_with(|| None).take(sizes.rows).collect(),
            waiting: VecDeque::new(),
            arrivals: 0,
            now: clock(),
            clock: Box::new(clock),
            stats,
            batch: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The model that computes.
    pub fn decoder(&mut self) -> &mut D {
        &mut self.decoder
    }

    /// Queues a request.
    pub fn add(&mut self, job: Job) {
        let (prompt, context) = (job.prompt.len(), self.sizes.cells);
        if prompt == 0 || prompt >= context {
            job.output.fail(EngineError::ContextLengthExceeded { prompt, context });
            return;
        }
        self.stats.prompt_tokens.fetch_add(prompt as u64, Ordering::Relaxed);
        self.stats.queued.fetch_add(1, Ordering::Relaxed);
        self.waiting.push_back(Sequence::new(self.arrivals, context, job));
        self.arrivals += 1;
    }

    /// Drops who has left, lets in who waits, computes one batch and sends what it yields.
    pub fn step(&mut self) -> Progress {
        let now = (self.clock)();
        self.now = now;
        self.deliver_and_drop_unwanted(now);
        self.admit(now);
        self.forget_stale();
        let limits = self.pace.limits(self.sizes.batch, self.sizes.cells);
        let plan = schedule::plan(&self.views(), self.cells.taken(), limits);
        for row in plan.preempt {
            self.preempt(row);
        }
        if plan.slices.is_empty() {
            let idle = self.waiting.is_empty() && self.running.iter().all(Option::is_none);
            return if idle { Progress::Idle } else { Progress::Paused };
        }

        self.batch.clear();
        let mut ends = Vec::with_capacity(self.sizes.lanes);
        for slice in &plan.slices {
            let Some(sequence) = self.running.get(slice.lane).and_then(Option::as_ref) else { continue };
            let from = self.cells.tokens(slice.lane).len();
            let last = from + slice.count - 1;
            for position in from..=last {
                let sample = slice.sample && position == last;
                self.batch.push(Input {
                    token: sequence.tokens[position],
                    position,
                    row: slice.lane,
                    sample,
                });
            }
            if slice.sample {
                ends.push((slice.lane, self.batch.len() - 1));
            }
        }
        self.make_room(self.batch.len());
        let (running, worth_stopping) = (&self.running, self.batch.len() >= WORTH_STOPPING);
        let abandoned = || {
            let mut sequences = plan.slices.iter().filter_map(|slice| running.get(slice.lane)?.as_ref());
            worth_stopping && sequences.all(Sequence::is_abandoned)
        };
        let before = (self.clock)();
        match self.decoder.decode(&self.batch, &abandoned) {
            Ok(()) => {
                let after = (self.clock)();
                let generated = plan.slices.iter().filter(|slice| slice.count == 1 && slice.sample).count();
                self.pace.learn(generated, self.batch.len() - generated, after - before);
                for input in &self.batch {
                    self.cells.extend(input.row, [input.token]);
                }
                for (row, index) in ends {
                    self.take_token(row, index, after);
                }
            }
            Err(failure) => self.recover(&failure),
        }
        Progress::Busy
    }

    fn views(&self) -> Vec<Lane> {
        let view = |(id, sequence): (usize, &Option<Sequence>)| {
            let sequence = sequence.as_ref()?;
            Some(Lane {
                id,
                arrival: sequence.arrival,
                tokens: sequence.tokens.len(),
                cached: self.cells.tokens(id).len(),
                exclusive: self.cells.exclusive(id),
                paused: sequence.unsent.is_some(),
            })
        };
        self.running.iter().enumerate().filter_map(view).collect()
    }

    fn deliver_and_drop_unwanted(&mut self, now: Instant) {
        for row in 0..self.running.len() {
            let Some(sequence) = self.running[row].as_mut() else { continue };
            let standing = sequence.deliver(now);
            if standing != Standing::Wanted {
                self.count(standing);
                self.end(row, |sequence| sequence.dismiss(standing));
            }
        }
        let mut index = 0;
        while let Some(sequence) = self.waiting.get_mut(index) {
            let standing = sequence.deliver(now);
            if standing == Standing::Wanted {
                index += 1;
            } else if let Some(sequence) = self.waiting.remove(index) {
                decrement(&self.stats.queued);
                self.count(standing);
                sequence.dismiss(standing);
            }
        }
    }

    fn count(&self, standing: Standing) {
        let counter = match standing {
            Standing::Wanted => return,
            Standing::Left => &self.stats.cancelled,
            Standing::Late => &self.stats.late,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the oldest requests in whose client reads. While the oldest does not fit, no younger one overtakes it: it
    /// would wait for ever behind a row of small ones.
    fn admit(&mut self, now: Instant) {
        let reads = |sequence: &Sequence| sequence.unsent.is_none();
        while self.waiting.iter().any(reads) && self.make_way() {
            let ready = |sequence: &Sequence| reads(sequence) && !self.gains_by_waiting(sequence);
            let Some(next) = self.waiting.iter().position(ready) else { return };
            let sequence = &self.waiting[next];
            let best = self.longest_match(&sequence.tokens);
            // What it shares with a running request costs nothing; what lies in an idle row is only kept from others.
            let shared = best.filter(|(row, _)| self.cells.is_taken(*row)).map_or(0, |(_, length)| length);
            let lanes = self.views();
            let committed = self.cells.taken() + lanes.iter().map(Lane::pending).sum::<usize>();
            if !schedule::fits(sequence.tokens.len() - shared, committed, lanes.len(), self.sizes.cells) {
                return;
            }
            let Some(mut sequence) = self.waiting.remove(next) else { return };
            let row = self.row_for(best);
            self.cells.take(row);
            let cached = self.cells.tokens(row).len();
            if sequence.cached_tokens.is_none() {
                sequence.cached_tokens = Some(cached);
                sequence.started = Some(now);
                self.stats.cached_tokens.fetch_add(cached as u64, Ordering::Relaxed);
            }
            decrement(&self.stats.queued);
            self.stats.active.fetch_add(1, Ordering::Relaxed);
            self.running[row] = Some(sequence);
        }
    }

    /// Whether one more may run, after the youngest paused request, whose client does not read, has given way.
    fn make_way(&mut self) -> bool {
        let lanes = self.views();
        if lanes.len() < self.sizes.lanes {
            return true;
        }
        let youngest =
            lanes.iter().filter(|lane| lane.paused).max_by_key(|lane| lane.arrival).map(|lane| lane.id);
        if let Some(row) = youngest {
            self.preempt(row);
        }
        youngest.is_some()
    }

    /// The row that begins most like `tokens`, and how much of it counts: the last token is always computed anew, since
    /// the next one is sampled after it.
    fn longest_match(&self, tokens: &[Token]) -> Option<(usize, usize)> {
        if !self.decoder.can_share() {
            return None;
        }
        let (row, length) = self.cells.longest_match(tokens)?;
        Some((row, length.min(tokens.len() - 1))).filter(|(_, length)| *length > 0)
    }

    /// Whether a running request is about to read what this one begins with.
    fn gains_by_waiting(&self, sequence: &Sequence) -> bool {
        if !self.decoder.can_share() {
            return false;
        }
        let there = self.longest_match(&sequence.tokens).map_or(0, |(_, length)| length);
        self.running.iter().enumerate().any(|(row, other)| {
            let Some(other) = other else { return false };
            let both = cells::common(&other.tokens, &sequence.tokens).min(sequence.tokens.len() - 1);
            both >= there + WORTH_WAITING && both > self.cells.tokens(row).len()
        })
    }

    /// A row that holds no more than the match: the matching row itself where little is lost, else one that shares it.
    fn row_for(&mut self, best: Option<(usize, usize)>) -> usize {
        let Some((from, length)) = best else {
            let row = self.cells.spare(None).unwrap_or(0);
            self.truncate(row, 0);
            return row;
        };
        let is_idle = !self.cells.is_taken(from);
        let is_whole = length == self.cells.tokens(from).len();
        match self.cells.spare(Some(from)) {
            Some(to) if !(is_idle && is_whole) => {
                self.truncate(to, 0);
                self.decoder.share(from, to, length);
                self.cells.share(from, to, length);
                to
            }
            _ => {
                self.truncate(from, length);
                from
            }
        }
    }

    /// Frees cells of rows that nobody runs in, those left longest ago first.
    fn make_room(&mut self, cells: usize) {
        while self.cells.free() < cells
            && let Some(row) = self.cells.coldest()
        {
            self.truncate(row, 0);
        }
    }

    /// Frees rows that nobody came back to, and the older ones where idle rows hold more than half of the cells.
    fn forget_stale(&mut self) {
        while let Some(row) = self.cells.coldest() {
            let is_stale = self.cells.left(row).is_some_and(|left| self.now.duration_since(left) >= KEEP);
            let are_many = self.cells.idle_rows() > 1 && self.cells.idle() > self.sizes.cells / 2;
            if !is_stale && !are_many {
                return;
            }
            self.truncate(row, 0);
        }
    }

    fn truncate(&mut self, row: usize, length: usize) {
        if self.cells.tokens(row).len() > length {
            self.decoder.truncate(row, length);
            self.cells.truncate(row, length);
        }
    }

    /// Leaves a row with what it has read, or empty if that is of no use.
    fn leave(&mut self, row: usize) {
        if !self.decoder.can_share() {
            self.truncate(row, 0);
        }
        self.cells.release(row, self.now);
    }

    /// Puts a running request back among those that wait, in order of age. What it has read stays until its cells are
    /// wanted.
    fn preempt(&mut self, row: usize) {
        let Some(sequence) = self.running.get_mut(row).and_then(Option::take) else { return };
        self.leave(row);
        decrement(&self.stats.active);
        self.stats.queued.fetch_add(1, Ordering::Relaxed);
        self.stats.preemptions.fetch_add(1, Ordering::Relaxed);
        let place = self.waiting.partition_point(|other| other.arrival < sequence.arrival);
        self.waiting.insert(place, sequence);
    }

    /// Samples a row's next token and sends the text that it releases.
    fn take_token(&mut self, row: usize, index: usize, now: Instant) {
        let Some(sequence) = self.running.get_mut(row).and_then(Option::as_mut) else { return };
        let scores = self.decoder.scores(index);
        let token = match sequence.choose(scores) {
            Ok(token) => token,
            Err(error) => return self.end(row, |sequence| sequence.fail(error)),
        };
        self.stats.generated_tokens.fetch_add(1, Ordering::Relaxed);
        sequence.tokens.push(token);
        if self.decoder.ends_answer(token) {
            let text = sequence.text.finish().text;
            return self.done(row, text, FinishReason::Stop, now);
        }
        if let Some(probabilities) = sequence.sampler.probabilities(scores, token) {
            let spelled = |scored: Scored| {
                let mut bytes = Vec::new();
                self.decoder.append_piece(scored.token, &mut bytes);
                SpelledToken { bytes, logprob: scored.logprob }
            };
            sequence.probabilities.push(TokenProbabilities {
                chosen: spelled(probabilities.chosen),
                top: probabilities.top.into_iter().map(spelled).collect(),
            });
        }
        if let Some(Err(error)) = sequence.grammar.as_mut().map(|grammar| grammar.accept(token)) {
            return self.end(row, |sequence| sequence.fail(error));
        }
        self.bytes.clear();
        match sequence.shown.iter().find(|(shown, _)| *shown == token) {
            Some((_, text)) => self.bytes.extend_from_slice(text),
            None => self.decoder.append_piece(token, &mut self.bytes),
        }
        let mut released = sequence.text.push(&self.bytes);
        if released.stopped {
            self.done(row, released.text, FinishReason::Stop, now);
        } else if sequence.tokens.len() >= sequence.token_limit {
            let rest = sequence.text.finish();
            released.text.push_str(&rest.text);
            let reason = if rest.stopped { FinishReason::Stop } else { FinishReason::Length };
            self.done(row, released.text, reason, now);
        } else if !released.text.is_empty() {
            let piece = sequence.piece(released.text);
            sequence.unsent = Some(piece);
            sequence.deliver(now);
        }
    }

    fn done(&mut self, row: usize, text: String, reason: FinishReason, now: Instant) {
        let stats = Arc::clone(&self.stats);
        self.end(row, |mut sequence| {
            if let Some(started) = sequence.started {
                stats.took(now - started);
            }
            let rest = sequence.piece(text);
            sequence.finish(rest, reason);
        });
    }

    /// Leaves a row and hands its request to `last`.
    fn end(&mut self, row: usize, last: impl FnOnce(Sequence)) {
        if let Some(sequence) = self.running.get_mut(row).and_then(Option::take) {
            self.leave(row);
            decrement(&self.stats.active);
            last(sequence);
        }
    }

    /// Undoes a batch that was not computed. Where there was no room, all but the oldest request give way and nothing is
    /// kept; where llama.cpp failed, the requests in the context fail with it.
    fn recover(&mut self, failure: &DecodeFailure) {
        for input in &self.batch {
            let seen = self.cells.tokens(input.row).len();
            // Once per row.
            if input.position == seen {
                let keep = if self.decoder.can_share() { seen } else { 0 };
                self.decoder.truncate(input.row, keep);
                self.cells.truncate(input.row, keep);
            }
        }
        let mut lanes = self.views();
        lanes.sort_unstable_by_key(|lane| lane.arrival);
        let message = match failure {
            DecodeFailure::Abandoned => return,
            DecodeFailure::NoRoom if lanes.len() > 1 || self.cells.coldest().is_some() => {
                for lane in lanes.drain(1..) {
                    self.preempt(lane.id);
                }
                return self.forget_everything();
            }
            DecodeFailure::NoRoom => "llama.cpp found no room in an empty context".to_owned(),
            DecodeFailure::Failed(message) => message.clone(),
        };
        for lane in lanes {
            let error = EngineError::Internal { message: message.clone() };
            self.end(lane.id, |sequence| sequence.fail(error));
        }
        self.forget_everything();
    }

    fn forget_everything(&mut self) {
        for row in 0..self.sizes.rows {
            self.truncate(row, 0);
        }
    }
}

fn decrement(counter: &AtomicUsize) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
