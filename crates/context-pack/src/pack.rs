use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use crate::piece::{Kind, Piece, Role};

/// What was chosen, in the order in which it goes into the request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Packed {
    /// Instructions, in the order in which they were given.
    pub instructions: Vec<Piece>,
    /// Turns, the oldest first.
    pub turns: Vec<(Role, Piece)>,
    /// Passages, the best first.
    pub passages: Vec<Piece>,
    /// Each with what it takes, for the report.
    pub added: Vec<Added>,
    /// What was not added.
    pub left: Vec<Left>,
}

/// Something that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Where it comes from.
    pub source: Arc<str>,
    /// What it takes.
    pub tokens: u64,
}

/// Something that was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Where it comes from.
    pub source: Arc<str>,
    /// What it would have taken.
    pub tokens: u64,
    /// Why.
    pub why: Why,
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The request, or what was chosen before it, says the same.
    Twice,
    /// There was no room.
    Budget,
    /// A later turn had no room, and a conversation with a hole says something else.
    Hole,
}

impl Packed {
    /// Tokens of all that was added.
    pub fn tokens(&self) -> u64 {
        self.added.iter().fold(0, |sum, added| sum.saturating_add(added.tokens))
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
    }
}

/// Chooses what fits into `budget` tokens. Instructions come first, in their order; then turns, from the latest back, as
/// long as each fits, so that what is left is the end of the conversation; then passages, the best first, each that
/// fits. Turns of one number are an exchange, and are added together or not at all: an answer without its question says
/// something else. `said`: the texts of the request's own messages. `count` says what a piece takes, in tokens.
pub fn pack(pieces: Vec<Piece>, budget: u64, said: &[&str], count: impl Fn(&Piece) -> u64) -> Packed {
    let mut packing = Packing {
        left_over: budget,
        seen: said.iter().map(|text| normalised(text)).collect(),
        packed: Packed::default(),
    };
    let (mut turns, mut passages) = (Vec::new(), Vec::new());
    for piece in pieces {
        let tokens = count(&piece);
        match piece.kind {
            Kind::Instruction => {
                if packing.takes(&piece, tokens) {
                    packing.packed.instructions.push(piece);
                }
            }
            Kind::Turn { number, role } => turns.push(Turn { number, role, tokens, piece }),
            Kind::Passage { score } => passages.push((score, tokens, piece)),
        }
    }
    // Stable: what has one number stays in the order in which it was given.
    turns.sort_by_key(|turn: &Turn| std::cmp::Reverse(turn.number));
    packing.turns(turns);
    // Stable: passages of one score stay in the order in which they were found. NaN is worse than any.
    passages.sort_by(|(a, ..), (b, ..)| key(*b).total_cmp(&key(*a)));
    for (_, tokens, piece) in passages {
        if packing.takes(&piece, tokens) {
            packing.packed.passages.push(piece);
        }
    }
    packing.packed
}

fn key(score: f64) -> f64 {
    if score.is_nan() { f64::NEG_INFINITY } else { score }
}

/// As texts are compared: without differences in case and white space, which copies have.
fn normalised(text: &str) -> String {
    text.split_whitespace().flat_map(|word| [word, " "]).collect::<String>().to_lowercase()
}

struct Turn {
    number: u64,
    role: Role,
    tokens: u64,
    piece: Piece,
}

struct Packing {
    left_over: u64,
    seen: HashSet<String>,
    packed: Packed,
}

impl Packing {
    fn takes(&mut self, piece: &Piece, tokens: u64) -> bool {
        let same = normalised(&piece.text);
        let why = match (same.is_empty() || self.seen.contains(&same), tokens > self.left_over) {
            (true, _) => Why::Twice,
            (false, true) => Why::Budget,
            (false, false) => {
                self.seen.insert(same);
                self.add(piece, tokens);
                return true;
            }
        };
        self.leave(piece, tokens, why);
        false
    }

    fn add(&mut self, piece: &Piece, tokens: u64) {
        self.left_over -= tokens;
        self.packed.added.push(Added { source: Arc::clone(&piece.source), tokens });
    }

    fn leave(&mut self, piece: &Piece, tokens: u64, why: Why) {
        self.packed.left.push(Left { source: Arc::clone(&piece.source), tokens, why });
    }

    /// From the latest back. Two turns may say the same ("yes"), so only the request's own texts count as said.
    fn turns(&mut self, turns: Vec<Turn>) {
        let said = self.seen.clone();
        let is_said = |turn: &Turn| said.contains(&normalised(&turn.piece.text));
        let mut is_full = false;
        for exchange in turns.chunk_by(|one, other| one.number == other.number) {
            let tokens = exchange.iter().fold(0_u64, |sum, turn| sum.saturating_add(turn.tokens));
            let why = match (exchange.iter().all(is_said), is_full, tokens > self.left_over) {
                (true, ..) => Some(Why::Twice),
                (false, true, _) => Some(Why::Hole),
                (false, false, true) => Some(Why::Budget),
                (false, false, false) => None,
            };
            is_full |= matches!(why, Some(Why::Budget));
            // The latest comes first, until all are turned around.
            for turn in exchange.iter().rev() {
                match why {
                    Some(why) => self.leave(&turn.piece, turn.tokens, why),
                    None => {
                        self.add(&turn.piece, turn.tokens);
                        self.packed.turns.push((turn.role, turn.piece.clone()));
                    }
                }
            }
        }
        self.packed.turns.reverse();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(piece: &Piece) -> u64 {
        piece.text.split_whitespace().count() as u64
    }

    fn sources<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> Vec<&'a str> {
        pieces.into_iter().map(|piece| &*piece.source).collect()
    }

    fn turn(number: u64, text: &str) -> Piece {
        let role = if number.is_multiple_of(2) { Role::Assistant } else { Role::User };
        Piece::turn(format!("turn {number}"), number, role, text)
    }

    #[test]
    fn instructions_come_first_then_the_latest_turns_then_the_best_passages() {
        let pieces = vec![
            Piece::passage("worse", 1.0, "one two three"),
            Piece::passage("best", 3.0, "four five six"),
            turn(1, "an old question"),
            turn(2, "an old answer"),
            Piece::instruction("rules", "be brief"),
        ];
        let packed = pack(pieces, 11, &[], words);
        assert_eq!(sources(&packed.instructions), ["rules"]);
        assert_eq!(sources(packed.turns.iter().map(|(_, piece)| piece)), ["turn 1", "turn 2"]);
        assert_eq!(sources(&packed.passages), ["best"]);
        assert_eq!(packed.left, [Left { source: "worse".into(), tokens: 3, why: Why::Budget }]);
        assert_eq!(packed.tokens(), 11);
    }

    #[test]
    fn a_conversation_has_no_holes() {
        let pieces = vec![turn(1, "short"), turn(2, "far too long to be told again"), turn(3, "short too")];
        let packed = pack(pieces, 4, &[], words);
        assert_eq!(sources(packed.turns.iter().map(|(_, piece)| piece)), ["turn 3"]);
        let why: Vec<Why> = packed.left.iter().map(|left| left.why).collect();
        assert_eq!(why, [Why::Budget, Why::Hole]);
    }

    #[test]
    fn a_question_and_its_answer_are_added_together_or_not_at_all() {
        let exchange = |number, question: &str, answer: &str| {
            [
                Piece::turn("m", number, Role::User, question),
                Piece::turn("m", number, Role::Assistant, answer),
            ]
        };
        let pieces = [exchange(1, "a b c", "d"), exchange(2, "e", "f"), exchange(3, "again", "g")].concat();
        let packed = pack(pieces, 5, &["again"], words);
        let texts: Vec<&str> = packed.turns.iter().map(|(_, piece)| &*piece.text).collect();
        assert_eq!(texts, ["e", "f", "again", "g"], "one word is left, which is not an exchange");
    }

    #[test]
    fn what_the_request_says_or_another_piece_said_is_not_said_again() {
        let pieces = vec![
            turn(1, "My  name is Ada."),
            turn(2, "yes"),
            turn(3, "and?"),
            turn(4, "yes"),
            Piece::passage("a", 2.0, "Refunds take five days."),
            Piece::passage("b", 1.0, "refunds take\nfive days."),
            Piece::passage("empty", 9.0, " "),
        ];
        let packed = pack(pieces, 100, &["my name is ada."], words);
        assert_eq!(sources(packed.turns.iter().map(|(_, piece)| piece)), ["turn 2", "turn 3", "turn 4"]);
        assert_eq!(sources(&packed.passages), ["a"]);
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_each_piece_is_added_whole_or_left(
            pieces in prop::collection::vec((0..3_u8, "[a-c ]{0,12}", 0..9_u64), 0..20),
            budget in 0..30_u64,
        ) {
            let piece = |(at, (kind, text, number)): (usize, &(u8, String, u64))| match kind {
                0 => Piece::instruction(format!("{at}"), text.as_str()),
                1 => Piece::turn(format!("{at}"), *number, Role::User, text.as_str()),
                _ => Piece::passage(format!("{at}"), *number as f64, text.as_str()),
            };
            let given: Vec<Piece> = pieces.iter().enumerate().map(piece).collect();
            let packed = pack(given.clone(), budget, &[], words);
            prop_assert!(packed.tokens() <= budget);
            prop_assert_eq!(packed.added.len() + packed.left.len(), given.len());
            let chosen = packed.instructions.iter().chain(&packed.passages).chain(packed.turns.iter().map(|(_, piece)| piece));
            for piece in chosen {
                prop_assert!(given.contains(piece));
            }
        }
    }
}
