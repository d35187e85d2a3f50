//! Which tokens may come next, as OpenAI's [`decoding.py`](https://github.com/openai/whisper/blob/main/whisper/decoding.py) has
//! it: no blank text, no symbols that nobody speaks, times in pairs that never go back.

use crate::kernels::{Level, log_sum_exp, max};
use crate::tokenizer::{Special, Tokenizer};

/// The first time of a window lies within its first second, in steps of 20 ms.
const LATEST_START: u32 = 50;
const NEVER: f32 = f32::NEG_INFINITY;

/// Prepared once for a model.
pub(crate) struct Rules {
    special: Special,
    suppressed: Vec<u32>,
    blank: Vec<u32>,
}

impl Rules {
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let special = tokenizer.special();
        let mut suppressed = tokenizer.not_speech();
        suppressed.extend([
            special.start,
            special.translate,
            special.transcribe,
            special.start_of_model,
            special.previous,
            special.no_speech,
            special.no_timestamps,
        ]);
        suppressed.extend(tokenizer.languages().iter().map(|(_, id)| *id));
        let mut blank = tokenizer.encode(" ");
        blank.push(special.end);
        Self { special, suppressed, blank }
    }

    /// Makes impossible what may not follow `tokens`. `latest` is the last time that the window has, in steps of 20 ms.
    pub(crate) fn apply(&self, level: Level, logits: &mut [f32], tokens: &[u32], latest: u32) {
        if tokens.is_empty() {
            self.blank.iter().for_each(|token| logits[*token as usize] = NEVER);
        }
        self.suppressed.iter().for_each(|token| logits[*token as usize] = NEVER);
        let first_time = self.special.first_time;
        let is_time = |token: &u32| *token >= first_time;
        let times = first_time as usize;
        match tokens {
            [] => {
                logits[..times].fill(NEVER);
                logits[times + LATEST_START as usize + 1..].fill(NEVER);
            }
            // After a pair of times, or after the first: text.
            [.., before, last] if is_time(last) && is_time(before) => logits[times..].fill(NEVER),
            [last] if is_time(last) => logits[times..].fill(NEVER),
            // After one that ends a text: the next one's, or the end.
            [.., last] if is_time(last) => logits[..self.special.end as usize].fill(NEVER),
            _ => {}
        }
        if let Some(at) = tokens.iter().rposition(is_time) {
            // An ending may be the next one's beginning, but nothing begins and ends at once.
            let open = at + 1 == tokens.len();
            let least = if open { tokens[at] } else { tokens[at] + 1 };
            let least = (least as usize).min(logits.len());
            logits[times..least].fill(NEVER);
        }
        let beyond = times + latest as usize + 1;
        if beyond < logits.len() {
            logits[beyond..].fill(NEVER);
        }
        // Where some time is likelier than any text, it is a time.
        let (text, time) = logits.split_at(times);
        if log_sum_exp(level, time) > max(level, text) {
            logits[..times].fill(NEVER);
        }
    }
}
