//! The way through a recording: window by window, as OpenAI's
//! [`transcribe.py`](https://github.com/openai/whisper/blob/main/whisper/transcribe.py) goes it.

use std::time::{Duration, Instant};

use crate::WhisperError;
use crate::decode::{
    Context, Decoded, Options, TimedToken, Window, Word, assemble, cut, detect_language, token_times,
};
use crate::decoder::Memory;
use crate::encoder::encode;
use crate::features::{Features, HOP};

/// Columns of 10 ms that a window has at most: 30 s.
const WINDOW: usize = 3_000;
/// Columns of 10 ms that one position of the encoder hears.
const COLUMNS: usize = 2;
const MS_A_COLUMN: usize = 10;
const MS_A_POSITION: usize = 20;
/// A text drawn at a higher temperature is no example for the next window.
const TRUSTED_TEMPERATURE: f32 = 0.5;

/// Three steps of 16 bits: where no sample is louder there is no speech, and the model, which never heard digital silence, makes words up.
const SILENT: f32 = 1e-4;

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The code of the language, such as `de`.
    pub language: String,
    /// How sure that is, 0 to 1; 1 where it was given.
    pub language_probability: f32,
    /// In the order of time.
    pub segments: Vec<Segment>,
    /// Where the time went.
    pub spent: Spent,
}

impl Transcript {
    /// All that was said, without the space in front.
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned()
    }
}

/// A piece of a transcript, about a sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// From the start of the samples.
    pub start_ms: u32,
    /// From the start of the samples.
    pub end_ms: u32,
    /// With a space in front where the language has them.
    pub text: String,
    /// Mean logarithm of the probability of the tokens of its window.
    pub avg_logprob: f32,
    /// How likely nothing was said in its window, 0 to 1.
    pub no_speech_prob: f32,
    /// How many times smaller zlib makes the text of its window.
    pub compression_ratio: f32,
    /// The temperature at which its window was decoded.
    pub temperature: f32,
    /// Empty unless they were asked for.
    pub words: Vec<Word>,
}

/// Where the time of a transcription went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// For the features.
    pub features: Duration,
    /// For listening.
    pub encoder: Duration,
    /// For writing.
    pub decoder: Duration,
    /// For the times of words.
    pub words: Duration,
}

/// Writes down all of it.
pub(crate) fn transcribe(context: &Context<'_>, samples: &[f32]) -> Result<Transcript, WhisperError> {
    let (weights, options, special) = (context.weights, context.options, context.tokenizer.special());
    let mut spent = Spent::default();
    let features = timed(&mut spent.features, || Features::of(samples, weights.mels));
    let mut random = fastrand::Rng::with_seed(options.seed);
    let prompt =
        options.initial_prompt.as_ref().map(|text| context.tokenizer.encode(&format!(" {}", text.trim())));
    let mut before = prompt.unwrap_or_default();
    let mut language = options.language.clone().map(|code| (code, 1.0));
    if !context.tokenizer.multilingual() {
        language = Some(("en".to_owned(), 1.0));
    }
    let mut segments = Vec::new();
    let mut seek = 0;
    while seek < features.columns() {
        context.check_cancel()?;
        let columns = (features.columns() - seek).min(WINDOW);
        let (from, until) = (seek * HOP, ((seek + columns) * HOP).min(samples.len()));
        if samples[from..until].iter().all(|sample| sample.abs() < SILENT) {
            seek += columns;
            continue;
        }
        let positions = fitted(columns, options, weights.audio_positions());
        let mut memory = timed(&mut spent.encoder, || {
            let encoded = encode(weights, context.level, &features, seek, seek + columns, positions);
            Memory::of(weights, context.level, &encoded)
        });
        let (code, _) = language.get_or_insert_with(|| {
            let (index, sure) = timed(&mut spent.decoder, || detect_language(context, &mut memory));
            let code = context.tokenizer.languages().get(index).map_or("en", |(code, _)| code.as_str());
            (code.to_owned(), sure)
        });
        let start = start_of_text(context, code);
        let window =
            Window { before: &before, start: &start, heard: positions, spoken: columns.div_ceil(COLUMNS) };
        let decoded = timed(&mut spent.decoder, || window.decode(context, &mut memory, &mut random))?;
        let silent = decoded.no_speech_prob > options.no_speech_threshold
            && decoded.avg_logprob <= options.logprob_threshold;
        if silent {
            seek += columns;
            continue;
        }
        let cut = cut(&decoded.tokens, special.first_time, columns);
        let parts = cut.segments.into_iter().map(|(start, end, range)| {
            let text = decoded.tokens[range].iter().filter(|token| **token < special.end);
            (start, end, text.copied().collect::<Vec<u32>>())
        });
        let parts: Vec<_> = parts.filter(|(start, end, text)| start < end && !text.is_empty()).collect();
        let words = if options.words && !parts.is_empty() {
            let positions = columns.div_ceil(COLUMNS);
            timed(&mut spent.words, || words(context, &mut memory, &start, code, &parts, seek, positions))?
        } else {
            vec![Vec::new(); parts.len()]
        };
        for ((start, end, tokens), words) in parts.into_iter().zip(words) {
            let segment = segment(context, &decoded, seek + start, seek + end, &tokens, words);
            if !segment.text.trim().is_empty() {
                before.extend(tokens);
                segments.push(segment);
            }
        }
        if !options.condition_on_previous_text || decoded.temperature > TRUSTED_TEMPERATURE {
            before.clear();
        }
        // A window that ends where it began would never end.
        seek += if cut.advance == 0 { columns } else { cut.advance };
    }
    let (language, language_probability) = language.unwrap_or_else(|| ("en".to_owned(), 0.0));
    Ok(Transcript { language, language_probability, segments, spent })
}

/// How many positions the encoder hears for an utterance of `columns`.
fn fitted(columns: usize, options: &Options, most: usize) -> usize {
    let [margin, least] = [options.margin_ms, options.least_ms].map(|ms| ms as usize / MS_A_POSITION);
    (columns.div_ceil(COLUMNS) + margin).max(least).clamp(1, most)
}

fn start_of_text(context: &Context<'_>, code: &str) -> Vec<u32> {
    let special = context.tokenizer.special();
    let mut start = vec![special.start];
    if context.tokenizer.multilingual() {
        start.extend(
            context.tokenizer.languages().iter().find(|(known, _)| known == code).map(|(_, token)| *token),
        );
        start.push(if context.options.translate { special.translate } else { special.transcribe });
    }
    start
}

fn segment(
    context: &Context<'_>,
    decoded: &Decoded,
    start: usize,
    end: usize,
    tokens: &[u32],
    words: Vec<Word>,
) -> Segment {
    let (first, last) = (words.first().map(|word| word.start_ms), words.last().map(|word| word.end_ms));
    Segment {
        start_ms: first.unwrap_or((start * MS_A_COLUMN) as u32),
        end_ms: last.unwrap_or((end * MS_A_COLUMN) as u32),
        text: String::from_utf8_lossy(&context.tokenizer.decode(tokens)).into_owned(),
        avg_logprob: decoded.avg_logprob,
        no_speech_prob: decoded.no_speech_prob,
        compression_ratio: decoded.compression_ratio,
        temperature: decoded.temperature,
        words,
    }
}

/// The words of each segment of a window.
fn words(
    context: &Context<'_>,
    memory: &mut Memory,
    start: &[u32],
    language: &str,
    parts: &[(usize, usize, Vec<u32>)],
    seek: usize,
    positions: usize,
) -> Result<Vec<Vec<Word>>, WhisperError> {
    let all: Vec<u32> = parts.iter().flat_map(|(_, _, tokens)| tokens).copied().collect();
    let (times, end) = token_times(context, memory, start, &all, positions)?;
    let ms = |position: usize| (seek * MS_A_COLUMN + position * MS_A_POSITION) as u32;
    let ends = times.iter().skip(1).map(|(start, _)| *start).chain([end]);
    let timed = all.iter().zip(&times).zip(ends).map(|((token, (start, probability)), end)| TimedToken {
        token: *token,
        start_ms: ms(*start),
        end_ms: ms(end),
        probability: *probability,
    });
    let timed: Vec<TimedToken> = timed.collect();
    let mut rest = timed.as_slice();
    Ok(parts
        .iter()
        .map(|(_, _, tokens)| {
            let (own, others) = rest.split_at(tokens.len().min(rest.len()));
            rest = others;
            assemble(context.tokenizer, language, own)
        })
        .collect())
}

fn timed<T>(spent: &mut Duration, act: impl FnOnce() -> T) -> T {
    let from = Instant::now();
    let result = act();
    *spent += from.elapsed();
    result
}
