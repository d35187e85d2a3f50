//! Segments as subtitles. Pure.

use std::fmt::Write as _;

use crate::Segment;

/// SubRip, which every player reads.
pub fn srt(segments: &[Segment]) -> String {
    let mut text = String::new();
    for (index, segment) in segments.iter().enumerate() {
        let (start, end) = (clock(segment.start_ms, ','), clock(segment.end_ms, ','));
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\n{start} --> {end}\n{}\n\n", index + 1, one_line(&segment.text));
    }
    text
}

/// WebVTT, which browsers read (<https://www.w3.org/TR/webvtt1/>).
pub fn vtt(segments: &[Segment]) -> String {
    let mut text = "WEBVTT\n\n".to_owned();
    for segment in segments {
        let (start, end) = (clock(segment.start_ms, '.'), clock(segment.end_ms, '.'));
        let said = one_line(&segment.text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Writing to a string cannot fail.
        let _ = write!(text, "{start} --> {end}\n{said}\n\n");
    }
    text
}

/// `01:02:03.004`.
fn clock(ms: u64, point: char) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{:03}", ms % 1000)
}

/// An empty line would end a subtitle.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> [Segment; 2] {
        let segment = |start_ms, end_ms, text: &str| Segment {
            start_ms,
            end_ms,
            text: text.to_owned(),
            ..Segment::default()
        };
        [segment(40, 1_500, "Good\n\nmorning."), segment(3_723_004, 3_723_900, "1 < 2 --> & so on")]
    }

    #[test]
    fn subrip_counts_and_has_commas() {
        let expected = "1\n00:00:00,040 --> 00:00:01,500\nGood morning.\n\n2\n01:02:03,004 --> 01:02:03,900\n1 < 2 --> & so on\n\n";
        assert_eq!(srt(&segments()), expected);
        assert_eq!(srt(&[]), "");
    }

    #[test]
    fn webvtt_has_a_header_and_escapes_what_would_be_markup() {
        let expected = "WEBVTT\n\n00:00:00.040 --> 00:00:01.500\nGood morning.\n\n01:02:03.004 --> 01:02:03.900\n1 &lt; 2 --&gt; &amp; so on\n\n";
        assert_eq!(vtt(&segments()), expected);
    }
}
