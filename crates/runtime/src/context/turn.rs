use std::sync::Arc;

use bytes::Bytes;
use fast_llm_coordinator::{Answer, Listener};
use futures_util::future::BoxFuture;
use llm_wire::openai::{ChunkCollector, PlainAnswer};

use super::memory::{Exchange, Memory, SessionKey, Span};

/// The exchange that is under way: it is remembered when its answer is whole.
pub(crate) struct Turn {
    pub(super) memory: Arc<Memory>,
    pub(super) key: SessionKey,
    pub(super) span: Span,
    /// What the person said.
    pub(super) user: String,
}

impl Turn {
    /// Remembers a whole answer before it is given; a stream once it has ended.
    pub(crate) async fn of(self, answer: Answer) -> Answer {
        match answer {
            Answer::Complete { body, spoken, report } => {
                self.remember(&body).await;
                Answer::Complete { body, spoken, report }
            }
            Answer::Stream(stream) => {
                let collected = Some(ChunkCollector::with_limit(MOST_CHUNKS));
                Answer::Stream(stream.heard_by(Box::new(Hearing { turn: self, collected })))
            }
        }
    }

    /// An answer that was cut, or calls tools, is no turn that could be told again.
    async fn remember(self, document: &[u8]) {
        let text = PlainAnswer::read(document).ok().flatten().and_then(|answer| answer.text().ok());
        if let Some(assistant) = text {
            self.memory.append(self.key, self.span, Exchange { user: self.user, assistant }).await;
        }
    }
}

/// Bytes of chunks that are collected: a text that may be remembered, in the smallest pieces.
const MOST_CHUNKS: usize = 64 << 20;

struct Hearing {
    turn: Turn,
    /// `None`: what came is no answer that could be remembered.
    collected: Option<ChunkCollector>,
}

impl Listener for Hearing {
    fn chunk(&mut self, chunk: &Bytes) {
        if self.collected.as_mut().is_some_and(|collected| collected.push(chunk).is_err()) {
            self.collected = None;
        }
    }

    fn ended(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(collected) = self.collected {
                self.turn.remember(&collected.finish()).await;
            }
        })
    }
}
