//! Tokens become words with times, as OpenAI's `timing.py` joins them.

use crate::tokenizer::Tokenizer;

/// Belongs to the word after it.
const PREPENDED: &str = "\"'“¿([{-";
/// Belongs to the word before it.
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";
/// Languages that are written without spaces: each character is a word.
const WITHOUT_SPACES: [&str; 7] = ["zh", "ja", "th", "lo", "my", "yue", "km"];
/// A word that lasts longer than twice the median, or than twice this many ms, has silence in it.
const LONG_MS: u32 = 700;

/// A word and when it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// With the punctuation that belongs to it, and a space in front where there was one.
    pub text: String,
    /// From the start of the samples.
    pub start_ms: u32,
    /// From the start of the samples.
    pub end_ms: u32,
    /// How sure the model was of its tokens on average, 0 to 1.
    pub probability: f32,
}

/// A text token with its times in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimedToken {
    pub(crate) token: u32,
    pub(crate) start_ms: u32,
    pub(crate) end_ms: u32,
    pub(crate) probability: f32,
}

/// The words of a segment's tokens.
pub(crate) fn assemble(tokenizer: &Tokenizer, language: &str, tokens: &[TimedToken]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut counts: Vec<u32> = Vec::new();
    let spaced = !WITHOUT_SPACES.contains(&language);
    for (text, part) in characters(tokenizer, tokens) {
        let probability: f32 = part.iter().map(|token| token.probability).sum();
        let (first, last) = (part[0], part[part.len() - 1]);
        let mark = |char: char| char.is_ascii_punctuation();
        let alone = text.starts_with(' ') || text.trim().chars().all(mark) || !spaced;
        match (words.last_mut(), counts.last_mut()) {
            (Some(word), Some(count)) if !alone => {
                word.text.push_str(&text);
                word.end_ms = last.end_ms;
                word.probability += probability;
                *count += part.len() as u32;
            }
            _ => {
                words.push(Word { text, start_ms: first.start_ms, end_ms: last.end_ms, probability });
                counts.push(part.len() as u32);
            }
        }
    }
    for (word, count) in words.iter_mut().zip(counts) {
        word.probability /= count as f32;
    }
    shorten(&mut words);
    punctuate(words)
}

/// Runs of tokens that are whole characters.
fn characters<'a>(tokenizer: &Tokenizer, tokens: &'a [TimedToken]) -> Vec<(String, &'a [TimedToken])> {
    let mut runs = Vec::new();
    let (mut from, mut bytes) = (0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        bytes.extend(tokenizer.decode(&[token.token]));
        if let Ok(text) = str::from_utf8(&bytes) {
            if !text.is_empty() {
                runs.push((text.to_owned(), &tokens[from..=at]));
            }
            from = at + 1;
            bytes.clear();
        }
    }
    if !bytes.is_empty() {
        runs.push((String::from_utf8_lossy(&bytes).into_owned(), &tokens[from..]));
    }
    runs
}

/// Words at the edges of sentences often get the silence beside them: it is taken off.
fn shorten(words: &mut [Word]) {
    let mut lengths: Vec<u32> =
        words.iter().map(|word| word.end_ms - word.start_ms).filter(|ms| *ms > 0).collect();
    lengths.sort_unstable();
    let Some(median) = lengths.get(lengths.len() / 2) else { return };
    let longest = LONG_MS.min(*median) * 2;
    let ends_sentence = |word: &Word| word.text.trim().chars().all(|char| ".。!！?？".contains(char));
    for at in 0..words.len() {
        if words[at].end_ms - words[at].start_ms > longest {
            if ends_sentence(&words[at]) {
                words[at].end_ms = words[at].start_ms + longest;
            } else if at == 0 || ends_sentence(&words[at - 1]) {
                words[at].start_ms = words[at].end_ms - longest;
            }
        }
    }
}

/// Joins marks to the words that they belong to.
fn punctuate(words: Vec<Word>) -> Vec<Word> {
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    let mut opening: Option<Word> = None;
    for mut word in words {
        let bare = word.text.trim().to_owned();
        let of = |marks: &str| !bare.is_empty() && bare.chars().all(|char| marks.contains(char));
        match joined.last_mut() {
            Some(before) if opening.is_none() && of(APPENDED) && !word.text.starts_with(' ') => {
                before.text.push_str(&word.text);
            }
            _ if of(PREPENDED) && word.text.starts_with(' ') && opening.is_none() => opening = Some(word),
            _ => {
                if let Some(mark) = opening.take() {
                    word.text.insert_str(0, &mark.text);
                }
                joined.push(word);
            }
        }
    }
    joined.extend(opening);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, start_ms: u32, end_ms: u32) -> Word {
        Word { text: text.to_owned(), start_ms, end_ms, probability: 1.0 }
    }

    #[test]
    fn marks_belong_to_their_words_and_cost_no_time() {
        let words =
            vec![word(" \"", 0, 10), word("Well", 10, 200), word(",", 200, 260), word(" then", 300, 400)];
        assert_eq!(
            punctuate(words),
            [word(" \"Well", 10, 200), word(" then", 300, 400)].map(|mut word| {
                if word.end_ms == 200 {
                    word.text.push(',');
                }
                word
            })
        );
    }

    #[test]
    fn silence_in_front_of_the_first_word_is_not_the_words() {
        let mut words =
            vec![word(" One", 0, 2_000), word(" two", 2_000, 2_300), word(" three", 2_300, 2_600)];
        shorten(&mut words);
        assert_eq!(words[0], word(" One", 1_400, 2_000));
    }
}
