//! What is seen of a prompt: some fifty plain measures of its form, and its words as hashed n-grams.

use serde::{Deserialize, Serialize};

/// Buckets that words and pairs of words are hashed into: 11,000 exam questions have 250,000 of them, and only those
/// that occur twice are kept.
pub const BUCKETS: usize = 1 << 22;

/// Bytes that are looked at from each end of a prompt: what is asked stands at an end, and a prompt of a megabyte
/// must cost no more than one of 16 KB. Its length is measured whole.
const EACH_END: usize = 8 * 1024;

/// The names of [`PromptFeatures::form`], in its order.
pub const FORM: [&str; 53] = [
    "length",
    "stem_length",
    "words",
    "lines",
    "sentences",
    "words_per_sentence",
    "word_length",
    "long_words",
    "common_words",
    "digits",
    "stem_digits",
    "numbers",
    "maths",
    "stem_maths",
    "single_letters",
    "capitals",
    "names",
    "non_ascii",
    "punctuation",
    "quotes",
    "blank",
    "ends_in_question",
    "ends_in_colon",
    "negation",
    "loud_negation",
    "statements",
    "conditions",
    "quantifiers",
    "calculation",
    "what",
    "which",
    "who",
    "when",
    "where",
    "why",
    "how",
    "second_person",
    "third_person",
    "distinct_words",
    "best",
    "code",
    "instruction",
    "non_latin",
    "options",
    "option_length",
    "longest_option",
    "option_spread",
    "numeric_options",
    "all_or_none",
    "common_in_options",
    "options_alike",
    "options_echo_stem",
    "largest_number",
];

/// Where the logarithm of the prompt's length stands in [`PromptFeatures::form`].
pub(super) const LENGTH: usize = 0;

/// What is known of one prompt. It holds no text: a word can not be read back from its bucket with certainty, so it
/// may be kept with feedback where prompts may not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptFeatures {
    /// One measure for each name in [`FORM`].
    pub form: Vec<f32>,
    /// Buckets of the words and pairs of words that occur, ascending, with 1 + ln(how often).
    pub words: Vec<(u32, f32)>,
    /// The sentence embedding, where one was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
}

impl PromptFeatures {
    /// Looks at a prompt: some 20 us for 500 characters. `embedding` is that of the prompt (384 numbers with MiniLM),
    /// or none.
    pub fn of(text: &str, embedding: Option<&[f32]>) -> Self {
        let seen = ends(text);
        let parts = Parts::of(&seen);
        let form = form(text, &seen, &parts);
        Self { form, words: hashed(&words_of(&seen)), embedding: embedding.map(<[f32]>::to_vec) }
    }

    /// Whether it has the shape that this version makes; what was stored by another may not.
    pub(super) fn is_sound(&self) -> bool {
        self.form.len() == FORM.len()
            && self.form.iter().all(|value| value.is_finite())
            && self.words.iter().all(|&(bucket, value)| (bucket as usize) < BUCKETS && value.is_finite())
            && self.words.is_sorted_by(|a, b| a.0 < b.0)
            && self.embedding.as_ref().is_none_or(|e| e.iter().all(|value| value.is_finite()))
    }
}

/// The first and the last of a long prompt, cut at characters.
fn ends(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= 2 * EACH_END {
        return text.into();
    }
    let first = text.floor_char_boundary(EACH_END);
    let last = text.ceil_char_boundary(text.len() - EACH_END);
    let (head, _) = text.split_at(first);
    let (_, tail) = text.split_at(last);
    format!("{head}\n{tail}").into()
}

/// A prompt taken apart.
struct Parts<'a> {
    /// What is asked, without the options of a multiple choice and without a closing `Answer:`.
    stem: String,
    options: Vec<&'a str>,
    /// Lower-case words of the stem.
    words: Vec<String>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let mut stem = String::with_capacity(text.len());
        let mut options = Vec::new();
        for line in text.trim().lines() {
            if let Some(option) = option_of(line) {
                options.push(option);
            } else if !line.trim().eq_ignore_ascii_case("answer:") {
                if !stem.is_empty() {
                    stem.push('\n');
                }
                stem.push_str(line);
            }
        }
        let words = words_of(&stem);
        Self { words, stem, options }
    }
}

/// The text of a line like `B. an option`, `(B) an option` or `2) an option`.
pub(super) fn option_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix('(').unwrap_or(line);
    let mut chars = line.chars();
    let label = chars.next()?;
    let rest = chars.as_str();
    let rest = rest.strip_prefix(['.', ')', ':'])?;
    let is_label = matches!(label, 'A'..='J' | 'a'..='j' | '1'..='9');
    (is_label && rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

/// Words in lower case: runs of letters, digits and apostrophes; a character of a script without spaces is a word.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::with_capacity(text.len() / 5);
    let mut word = String::new();
    for c in text.chars() {
        let unspaced = is_unspaced(c);
        if (c.is_alphanumeric() || c == '\'') && !unspaced {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if unspaced {
            words.push(c.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Scripts that are written without spaces: Chinese, Japanese, Thai and their neighbours.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x2E80..=0xA4CF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// Each word and each pair of neighbours, counted by bucket. Single letters and digits are passed over: they are the
/// labels of options and the names of variables more often than words.
fn hashed(words: &[String]) -> Vec<(u32, f32)> {
    let mut buckets = Vec::with_capacity(words.len() * 2);
    let mut before = None;
    // A character of a script without spaces has more bytes than one.
    for word in words.iter().filter(|word| word.len() > 1) {
        let hash = fnv1a(word.as_bytes());
        buckets.push(bucket(hash));
        if let Some(before) = before {
            buckets.push(bucket(hash ^ u64::rotate_left(before, 21).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        }
        before = Some(hash);
    }
    buckets.sort_unstable();
    buckets
        .chunk_by(|a, b| a == b)
        .filter_map(|same| Some((*same.first()?, 1.0 + (same.len() as f32).ln())))
        .collect()
}

/// FNV-1a: short keys, and the same on every machine, for its result is kept in files.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The finish of MurmurHash3: FNV's low bits alone are not well mixed.
fn bucket(mut hash: u64) -> u32 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    (hash % BUCKETS as u64) as u32
}

const COMMON: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "being", "between", "both", "but", "by", "can", "could", "do", "does", "during", "each", "first", "for",
    "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "like", "may", "me", "more", "most", "my", "new", "no", "not", "of", "on", "one", "only", "or", "other",
    "our", "out", "over", "said", "same", "she", "should", "so", "some", "such", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "to", "two", "under", "up", "us",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "will", "with", "would", "you",
    "your",
];
const CONDITIONS: &[&str] = &["assume", "given", "if", "let", "suppose", "then"];
const QUANTIFIERS: &[&str] =
    &["all", "always", "any", "each", "every", "never", "no", "none", "only", "some"];
const CALCULATION: &[&str] = &[
    "calculate",
    "compute",
    "determine",
    "evaluate",
    "find",
    "many",
    "much",
    "percent",
    "solve",
    "total",
    "value",
];
const INSTRUCTION: &[&str] = &[
    "create",
    "describe",
    "explain",
    "generate",
    "implement",
    "list",
    "rewrite",
    "summarize",
    "translate",
    "write",
];
const THIRD_PERSON: &[&str] = &["he", "her", "him", "his", "she"];

fn is_in(list: &[&str], word: &str) -> bool {
    list.binary_search(&word).is_ok()
}

fn is_maths(c: char) -> bool {
    matches!(c, '=' | '+' | '*' | '/' | '^' | '<' | '>' | '|' | '\\' | '$' | '~' | '•')
        || matches!(u32::from(c), 0x2200..=0x22FF | 0x00D7 | 0x00F7 | 0x2A00..=0x2AFF | 0x1D400..=0x1D7FF)
}

/// What one pass over the characters counts.
#[derive(Default)]
struct Counts {
    chars: usize,
    lines: usize,
    sentences: usize,
    digits: usize,
    numbers: usize,
    largest: f64,
    maths: usize,
    capitals: usize,
    names: usize,
    non_ascii: usize,
    non_latin: usize,
    punctuation: usize,
    quotes: usize,
}

impl Counts {
    fn of(text: &str) -> Self {
        let mut counts = Self::default();
        let (mut before, mut two_before) = (' ', ' ');
        let mut number = None::<f64>;
        for c in text.chars() {
            counts.chars += 1;
            if let Some(digit) = c.to_digit(10) {
                counts.digits += 1;
                counts.numbers += usize::from(number.is_none());
                number = Some(number.unwrap_or(0.0) * 10.0 + f64::from(digit));
            } else {
                if c.is_whitespace() && matches!(before, '.' | '?' | '!') {
                    counts.sentences += 1;
                }
                if !(matches!(c, '.' | ',') && number.is_some()) {
                    counts.largest = counts.largest.max(number.take().unwrap_or(0.0));
                }
            }
            counts.lines += usize::from(c == '\n');
            counts.maths += usize::from(is_maths(c));
            counts.capitals += usize::from(c.is_uppercase());
            // A capital inside a sentence.
            counts.names += usize::from(
                c.is_uppercase() && before == ' ' && (two_before.is_lowercase() || two_before == ','),
            );
            counts.non_ascii += usize::from(!c.is_ascii());
            counts.non_latin += usize::from(c.is_alphabetic() && u32::from(c) > 0x24F);
            counts.punctuation += usize::from(matches!(c, ',' | ';' | ':' | '(' | ')'));
            counts.quotes += usize::from(matches!(c, '"' | '“' | '”' | '«' | '»'));
            (two_before, before) = (before, c);
        }
        counts.sentences += usize::from(matches!(before, '.' | '?' | '!'));
        counts.largest = counts.largest.max(number.unwrap_or(0.0));
        counts
    }
}

fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

fn log(count: f64) -> f32 {
    count.min(1e18).ln_1p() as f32
}

fn flag(set: bool) -> f32 {
    f32::from(u8::from(set))
}

fn form(text: &str, seen: &str, parts: &Parts<'_>) -> Vec<f32> {
    let whole = Counts::of(seen);
    let stem = Counts::of(&parts.stem);
    let words = &parts.words;
    let n = words.len();
    let count = |test: &dyn Fn(&str) -> bool| words.iter().filter(|word| test(word)).count();
    let has = |word: &str| flag(words.iter().any(|w| w == word));
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let mut distinct: Vec<&str> = words.iter().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let known = |word: &str| distinct.binary_search(&word).is_ok();
    let ending = parts.stem.trim_end();
    let code_marks = ["==", "()", "{", "};", "=>", "->", "::", "def ", "return ", "```", "</", "import "];
    let options: Vec<Vec<String>> = parts.options.iter().map(|option| sorted_words(option)).collect();
    let lengths: Vec<f64> = parts.options.iter().map(|option| option.chars().count() as f64).collect();
    let k = lengths.len().max(1) as f64;
    let mean = lengths.iter().sum::<f64>() / k;
    let spread = (lengths.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / k).sqrt();
    let option_words: usize = options.iter().map(Vec::len).sum();
    let common_options = options.iter().flatten().filter(|word| is_in(COMMON, word)).count();
    let numeric = parts.options.iter().filter(|o| o.contains(|c: char| c.is_ascii_digit())).count();
    let all_or_none = parts.options.iter().any(|option| {
        let option = option.to_ascii_lowercase();
        ["all of the", "none of the", "both ", "neither "].iter().any(|phrase| option.contains(phrase))
    });
    let echoes: f32 =
        options.iter().map(|o| share(o.iter().filter(|word| known(word)).count(), o.len())).sum();
    vec![
        log(text.chars().count() as f64),
        log(stem.chars as f64),
        log(n as f64),
        log(stem.lines as f64),
        log(stem.sentences as f64),
        (n as f32 / (1 + stem.sentences) as f32).min(100.0),
        share(letters, n).min(20.0),
        share(count(&|w| w.len() >= 9), n),
        share(count(&|w| is_in(COMMON, w)), n),
        share(whole.digits, whole.chars),
        share(stem.digits, stem.chars),
        log(stem.numbers as f64),
        share(whole.maths, whole.chars),
        log(stem.maths as f64),
        share(count(&|w| w.len() == 1 && w != "a" && w != "i"), n),
        share(stem.capitals, stem.chars),
        share(stem.names, n),
        share(whole.non_ascii, whole.chars),
        share(stem.punctuation, stem.chars),
        share(stem.quotes, n),
        flag(parts.stem.contains("__")),
        flag(ending.ends_with('?')),
        flag(ending.ends_with(':')),
        flag(count(&|w| matches!(w, "not" | "except" | "least" | "incorrect" | "false")) > 0),
        flag(["NOT", "EXCEPT", "LEAST"].iter().any(|word| parts.stem.contains(word))),
        flag(parts.stem.contains("Statement") || seen.contains("II")),
        share(count(&|w| is_in(CONDITIONS, w)), n),
        share(count(&|w| is_in(QUANTIFIERS, w)), n),
        flag(count(&|w| is_in(CALCULATION, w)) > 0),
        has("what"),
        has("which"),
        has("who"),
        has("when"),
        has("where"),
        has("why"),
        has("how"),
        share(count(&|w| w == "you" || w == "your"), n),
        share(count(&|w| is_in(THIRD_PERSON, w)), n),
        share(distinct.len(), n),
        flag(count(&|w| w == "best" || w == "most") > 0),
        flag(code_marks.iter().any(|mark| parts.stem.contains(mark))),
        flag(count(&|w| is_in(INSTRUCTION, w)) > 0),
        share(whole.non_latin, whole.chars),
        (parts.options.len() as f32).min(20.0),
        log(mean),
        log(lengths.iter().copied().fold(0.0, f64::max)),
        log(spread),
        share(numeric, options.len()),
        flag(all_or_none),
        share(common_options, option_words),
        alike(&options),
        echoes / options.len().max(1) as f32,
        log(stem.largest),
    ]
}

fn sorted_words(text: &str) -> Vec<String> {
    let mut words = words_of(text);
    words.sort_unstable();
    words.dedup();
    words
}

/// How many words two options share on average (Jaccard), of the first ten.
fn alike(options: &[Vec<String>]) -> f32 {
    let options: Vec<_> = options.iter().take(10).collect();
    let (mut sum, mut pairs) = (0.0, 0usize);
    for (i, a) in options.iter().enumerate() {
        for b in options.iter().take(i) {
            let common = a.iter().filter(|word| b.binary_search(word).is_ok()).count();
            sum += share(common, a.len() + b.len() - common);
            pairs += 1;
        }
    }
    sum / pairs.max(1) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn measure(text: &str, name: &str) -> f32 {
        let at = FORM.iter().position(|known| *known == name).expect("a known name");
        PromptFeatures::of(text, None).form[at]
    }

    #[test]
    fn word_lists_are_sorted_as_their_search_needs() {
        for list in [COMMON, CONDITIONS, QUANTIFIERS, CALCULATION, INSTRUCTION, THIRD_PERSON] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn options_are_told_from_what_is_asked() {
        let asked = "Which is a gas?\nA. iron\nB. none of the above\nAnswer:";
        assert_eq!(measure(asked, "options"), 2.0);
        assert_eq!(measure(asked, "all_or_none"), 1.0);
        assert_eq!(measure(asked, "ends_in_question"), 1.0);
        assert_eq!(measure("Write a poem about gas.", "options"), 0.0);
    }

    #[test]
    fn numbers_code_and_scripts_are_seen() {
        assert_eq!(measure("Add 12 and 1,500.", "numbers"), 2.0f32.ln_1p());
        assert_eq!(measure("What does `def f(): return x == 1` do?", "code"), 1.0);
        assert!(measure("空は何故青いのですか", "non_latin") > 0.9);
        assert_eq!(measure("You have 3 apples.", "second_person"), 0.25);
    }

    #[test]
    fn the_same_words_fall_into_the_same_buckets() {
        let a = PromptFeatures::of("The sky, the sky!", None);
        let b = PromptFeatures::of("the SKY the sky", None);
        assert_eq!(a.words, b.words);
        assert_eq!(a.words.len(), 4);
    }

    #[test]
    fn a_very_long_prompt_is_looked_at_from_both_ends() {
        let long = format!("start {} finish", "xx ".repeat(200_000));
        let features = PromptFeatures::of(&long, None);
        assert!(features.is_sound());
        let ends = PromptFeatures::of("start finish", None);
        let both = ends.words.iter().filter(|(bucket, _)| features.words.iter().any(|(b, _)| b == bucket));
        assert_eq!(both.count(), 2);
        assert!((features.form[LENGTH] - (long.len() as f32).ln_1p()).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn any_text_has_sound_features(text in "\\PC{0,400}") {
            prop_assert!(PromptFeatures::of(&text, None).is_sound());
        }
    }
}
