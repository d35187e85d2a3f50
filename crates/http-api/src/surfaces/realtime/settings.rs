//! How a client wants its speech to be heard: OpenAI's transcription session. Pure.

use runtime::voice_processing::PcmFormat;
use runtime::voice_processing::live::LiveOptions;
use serde_json::{Value, json};

/// What is wrong with what a client says.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

/// A member that cannot be.
#[derive(Debug, PartialEq)]
pub(in crate::surfaces) struct Invalid {
    pub(in crate::surfaces) param: String,
    pub(in crate::surfaces) expected: String,
    pub(in crate::surfaces) got: String,
}

impl Invalid {
    pub(super) fn new(param: &str, expected: &str, got: &Value) -> Self {
        let got = got.to_string().chars().take(100).collect();
        Self { param: param.to_owned(), expected: expected.to_owned(), got }
    }
}

impl From<Invalid> for Problem {
    fn from(Invalid { param, expected, got }: Invalid) -> Self {
        let message = format!("`{param}`: expected {expected}, got {got}");
        Self { code: "invalid_value", message, param: Some(param) }
    }
}

/// A session's settings.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::surfaces) struct Settings {
    pub(in crate::surfaces) model: String,
    language: Option<String>,
    prompt: Option<String>,
    /// Samples a second.
    rate: u32,
    threshold: f64,
    silence_ms: u32,
}

pub(super) const MODEL: &str = "session.audio.input.transcription.model";
const LANGUAGE: &str = "session.audio.input.transcription.language";
const PROMPT: &str = "session.audio.input.transcription.prompt";
const FORMAT: &str = "session.audio.input.format";
const RATE: &str = "session.audio.input.format.rate";
const TURNS: &str = "session.audio.input.turn_detection";
const THRESHOLD: &str = "session.audio.input.turn_detection.threshold";
const SILENCE: &str = "session.audio.input.turn_detection.silence_duration_ms";

impl Settings {
    /// OpenAI's own defaults.
    pub(in crate::surfaces) fn new(model: &str) -> Self {
        let model = model.to_owned();
        Self { model, language: None, prompt: None, rate: 24_000, threshold: 0.5, silence_ms: 500 }
    }

    /// With what a `session.update` says; what it leaves out stays.
    pub(in crate::surfaces) fn updated(&self, session: &Value) -> Result<Self, Invalid> {
        let mut next = self.clone();
        if session["type"] != "transcription" {
            return Err(Invalid::new("session.type", "transcription", &session["type"]));
        }
        let input = &session["audio"]["input"];
        let format = &input["format"];
        if !format.is_null() {
            if format["type"] != "audio/pcm" {
                return Err(Invalid::new(FORMAT, "the type audio/pcm", format));
            }
            next.rate = integer(&format["rate"], RATE, 8_000..=48_000)?.unwrap_or(next.rate);
        }
        let transcription = &input["transcription"];
        if let Some(model) = text(&transcription["model"], MODEL)? {
            next.model = model;
        }
        next.language = text(&transcription["language"], LANGUAGE)?.or(next.language);
        next.prompt = text(&transcription["prompt"], PROMPT)?.or(next.prompt);
        match input.get("turn_detection") {
            None => {}
            Some(turns) if turns["type"] == "server_vad" => {
                next.silence_ms =
                    integer(&turns["silence_duration_ms"], SILENCE, 100..=10_000)?.unwrap_or(next.silence_ms);
                next.threshold = probability(&turns["threshold"])?.unwrap_or(next.threshold);
            }
            Some(turns) => return Err(Invalid::new(TURNS, "the type server_vad", turns)),
        }
        Ok(next)
    }

    pub(super) fn format(&self) -> PcmFormat {
        PcmFormat { sample_rate: self.rate, channels: 1 }
    }

    pub(in crate::surfaces) fn options(&self) -> LiveOptions {
        LiveOptions {
            language: self.language.clone(),
            prompt: self.prompt.clone(),
            threshold: self.threshold as f32,
            endpoint_silence_ms: self.silence_ms,
            ..LiveOptions::default()
        }
    }

    /// As a client is told.
    pub(super) fn json(&self, id: &str) -> Value {
        self.json_of(id, &json!({ "type": "audio/pcm", "rate": self.rate }))
    }

    /// As a client is told whose sound comes otherwise than as events.
    pub(in crate::surfaces) fn json_of(&self, id: &str, format: &Value) -> Value {
        json!({
            "object": "realtime.transcription_session", "id": id, "type": "transcription",
            "audio": { "input": {
                "format": format,
                "transcription": { "model": self.model, "language": self.language, "prompt": self.prompt },
                "noise_reduction": null,
                "turn_detection": {
                    "type": "server_vad", "threshold": self.threshold, "prefix_padding_ms": 300,
                    "silence_duration_ms": self.silence_ms,
                },
            } },
        })
    }
}

fn text(value: &Value, param: &str) -> Result<Option<String>, Invalid> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        other => Err(Invalid::new(param, "a text", other)),
    }
}

fn integer(value: &Value, param: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, Invalid> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    let expected = format!("{} to {}", range.start(), range.end());
    match number.filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(Invalid::new(param, &expected, value)),
    }
}

fn probability(value: &Value) -> Result<Option<f64>, Invalid> {
    match value.as_f64() {
        None if value.is_null() => Ok(None),
        Some(number) if number > 0.0 && number <= 1.0 => Ok(Some(number)),
        _ => Err(Invalid::new(THRESHOLD, "a number above 0, at most 1", value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(input: &Value) -> Result<Settings, Invalid> {
        let session = json!({ "type": "transcription", "audio": { "input": input } });
        Settings::new("whisper-tiny.en").updated(&session)
    }

    #[test]
    fn what_is_left_out_stays() {
        let mut expected = Settings::new("whisper-tiny.en");
        assert_eq!(input(&json!({})), Ok(expected.clone()));
        expected.language = Some("en".to_owned());
        expected.silence_ms = 700;
        let said = json!({
            "format": { "type": "audio/pcm", "rate": 24_000 }, "transcription": { "language": "en" },
            "turn_detection": { "type": "server_vad", "silence_duration_ms": 700 }, "noise_reduction": null,
        });
        assert_eq!(input(&said), Ok(expected));
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        for (said, param) in [
            (json!({ "format": { "type": "audio/pcmu" } }), FORMAT),
            (json!({ "format": { "type": "audio/pcm", "rate": 1 } }), RATE),
            (json!({ "transcription": { "model": 1 } }), MODEL),
            (json!({ "turn_detection": null }), TURNS),
            (json!({ "turn_detection": { "type": "semantic_vad" } }), TURNS),
            (json!({ "turn_detection": { "type": "server_vad", "threshold": 2 } }), THRESHOLD),
            (json!({ "turn_detection": { "type": "server_vad", "silence_duration_ms": -1 } }), SILENCE),
        ] {
            assert_eq!(input(&said).unwrap_err().param, param);
        }
        let talk = Settings::new("m").updated(&json!({ "type": "realtime" }));
        assert_eq!(talk.unwrap_err().param, "session.type");
    }
}
