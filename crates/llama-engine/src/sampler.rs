//! Chooses the next token out of a model's scores.
//!
//! By hand because llama.cpp's own chain copies the whole vocabulary into an array of structures for each token (a
//! quarter of a millisecond at 50,000 tokens, and eight streams wait for it one after another), takes no mask of allowed
//! tokens, and tells no probabilities. The order is llama.cpp's: bias and penalties, the grammar, then `top_k`, `top_p`,
//! `min_p` at temperature 1, then the temperature. The three cuts each keep a run of the likeliest tokens, so what is left
//! is the shortest of the three runs, and nothing has to be sorted but that.

use std::collections::{HashMap, VecDeque};

use crate::token::Token;

/// How far `repeat_penalty` looks back, in tokens of prompt and answer: llama.cpp's and Ollama's default.
const REPEAT_WINDOW: usize = 64;
/// Scores are compared in blocks of this many, which compilers turn into vector instructions.
const BLOCK: usize = 64;

/// OpenAI's default.
const TEMPERATURE: f32 = 1.0;
/// llama.cpp's default: the 40 most likely tokens, which also keeps sampling cheap.
const TOP_K: i32 = 40;
/// llama.cpp's default. OpenAI's is 1.0, which small models answer badly.
const TOP_P: f32 = 0.95;
/// llama.cpp's default: no token less than a twentieth as likely as the best one.
const MIN_P: f32 = 0.05;
/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token always.
    pub temperature: f32,
    /// Only this many of the most likely tokens are considered; 0 considers all.
    pub top_k: i32,
    /// Only the most likely tokens that together have this probability are considered.
    pub top_p: f32,
    /// Only tokens with at least this share of the best one's probability are considered.
    pub min_p: f32,
    /// The same seed gives the same answer as long as the batches are computed alike.
    pub seed: u64,
    /// Above 1 makes tokens of the last stretch of prompt and answer less likely; 1 changes nothing.
    pub repeat_penalty: f32,
    /// Taken off a token's score for each time that the answer has it.
    pub frequency_penalty: f32,
    /// Taken off a token's score once the answer has it.
    pub presence_penalty: f32,
    /// Added to the scores of these tokens.
    pub bias: Vec<(Token, f32)>,
    /// Whether probabilities are told, and of how many of the likeliest tokens.
    pub logprobs: Option<u8>,
}

impl Default for Sampling {
    /// The documented defaults, and the seed 0.
    fn default() -> Self {
        Self {
            temperature: TEMPERATURE,
            top_k: TOP_K,
            top_p: TOP_P,
            min_p: MIN_P,
            seed: 0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            bias: Vec::new(),
            logprobs: None,
        }
    }
}

/// A bit per token, the lowest bit of the first word for token 0: which tokens may come next.
pub type Allowed<'a> = Option<&'a [u32]>;

/// One token and how likely the model found it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Which.
    pub token: Token,
    /// Natural logarithm of its probability among all tokens, before bias, penalties, grammar and temperature.
    pub logprob: f32,
}

/// A choice whose probabilities were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    /// The token that was chosen.
    pub chosen: Scored,
    /// The likeliest tokens, likeliest first.
    pub top: Vec<Scored>,
}

/// Chooses tokens for one answer; keeps its random state and what was said.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    random: fastrand::Rng,
    /// How often each token occurs in the answer.
    counts: HashMap<Token, u32>,
    /// The last tokens of prompt and answer.
    recent: VecDeque<Token>,
    /// Scores that differ from the model's. Empty unless something is penalised or biased.
    adjusted: Vec<f32>,
    candidates: Vec<(f32, Token)>,
}

impl Sampler {
    /// A sampler for one answer to `prompt`.
    pub fn new(sampling: Sampling, prompt: &[Token]) -> Self {
        let recent = prompt.iter().rev().take(REPEAT_WINDOW).rev().copied().collect();
        Self {
            random: fastrand::Rng::with_seed(sampling.seed),
            sampling,
            counts: HashMap::new(),
            recent,
            adjusted: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The next token, given the score of each token of the vocabulary. `None` if nothing is allowed.
    pub fn choose(&mut self, scores: &[f32], allowed: Allowed<'_>) -> Option<Token> {
        let adjusted = self.adjust(scores);
        let token = {
            let scores = if adjusted { self.adjusted.as_slice() } else { scores };
            choose(&self.sampling, &mut self.random, &mut self.candidates, scores, allowed)?
        };
        *self.counts.entry(token).or_insert(0) += 1;
        if self.recent.len() == REPEAT_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
        Some(token)
    }

    /// What the model thought of `token` and of the likeliest ones, if the request asks for it.
    pub fn probabilities(&self, scores: &[f32], token: Token) -> Option<Probabilities> {
        let count = self.sampling.logprobs?;
        let mut top = Vec::new();
        likeliest(scores, None, usize::from(count).max(1), &mut top);
        let most = top.first()?.0;
        let total: f32 = scores.iter().map(|score| (score - most).exp()).sum();
        let logprob = |score: f32| score - most - total.ln();
        let own = usize::try_from(token).ok().and_then(|index| scores.get(index)).copied()?;
        top.truncate(usize::from(count));
        Some(Probabilities {
            chosen: Scored { token, logprob: logprob(own) },
            top: top.into_iter().map(|(score, token)| Scored { token, logprob: logprob(score) }).collect(),
        })
    }

    /// Applies bias and penalties to a copy of the scores. Returns false if there is nothing to apply.
    fn adjust(&mut self, scores: &[f32]) -> bool {
        let Sampling { repeat_penalty, frequency_penalty, presence_penalty, ref bias, .. } = self.sampling;
        let repeats = repeat_penalty != 1.0 && !self.recent.is_empty();
        let counts = (frequency_penalty != 0.0 || presence_penalty != 0.0) && !self.counts.is_empty();
        if !repeats && !counts && bias.is_empty() {
            return false;
        }
        self.adjusted.clear();
        self.adjusted.extend_from_slice(scores);
        let mut score_of = |token: Token, change: &dyn Fn(f32) -> f32| {
            if let Some(score) = usize::try_from(token).ok().and_then(|index| self.adjusted.get_mut(index)) {
                *score = change(*score);
            }
        };
        for (token, bias) in bias {
            score_of(*token, &|score| score + bias);
        }
        if repeats {
            for (index, token) in self.recent.iter().enumerate() {
                // Once each, however often it occurs.
                if self.recent.iter().take(index).all(|earlier| earlier != token) {
                    let penalised = |score: f32| {
                        if score > 0.0 { score / repeat_penalty } else { score * repeat_penalty }
                    };
                    score_of(*token, &penalised);
                }
            }
        }
        if counts {
            for (token, count) in &self.counts {
                score_of(*token, &|score| score - *count as f32 * frequency_penalty - presence_penalty);
            }
        }
        true
    }
}

fn choose(
    sampling: &Sampling,
    random: &mut fastrand::Rng,
    candidates: &mut Vec<(f32, Token)>,
    scores: &[f32],
    allowed: Allowed<'_>,
) -> Option<Token> {
    if sampling.temperature <= 0.0 {
        likeliest(scores, allowed, 1, candidates);
        return candidates.first().map(|(_, token)| *token);
    }
    let limit = usize::try_from(sampling.top_k).unwrap_or(0);
    if limit > 0 {
        likeliest(scores, allowed, limit, candidates);
    } else {
        candidates.clear();
        each_allowed(scores, allowed, |score, token| {
            candidates.push((score, token));
            f32::NEG_INFINITY
        });
    }
    let most = candidates.iter().map(|(score, _)| *score).fold(f32::NEG_INFINITY, f32::max);
    if !most.is_finite() {
        // Nothing but impossible tokens: the first that is allowed, if any.
        return candidates.first().map(|(_, token)| *token);
    }
    let total: f32 = candidates.iter().map(|(score, _)| (score - most).exp()).sum();
    // Below `rare`, all tokens together have less than what `top_p` leaves out: the nucleus ends before them.
    let rare = (1.0 - sampling.top_p) * total / candidates.len() as f32;
    let least = sampling.min_p.max(rare);
    candidates.retain(|(score, _)| (score - most).exp() >= least);
    if sampling.top_p < 1.0 {
        candidates.sort_unstable_by(likelier_first);
        let mut sum = 0.0;
        let nucleus = candidates.iter().position(|(score, _)| {
            sum += (score - most).exp() / total;
            sum >= sampling.top_p
        });
        candidates.truncate(nucleus.map_or(candidates.len(), |last| last + 1));
    }
    let weight = |score: f32| ((score - most) / sampling.temperature).exp();
    let total: f32 = candidates.iter().map(|(score, _)| weight(*score)).sum();
    let mut rest = random.f32() * total;
    for (score, token) in candidates.iter() {
        rest -= weight(*score);
        if rest < 0.0 {
            return Some(*token);
        }
    }
    // Rounding left a crumb.
    candidates.last().map(|(_, token)| *token)
}

fn likelier_first(one: &(f32, Token), other: &(f32, Token)) -> std::cmp::Ordering {
    other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
}

/// The `count` likeliest allowed tokens, likeliest first; of equals the one with the smaller number.
fn likeliest(scores: &[f32], allowed: Allowed<'_>, count: usize, found: &mut Vec<(f32, Token)>) {
    found.clear();
    // Twice as many are gathered before the worse half is thrown away and the bar is raised.
    let room = count.saturating_mul(2).max(16);
    let mut bar = f32::NEG_INFINITY;
    each_allowed(scores, allowed, |score, token| {
        found.push((score, token));
        if found.len() == room {
            found.select_nth_unstable_by(count - 1, likelier_first);
            found.truncate(count);
            bar = found[count - 1].0;
        }
        bar
    });
    found.sort_unstable_by(likelier_first);
    found.truncate(count);
}

/// Shows every allowed token whose score is above the bar that the last `visit` returned. Scores that are no numbers are
/// skipped.
fn each_allowed(scores: &[f32], allowed: Allowed<'_>, mut visit: impl FnMut(f32, Token) -> f32) {
    let mut bar = f32::NEG_INFINITY;
    let passes = |score: f32, bar: f32| score > bar || (bar == f32::NEG_INFINITY && !score.is_nan());
    match allowed {
        Some(words) => {
            for (index, word) in words.iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    let token = index * 32 + word.trailing_zeros() as usize;
                    word &= word - 1;
                    if let Some(score) = scores.get(token).filter(|score| passes(**score, bar)) {
                        bar = visit(*score, token as Token);
                    }
                }
            }
        }
        None => {
            for (index, block) in scores.chunks(BLOCK).enumerate() {
                let most = block.iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
                if !passes(most, bar) {
                    continue;
                }
                for (offset, score) in block.iter().enumerate() {
                    if passes(*score, bar) {
                        bar = visit(*score, (index * BLOCK + offset) as Token);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain() -> Sampling {
        Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampling::default() }
    }

    fn choose_once(sampling: Sampling, scores: &[f32], allowed: Allowed<'_>) -> Option<Token> {
        Sampler::new(sampling, &[]).choose(scores, allowed)
    }

    /// The share of each token among many choices.
    fn shares(sampling: &Sampling, scores: &[f32]) -> Vec<f32> {
        let mut seen = vec![0u32; scores.len()];
        let mut sampler = Sampler::new(sampling.clone(), &[]);
        for _ in 0..4000 {
            let token = sampler.choose(scores, None).expect("something is allowed");
            seen[usize::try_from(token).expect("a token")] += 1;
        }
        seen.into_iter().map(|count| count as f32 / 4000.0).collect()
    }

    #[test]
    fn at_temperature_zero_the_likeliest_is_taken_and_of_equals_the_first() {
        assert_eq!(choose_once(plain(), &[0.5, 2.0, 2.0, -1.0], None), Some(1));
    }

    #[test]
    fn what_is_not_allowed_is_never_chosen() {
        assert_eq!(choose_once(plain(), &[0.5, 2.0, 1.0, -1.0], Some(&[0b1001])), Some(0));
        assert_eq!(choose_once(plain(), &[0.5, 2.0], Some(&[0])), None);
    }

    #[test]
    fn scores_that_are_no_numbers_are_skipped() {
        assert_eq!(choose_once(plain(), &[f32::NAN, f32::NEG_INFINITY, 1.0], None), Some(2));
        assert_eq!(choose_once(plain(), &[f32::NAN, f32::NAN], None), None);
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let shares = shares(&Sampling { temperature: 1.0, ..plain() }, &scores);
        for (share, expected) in shares.iter().zip([0.5, 0.3, 0.2]) {
            assert!((share - expected).abs() < 0.04, "{shares:?}");
        }
    }

    #[test]
    fn each_cut_keeps_the_likeliest_run() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let warm = Sampling { temperature: 1.0, ..plain() };
        for (cut, kept) in [
            (Sampling { top_k: 2, ..warm.clone() }, 2),
            (Sampling { top_p: 0.79, ..warm.clone() }, 2),
            (Sampling { top_p: 0.9, ..warm.clone() }, 3),
            (Sampling { min_p: 0.5, ..warm.clone() }, 2),
            (Sampling { top_k: 3, top_p: 0.99, min_p: 0.2, ..warm }, 3),
        ] {
            let seen = shares(&cut, &scores).iter().filter(|share| **share > 0.0).count();
            assert_eq!(seen, kept, "{cut:?}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let sampling = Sampling { temperature: 1.0, seed: 9, ..plain() };
        let scores: Vec<f32> = (0..200).map(|token| (token % 7) as f32 / 3.0).collect();
        let run = || {
            let mut sampler = Sampler::new(sampling.clone(), &[]);
            (0..50).map(|_| sampler.choose(&scores, None)).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn presence_counts_once_and_frequency_each_time() {
        // Token 0 leads by 1.0.
        let scores = [1.0, 0.0];
        let mut presence = Sampler::new(Sampling { presence_penalty: 0.9, ..plain() }, &[]);
        let choices: Vec<_> = (0..4).map(|_| presence.choose(&scores, None)).collect();
        assert_eq!(choices, [Some(0); 4]);
        let mut frequency = Sampler::new(Sampling { frequency_penalty: 0.6, ..plain() }, &[]);
        let choices: Vec<_> = (0..4).map(|_| frequency.choose(&scores, None)).collect();
        assert_eq!(choices, [Some(0), Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn the_repeat_penalty_looks_into_the_prompt_but_not_far() {
        let penalised = Sampling { repeat_penalty: 3.0, ..plain() };
        assert_eq!(Sampler::new(penalised.clone(), &[0]).choose(&[2.0, 1.0], None), Some(1));
        assert_eq!(Sampler::new(penalised.clone(), &[0]).choose(&[-1.0, -2.0], None), Some(1));
        let mut far = vec![0];
        far.extend([1; REPEAT_WINDOW]);
        assert_eq!(Sampler::new(penalised, &far).choose(&[2.0, 1.0], None), Some(0));
    }

    #[test]
    fn a_bias_moves_a_token() {
        let biased = Sampling { bias: vec![(1, 5.0), (7, 100.0)], ..plain() };
        assert_eq!(choose_once(biased, &[2.0, 1.0], None), Some(1));
    }

    #[test]
    fn probabilities_are_the_models_own() {
        let scores = [0.5f32.ln() + 3.0, 0.3f32.ln() + 3.0, 0.2f32.ln() + 3.0];
        let asked = Sampling { logprobs: Some(2), bias: vec![(2, 50.0)], ..plain() };
        let mut sampler = Sampler::new(asked, &[]);
        let token = sampler.choose(&scores, None).expect("chooses");
        let said = sampler.probabilities(&scores, token).expect("was asked");
        assert_eq!(token, 2);
        assert!((said.chosen.logprob - 0.2f32.ln()).abs() < 1e-5);
        assert_eq!(said.top.iter().map(|scored| scored.token).collect::<Vec<_>>(), [0, 1]);
        assert!((said.top[0].logprob - 0.5f32.ln()).abs() < 1e-5);
        assert_eq!(Sampler::new(plain(), &[]).probabilities(&scores, 0), None);
    }

    proptest! {
        #[test]
        fn the_likeliest_are_those_that_sorting_would_find(
            scores in prop::collection::vec(-5i8..5, 1..400),
            mask in prop::collection::vec(any::<u32>(), 13),
            masked: bool,
            count in 1usize..60,
        ) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let allowed = masked.then_some(mask.as_slice());
            let mut found = Vec::new();
            likeliest(&scores, allowed, count, &mut found);
            let is_allowed = |token: usize| allowed.is_none_or(|mask| mask[token / 32] >> (token % 32) & 1 == 1);
            let mut expected: Vec<(f32, Token)> = (0..scores.len())
                .filter(|token| is_allowed(*token))
                .map(|token| (scores[token], token as Token))
                .collect();
            expected.sort_by(likelier_first);
            expected.truncate(count);
            prop_assert_eq!(found, expected);
        }
    }
}
