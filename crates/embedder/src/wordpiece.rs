//! The tokenizer of BERT: text becomes words, words become the longest pieces of a vocabulary.
//!
//! By hand because the small crate for it, rten-text 0.27, panics on words of many pieces, joins what it found of a word that is
//! unknown, and takes a Chinese sentence for one word, while Hugging Face's tokenizers 0.23 brings seventy crates. What a
//! Python user gets from the latter is the reference here. One thing is different: `[SEP]` in a text is five characters that
//! somebody typed, not the end of the text.

use std::collections::HashMap;

use serde::Deserialize;
use unicode_categories::UnicodeCategories;
use unicode_normalization::char::decompose_canonical;

/// What stands before a piece that goes on with a word, in the vocabulary.
const GOES_ON: &str = "##";

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct WordPiece {
    /// Pieces that begin a word.
    begin: HashMap<Box<str>, i32>,
    /// Pieces that go on with one, without their mark.
    go_on: HashMap<Box<str>, i32>,
    /// Of the longest piece, in characters.
    longest: usize,
    /// A longer word is unknown; in characters.
    longest_word: usize,
    lowercase: bool,
    strip_accents: bool,
    split_chinese: bool,
    clean: bool,
    first: i32,
    last: i32,
    unknown: i32,
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct Document {
    normalizer: Normalizer,
    pre_tokenizer: Kind,
    model: Model,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Normalizer {
    r#type: String,
    #[serde(default = "yes")]
    clean_text: bool,
    #[serde(default = "yes")]
    handle_chinese_chars: bool,
    /// As `lowercase`, unless it is said.
    strip_accents: Option<bool>,
    #[serde(default = "yes")]
    lowercase: bool,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, i32>,
}

fn yes() -> bool {
    true
}

impl WordPiece {
    /// Reads a `tokenizer.json` of Hugging Face's tokenizers; what it says of lengths is left to the caller.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let Document { normalizer, pre_tokenizer, model } =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let kinds = [&normalizer.r#type, &pre_tokenizer.r#type, &model.r#type].map(String::as_str);
        if kinds != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]
            || model.continuing_subword_prefix != GOES_ON
        {
            return Err(format!("a {} after {} and {}", kinds[2], kinds[0], kinds[1]));
        }
        let id = |token: &str| {
            model.vocab.get(token).copied().ok_or_else(|| format!("a vocabulary without {token}"))
        };
        let (first, last, unknown) = (id("[CLS]")?, id("[SEP]")?, id(&model.unk_token)?);
        let (mut begin, mut go_on) = (HashMap::new(), HashMap::new());
        let mut longest = 0;
        for (token, id) in model.vocab {
            let (piece, pieces) = match token.strip_prefix(GOES_ON) {
                Some(piece) => (piece, &mut go_on),
                None => (&*token, &mut begin),
            };
            longest = longest.max(piece.chars().count());
            pieces.insert(piece.into(), id);
        }
        Ok(Self {
            begin,
            go_on,
            longest,
            longest_word: model.max_input_chars_per_word,
            lowercase: normalizer.lowercase,
            strip_accents: normalizer.strip_accents.unwrap_or(normalizer.lowercase),
            split_chinese: normalizer.handle_chinese_chars,
            clean: normalizer.clean_text,
            first,
            last,
            unknown,
        })
    }

    /// The ids of the text between those that mark its ends, together at most `most`. What comes after is not read.
    pub(crate) fn encode(&self, text: &str, most: usize) -> Vec<i32> {
        let mut ids = vec![self.first];
        let most = most.saturating_sub(1);
        let mut word = Vec::new();
        for c in text.chars() {
            if ids.len() >= most {
                break;
            }
            if self.clean
                && c != '\t'
                && c != '\n'
                && c != '\r'
                && (matches!(c, '\0' | '\u{FFFD}') || c.is_other())
            {
                continue;
            }
            if c.is_whitespace() {
                self.end_word(&mut word, &mut ids);
            } else if self.split_chinese && is_chinese(c) {
                self.end_word(&mut word, &mut ids);
                self.normalized(c, &mut word);
                self.end_word(&mut word, &mut ids);
            } else {
                let from = word.len();
                self.normalized(c, &mut word);
                if word[from..].iter().any(|&c| is_punctuation(c)) {
                    let added = word.split_off(from);
                    for c in added {
                        if is_punctuation(c) {
                            self.end_word(&mut word, &mut ids);
                            word.push(c);
                            self.end_word(&mut word, &mut ids);
                        } else {
                            word.push(c);
                        }
                    }
                }
            }
        }
        self.end_word(&mut word, &mut ids);
        ids.truncate(most.max(1));
        ids.push(self.last);
        ids
    }

    /// Without accents and in lower case, where the model wants that.
    fn normalized(&self, c: char, word: &mut Vec<char>) {
        let mut push = |c: char| match self.lowercase {
            true => word.extend(c.to_lowercase()),
            false => word.push(c),
        };
        match self.strip_accents {
            true => decompose_canonical(c, |c| {
                if !c.is_mark_nonspacing() {
                    push(c);
                }
            }),
            false => push(c),
        }
    }

    /// The word's pieces, the longest first; a word of which a part is unknown is unknown as a whole. Empties it.
    fn end_word(&self, word: &mut Vec<char>, ids: &mut Vec<i32>) {
        let before = ids.len();
        let mut rest: &[char] = if word.len() > self.longest_word { &[] } else { word };
        let mut piece = String::new();
        let mut pieces = &self.begin;
        while !rest.is_empty() {
            let found = (1..=rest.len().min(self.longest)).rev().find_map(|length| {
                piece.clear();
                piece.extend(&rest[..length]);
                Some((length, *pieces.get(&*piece)?))
            });
            let Some((length, id)) = found else { break };
            ids.push(id);
            rest = &rest[length..];
            pieces = &self.go_on;
        }
        if !rest.is_empty() || word.len() > self.longest_word {
            ids.truncate(before);
            ids.push(self.unknown);
        }
        word.clear();
    }
}

/// What BERT takes for punctuation: all of ASCII that is neither letter, digit nor blank, and Unicode's own.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_punctuation()
}

/// The blocks of Chinese characters that BERT knows; each is a word. Not Korean, nor the Japanese syllabaries.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [&str; 16] = [
        "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "run", "##ning", "cafe", ",", "\u{4e2d}",
        "\u{6587}", "a", "##b", "'", "s",
    ];

    fn small() -> WordPiece {
        let vocab: HashMap<_, _> = VOCABULARY.iter().zip(0..).collect();
        let document = serde_json::json!({
            "normalizer": { "type": "BertNormalizer", "lowercase": true },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 10, "vocab": vocab,
            },
        });
        WordPiece::read(document.to_string().as_bytes()).unwrap()
    }

    fn check(text: &str, expected: &[&str]) {
        let ids = small().encode(text, 100);
        let tokens: Vec<&str> = ids.iter().map(|&id| VOCABULARY[usize::try_from(id).unwrap()]).collect();
        assert_eq!(tokens, [&["[CLS]"], expected, &["[SEP]"]].concat(), "{text:?}");
    }

    #[test]
    fn words_become_their_longest_pieces() {
        check("unaffable running", &["un", "##aff", "##able", "run", "##ning"]);
        check("", &[]);
        check(" \t\r\n\u{a0}", &[]);
    }

    #[test]
    fn case_accents_and_what_cannot_be_seen_do_not_matter() {
        check("CAF\u{c9}", &["cafe"]);
        check("cafe\u{301}", &["cafe"]);
        check("r\u{200b}u\u{0}n", &["run"]);
    }

    #[test]
    fn punctuation_and_chinese_characters_are_words() {
        check("cafe,run's", &["cafe", ",", "run", "'", "s"]);
        check("run\u{4e2d}\u{6587}run", &["run", "\u{4e2d}", "\u{6587}", "run"]);
    }

    #[test]
    fn a_word_is_known_whole_or_not_at_all() {
        check("unrun a", &["[UNK]", "a"]);
        check("abbbbbbbbb", &["a", "##b", "##b", "##b", "##b", "##b", "##b", "##b", "##b", "##b"]);
        check("abbbbbbbbbb", &["[UNK]"]);
    }

    #[test]
    fn marks_in_a_text_are_text() {
        check("[SEP]", &["[UNK]", "[UNK]", "[UNK]"]);
    }

    #[test]
    fn a_long_text_is_cut_before_its_end_mark() {
        let ids = small().encode(&"unaffable ".repeat(50), 6);
        assert_eq!(ids, [1, 3, 4, 5, 3, 2]);
        assert_eq!(small().encode("run", 2), [1, 2]);
    }

    #[test]
    fn another_kind_of_tokenizer_is_refused() {
        let json = br#"{"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel"},"model":{"type":"BPE","unk_token":"","continuing_subword_prefix":"","max_input_chars_per_word":1,"vocab":{}}}"#;
        assert!(WordPiece::read(json).unwrap_err().contains("BPE"));
        assert!(WordPiece::read(b"{}").is_err());
    }
}
