//! Finds a likely text: several are followed side by side (beam search), or drawn.

use crate::WhisperError;
use crate::decode::Context;
use crate::decoder::{Memory, Next, logits};
use crate::kernels::log_sum_exp;

/// What to look for.
pub(crate) struct Search<'a> {
    /// Tokens in front of the text.
    pub(crate) prompt: &'a [u32],
    /// Where in the prompt the text begins, after what was said before.
    pub(crate) start: usize,
    pub(crate) temperature: f32,
    /// Texts side by side.
    pub(crate) width: usize,
    /// The last time that the window has, in steps of 20 ms.
    pub(crate) latest: u32,
    pub(crate) longest: usize,
}

/// A text, how likely it is, and how likely nothing was said.
pub(crate) struct Found {
    pub(crate) tokens: Vec<u32>,
    /// Of all tokens and the end, as a natural logarithm.
    pub(crate) logprob: f32,
    pub(crate) no_speech_prob: f32,
}

#[derive(Clone)]
struct Text {
    tokens: Vec<u32>,
    slots: Vec<u32>,
    logprob: f32,
}

impl Text {
    /// By which finished texts are compared, long with short.
    fn score(&self) -> f32 {
        self.logprob / self.tokens.len().max(1) as f32
    }
}

/// Finds a text for what `memory` heard.
pub(crate) fn search(
    context: &Context<'_>,
    memory: &mut Memory,
    random: &mut fastrand::Rng,
    search: &Search<'_>,
) -> Result<Found, WhisperError> {
    let (weights, level, special) = (context.weights, context.level, context.tokenizer.special());
    memory.clear();
    let slots: Vec<u32> = (0..search.prompt.len() as u32).collect();
    let next: Vec<Next<'_>> = search
        .prompt
        .iter()
        .enumerate()
        .map(|(at, token)| Next { token: *token, before: &slots[..at] })
        .collect();
    let rows = memory.step(weights, level, &next, None);
    // One product for the row that begins and the last one, which often are the same.
    let heads = logits(weights, level, &rows[search.start * weights.width..]);
    let vocabulary = weights.vocabulary();
    let at_start = &heads[..vocabulary];
    let no_speech_prob = (at_start[special.no_speech as usize] - log_sum_exp(level, at_start)).exp();
    let mut ahead = heads[heads.len() - vocabulary..].to_vec();

    let drawn = search.temperature > 0.0;
    let begun = Text { tokens: Vec::new(), slots, logprob: 0.0 };
    let mut open = vec![begun; if drawn { search.width } else { 1 }];
    if drawn {
        ahead = ahead.repeat(search.width);
    }
    let mut ended: Vec<Text> = Vec::new();
    for _ in 0..search.longest {
        context.check_cancel()?;
        for (text, row) in open.iter().zip(ahead.chunks_exact_mut(vocabulary)) {
            context.rules.apply(level, row, &text.tokens, search.latest);
        }
        let rows = ahead.chunks_exact(vocabulary);
        open = if drawn {
            draw(context, &open, rows, search.temperature, random, &mut ended)
        } else {
            follow(context, &open, rows, search.width, &mut ended)
        };
        if open.is_empty() || !drawn && ended.len() >= search.width {
            break;
        }
        let next: Vec<Next<'_>> = open
            .iter()
            .map(|text| Next { token: text.tokens[text.tokens.len() - 1], before: &text.slots })
            .collect();
        let first = memory.next_slot();
        let rows = memory.step(weights, level, &next, None);
        ahead = logits(weights, level, &rows);
        open.iter_mut().zip(first..).for_each(|(text, slot)| text.slots.push(slot));
    }
    // Those that never ended count where nothing better did.
    if ended.len() < search.width {
        open.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        ended.extend(open.into_iter().take(search.width - ended.len()));
    }
    let best = ended.into_iter().max_by(|a, b| a.score().total_cmp(&b.score()));
    let (tokens, logprob) = best.map_or((Vec::new(), 0.0), |text| (text.tokens, text.logprob));
    Ok(Found { tokens, logprob, no_speech_prob })
}

/// Goes on with the likeliest texts, at most `width` of them.
fn follow<'a>(
    context: &Context<'_>,
    open: &[Text],
    rows: impl Iterator<Item = &'a [f32]>,
    width: usize,
    ended: &mut Vec<Text>,
) -> Vec<Text> {
    let mut candidates: Vec<(f32, usize, u32)> = Vec::with_capacity(open.len() * (width + 1));
    for (index, (text, row)) in open.iter().zip(rows).enumerate() {
        let total = log_sum_exp(context.level, row);
        let best = likeliest(row, width + 1);
        candidates
            .extend(best.into_iter().map(|(logit, token)| (text.logprob + logit - total, index, token)));
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut next: Vec<Text> = Vec::with_capacity(width);
    let end = context.tokenizer.special().end;
    for (logprob, index, token) in candidates {
        let mut text = open[index].clone();
        text.logprob = logprob;
        if token == end {
            if ended.len() < width {
                ended.push(text);
            }
            continue;
        }
        text.tokens.push(token);
        next.push(text);
        if next.len() == width {
            break;
        }
    }
    next
}

/// Goes on with each text by a token that is drawn: likelier ones more often.
fn draw<'a>(
    context: &Context<'_>,
    open: &[Text],
    rows: impl Iterator<Item = &'a [f32]>,
    temperature: f32,
    random: &mut fastrand::Rng,
    ended: &mut Vec<Text>,
) -> Vec<Text> {
    let end = context.tokenizer.special().end;
    let mut next = Vec::with_capacity(open.len());
    for (text, row) in open.iter().zip(rows) {
        let total = log_sum_exp(context.level, row);
        // The largest of logits with Gumbel's noise is a draw from their softmax.
        let noise = |random: &mut fastrand::Rng| -(-(random.f32().max(1e-20)).ln()).ln();
        let possible = row.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY);
        let drawn = possible
            .map(|(token, logit)| (logit / temperature + noise(random), token, *logit))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let mut text = text.clone();
        match drawn {
            Some((_, token, logit)) if token as u32 != end => {
                text.logprob += logit - total;
                text.tokens.push(token as u32);
                next.push(text);
            }
            last => {
                text.logprob += last.map_or(0.0, |(_, _, logit)| logit - total);
                ended.push(text);
            }
        }
    }
    next
}

/// The largest numbers of a row, largest first, with their places; fewer where the others are impossible.
fn likeliest(row: &[f32], count: usize) -> Vec<(f32, u32)> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    // Most numbers are small: a chunk is looked at only where its largest is not.
    for (chunk, from) in row.chunks(32).zip((0..).step_by(32)) {
        if chunk.iter().fold(f32::NEG_INFINITY, |a, b| if a > *b { a } else { *b }) <= least {
            continue;
        }
        for (value, token) in chunk.iter().zip(from..) {
            if *value > least {
                let at = best.partition_point(|(other, _)| other >= value);
                best.insert(at, (*value, token));
                best.truncate(count);
                if best.len() == count {
                    least = best[count - 1].0;
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::likeliest;

    #[test]
    fn the_likeliest_come_first_and_the_impossible_never() {
        let mut row = vec![f32::NEG_INFINITY; 100];
        (row[70], row[3], row[40]) = (1.0, 2.0, 1.5);
        assert_eq!(likeliest(&row, 2), [(2.0, 3), (1.5, 40)]);
        assert_eq!(likeliest(&row, 9), [(2.0, 3), (1.5, 40), (1.0, 70)]);
    }
}
