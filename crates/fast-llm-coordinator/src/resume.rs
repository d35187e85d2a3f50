//! Going on with a stream that broke off after the client was given a part of it.
//!
//! What the client has is kept as text while the stream runs. When it breaks, the rest is asked for at another endpoint of
//! the model that can continue a message (`resume = "prefill"`, or the local engine), at the same one last; the request
//! for the rest and the seam are `llm_wire`'s. Not continued are several choices, log probabilities, calls of tools that
//! have begun, open reasoning, and answers with a required format unless the local engine gives the rest, whose grammar
//! advances over what has been said.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use llm_wire::WireError;
use llm_wire::openai::{ChatRequest, Cut, Heard, PartialAnswer, Seam, Usage};

use crate::attempt::{Established, Got};
use crate::call::CallOptions;
use crate::config::{EndpointConfig, Protocol};
use crate::endpoint::Endpoint;
use crate::error::Failure;
use crate::execution::Core;
use crate::journal::Journal;
use crate::place::Model;
use crate::question::Question;
use crate::report::{Attempt, Outcome};
use crate::select::Tried;
use crate::upstream::Upstream;

/// How often one stream is continued without a new word in between: a fault that follows the request around is not mended
/// by asking once more.
const WITHOUT_PROGRESS: u32 = 2;

/// What a stream remembers in order to be continued.
pub(crate) struct Resumption {
    core: Arc<Core>,
    request_id: Arc<str>,
    /// The public name.
    model: Arc<str>,
    request: ChatRequest,
    options: CallOptions,
    partial: PartialAnswer,
    seam: Option<Seam>,
    /// Whether the words before the cut will be said again: until a backend says others.
    repeats: bool,
    /// The text's length at the last continuation, and how often it has been the same.
    last_length: usize,
    without_progress: u32,
    /// Endpoints that began anew when they were asked to go on.
    unable: Vec<Arc<Endpoint>>,
}

/// The rest of an answer, begun.
pub(crate) struct Continued {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) preamble: Vec<Bytes>,
    pub(crate) upstream: Upstream,
    pub(crate) dropped: Vec<String>,
}

/// What becomes of a broken stream, and every attempt so far.
pub(crate) type Continuing = BoxFuture<'static, (Result<Continued, Failure>, Vec<Attempt>)>;

/// How a broken stream goes on.
pub(crate) enum Next {
    /// The rest is being asked for.
    Asking(Continuing),
    /// As many tokens as were asked for have been given: this chunk ends the answer.
    Ended(Bytes),
}

impl Resumption {
    /// `None` where no endpoint of the model could continue the answer.
    pub(crate) fn new(
        core: &Arc<Core>,
        model: &Arc<str>,
        request_id: &Arc<str>,
        question: Question<'_>,
        options: &CallOptions,
    ) -> Option<Self> {
        let Question::Chat(request) = question else { return None };
        let places = &core.models.get(model)?.places;
        if !places.iter().any(|place| continues(&place.endpoint.config)) {
            return None;
        }
        Some(Self {
            core: Arc::clone(core),
            request_id: Arc::clone(request_id),
            model: Arc::clone(model),
            request: request.clone(),
            options: options.clone(),
            partial: PartialAnswer::default(),
            seam: None,
            repeats: request.temperature() == Some(0.0),
            last_length: 0,
            without_progress: 0,
            unable: Vec::new(),
        })
    }

    /// Takes a chunk of the endpoint's and gives the one for the client, if it has anything new to say. `text`: where its
    /// text lies, if that is known and all that it says.
    ///
    /// # Errors
    /// [`WireError::Json`] where a chunk of the rest is none.
    pub(crate) fn chunk(
        &mut self,
        chunk: Bytes,
        text: Option<&Range<usize>>,
    ) -> Result<Heard<Bytes>, WireError> {
        let Some(seam) = &mut self.seam else {
            self.partial.push_known(&chunk, text);
            return Ok(Heard::New(chunk));
        };
        let heard = seam.chunk(&self.partial, &chunk)?;
        if let Heard::New(chunk) = &heard {
            self.partial.push(chunk);
        }
        Ok(heard)
    }

    /// What was counted, as it stands for the whole answer.
    pub(crate) fn usage(&self, usage: Usage) -> Usage {
        self.seam.as_ref().map_or(usage, |seam| seam.cut().summed(usage))
    }

    /// The backend said other words than before the cut. One that began anew is not asked again, for it does not continue
    /// messages; else the rest is asked for where the text ends from now on.
    pub(crate) fn is_another(&mut self, anew: bool, endpoint: &Arc<Endpoint>) {
        match anew {
            true => self.unable.push(Arc::clone(endpoint)),
            false => self.repeats = false,
        }
    }

    /// How to go on after `failed` at `endpoint`, with the attempts so far; `None`: not at all.
    pub(crate) fn next(&mut self, endpoint: &Arc<Endpoint>, attempts: &[Attempt]) -> Option<Next> {
        if !self.partial.is_text() || !self.request.is_resumable() {
            return None;
        }
        if self.partial.text().len() > self.last_length {
            self.last_length = self.partial.text().len();
            self.without_progress = 0;
        } else {
            self.without_progress += 1;
        }
        if self.without_progress > WITHOUT_PROGRESS {
            return None;
        }
        let core = Arc::clone(&self.core);
        let model = core.models.get(&self.model)?;
        let tried = self.may_be_asked(model, endpoint);
        if tried.iter().all(|tried| *tried == Tried::Finished) {
            return None;
        }
        let cut = self.partial.cut(self.repeats);
        let Some(request) = self.request.continued(&cut).ok()? else {
            return Some(Next::Ended(self.partial.ended_by_length()));
        };
        self.core.counters.resume();
        Some(Next::Asking(self.ask(request, cut, tried, attempts.to_vec())))
    }

    fn ask(
        &mut self,
        request: ChatRequest,
        cut: Cut,
        tried: Vec<Tried>,
        attempts: Vec<Attempt>,
    ) -> Continuing {
        self.seam = Some(Seam::new(cut));
        let (core, options) = (Arc::clone(&self.core), self.options.clone());
        let (name, request_id) = (Arc::clone(&self.model), Arc::clone(&self.request_id));
        Box::pin(async move {
            let mut journal = Journal::continued(options.received, attempts);
            let asked = async {
                // The model was there a moment ago, and a coordinator's models do not change.
                let model = core.models.get(&name)?;
                let question = Question::Chat(&request);
                let answered =
                    core.try_model(model, tried, &request_id, question, &options, &mut journal).await;
                Some(answered.map(|(place, established)| (Arc::clone(&place.endpoint), established)))
            };
            let answered = match options.deadline() {
                None => asked.await,
                // The stream's own watch tells that the deadline passed.
                Some((at, _)) => tokio::time::timeout_at(at.into(), asked).await.ok().flatten(),
            };
            let continued = match answered {
                Some(Ok((endpoint, Established { answer, dropped, .. }))) => match answer {
                    Got::Streaming { preamble, upstream } => {
                        if let Some(attempt) = journal.attempts.last_mut() {
                            attempt.outcome = Outcome::Resumed;
                        }
                        Ok(Continued { endpoint, preamble, upstream, dropped })
                    }
                    Got::Complete { .. } => Err(not_continued(endpoint.name())),
                },
                Some(Err(failure)) => Err(failure),
                None => Err(not_continued(&name)),
            };
            (continued, journal.attempts)
        })
    }

    /// Who may give the rest: those that can, the one that broke off after all others.
    fn may_be_asked(&self, model: &Model, broke_off: &Arc<Endpoint>) -> Vec<Tried> {
        let has_format = self.request.has_format();
        let tried = model.places.iter().map(|place| {
            let config = &place.endpoint.config;
            let unable = self.unable.iter().any(|unable| Arc::ptr_eq(unable, &place.endpoint));
            if unable || !continues(config) || (has_format && config.protocol != Protocol::UatEngine) {
                Tried::Finished
            } else if Arc::ptr_eq(&place.endpoint, broke_off) {
                Tried::FailedBriefly
            } else {
                Tried::NotYet
            }
        });
        tried.collect()
    }
}

/// Whether an endpoint continues a message that ends the conversation.
fn continues(config: &EndpointConfig) -> bool {
    config.resume.is_some() || config.protocol == Protocol::UatEngine
}

fn not_continued(endpoint: &Arc<str>) -> Failure {
    crate::classify::failure(endpoint, "UAT_UPSTREAM", "the answer could not be continued".to_owned())
}
