//! What the providers do: mostly what they should, and of ten answers one otherwise.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::{Answer, Behaviour, Continuation, Preamble};

use crate::asked::{question_of, text};

/// The providers of a model ask for a pause, which lasts a second, no more often: otherwise all of them rest at the same
/// time, and what is asked then fails as it should.
const BETWEEN_PAUSES: Duration = Duration::from_secs(2);

/// When one of a model's providers last asked for a pause.
#[derive(Default)]
pub(crate) struct Pauses(Mutex<Option<Instant>>);

impl Pauses {
    /// Whether one may ask for a pause now; it is taken if so.
    fn take(&self) -> bool {
        let (mut last, now) = (self.0.lock().unwrap(), Instant::now());
        let may = last.is_none_or(|last| now - last >= BETWEEN_PAUSES);
        if may {
            *last = Some(now);
        }
        may
    }
}

/// A provider's own dice.
pub(crate) struct Mood {
    model: &'static str,
    rng: Mutex<fastrand::Rng>,
    pauses: Arc<Pauses>,
}

impl Mood {
    pub(crate) fn new(model: &'static str, seed: u64, pauses: Arc<Pauses>) -> Self {
        Self { model, rng: Mutex::new(fastrand::Rng::with_seed(seed)), pauses }
    }

    /// What a request gets.
    pub(crate) fn decide(&self, path: &str, body: &[u8]) -> Behaviour {
        let body = String::from_utf8_lossy(body);
        let mut rng = self.rng.lock().unwrap();
        let answer = answer(self.model, &body);
        let answer = match rng.u32(..4) {
            0 => answer.paced(Duration::from_millis(1)),
            1 => answer.first_token_after(Duration::from_millis(rng.u64(1..5))),
            _ => answer,
        };
        if rng.u32(..10) > 0 {
            return Behaviour::Answer(answer);
        }
        fault(answer, is_stream(path, &body), &mut rng, &self.pauses)
    }
}

/// Ollama streams unless told otherwise, Gemini's path says whether, the others do not unless told.
fn is_stream(path: &str, body: &str) -> bool {
    match path {
        "/api/chat" => !body.contains(r#""stream":false"#),
        _ => path.contains(":streamGenerateContent") || body.contains(r#""stream":true"#),
    }
}

/// The right answer.
pub(crate) fn answer(model: &str, body: &str) -> Answer {
    // One that cannot be read is answered with what no client expects.
    let text =
        question_of(body).map_or_else(|| format!("no question in {body}"), |number| text(model, number));
    Answer::text(text).continuing(Continuation::Prefill)
}

/// Something that goes wrong. What nobody could notice (docs/faults.md) is left out: chunks of a stream that come twice or
/// in another order, and invalid UTF-8 in a whole answer. So are refused keys, after which an endpoint is left alone for a minute.
fn fault(answer: Answer, stream: bool, rng: &mut fastrand::Rng, pauses: &Pauses) -> Behaviour {
    let chunks = rng.usize(..=answer.chunks);
    let then = Box::new(Behaviour::Answer(answer.clone()));
    match rng.u32(..34) {
        0 => Behaviour::status(500),
        1 => Behaviour::status(502),
        2 => Behaviour::status(503),
        3 => Behaviour::status(404),
        4 => Behaviour::status(400),
        5 => Behaviour::redirect("http://127.0.0.1:9/"),
        6 => Behaviour::CloseBeforeResponse,
        7 => Behaviour::CloseBeforeContent,
        8 => Behaviour::SseErrorBeforeContent,
        9 => Behaviour::CutAfter { chunks, answer },
        10 => Behaviour::ResetAfter { chunks, answer },
        11 => Behaviour::EndAfter { chunks, answer },
        12 => Behaviour::ErrorEventAfter { chunks, answer },
        13 => Behaviour::ErrorInside200,
        14 => Behaviour::Garbage,
        15 => Behaviour::NotHttp,
        16 => Behaviour::SlowDrip { bytes_per: 17, every: Duration::ZERO, answer },
        17 if stream => Behaviour::EndAfter { chunks, answer },
        17 => Behaviour::DuplicateChunk { chunk: 0, times: 1, answer },
        18 => Behaviour::DuplicateEnd { answer },
        19 => Behaviour::FinishFirst { answer },
        20 if stream => Behaviour::InvalidUtf8After { chunks, answer },
        20 | 21 => Behaviour::WrongJsonAfter { chunks, answer },
        22 => Behaviour::HugeBody { bytes: 64 << 10 },
        23 => Behaviour::EndlessHead,
        24 => Behaviour::HugeHead { bytes: 512 << 10, then },
        25 => Behaviour::ContentType { content_type: "text/html".to_owned(), then },
        26 => Behaviour::ContentLength { off_by: 7, then },
        27 => Behaviour::ContentLength { off_by: -9, then },
        28 => Behaviour::Interim { code: [100, 102, 103][rng.usize(..3)], times: 2, then },
        29 => Behaviour::Answer(answer).delayed(Duration::from_millis(5)),
        // Those that end by a time limit are rare, because each holds a client for as long.
        30 if rng.u32(..8) == 0 => match rng.u32(..3) {
            0 => Behaviour::Hang,
            1 => Behaviour::StallAfter { chunks, answer },
            _ => Behaviour::EndlessPreamble {
                events: [Preamble::Comments, Preamble::EmptyEvents][rng.usize(..2)],
                every: Duration::from_millis(5),
            },
        },
        31 if pauses.take() => match rng.u32(..3) {
            0 => Behaviour::rate_limited(1),
            1 => Behaviour::RetryAtDate { code: 429, after_s: 1 },
            _ => {
                Behaviour::Status { code: 503, headers: vec![("retry-after".into(), "1".into())], body: None }
            }
        },
        _ => Behaviour::CutAfter { chunks, answer },
    }
}
