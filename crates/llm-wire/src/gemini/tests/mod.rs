//! Golden translations.
