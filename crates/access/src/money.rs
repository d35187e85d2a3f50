//! Money for people.

use std::fmt;

/// An amount in nano-USD (1e-9 USD), shown in USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// In USD, as far as a floating point number has it.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// `0.25 USD`, with as many digits as are needed, at least two.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nano) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let digits = format!("{nano:09}");
        let kept = digits.trim_end_matches('0').len().max(2);
        write!(f, "{whole}.{} USD", &digits[..kept])
    }
}

#[cfg(test)]
mod tests {
    use super::NanoUsd;

    #[test]
    fn amounts_are_shown_whole() {
        for (nano, text) in [
            (0, "0.00 USD"),
            (1, "0.000000001 USD"),
            (1_500_000_000, "1.50 USD"),
            (20_000_000_000, "20.00 USD"),
            (20_123_400_000, "20.1234 USD"),
        ] {
            assert_eq!(NanoUsd(nano).to_string(), text);
        }
    }
}
