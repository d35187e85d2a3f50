//! What a caller gets.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use llm_wire::Spoken;
use route_plan::RoutePlan;

use crate::attempt::{Established, Got};
use crate::call::CallOptions;
use crate::chat_stream::{Beginning, ChatStream, StreamLimits};
use crate::execution::{Answered, Core};
use crate::journal::Journal;
use crate::question::Question;
use crate::report::{CacheOutcome, RoutingReport};
use crate::resume::Resumption;
use crate::stats::RequestGuard;

/// A whole answer, or one that has begun; the request's `stream` decides which.
#[derive(Debug)]
pub enum Answer {
    /// OpenAI's `chat.completion` document, or its list of embeddings.
    Complete {
        /// The document's bytes, the endpoint's own where it speaks this dialect.
        body: Bytes,
        /// The dialect of the document; `None`: OpenAI's. Another one only where the client asked in it and so does the
        /// endpoint.
        spoken: Option<Spoken>,
        /// What happened.
        report: RoutingReport,
    },
    /// The first content is there.
    Stream(ChatStream),
}

/// What an endpoint answered, with its report.
pub(crate) fn answer(
    core: &Arc<Core>,
    plan: &RoutePlan,
    question: Question<'_>,
    answered: Answered,
    journal: Journal,
    guard: RequestGuard,
    options: &CallOptions,
) -> Answer {
    let Established { answer, spoken, mut dropped } = answered.established;
    if spoken.is_none() {
        dropped.extend_from_slice(question.dropped());
    }
    let overhead = journal.overhead(Instant::now());
    core.counters.overhead(overhead);
    let mut report = RoutingReport {
        request_id: Arc::clone(&plan.request_id),
        model: answered.model,
        endpoint: Arc::clone(&answered.endpoint.config.name),
        cache: CacheOutcome::Bypass,
        attempts: journal.attempts,
        overhead_us: u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX),
        dropped,
        usage: None,
    };
    match answer {
        Got::Complete { body, usage, in_flight } => {
            drop(in_flight);
            if let Some(usage) = &usage {
                core.counters.usage(usage);
            }
            report.usage = usage;
            Answer::Complete { body, spoken, report }
        }
        Got::Streaming { preamble, upstream } => {
            let started = upstream.in_flight().started();
            let resumption = match spoken {
                None => Resumption::new(
                    core,
                    &report.model,
                    &report.request_id,
                    question,
                    options,
                    journal.bill.clone(),
                ),
                // What is passed on in the client's own dialect is not read.
                Some(_) => None,
            };
            let limits = StreamLimits::new(&answered.endpoint.config, started, options.deadline());
            let beginning = Beginning { preamble, upstream, spoken, limits, resumption };
            Answer::Stream(ChatStream::new(beginning, guard, report))
        }
    }
}
