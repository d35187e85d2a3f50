//! What a transcriber says of a piece of a signal, on the signal's clock. Pure.

use crate::Segment;

/// Segments whose times are from `start`, without those that say nothing: in order, after `after` and up to `end` (all ms), whatever a
/// transcriber says.
pub(crate) fn placed(said: Vec<Segment>, start: u64, end: u64, after: u64) -> impl Iterator<Item = Segment> {
    let says_something = said.into_iter().filter(|segment| !segment.text.trim().is_empty());
    says_something.scan(after.max(start), move |earliest, segment| {
        let segment = on_our_clock(segment, start, *earliest, end.max(*earliest));
        *earliest = segment.end_ms;
        Some(segment)
    })
}

fn on_our_clock(mut segment: Segment, start: u64, earliest: u64, latest: u64) -> Segment {
    let place = |time: u64, earliest: u64| time.saturating_add(start).clamp(earliest, latest);
    segment.start_ms = place(segment.start_ms, earliest);
    segment.end_ms = place(segment.end_ms, segment.start_ms);
    let mut after = segment.start_ms;
    for word in &mut segment.words {
        word.start_ms = place(word.start_ms, after);
        word.end_ms = place(word.end_ms, word.start_ms);
        after = word.end_ms;
    }
    segment
}
