//! One window of at most 30 s: which language, which text, and whether to trust it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Options;
use super::rules::Rules;
use super::search::{Found, Search, search};
use crate::WhisperError;
use crate::decoder::{Memory, Next, logits};
use crate::kernels::{Level, log_sum_exp};
use crate::model::Weights;
use crate::tokenizer::Tokenizer;

/// What all windows are decoded with.
pub(crate) struct Context<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) rules: &'a Rules,
    pub(crate) level: Level,
    pub(crate) options: &'a Options,
    pub(crate) cancel: &'a AtomicBool,
}

impl Context<'_> {
    /// An error once the caller wants no more of it.
    pub(crate) fn check_cancel(&self) -> Result<(), WhisperError> {
        if self.cancel.load(Ordering::Relaxed) { Err(WhisperError::Cancelled) } else { Ok(()) }
    }
}

/// What is known of a window before it is decoded.
pub(crate) struct Window<'a> {
    /// Tokens of what was said before.
    pub(crate) before: &'a [u32],
    /// The start of a text: start, language, task.
    pub(crate) start: &'a [u32],
    /// Positions of 20 ms that the encoder heard. A text may end anywhere in them: the model often puts the end into the silence
    /// behind the last word, and goes on talking where it may not.
    pub(crate) heard: usize,
    /// Those of them that are the utterance's.
    pub(crate) spoken: usize,
}

/// A text of a window, with times.
pub(crate) struct Decoded {
    pub(crate) tokens: Vec<u32>,
    pub(crate) avg_logprob: f32,
    pub(crate) no_speech_prob: f32,
    pub(crate) compression_ratio: f32,
    pub(crate) temperature: f32,
}

impl Window<'_> {
    /// Tries one temperature after another until a text can be trusted. Where none can, the likeliest stays of those that do not repeat
    /// themselves, as faster-whisper has it; OpenAI's keeps the last, which often is worse.
    pub(crate) fn decode(
        &self,
        context: &Context<'_>,
        memory: &mut Memory,
        random: &mut fastrand::Rng,
    ) -> Result<Decoded, WhisperError> {
        let (options, special) = (context.options, context.tokenizer.special());
        let most = context.weights.text_positions();
        let mut prompt = Vec::with_capacity(most);
        if !self.before.is_empty() {
            prompt.push(special.previous);
            // Half of the positions, less one, are for what was said before.
            prompt.extend(&self.before[self.before.len().saturating_sub(most / 2 - 1)..]);
        }
        let start = prompt.len();
        prompt.extend(self.start);
        let longest = (most / 2).min(most - prompt.len()).min(at_most(self.spoken));
        let mut best: Option<(bool, Decoded)> = None;
        for temperature in &options.temperatures {
            let width = if *temperature > 0.0 { options.best_of } else { options.beam_size }.max(1);
            let wanted = Search {
                prompt: &prompt,
                start,
                temperature: *temperature,
                width,
                latest: self.heard as u32,
                longest,
            };
            let found = search(context, memory, random, &wanted)?;
            let decoded = judge(context, found, *temperature);
            let repeats = decoded.compression_ratio > options.compression_ratio_threshold;
            let unlikely = decoded.avg_logprob < options.logprob_threshold;
            let silent = unlikely && decoded.no_speech_prob > options.no_speech_threshold;
            if silent || !repeats && !unlikely {
                return Ok(decoded);
            }
            let is_better = best.as_ref().is_none_or(|(repeated, best)| {
                *repeated && !repeats || *repeated == repeats && decoded.avg_logprob > best.avg_logprob
            });
            if is_better {
                best = Some((repeats, decoded));
            }
        }
        let none = || WhisperError::Option {
            option: "temperatures",
            got: "empty".to_owned(),
            expected: "at least one".to_owned(),
        };
        best.map(|(_, decoded)| decoded).ok_or_else(none)
    }
}

/// Tokens that a text of so many positions of 20 ms may have. Speech has about 4 a second, of scripts that take several tokens a
/// character up to 15; what goes on for longer repeats itself, and is found out sooner.
fn at_most(spoken: usize) -> usize {
    20 + spoken * 15 / 50
}

fn judge(context: &Context<'_>, found: Found, temperature: f32) -> Decoded {
    let text = context.tokenizer.decode(&found.tokens);
    Decoded {
        avg_logprob: found.logprob / (found.tokens.len() + 1) as f32,
        no_speech_prob: found.no_speech_prob,
        compression_ratio: compression_ratio(text.trim_ascii()),
        tokens: found.tokens,
        temperature,
    }
}

/// How many times smaller zlib makes it; nought for nothing.
fn compression_ratio(text: &[u8]) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    match encoder.write_all(text).and_then(|()| encoder.finish()) {
        Ok(compressed) if !compressed.is_empty() => text.len() as f32 / compressed.len() as f32,
        // Writing to memory does not fail.
        _ => 0.0,
    }
}

/// The likeliest language's place among the tokenizer's, and how sure that is.
pub(crate) fn detect_language(context: &Context<'_>, memory: &mut Memory) -> (usize, f32) {
    memory.clear();
    let next = [Next { token: context.tokenizer.special().start, before: &[] }];
    let rows = memory.step(context.weights, context.level, &next, None);
    let all = logits(context.weights, context.level, &rows);
    let of: Vec<f32> = context.tokenizer.languages().iter().map(|(_, token)| all[*token as usize]).collect();
    let total = log_sum_exp(context.level, &of);
    let best = of.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or((0, 0.0), |(index, logit)| (index, (logit - total).exp()))
}

#[cfg(test)]
mod tests {
    use super::compression_ratio;

    #[test]
    fn what_repeats_itself_compresses_well() {
        assert!(compression_ratio("thank you ".repeat(30).as_bytes()) > 2.4);
        assert!(compression_ratio(b"He was not an ill-disposed young man.") < 2.4);
        assert_eq!(compression_ratio(b""), 0.0);
    }
}
