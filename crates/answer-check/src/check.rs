use std::ops::RangeInclusive;

/// A check, and what an answer has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Check {
    /// The one that suits the request: its schema where it has one, else agreement.
    #[default]
    Fitting,
    /// The answer is the JSON that the request asks for.
    Schema,
    /// Of so many answers this share says the same in the end.
    SelfConsistency {
        /// Answers, 2 to 10.
        k: u32,
        /// Above 0, at most 1.
        threshold: f64,
    },
    /// The model was so sure of the tokens of which it was least sure.
    Logprob {
        /// Nats: 1 is 2.7 times as likely as the next best, 0 as likely.
        threshold: f64,
    },
}

/// What cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct BadCheck {
    /// `cascade`, `k` or `threshold`.
    pub field: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it was.
    pub got: String,
}

/// Every word for a check.
const WORDS: [&str; 4] = ["on", "schema", "self-consistency", "logprob"];

/// More answers than ten cost more than most strong models do.
const K: RangeInclusive<u32> = 2..=10;
/// The fewest of which one can be outvoted.
const DEFAULT_K: u32 = 3;
/// Two of three, three of five.
const DEFAULT_SHARE: f64 = 0.6;
/// The chosen token is 2.7 times as likely as the next best.
const DEFAULT_MARGIN: f64 = 1.0;
/// A token that is e^20 times as likely as the next is certain.
pub(crate) const MOST_MARGIN: f64 = 20.0;

impl Check {
    /// The check of this word with these numbers, where they are not its own.
    ///
    /// # Errors
    /// [`BadCheck`] for an unknown word, a number that is out of its range, and one that the check does not have.
    pub fn read(word: &str, k: Option<f64>, threshold: Option<f64>) -> Result<Self, BadCheck> {
        let none = |field: &'static str, given: Option<f64>| match given {
            None => Ok(()),
            Some(got) => Err(BadCheck {
                field,
                expected: format!("nothing, because `{word}` has none"),
                got: got.to_string(),
            }),
        };
        match word {
            "on" | "schema" => {
                none("k", k)?;
                none("threshold", threshold)?;
                Ok(if word == "on" { Self::Fitting } else { Self::Schema })
            }
            "self-consistency" => Ok(Self::SelfConsistency { k: samples(k)?, threshold: share(threshold)? }),
            "logprob" => {
                none("k", k)?;
                Ok(Self::Logprob { threshold: margin(threshold)? })
            }
            _ => Err(BadCheck {
                field: "cascade",
                expected: format!("one of `{}`", WORDS.join("`, `")),
                got: format!("`{}`", word.chars().take(80).collect::<String>()),
            }),
        }
    }

    /// Agreement with the numbers that it has where nobody says any.
    pub const AGREEMENT: Self = Self::SelfConsistency { k: DEFAULT_K, threshold: DEFAULT_SHARE };

    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fitting => "on",
            Self::Schema => "schema",
            Self::SelfConsistency { .. } => "self-consistency",
            Self::Logprob { .. } => "logprob",
        }
    }

    /// What an answer has to reach, if that is a number.
    pub fn threshold(&self) -> Option<f64> {
        match self {
            Self::Fitting | Self::Schema => None,
            Self::SelfConsistency { threshold, .. } | Self::Logprob { threshold } => Some(*threshold),
        }
    }

    /// How many answers it takes.
    pub fn answers(&self) -> u32 {
        match self {
            Self::SelfConsistency { k, .. } => *k,
            Self::Fitting | Self::Schema | Self::Logprob { .. } => 1,
        }
    }
}

fn samples(k: Option<f64>) -> Result<u32, BadCheck> {
    let Some(asked) = k else { return Ok(DEFAULT_K) };
    K.into_iter().find(|k| f64::from(*k) == asked).ok_or_else(|| BadCheck {
        field: "k",
        expected: format!("a whole number of answers from {} to {}", K.start(), K.end()),
        got: asked.to_string(),
    })
}

fn share(threshold: Option<f64>) -> Result<f64, BadCheck> {
    match threshold {
        None => Ok(DEFAULT_SHARE),
        Some(share) if share > 0.0 && share <= 1.0 => Ok(share),
        Some(other) => {
            let expected = "a share of the answers above 0, at most 1".to_owned();
            Err(BadCheck { field: "threshold", expected, got: other.to_string() })
        }
    }
}

fn margin(threshold: Option<f64>) -> Result<f64, BadCheck> {
    match threshold {
        None => Ok(DEFAULT_MARGIN),
        Some(margin) if (0.0..=MOST_MARGIN).contains(&margin) => Ok(margin),
        Some(other) => {
            let expected = format!("nats from 0 to {MOST_MARGIN}");
            Err(BadCheck { field: "threshold", expected, got: other.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_read_by_its_word_with_numbers_of_its_own() {
        let read = |word, k, threshold| Check::read(word, k, threshold).unwrap();
        assert_eq!(read("on", None, None), Check::Fitting);
        assert_eq!(read("schema", None, None), Check::Schema);
        assert_eq!(read("self-consistency", None, None), Check::AGREEMENT);
        let strict = Check::SelfConsistency { k: 10, threshold: 1.0 };
        assert_eq!(read("self-consistency", Some(10.0), Some(1.0)), strict);
        assert_eq!(read("logprob", None, Some(0.5)), Check::Logprob { threshold: 0.5 });
        assert_eq!(read("logprob", None, None).threshold(), Some(1.0));
    }

    #[test]
    fn what_cannot_be_asked_for_is_named_with_what_can() {
        for (word, k, threshold, message) in [
            (
                "vote",
                None,
                None,
                "cascade: expected one of `on`, `schema`, `self-consistency`, `logprob`, got `vote`",
            ),
            (
                "self-consistency",
                Some(1.0),
                None,
                "k: expected a whole number of answers from 2 to 10, got 1",
            ),
            (
                "self-consistency",
                Some(11.0),
                None,
                "k: expected a whole number of answers from 2 to 10, got 11",
            ),
            (
                "self-consistency",
                Some(2.5),
                None,
                "k: expected a whole number of answers from 2 to 10, got 2.5",
            ),
            (
                "self-consistency",
                None,
                Some(0.0),
                "threshold: expected a share of the answers above 0, at most 1, got 0",
            ),
            (
                "self-consistency",
                None,
                Some(1.1),
                "threshold: expected a share of the answers above 0, at most 1, got 1.1",
            ),
            ("logprob", None, Some(-1.0), "threshold: expected nats from 0 to 20, got -1"),
            ("logprob", None, Some(f64::NAN), "threshold: expected nats from 0 to 20, got NaN"),
            ("logprob", Some(3.0), None, "k: expected nothing, because `logprob` has none, got 3"),
            ("schema", None, Some(0.5), "threshold: expected nothing, because `schema` has none, got 0.5"),
        ] {
            assert_eq!(Check::read(word, k, threshold).unwrap_err().to_string(), message);
        }
    }
}
