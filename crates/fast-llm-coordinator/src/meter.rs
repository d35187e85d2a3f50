//! What an execution takes of the endpoints that it asks, told once to whoever pays for it.

use std::sync::Arc;

use llm_wire::openai::{ChunkFacts, Usage};
use parking_lot::Mutex;

/// Who is told what one execution took.
///
/// It goes with the execution: where several requests share one, the meter of the request that it began for is told, and
/// those of the others are let go without a word, as is that of an answer from the cache. So a meter that is dropped
/// without having been told stands for a request that no endpoint was asked for.
pub trait Meter: std::fmt::Debug + Send + Sync + 'static {
    /// The most that one attempt can take, for what nobody counts.
    fn most(&self) -> Most;

    /// What the execution took of this model, by its public name, has come to its end: with an answer, an error, or because
    /// nobody wanted it any more. Called once for each of the plan's models of which an endpoint was asked, from wherever that
    /// happens; it must not wait.
    fn used(&self, model: &Arc<str>, spent: Spent);
}

/// The most that one attempt can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of all choices of the answer together.
    pub completion_tokens: u64,
}

/// What an execution took: all its attempts, and what went on with a broken answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Tokens of the prompts, those in a cache of the endpoint included.
    pub prompt_tokens: u64,
    /// Those of them that the endpoint had in its cache.
    pub cached_prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
    /// A part of it was not counted by an endpoint: it is not more than this.
    pub is_estimate: bool,
}

impl Spent {
    fn and(self, more: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(more.prompt_tokens),
            cached_prompt_tokens: self.cached_prompt_tokens.saturating_add(more.cached_prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(more.completion_tokens),
            is_estimate: self.is_estimate || more.is_estimate,
        }
    }
}

/// What one execution has taken so far. Clones are of the same execution; the meter is told when the last one goes.
#[derive(Clone, Default)]
pub(crate) struct Bill(Option<Arc<Open>>);

struct Open {
    meter: Arc<dyn Meter>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The model that is asked.
    model: Option<Arc<str>>,
    /// What the attempts took that have ended; `None` while no endpoint was asked.
    spent: Option<Spent>,
    attempt: Option<Attempt>,
}

/// An endpoint that has been asked and has not ended.
#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    streams: bool,
    usage: Option<Usage>,
    content_bytes: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The answer is whole.
    Finished,
    /// The endpoint was not reached, or refused before it answered anything.
    Refused,
    /// It broke off, or said nonsense.
    Broken,
    /// It was given up, by us or by the client, and the endpoint may have gone on meanwhile.
    GivenUp,
}

impl Bill {
    pub(crate) fn new(meter: Option<&Arc<dyn Meter>>) -> Self {
        Self(meter.map(|meter| Arc::new(Open { meter: Arc::clone(meter), state: Mutex::default() })))
    }

    /// The endpoints of this model are asked from now on.
    pub(crate) fn turn_to(&self, model: &Arc<str>) {
        if let Some(open) = &self.0 {
            let mut state = open.state.lock();
            state.tell(&*open.meter);
            state.model = Some(Arc::clone(model));
        }
    }

    /// An endpoint is about to be asked.
    pub(crate) fn begin(&self, streams: bool) {
        if let Some(open) = &self.0 {
            let mut state = open.state.lock();
            state.end(Ending::GivenUp, open.meter.most());
            state.attempt = Some(Attempt { streams, ..Attempt::default() });
        }
    }

    /// What a chunk says.
    pub(crate) fn chunk(&self, facts: &ChunkFacts) {
        self.heard(facts.usage, facts.content_bytes);
    }

    /// A whole answer of so many bytes.
    pub(crate) fn whole(&self, usage: Option<Usage>, bytes: usize) {
        self.heard(usage, bytes as u64);
        self.end(Ending::Finished);
    }

    fn heard(&self, usage: Option<Usage>, bytes: u64) {
        if let Some(open) = &self.0
            && let Some(attempt) = &mut open.state.lock().attempt
        {
            attempt.usage = usage.or(attempt.usage);
            attempt.content_bytes = attempt.content_bytes.saturating_add(bytes);
        }
    }

    /// The attempt has ended.
    pub(crate) fn end(&self, ending: Ending) {
        if let Some(open) = &self.0 {
            open.state.lock().end(ending, open.meter.most());
        }
    }
}

impl State {
    /// Tells what was spent on the model that was asked so far.
    fn tell(&mut self, meter: &dyn Meter) {
        self.end(Ending::GivenUp, meter.most());
        if let (Some(spent), Some(model)) = (self.spent.take(), &self.model) {
            meter.used(model, spent);
        }
    }

    fn end(&mut self, ending: Ending, most: Most) {
        let Some(attempt) = self.attempt.take() else { return };
        let spent = attempt.spent(ending, most);
        self.spent = Some(self.spent.unwrap_or_default().and(spent));
    }
}

impl Attempt {
    fn spent(self, ending: Ending, most: Most) -> Spent {
        let counted = self.usage.map(|usage| Spent {
            prompt_tokens: usage.prompt_tokens,
            cached_prompt_tokens: usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens),
            completion_tokens: usage.completion_tokens,
            is_estimate: false,
        });
        match (ending, counted) {
            (Ending::Refused, _) => return Spent::default(),
            (Ending::Finished, Some(counted)) => return counted,
            _ => {}
        }
        // An answer that is not streamed may have been written to its end without a byte of it having come.
        let written = match (ending, self.streams) {
            (Ending::GivenUp, false) => most.completion_tokens,
            _ => self.content_bytes.min(most.completion_tokens),
        };
        let counted = counted.unwrap_or(Spent { prompt_tokens: most.prompt_tokens, ..Spent::default() });
        Spent { completion_tokens: counted.completion_tokens.max(written), is_estimate: true, ..counted }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.get_mut().tell(&*self.meter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<Spent>>);

    impl Meter for Told {
        fn most(&self) -> Most {
            Most { prompt_tokens: 100, completion_tokens: 1_000 }
        }

        fn used(&self, _model: &Arc<str>, spent: Spent) {
            self.0.lock().push(spent);
        }
    }

    /// What the meter is told of an execution that goes so: prompt, answer, and whether that is an estimate.
    fn told(execution: impl FnOnce(&Bill)) -> Vec<(u64, u64, bool)> {
        let told = Arc::new(Told::default());
        let meter: Arc<dyn Meter> = told.clone();
        let bill = Bill::new(Some(&meter));
        bill.turn_to(&"m".into());
        execution(&bill);
        drop(bill);
        let told = told.0.lock();
        told.iter().map(|s| (s.prompt_tokens, s.completion_tokens, s.is_estimate)).collect()
    }

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> Option<Usage> {
        Some(Usage { prompt_tokens, completion_tokens, ..Usage::default() })
    }

    fn content(bytes: u64) -> ChunkFacts {
        ChunkFacts { content_bytes: bytes, ..ChunkFacts::default() }
    }

    #[test]
    fn who_was_not_asked_costs_nothing_and_is_not_told_of() {
        assert_eq!(told(|_| {}), []);
    }

    #[test]
    fn a_refusal_costs_nothing_and_is_told_of() {
        let refused = told(|bill| {
            bill.begin(false);
            bill.end(Ending::Refused);
        });
        assert_eq!(refused, [(0, 0, false)]);
    }

    #[test]
    fn what_the_endpoint_counted_is_what_it_took() {
        let whole = told(|bill| {
            bill.begin(false);
            bill.whole(usage(7, 3), 500);
        });
        assert_eq!(whole, [(7, 3, false)]);
    }

    #[test]
    fn where_nobody_counts_it_is_the_bytes_and_never_more_than_was_asked_for() {
        let whole = |bytes| {
            told(|bill| {
                bill.begin(false);
                bill.whole(None, bytes);
            })
        };
        assert_eq!(whole(40), [(100, 40, true)]);
        assert_eq!(whole(4_000), [(100, 1_000, true)]);
    }

    #[test]
    fn a_stream_that_is_left_counts_as_far_as_it_came() {
        let left = told(|bill| {
            bill.begin(true);
            bill.chunk(&content(12));
            bill.chunk(&content(5));
        });
        assert_eq!(left, [(100, 17, true)]);
    }

    #[test]
    fn a_whole_answer_that_is_left_counts_as_the_longest() {
        assert_eq!(told(|bill| bill.begin(false)), [(100, 1_000, true)]);
        let broken = told(|bill| {
            bill.begin(false);
            bill.end(Ending::Broken);
        });
        assert_eq!(broken, [(100, 0, true)], "whoever breaks off has not answered");
    }

    #[test]
    fn what_each_model_took_is_told_apart() {
        let each = told(|bill| {
            bill.begin(true);
            bill.chunk(&content(20));
            bill.end(Ending::Broken);
            bill.turn_to(&"other".into());
            bill.begin(false);
            bill.whole(usage(30, 9), 40);
        });
        assert_eq!(each, [(100, 20, true), (30, 9, false)]);
    }

    #[test]
    fn attempts_are_summed_and_told_once_when_the_last_holder_goes() {
        let resumed = told(|bill| {
            bill.begin(true);
            bill.chunk(&content(20));
            bill.end(Ending::Broken);
            let rest = bill.clone();
            rest.begin(true);
            rest.chunk(&ChunkFacts { usage: usage(30, 9), ..content(10) });
            rest.end(Ending::Finished);
        });
        assert_eq!(resumed, [(130, 29, true)]);
    }
}
