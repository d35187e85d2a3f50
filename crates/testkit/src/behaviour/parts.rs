//! The content chunks of an answer, in the order in which they are sent.

use super::answer::split;
use super::{Answer, ToolCall};

/// What one content chunk carries, in whatever dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Reasoning(String),
    Text(String),
    /// The name of a call, and the arguments that come with it.
    Call {
        call: usize,
        arguments: String,
        last: bool,
    },
    /// A piece of a call's arguments.
    Arguments {
        call: usize,
        piece: String,
        last: bool,
    },
}

impl Answer {
    /// The content chunks of an answer whose first `covered` bytes of text the client has. Who has any has the
    /// reasoning too.
    pub(crate) fn parts(&self, covered: usize) -> Vec<Part> {
        let reasoning = self.reasoning.as_deref().filter(|_| covered == 0).unwrap_or_default();
        let thoughts =
            split(reasoning, reasoning.split_whitespace().count()).into_iter().map(Part::Reasoning);
        let mut covered = covered;
        let text = self.pieces().into_iter().filter_map(|piece| {
            let skipped = covered.min(piece.len());
            covered -= skipped;
            (skipped < piece.len()).then(|| Part::Text(piece[skipped..].to_owned()))
        });
        let mut parts: Vec<Part> = thoughts.chain(text).collect();
        let calls: Vec<Vec<Part>> = (0..self.tool_calls.len()).map(|call| self.call(call)).collect();
        if self.interleaved {
            let longest = calls.iter().map(Vec::len).max().unwrap_or_default();
            parts.extend(
                (0..longest).flat_map(|at| calls.iter().filter_map(move |call| call.get(at)).cloned()),
            );
        } else {
            parts.extend(calls.into_iter().flatten());
        }
        parts
    }

    /// How many bytes of the text `prefix` covers: those that both begin with.
    pub(crate) fn covered_by(&self, prefix: &str) -> usize {
        let text = self.full_text();
        text.chars().zip(prefix.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    }

    fn call(&self, call: usize) -> Vec<Part> {
        let ToolCall { arguments, pieces, .. } = &self.tool_calls[call];
        if *pieces == 0 {
            return vec![Part::Call { call, arguments: arguments.clone(), last: true }];
        }
        let pieces = split(arguments, *pieces);
        let count = pieces.len();
        let name = Part::Call { call, arguments: String::new(), last: count == 0 };
        let arguments = pieces.into_iter().enumerate();
        let arguments = arguments.map(|(at, piece)| Part::Arguments { call, piece, last: at + 1 == count });
        std::iter::once(name).chain(arguments).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(parts: &[Part]) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            _ => String::new(),
        };
        parts.iter().map(text).collect()
    }

    fn two_calls() -> Answer {
        Answer::calls([
            ToolCall::new("a", r#"{"x":1}"#).in_pieces(3),
            ToolCall::new("b", r#"{"y":[2]}"#).in_pieces(2),
        ])
    }

    fn order(answer: &Answer) -> Vec<usize> {
        let call = |part: &Part| match part {
            Part::Call { call, .. } | Part::Arguments { call, .. } => *call,
            _ => usize::MAX,
        };
        answer.parts(0).iter().map(call).collect()
    }

    #[test]
    fn calls_come_one_after_the_other_or_take_turns() {
        assert_eq!(order(&two_calls()), [0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(order(&two_calls().interleaved()), [0, 1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn the_pieces_of_the_arguments_join_to_them_and_the_last_one_knows_it() {
        for answer in [two_calls(), two_calls().interleaved()] {
            for (call, expected) in answer.tool_calls.iter().enumerate() {
                let pieces: Vec<Part> = answer
                    .parts(0)
                    .into_iter()
                    .filter(|part| matches!(part, Part::Arguments { call: of, .. } if *of == call))
                    .collect();
                let joined: String = pieces
                    .iter()
                    .map(|part| match part {
                        Part::Arguments { piece, .. } => piece.as_str(),
                        _ => "",
                    })
                    .collect();
                assert_eq!(joined, expected.arguments);
                let last = |part: &Part| matches!(part, Part::Arguments { last: true, .. });
                assert_eq!(pieces.iter().filter(|part| last(part)).count(), 1);
                assert!(pieces.last().is_some_and(last));
            }
        }
    }

    #[test]
    fn reasoning_comes_first_and_not_again_when_an_answer_is_continued() {
        let answer = Answer::tokens(2).reasoning("so be it");
        let thoughts =
            |covered| answer.parts(covered).iter().filter(|part| matches!(part, Part::Reasoning(_))).count();
        assert_eq!((thoughts(0), thoughts(1)), (3, 0));
        assert!(matches!(answer.parts(0).first(), Some(Part::Reasoning(_))));
    }

    proptest! {
        #[test]
        fn a_prefix_and_what_is_sent_after_it_are_the_text(text in ".{0,60}", chunks in 0_usize..80, at in 0_usize..60) {
            let answer = Answer::text(text.clone()).in_chunks(chunks);
            let prefix: String = text.chars().take(at).collect();
            let rest = text_of(&answer.parts(answer.covered_by(&prefix)));
            prop_assert_eq!(prefix + &rest, text);
        }
    }
}
