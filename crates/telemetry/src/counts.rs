use std::sync::atomic::{AtomicU64, Ordering};

/// What was told and what was not, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    spans_exported: AtomicU64,
    spans_dropped: AtomicU64,
    exports_failed: AtomicU64,
    lines_written: AtomicU64,
    lines_dropped: AtomicU64,
}

impl Counts {
    /// Spans that a collector took.
    pub fn spans_exported(&self) -> u64 {
        self.spans_exported.load(Ordering::Relaxed)
    }

    /// Spans that no collector got: the queue was full, or none could be reached, or it refused them.
    pub fn spans_dropped(&self) -> u64 {
        self.spans_dropped.load(Ordering::Relaxed)
    }

    /// Tries to hand over spans that failed, repetitions included.
    pub fn exports_failed(&self) -> u64 {
        self.exports_failed.load(Ordering::Relaxed)
    }

    /// Lines of the access log.
    pub fn lines_written(&self) -> u64 {
        self.lines_written.load(Ordering::Relaxed)
    }

    /// Lines that are missing there: the disk was too slow, or full.
    pub fn lines_dropped(&self) -> u64 {
        self.lines_dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn exported(&self, spans: u64) {
        self.spans_exported.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, spans: u64) {
        self.spans_dropped.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn export_failed(&self) {
        self.exports_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn written(&self, lines: u64) {
        self.lines_written.fetch_add(lines, Ordering::Relaxed);
    }

    pub(crate) fn line_dropped(&self, lines: u64) {
        self.lines_dropped.fetch_add(lines, Ordering::Relaxed);
    }
}
