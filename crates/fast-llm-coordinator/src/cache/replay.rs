//! A stream of an answer that is whole already.

use std::collections::VecDeque;

use bytes::Bytes;
use llm_wire::openai::Usage;

use crate::report::RoutingReport;
use crate::stats::RequestGuard;

pub(crate) struct Replay {
    chunks: VecDeque<Bytes>,
    usage: Option<Usage>,
    report: RoutingReport,
    /// Counts the request until it is dropped.
    _guard: Option<RequestGuard>,
}

impl Replay {
    pub(super) fn new(
        chunks: Vec<Bytes>,
        usage: Option<Usage>,
        report: RoutingReport,
        guard: RequestGuard,
    ) -> Self {
        Self { chunks: chunks.into(), usage, report, _guard: Some(guard) }
    }

    /// One of an answer that was counted when it was whole.
    pub(crate) fn of_counted(chunks: Vec<Bytes>, report: RoutingReport) -> Self {
        Self { chunks: chunks.into(), usage: report.usage, report, _guard: None }
    }

    pub(crate) fn report(&self) -> RoutingReport {
        RoutingReport { usage: self.usage, ..self.report.clone() }
    }

    pub(crate) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    pub(crate) fn next_chunk(&mut self) -> Option<Bytes> {
        self.chunks.pop_front()
    }
}
