//! Which trace a request belongs to, as W3C's headers say it: <https://www.w3.org/TR/trace-context/>.
//!
//! A caller names its trace and its own span in `traceparent`. Whoever is asked next gets the same trace, and the span of
//! the one who asks. The attempts of one request need a span each, and whoever sends them and whoever reports them must
//! give them the same names without talking to each other: [`TraceContext::child`] counts them up from the request's own.
//!
//! ```
//! use trace_context::TraceContext;
//!
//! let caller = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
//! let ours = caller.map(|caller| caller.with_span(7));
//! assert_eq!(
//!     ours.map(|ours| ours.child(0).traceparent()).as_deref(),
//!     Some("00-0af7651916cd43dd8448eb211c80319c-0000000000000008-01"),
//! );
//! ```
//!
//! # What it deliberately does not know
//! Random numbers, clocks, collectors, and what is sampled: those decide, this says.

use std::sync::Arc;

/// The header that names trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header in which tracing systems keep what is theirs.
pub const TRACESTATE: &str = "tracestate";

/// A `traceparent` of version 00, in bytes.
const LENGTH: usize = 55;
/// What the specification asks everybody to pass on of `tracestate`, in bytes; a longer one is left out whole.
const LONGEST_STATE: usize = 512;
const SAMPLED: u8 = 1;

/// A trace, and a span in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    is_sampled: bool,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// A trace that begins here; `None` where an id is 0, which is none.
    pub fn new(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, is_sampled, state: None })
    }

    /// Reads the headers of a caller; `None` where `traceparent` is none, for then the trace begins anew. Later versions
    /// of the header are read as far as this one knows them.
    pub fn parse(traceparent: &[u8], tracestate: Option<&[u8]>) -> Option<Self> {
        let text = std::str::from_utf8(traceparent).ok()?.trim_matches([' ', '\t']);
        let known = text.get(..LENGTH)?;
        let mut parts = known.split('-');
        let (version, trace_id, span_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || (version.len(), trace_id.len(), span_id.len()) != (2, 32, 16) {
            return None;
        }
        let version = hexadecimal(version)?;
        let may_go_on = version != 0 && version != 0xff && text.as_bytes().get(LENGTH) == Some(&b'-');
        if version == 0xff || (text.len() > LENGTH && !may_go_on) {
            return None;
        }
        let is_sampled = hexadecimal(flags)? as u8 & SAMPLED != 0;
        let context = Self::new(hexadecimal(trace_id)?, hexadecimal(span_id)? as u64, is_sampled)?;
        Some(Self { state: tracestate.and_then(state), ..context })
    }

    /// The same trace, seen from another span of it; 0, which is no id, counts as 1.
    #[must_use]
    pub fn with_span(&self, span_id: u64) -> Self {
        Self { span_id: span_id.max(1), ..self.clone() }
    }

    /// The context of the attempt with this number, from 0, where this is the request's.
    #[must_use]
    pub fn child(&self, number: usize) -> Self {
        self.with_span(self.child_span(number))
    }

    /// The span of that attempt.
    pub fn child_span(&self, number: usize) -> u64 {
        self.span_id.wrapping_add(number as u64).wrapping_add(1).max(1)
    }

    /// The trace, 128 bits.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The span, 64 bits.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether whoever began the trace keeps it.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }

    /// The header `tracestate`, where the caller sent one that may be passed on.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// Lower-case hexadecimal digits; the specification allows no others.
fn hexadecimal(text: &str) -> Option<u128> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Passed on as it came if it is short and printable.
fn state(header: &[u8]) -> Option<Arc<str>> {
    let printable = header.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let text = std::str::from_utf8(header).ok()?.trim();
    (printable && !text.is_empty() && text.len() <= LONGEST_STATE).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes(), None)
    }

    #[test]
    fn what_was_read_is_written_again() {
        assert_eq!(parse(GIVEN).unwrap().traceparent(), GIVEN);
        let not_kept = GIVEN.replace("-01", "-00");
        assert_eq!(parse(&not_kept).unwrap().traceparent(), not_kept);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GIVEN.replacen("00", "cc", 1);
        assert_eq!(parse(&later).unwrap().traceparent(), GIVEN);
        assert_eq!(parse(&format!("{later}-what-the-future-holds")).unwrap().traceparent(), GIVEN);
        assert_eq!(parse(&format!("{later}.what")), None);
    }

    #[test]
    fn what_is_no_context_is_none() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c8031-9cb7ad6b7169203331-01",
            "0é-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_is_passed_on_unless_it_is_a_flood() {
        let with = |state: &[u8]| {
            let context = TraceContext::parse(GIVEN.as_bytes(), Some(state)).unwrap();
            context.tracestate().map(str::to_owned)
        };
        assert_eq!(with(b"vendor=opaque,other=1").as_deref(), Some("vendor=opaque,other=1"));
        assert_eq!(with(b"a=b\r\nevil: 1"), None);
        assert_eq!(with(&[b'a'; LONGEST_STATE + 1]), None);
        assert_eq!(with(b" "), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_stays(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = TraceContext::parse(&bytes, Some(&bytes)) {
                prop_assert_eq!(parse(&context.traceparent()).unwrap().traceparent(), context.traceparent());
            }
        }

        #[test]
        fn the_attempts_of_a_request_have_spans_of_their_own(span in 1u64.., count in 1usize..50) {
            let request = TraceContext::new(1, span, true).unwrap();
            let mut spans: Vec<u64> = (0..count).map(|number| request.child_span(number)).collect();
            prop_assert!(spans.iter().all(|span| *span != 0));
            spans.sort_unstable();
            spans.dedup();
            // Where the count runs over the last number, two may share one.
            prop_assert!(spans.len() + 1 >= count);
        }
    }
}
