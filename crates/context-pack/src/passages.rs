use std::sync::Arc;

use bm25::{Document, SearchEngine, SearchEngineBuilder, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

use crate::piece::Piece;

/// Texts that can be searched, in pieces of some hundred words.
///
/// Okapi BM25 (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009) with k1 = 1.2 and b = 0.75, over words as Unicode
/// parts them, in lower case: no language is assumed, so nothing is stemmed and no word is skipped.
pub struct Passages {
    engine: SearchEngine<u32, u32, Words>,
    pieces: Vec<(Arc<str>, Arc<str>)>,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The document and, where it has several, the number of the passage in it, from 1: `handbook#3`.
    pub source: Arc<str>,
    /// BM25's.
    pub score: f64,
    /// The passage.
    pub text: Arc<str>,
}

impl From<Found> for Piece {
    fn from(found: Found) -> Self {
        Self::passage(found.source, found.score, found.text)
    }
}

/// A passage is ended at the first end of a paragraph after so many bytes, and in any case before twice as many: some 200 tokens, of which
/// a model's window holds several.
const PASSAGE: usize = 800;

impl Passages {
    /// Of documents, each with its name.
    pub fn new<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut pieces: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (name, text) in documents {
            let parts = parts(text);
            let is_one = parts.len() == 1;
            for (number, part) in (1..).zip(parts) {
                let source = if is_one { name.into() } else { format!("{name}#{number}").into() };
                pieces.push((source, part.into()));
            }
        }
        let documents: Vec<Document<u32>> =
            (0..).zip(&pieces).map(|(id, (_, text))| Document::new(id, &**text)).collect();
        let engine =
            SearchEngineBuilder::with_tokenizer_and_documents(Words, documents).k1(1.2).b(0.75).build();
        Self { engine, pieces }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// At most so many passages that share a word with the question, the best first.
    pub fn search(&self, question: &str, most: usize) -> Vec<Found> {
        let results = self.engine.search(question, most);
        let found = results.into_iter().filter_map(|result| {
            let (source, text) = self.pieces.get(usize::try_from(result.document.id).ok()?)?;
            Some(Found { source: Arc::clone(source), score: f64::from(result.score), text: Arc::clone(text) })
        });
        found.collect()
    }
}

impl std::fmt::Debug for Passages {
    /// Without the texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passages").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        text.unicode_words().map(str::to_lowercase).collect()
    }
}

/// A text in passages: whole paragraphs where they are short enough, else whole sentences, else whole words.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while rest.len() > PASSAGE {
        let end = boundary(rest);
        let (part, later) = rest.split_at(end);
        parts.push(part.trim_end());
        rest = later.trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// Where the first passage of a text that is longer than one ends: above 0, and at a character's boundary.
fn boundary(text: &str) -> usize {
    let longest =
        text.char_indices().map(|(at, _)| at).take_while(|at| *at <= 2 * PASSAGE).last().unwrap_or(0);
    let window = text.get(..longest).unwrap_or(text);
    let behind = |sign: &str| {
        let least = window.char_indices().map(|(at, _)| at).find(|at| *at >= PASSAGE / 2)?;
        window.get(least..)?.find(sign).map(|at| least + at + sign.len())
    };
    let ends = ["\n\n", ". ", "\n", " "];
    // A paragraph may end anywhere in the window; anything less is looked for near the usual length.
    ends.into_iter().find_map(behind).unwrap_or(if longest == 0 { text.len() } else { longest })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_passage_that_answers_comes_first_and_those_without_a_word_of_the_question_not_at_all() {
        let passages = Passages::new([
            ("refunds", "Refunds are paid within five days."),
            ("opening", "We are open from nine to five."),
            ("address", "Rue de Lyon 7, Nice."),
        ]);
        let found = passages.search("When are refunds paid?", 5);
        assert_eq!(&*found[0].source, "refunds");
        assert!(found.iter().all(|found| &*found.source != "address"), "{found:?}");
        assert!(Passages::new([]).search("anything", 5).is_empty());
    }

    #[test]
    fn a_long_document_is_found_in_parts_that_end_where_paragraphs_do() {
        let paragraph = |word: &str| format!("{}.", vec![word; 90].join(" "));
        let text = ["alpha", "beta", "gamma", "delta"].map(paragraph).join("\n\n");
        let passages = Passages::new([("book", text.as_str())]);
        assert!(passages.len() > 1);
        let found = passages.search("gamma", 1);
        assert!(found[0].source.starts_with("book#") && found[0].text.contains("gamma"));
        assert!(found[0].text.ends_with('.'));
    }

    proptest! {
        #[test]
        fn no_word_is_lost_between_passages(text in "(\\PC{0,30}[ .\n]{0,2}){0,200}") {
            let whole: Vec<&str> = text.split_whitespace().collect();
            let parted: String = parts(&text).concat().split_whitespace().collect();
            prop_assert_eq!(whole.concat(), parted);
            prop_assert!(parts(&text).iter().all(|part| part.len() <= 2 * PASSAGE + 4));
        }
    }
}
