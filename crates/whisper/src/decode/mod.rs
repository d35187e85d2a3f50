//! From what was heard to tokens, and from tokens to segments and words.

mod options;
mod rules;
mod search;
mod seek;
mod timing;
mod window;
mod words;

pub use options::Options;
pub(crate) use rules::Rules;
pub(crate) use seek::cut;
pub(crate) use timing::token_times;
pub(crate) use window::{Context, Decoded, Window, detect_language};
pub use words::Word;
pub(crate) use words::{TimedToken, assemble};
