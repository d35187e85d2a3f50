//! What the clients ask: decided by the number of the request, so that a run can be repeated.

use std::time::Duration;

use serde_json::{Value, json};

/// Beyond these numbers each question is asked once; below them it may come from the cache.
const REPEATED: u64 = 2_000;
/// So many of them are asked as often as all the others together, so that the same is under way at the same time.
const FAVOURITES: u64 = 10;

/// The model whose endpoints limit what they bear, and the one whose endpoints continue each other's answers.
pub(crate) const MODELS: [&str; 2] = ["limited", "continued"];

/// The dialect that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    OpenAi,
    Anthropic,
    Ollama,
}

/// When a client goes away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaves {
    Never,
    /// After this time, answer or not.
    After(Duration),
    /// When it has so many pieces of the body.
    AtPiece(usize),
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) question: u64,
    pub(crate) model: &'static str,
    pub(crate) surface: Surface,
    pub(crate) stream: bool,
    pub(crate) leaves: Leaves,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    cacheable: bool,
}

impl Asked {
    /// The request of this number.
    pub(crate) fn of(number: u64, rng: &mut fastrand::Rng) -> Self {
        let kind = rng.u32(..100);
        let cacheable = kind < 15;
        let headers = match kind {
            15..18 => vec![("x-uat-cache", "on")],
            18..20 => vec![("x-uat-cache", "off")],
            20..22 => vec![("x-uat-timeout-ms", "15")],
            _ => Vec::new(),
        };
        let of = if rng.bool() { FAVOURITES } else { REPEATED };
        let repeated = rng.u64(..of);
        let leaves = match rng.u32(..100) {
            0..3 => Leaves::After(Duration::from_micros(rng.u64(..4_000))),
            3..5 => Leaves::After(Duration::from_millis(rng.u64(4..40))),
            5..10 => Leaves::AtPiece(rng.usize(..8)),
            _ => Leaves::Never,
        };
        Self {
            question: if kind < 20 { repeated } else { REPEATED + number },
            model: MODELS[usize::from(rng.u32(..3) == 0)],
            surface: [Surface::OpenAi, Surface::Anthropic, Surface::Ollama][rng.usize(..3)],
            stream: rng.u32(..3) > 0,
            leaves,
            headers,
            cacheable,
        }
    }

    /// A request that nothing hinders.
    pub(crate) fn plain(number: u64, model: &'static str) -> Self {
        let (surface, headers) = (Surface::OpenAi, Vec::new());
        let (stream, leaves) = (number.is_multiple_of(2), Leaves::Never);
        Self { question: REPEATED + number, model, surface, stream, leaves, headers, cacheable: false }
    }

    pub(crate) fn path(&self) -> &'static str {
        match self.surface {
            Surface::OpenAi => "/v1/chat/completions",
            Surface::Anthropic => "/v1/messages",
            Surface::Ollama => "/api/chat",
        }
    }

    pub(crate) fn body(&self) -> String {
        let content = format!("question {};", self.question);
        let mut body = json!({ "model": self.model, "stream": self.stream,
            "messages": [{ "role": "user", "content": content }] });
        match self.surface {
            Surface::Anthropic => body["max_tokens"] = json!(1000),
            Surface::OpenAi | Surface::Ollama => {}
        }
        match (self.cacheable, self.surface) {
            (false, _) => {}
            (true, Surface::Ollama) => body["options"] = json!({ "temperature": 0 }),
            (true, _) => body["temperature"] = Value::from(0),
        }
        body.to_string()
    }

    /// What the answer must say.
    pub(crate) fn text(&self) -> String {
        text(self.model, self.question)
    }
}

/// The answer of a model to a question: every word of it says where it belongs.
pub(crate) fn text(model: &str, question: u64) -> String {
    let words = 3 + question.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 24;
    let word = |at: u64| match at % 7 {
        3 => format!("{model}é{question}·{at}"),
        _ => format!("{question}.{at}"),
    };
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

/// The number of the question that a request to an endpoint holds, in whatever dialect.
pub(crate) fn question_of(body: &str) -> Option<u64> {
    let (_, rest) = body.split_once("question ")?;
    rest.split_once(';')?.0.parse().ok()
}
