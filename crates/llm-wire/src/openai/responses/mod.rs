//! OpenAI's Responses, without a memory: a request becomes a chat, and the chat's answer a response.
//!
//! A client asks with [`parse`], and is answered by [`FromOpenAi`], whole or as a stream of events. Nothing is stored,
//! so what a client would have to find again later (`previous_response_id`, `conversation`, `background`) is refused by
//! name, and `store` is answered with false. Tools that OpenAI runs itself, like `web_search`, are refused by name too.
//!
//! Reasoning is told as open models tell it, in full: as `reasoning_text`. What a provider signed of it travels in
//! `encrypted_content`, whether it was asked for or not, because the client is the only one who can keep it.
//!
//! There is no way out of here: no endpoint is asked in this dialect, for each that speaks it speaks chat completions.
//!
//! The format: <https://platform.openai.com/docs/api-reference/responses>.

mod answer;
mod chunk;
mod content;
mod echo;
mod events;
mod item;
mod items;
mod output;
mod request;
mod sealed;
mod tools;

pub use answer::FromOpenAi;
pub use echo::Echo;

pub use request::{ResponsesRequest, parse};

use serde_json::Value;

use crate::{WireError, json};

/// Names of fields that a translation leaves behind, each once.
#[derive(Debug, Default)]
struct Dropped(Vec<String>);

impl Dropped {
    fn note(&mut self, name: &str) {
        if !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }
}

fn refuse<T>(field: &str, expected: &str, got: &Value) -> Result<T, WireError> {
    Err(WireError::invalid(field, expected, json::shown_tree(got)))
}

#[cfg(test)]
mod tests;
