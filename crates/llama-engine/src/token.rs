//! What models read and write.

/// A token's number in a model's vocabulary.
pub type Token = i32;
