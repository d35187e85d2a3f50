//! Text as tokens and back: byte-pair encoding as GPT-2's, read from a `tokenizer.json`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::WhisperError;

#[derive(Deserialize)]
struct File {
    added_tokens: Vec<Added>,
    model: Bpe,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// Older files write a pair as one text, newer ones as two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

/// A vocabulary with the tokens that mean something else than text.
pub(crate) struct Tokenizer {
    bytes: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    ranks: HashMap<(u32, u32), (u32, u32)>,
    special: Special,
    languages: Vec<(String, u32)>,
}

/// Tokens that mean something else than text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Special {
    pub(crate) end: u32,
    pub(crate) start: u32,
    pub(crate) translate: u32,
    pub(crate) transcribe: u32,
    pub(crate) start_of_model: u32,
    pub(crate) previous: u32,
    pub(crate) no_speech: u32,
    pub(crate) no_timestamps: u32,
    /// Stands for 0 s; each one after it for 20 ms more.
    pub(crate) first_time: u32,
}

impl Tokenizer {
    /// Reads a file for a model of `vocabulary` tokens.
    ///
    /// # Errors
    /// [`WhisperError::Read`], or [`WhisperError::Tokenizer`] where it is not Whisper's or has more tokens than the model.
    pub(crate) fn load(path: &Path, vocabulary: usize) -> Result<Self, WhisperError> {
        let text =
            std::fs::read(path).map_err(|source| WhisperError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, vocabulary)
            .map_err(|reason| WhisperError::Tokenizer { path: path.to_owned(), reason })
    }

    fn parse(text: &[u8], vocabulary: usize) -> Result<Self, String> {
        let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut bytes = vec![Vec::new(); vocabulary];
        let mut ids = HashMap::with_capacity(file.model.vocab.len());
        let of_char = chars_of_bytes();
        let raw = |text: &str| -> Option<Vec<u8>> {
            text.chars().map(|char| of_char.get(&char).copied()).collect()
        };
        for (text, id) in &file.model.vocab {
            // Some files list special tokens among the text; those are not made of these letters.
            let Some(token) = raw(text) else { continue };
            let slot =
                bytes.get_mut(*id as usize).ok_or(format!("token {id} of a model with {vocabulary}"))?;
            slot.clone_from(&token);
            ids.insert(token, *id);
        }
        let mut ranks = HashMap::with_capacity(file.model.merges.len());
        for (rank, merge) in file.model.merges.iter().enumerate() {
            let (left, right) = match merge {
                Merge::Text(text) => text.split_once(' ').ok_or(format!("merge {rank} is not two parts"))?,
                Merge::Pair(left, right) => (left.as_str(), right.as_str()),
            };
            let known = |text: &str| raw(text).and_then(|token| ids.get(&token).copied());
            let whole = known(&format!("{left}{right}"));
            let (Some(left), Some(right), Some(whole)) = (known(left), known(right), whole) else {
                return Err(format!("merge {rank} is of unknown tokens"));
            };
            ranks.insert((left, right), (rank as u32, whole));
        }
        let added: HashMap<&str, u32> =
            file.added_tokens.iter().map(|token| (token.content.as_str(), token.id)).collect();
        let find = |names: &[&str]| {
            let id = names.iter().find_map(|name| added.get(format!("<|{name}|>").as_str()));
            id.copied().ok_or(format!("there is no token <|{}|>", names[0]))
        };
        let no_timestamps = find(&["notimestamps"])?;
        let special = Special {
            end: find(&["endoftext"])?,
            start: find(&["startoftranscript"])?,
            translate: find(&["translate"])?,
            transcribe: find(&["transcribe"])?,
            start_of_model: find(&["startoflm"])?,
            previous: find(&["startofprev"])?,
            no_speech: find(&["nospeech", "nocaptions"])?,
            no_timestamps,
            first_time: no_timestamps + 1,
        };
        // The times are the last tokens of every model: 0 to 30 s.
        if special.first_time as usize + 1_501 != vocabulary {
            return Err(format!("times begin at token {} of {vocabulary}", special.first_time));
        }
        if special.start != special.end + 1
            || special.end as usize + 1 >= vocabulary
            || special.translate <= special.start
        {
            return Err("its special tokens are in an unknown order".to_owned());
        }
        for byte in 0..=255_u8 {
            if !ids.contains_key(&vec![byte]) {
                return Err(format!("there is no token for the byte {byte}"));
            }
        }
        let mut languages: Vec<(String, u32)> = file
            .added_tokens
            .iter()
            .filter(|token| (special.start + 1..special.translate).contains(&token.id))
            .map(|token| (token.content.trim_matches(['<', '|', '>']).to_owned(), token.id))
            .collect();
        languages.sort_by_key(|(_, id)| *id);
        Ok(Self { bytes, ids, ranks, special, languages })
    }

    pub(crate) fn special(&self) -> Special {
        self.special
    }

    /// Whether the model was made for many languages. Those for English alone have one text token fewer.
    pub(crate) fn multilingual(&self) -> bool {
        self.bytes.len() >= 51_865
    }

    /// Codes such as `de`, with their tokens.
    pub(crate) fn languages(&self) -> &[(String, u32)] {
        &self.languages
    }

    /// The bytes that text tokens stand for; special ones for none.
    pub(crate) fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        let text = tokens.iter().filter(|token| **token < self.special.end);
        text.flat_map(|token| &self.bytes[*token as usize]).copied().collect()
    }

    /// The tokens of a text.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        pieces(text).into_iter().flat_map(|piece| self.merge(piece)).collect()
    }

    fn merge(&self, piece: &str) -> Vec<u32> {
        // Every byte has a token, as was checked when the file was read.
        let mut tokens: Vec<u32> =
            piece.bytes().filter_map(|byte| self.ids.get(&vec![byte]).copied()).collect();
        loop {
            let pairs = tokens.windows(2).enumerate();
            let ranked = pairs.filter_map(|(at, pair)| Some((self.ranks.get(&(pair[0], pair[1]))?, at)));
            let Some(((_, whole), at)) = ranked.min() else { return tokens };
            tokens[at] = *whole;
            tokens.remove(at + 1);
        }
    }

    /// Tokens that are not speech: brackets, notes, symbols, as OpenAI's `non_speech_tokens` lists them.
    pub(crate) fn not_speech(&self) -> Vec<u32> {
        let symbols = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        // Of these, the first byte stands for all that begin with it.
        let music = ["♩", "♪", "♫", "♬", "♭", "♮", "♯"];
        let mut tokens: Vec<u32> =
            [" -", " '"].iter().filter_map(|text| self.encode(text).first().copied()).collect();
        for symbol in symbols.split(' ').chain(music) {
            for tokens_of in [self.encode(symbol), self.encode(&format!(" {symbol}"))] {
                if tokens_of.len() == 1 || music.contains(&symbol) {
                    tokens.extend(tokens_of.first());
                }
            }
        }
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

/// GPT-2 writes bytes as letters that can be seen: those that are letters already, and 256 upwards for the others.
fn chars_of_bytes() -> HashMap<char, u8> {
    let shown = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let (kept, moved): (Vec<u8>, Vec<u8>) = (0..=255).partition(shown);
    let moved =
        moved.into_iter().zip(256_u32..).filter_map(|(byte, code)| Some((char::from_u32(code)?, byte)));
    kept.into_iter().map(|byte| (char::from(byte), byte)).chain(moved).collect()
}

/// Cuts a text where GPT-2's pattern does: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
fn pieces(text: &str) -> Vec<&str> {
    let kind = |char: char| match char {
        _ if char.is_whitespace() => 0,
        _ if char.is_alphabetic() => 1,
        _ if char.is_numeric() => 2,
        _ => 3,
    };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let short = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].iter().find(|end| rest.starts_with(**end));
        let body = rest.strip_prefix(' ').unwrap_or(rest);
        let wanted = body.chars().next().map_or(0, kind);
        let length = if let Some(short) = short {
            short.len()
        } else if wanted == 0 {
            let spaces = rest.find(|char: char| !char.is_whitespace()).unwrap_or(rest.len());
            let last = rest[..spaces].chars().next_back().map_or(0, char::len_utf8);
            // All but the last, which belongs to what follows; one alone stays.
            if spaces < rest.len() && spaces > last { spaces - last } else { spaces.max(first.len_utf8()) }
        } else {
            let end = body.find(|char| kind(char) != wanted).unwrap_or(body.len());
            rest.len() - body.len() + end
        };
        let (piece, others) = rest.split_at(length);
        pieces.push(piece);
        rest = others;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_as_gpt_2_cuts_it() {
        let check = |text: &str, expected: &[&str]| assert_eq!(pieces(text), expected, "{text:?}");
        check("it's 42  degrees, now", &["it", "'s", " 42", " ", " degrees", ",", " now"]);
        check("  trailing  ", &[" ", " trailing", "  "]);
        check("a\n\nb", &["a", "\n", "\n", "b"]);
        check("", &[]);
    }

    #[test]
    fn every_byte_has_one_letter() {
        let chars = chars_of_bytes();
        assert_eq!((chars.len(), chars[&'Ġ'], chars[&'a']), (256, b' ', b'a'));
    }
}
