//! Cuts the text of a window into segments at its times, and says where the next window begins.

/// Columns of 10 ms that a token of time stands for.
const COLUMNS: usize = 2;

/// A window's text, cut.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut {
    /// Start and end within the window in columns of 10 ms, and which tokens.
    pub(crate) segments: Vec<(usize, usize, std::ops::Range<usize>)>,
    /// How far the window has been understood, in columns of 10 ms.
    pub(crate) advance: usize,
}

/// Cuts the text of a window of `columns` columns. A text whose last segment has no end is heard again in the next window.
pub(crate) fn cut(tokens: &[u32], first_time: u32, columns: usize) -> Cut {
    let time = |token: u32| token.checked_sub(first_time).map(|steps| steps as usize * COLUMNS);
    let is_time = |at: usize| tokens.get(at).is_some_and(|token| *token >= first_time);
    let length = tokens.len();
    let single_end = length >= 2 && is_time(length - 1) && !is_time(length - 2);
    let mut places: Vec<usize> = (1..length).filter(|at| is_time(*at) && is_time(at - 1)).collect();
    if places.is_empty() {
        let last = tokens.iter().rev().find_map(|token| time(*token)).filter(|end| *end > 0);
        let start = tokens.first().and_then(|token| time(*token)).unwrap_or(0);
        let end = last.filter(|end| *end > start).unwrap_or(columns).min(columns);
        return Cut { segments: vec![(start.min(end), end, 0..length)], advance: columns };
    }
    let closed = *places.last().unwrap_or(&0);
    if single_end {
        places.push(length);
    }
    let mut from = 0;
    let mut segments = Vec::with_capacity(places.len());
    for to in places {
        let start = tokens.get(from).and_then(|token| time(*token)).unwrap_or(0);
        let end = tokens.get(to - 1).and_then(|token| time(*token)).unwrap_or(columns);
        segments.push((start.min(columns), end.min(columns), from..to));
        from = to;
    }
    let advance = if single_end {
        columns
    } else {
        // The time before the pair ended the last whole segment.
        tokens.get(closed - 1).and_then(|token| time(*token)).unwrap_or(columns)
    };
    Cut { segments, advance }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u32 = 1_000;

    #[test]
    fn one_text_between_two_times_is_one_segment_and_the_whole_window() {
        let found = cut(&[T, 1, 2, T + 150], T, 400);
        assert_eq!(found, Cut { segments: vec![(0, 300, 0..4)], advance: 400 });
    }

    #[test]
    fn a_text_that_goes_on_is_heard_again() {
        let found = cut(&[T, 1, T + 100, T + 100, 2], T, 3_000);
        assert_eq!(found, Cut { segments: vec![(0, 200, 0..3)], advance: 200 });
    }

    #[test]
    fn pairs_of_times_part_segments() {
        let found = cut(&[T, 1, T + 100, T + 110, 2, T + 200], T, 3_000);
        assert_eq!(found, Cut { segments: vec![(0, 200, 0..3), (220, 400, 3..6)], advance: 3_000 });
    }

    #[test]
    fn a_text_without_times_lasts_as_long_as_the_window() {
        assert_eq!(cut(&[1, 2], T, 250), Cut { segments: vec![(0, 250, 0..2)], advance: 250 });
        assert_eq!(cut(&[], T, 250), Cut { segments: vec![(0, 250, 0..0)], advance: 250 });
    }
}
