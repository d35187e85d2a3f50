//! What was said, as it is printed or written.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use runtime::segment_json;
use runtime::voice_processing::{VoiceResult, srt, vtt};
use serde_json::{Value, json};

use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line for each sentence.
    Text,
    /// All that is known, a document for each recording.
    Json,
    /// SubRip.
    Srt,
    /// WebVTT.
    Vtt,
}

impl Format {
    /// The name of the file for a recording.
    pub(super) fn file_name(self, source: &Path) -> String {
        let stem = source.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.filter(|stem| stem != "-").unwrap_or_else(|| "stdin".to_owned());
        let extension = match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
        };
        format!("{stem}.{extension}")
    }

    pub(super) fn text(self, source: &Path, result: &VoiceResult) -> String {
        match self {
            Self::Text => result.segments.iter().map(|segment| format!("{}\n", segment.text)).collect(),
            Self::Json => format!("{}\n", document(source, result)),
            Self::Srt => srt(&result.segments),
            Self::Vtt => vtt(&result.segments),
        }
    }
}

/// The `VoiceResult` of Node, and which recording it is of.
fn document(source: &Path, result: &VoiceResult) -> Value {
    let timings = &result.timings;
    json!({
        "file": source.display().to_string(),
        "text": result.text,
        "language": result.language,
        "segments": result.segments.iter().map(segment_json).collect::<Vec<_>>(),
        "durationMs": result.duration_ms,
        "speechMs": result.speech_ms,
        "truncated": result.truncated,
        "timings": {
            "decodeMs": ms(timings.decode), "resampleMs": ms(timings.resample), "vadMs": ms(timings.vad),
            "transcribeMs": ms(timings.transcribe), "totalMs": ms(timings.total),
        },
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Writes a file that is there whole or not at all.
pub(super) fn write(to: &Path, text: &str) -> Result<(), Failure> {
    let mut incomplete = to.as_os_str().to_owned();
    incomplete.push(".incomplete");
    let written = fs::write(&incomplete, text).and_then(|()| fs::rename(&incomplete, to));
    written.map_err(|error: io::Error| {
        // What is left is of no use; that it cannot be removed either is no news.
        let _ = fs::remove_file(&incomplete);
        Failure::new("UAT_STORAGE", format!("cannot write {}: {error}", to.display()))
    })
}

#[cfg(test)]
mod tests {
    use runtime::voice_processing::{Segment, Word};

    use super::*;

    #[test]
    fn files_are_called_after_recordings() {
        assert_eq!(Format::Srt.file_name("a/talk.m4a".as_ref()), "talk.srt");
        assert_eq!(Format::Text.file_name("-".as_ref()), "stdin.txt");
    }

    #[test]
    fn a_document_has_the_names_of_node() {
        let words = vec![Word { word: "Hm.".into(), start_ms: 10, end_ms: 20, confidence: 0.5 }];
        let said = Segment { start_ms: 10, end_ms: 20, text: "Hm.".into(), confidence: 0.5, words };
        let result = VoiceResult { text: "Hm.".into(), segments: vec![said], ..VoiceResult::default() };
        let text = Format::Json.text("a.wav".as_ref(), &result);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["segments"][0]["words"][0]["endMs"], 20);
        assert_eq!((&document["file"], &document["durationMs"]), (&json!("a.wav"), &json!(0)));
    }
}
