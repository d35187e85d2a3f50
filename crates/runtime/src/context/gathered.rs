use context_pack::{Kind, Packed, Piece, Role, pack};
use llm_wire::WireError;
use llm_wire::openai::{self, ChatRequest};

use super::report::{ContextReport, Missing};
use super::turn::Turn;

/// What a message, or the marks around a passage, take beside the text and the name of where it comes from: at most 60 bytes of JSON.
const AROUND: u64 = 20;
/// What is said before passages: 230 bytes.
const PREFACE: u64 = 80;

/// What there is to be added to a request.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(super) groups: Vec<Group>,
    /// The texts of the request's own messages.
    pub(super) said: Vec<String>,
    /// The most that may be added, tokens.
    pub(super) most: u64,
    pub(super) missing: Vec<Missing>,
    /// What is to be remembered of the answer.
    pub(super) turn: Option<Turn>,
}

/// What one provider gives.
#[derive(Clone)]
pub(super) struct Group {
    /// The most of it that may be added, tokens.
    pub(super) most: Option<u64>,
    pub(super) pieces: Vec<Piece>,
}

/// What of it fits.
pub(crate) struct Fitted {
    packed: Packed,
    pub(crate) report: ContextReport,
    /// What is to be remembered of the answer.
    pub(crate) turn: Option<Turn>,
}

impl Gathered {
    /// What fits where a prompt may grow by so many tokens.
    pub(crate) fn fit(self, room: u64) -> Fitted {
        let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
        let (mut pieces, mut left) = (Vec::new(), Vec::new());
        for Group { most, pieces: given } in self.groups {
            match most {
                None => pieces.extend(given),
                Some(most) => {
                    let packed = pack(given, most, &said, tokens_of);
                    left.extend(packed.left);
                    pieces.extend(packed.instructions);
                    pieces.extend(packed.turns.into_iter().map(|(_, turn)| turn));
                    pieces.extend(packed.passages);
                }
            }
        }
        let has_passages = pieces.iter().any(|piece| matches!(piece.kind, Kind::Passage { .. }));
        let preface = if has_passages { PREFACE } else { 0 };
        let packed = pack(pieces, self.most.min(room).saturating_sub(preface), &said, tokens_of);
        let report = ContextReport::of(&packed, left, self.missing);
        Fitted { packed, report, turn: self.turn }
    }
}

impl Fitted {
    /// At most so many tokens are added.
    pub(crate) fn tokens(&self) -> u64 {
        let preface = if self.packed.passages.is_empty() { 0 } else { PREFACE };
        self.packed.tokens().saturating_add(preface)
    }

    /// Nothing of it can be added after all.
    pub(crate) fn with_nothing(self) -> Self {
        Self { packed: Packed::default(), report: self.report.with_nothing(), turn: self.turn }
    }

    /// The request with what fits; `None`: it is asked as it is. Where the answer is remembered it is another one also if nothing
    /// fits, because what is remembered is read in OpenAI's dialect.
    ///
    /// # Errors
    /// As [`ChatRequest::with_messages`].
    pub(crate) fn added_to(&self, request: &ChatRequest) -> Result<Option<ChatRequest>, WireError> {
        if self.packed.is_empty() && self.turn.is_none() {
            return Ok(None);
        }
        let instructions = self.packed.instructions();
        let system = instructions.iter().map(|text| (openai::Role::System, text.as_str()));
        let turns = self.packed.turns.iter().map(|(role, piece)| (spoken_by(*role), &*piece.text));
        request.with_messages(system.chain(turns)).map(Some)
    }
}

fn spoken_by(role: Role) -> openai::Role {
    match role {
        Role::User => openai::Role::User,
        Role::Assistant => openai::Role::Assistant,
    }
}

/// Tokens that a piece takes at most: as [`ChatRequest::most_prompt_tokens`] estimates those of a body.
fn tokens_of(piece: &Piece) -> u64 {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    let written = |text: &str| text.bytes().map(escaped).sum::<u64>();
    let source = match piece.kind {
        Kind::Passage { .. } => written(&piece.source),
        Kind::Instruction | Kind::Turn { .. } => 0,
    };
    (written(&piece.text) + source).div_ceil(3).saturating_add(AROUND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_request_grows_by_no_more_than_was_counted(
            texts in prop::collection::vec((0..3_u8, "[a-z \"\n\\\\]{1,60}"), 0..12),
            room in 0..400_u64,
        ) {
            let piece = |(at, (kind, text)): (usize, &(u8, String))| match kind {
                0 => Piece::instruction("rules", text.as_str()),
                1 => Piece::turn("memory#1", at as u64, Role::User, text.as_str()),
                _ => Piece::passage("a long handbook/a \"name\" of a file.md#1", at as f64, text.as_str()),
            };
            let pieces = texts.iter().enumerate().map(piece).collect();
            let groups = vec![Group { most: Some(300), pieces }];
            let gathered = Gathered { groups, most: u64::MAX, ..Gathered::default() };
            let fitted = gathered.fit(room);
            let body = r#"{"model":"auto","messages":[{"role":"user","content":"hello"}]}"#;
            let request = ChatRequest::parse(body.into()).unwrap();
            let grown = fitted.added_to(&request).unwrap().unwrap_or_else(|| request.clone());
            prop_assert!(fitted.tokens() <= room);
            prop_assert!(grown.most_prompt_tokens() - request.most_prompt_tokens() <= fitted.tokens());
            prop_assert_eq!(fitted.report.added.len() + fitted.report.left.len(), texts.len());
        }
    }
}
