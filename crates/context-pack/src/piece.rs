use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who said a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// What a piece is, which decides where it goes and what is left out first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Of the operator, and trusted: the model is to follow it.
    Instruction,
    /// Of the conversation so far.
    Turn {
        /// Its place in the conversation: a later one has a higher number, and a question that of its answer.
        number: u64,
        /// Who said it.
        role: Role,
    },
    /// Somebody's text, which is data and no instruction.
    Passage {
        /// How well it fits the question; higher is better.
        score: f64,
    },
}

/// One thing that may be added. It is added whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Where it comes from, as reports name it.
    pub source: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: Arc<str>,
}

impl Piece {
    /// What the model is told to do.
    pub fn instruction(source: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), kind: Kind::Instruction, text: text.into() }
    }

    /// What was said before.
    pub fn turn(source: impl Into<Arc<str>>, number: u64, role: Role, text: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), kind: Kind::Turn { number, role }, text: text.into() }
    }

    /// What may help.
    pub fn passage(source: impl Into<Arc<str>>, score: f64, text: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), kind: Kind::Passage { score }, text: text.into() }
    }
}
