//! What well-known models cost.

use crate::price::Price;

/// A price, and where and when it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatedPrice {
    /// USD per million tokens.
    pub price: Price,
    /// The day on which it was read, `2026-11-26`.
    pub as_of: &'static str,
    /// The provider's page.
    pub source: &'static str,
}

/// The price of a model by its provider's name for it, such as `gpt-5-mini` or `gpt-5-mini-2025-08-07`, if this list knows it.
///
/// The list is dated, and prices change: an operator's own `price` in `[[models]]` goes before it.
pub fn bundled(_model: &str) -> Option<DatedPrice> {
    None
}
