//! A key: its text, which only its owner has, its hash, by which it is known here, and what it may do.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// What the text of a key begins with, so that scanners for leaked secrets can know it.
const TEXT_PREFIX: &str = "uat-";

/// Random bytes of a key: nobody guesses 256 bits, so that a fast hash is enough. Slow hashes are for passwords, which people choose.
const RANDOM_BYTES: usize = 32;

/// What a hash is written with.
const HASH_PREFIX: &str = "sha256:";

/// The text of a new key. It is shown once and stored nowhere.
pub struct KeyText(String);

impl KeyText {
    /// A new key: `uat-` and 43 characters, 32 random bytes of the operating system's as base64url.
    ///
    /// # Errors
    /// [`getrandom::Error`] where the operating system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{TEXT_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The text itself, to be shown to its owner and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Without the text.
impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

/// The SHA-256 of a key's whole text, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a key's text.
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what [`Display`](fmt::Display) writes. The message of an error does not repeat the text: somebody may have put the key itself there.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected \"sha256:\" and 64 hexadecimal digits, as `uat keys new` prints it";
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(EXPECTED)?.as_bytes();
        if digits.len() != 64 {
            return Err(EXPECTED);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit =
                |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = (digit(0).ok_or(EXPECTED)? << 4) | digit(1).ok_or(EXPECTED)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The beginning is enough to tell keys apart.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({HASH_PREFIX}{:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// What a key may do: a table `[[keys]]` of the configuration, and a row of the file of keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Under which its owner is known in reports; unique. What is spent is counted under it.
    pub name: Arc<str>,
    /// By which it is known: `sha256:` and 64 hexadecimal digits.
    #[schemars(with = "String", regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub hash: KeyHash,
    /// The models it may ask for, by the names of `[[models]]`; `*` stands for any characters.
    #[serde(default = "every_model")]
    pub models: Vec<String>,
    /// Requests a minute at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub rpm: Option<u64>,
    /// Tokens a minute at most, of prompts and answers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub tpm: Option<u64>,
    /// USD a day (UTC) at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd_per_day: Option<f64>,
    /// Whether it may administrate: metrics, reports of others, the configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// When it stops being a key, as in `2027-01-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires: Option<Timestamp>,
    /// In the file of keys: by which it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
    /// In the file of keys: when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub created: Option<Timestamp>,
}

fn every_model() -> Vec<String> {
    vec!["*".to_owned()]
}

impl KeyConfig {
    /// A key for every model, without limits, that does not expire.
    pub fn new(name: impl Into<Arc<str>>, hash: KeyHash) -> Self {
        Self {
            name: name.into(),
            hash,
            models: every_model(),
            rpm: None,
            tpm: None,
            budget_usd_per_day: None,
            admin: false,
            expires: None,
            id: None,
            created: None,
        }
    }

    /// Whether it may ask for this model.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| matches(pattern, model))
    }

    /// What is wrong with its values: the field, and what was expected. An empty list is well.
    pub fn objections(&self) -> Vec<(&'static str, String)> {
        let mut objections = Vec::new();
        let mut object = |field, message: &str| objections.push((field, message.to_owned()));
        if self.name.is_empty() || self.name.len() > MAX_NAME || self.name.chars().any(char::is_control) {
            object("name", "expected 1 to 128 characters, none of them a control character");
        }
        if self.models.is_empty() {
            object(
                "models",
                "expected at least one name or pattern, got an empty list; leave it out for every model",
            );
        }
        for (field, limit) in [("rpm", self.rpm), ("tpm", self.tpm)] {
            if limit.is_some_and(|limit| limit == 0 || limit > crate::limits::MOST) {
                object(
                    field,
                    "expected a whole number from 1 to 9007199254740991; leave it out for no limit",
                );
            }
        }
        if self.budget_usd_per_day.is_some_and(|budget| crate::limits::budget(budget).is_none()) {
            object(
                "budget_usd_per_day",
                "expected USD from 0.000000001 to 9000000; leave it out for no budget",
            );
        }
        objections
    }
}

/// Bytes of a key's name at most: it stands in journals, reports and logs.
const MAX_NAME: usize = 128;

/// A key as it is used. Requests hold it for as long as they run.
#[derive(Debug)]
pub struct Key {
    config: KeyConfig,
    /// The same for all versions of a key, that is, of a hash.
    revoked: CancellationToken,
}

impl Key {
    pub(crate) fn new(config: KeyConfig, revoked: CancellationToken) -> Self {
        Self { config, revoked }
    }

    /// What it may do.
    pub fn config(&self) -> &KeyConfig {
        &self.config
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Whether it may ask for this model.
    pub fn may_use(&self, model: &str) -> bool {
        self.config.may_use(model)
    }

    /// Whether it may administrate.
    pub fn is_admin(&self) -> bool {
        self.config.admin
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.config.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether it was revoked: it stands in no configuration any more. What it began must end.
    pub fn is_revoked(&self) -> bool {
        self.revoked.is_cancelled()
    }

    /// Resolves when it is revoked, at once if it is.
    pub async fn revoked(&self) {
        self.revoked.cancelled().await;
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.revoked
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters, also none. Linear in the name for each star.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_is_long_random_and_shown_only_when_asked_for() {
        let (one, other) = (KeyText::new().unwrap(), KeyText::new().unwrap());
        assert_eq!(one.expose().len(), "uat-".len() + 43);
        assert!(one.expose().starts_with("uat-"));
        assert_ne!(one.expose(), other.expose());
        assert!(!format!("{one:?}").contains(&one.expose()[4..]));
    }

    #[test]
    fn a_hash_is_that_of_the_whole_text_and_read_as_it_is_written() {
        let hash = KeyHash::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(KeyHash::parse(text), Ok(hash));
        assert_eq!(KeyHash::parse(&text.to_uppercase().replace("SHA256", "sha256")), Ok(hash));
        for wrong in
            ["", "abc", "sha256:", "sha1:00", &text[1..], &text[..text.len() - 1], &format!("{text}0")]
        {
            let message = KeyHash::parse(wrong).unwrap_err();
            assert!(message.contains("64"), "{wrong}");
        }
        assert!(KeyHash::parse(&text.replace('b', "g")).is_err());
        assert!(KeyHash::parse(&text.replace("ba", "é")).is_err());
    }

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }

    #[test]
    fn patterns_name_models() {
        check("*", "", true);
        check("*", "gpt-5", true);
        check("gpt-5", "gpt-5", true);
        check("gpt-5", "gpt-5-mini", false);
        check("gpt-*", "gpt-5-mini", true);
        check("*-mini", "gpt-5-mini", true);
        check("gpt-*-mini", "gpt-5-mini", true);
        check("gpt-*-mini", "gpt-mini", false);
        check("a*a", "a", false);
        check("a*b*a", "abba", true);
        check("a*bb*a", "aba", false);
        check("**x", "x", true);
        check("", "", true);
        check("", "x", false);
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_its_stars_were_filled_with(parts in prop::collection::vec("[ab]{0,3}", 1..5), fills in prop::collection::vec("[ab]{0,3}", 4)) {
            let pattern = parts.join("*");
            let mut name = parts[0].clone();
            for (part, fill) in parts[1..].iter().zip(&fills) {
                name.push_str(fill);
                name.push_str(part);
            }
            prop_assert!(matches(&pattern, &name));
        }
    }

    #[test]
    fn a_row_has_defaults_and_refuses_what_it_does_not_know() {
        let hash = KeyHash::of(b"abc");
        let config: KeyConfig = toml::from_str(&format!("name = \"a\"\nhash = \"{hash}\"")).unwrap();
        assert_eq!(config, KeyConfig::new("a", hash));
        assert!(config.objections().is_empty());
        let unknown = toml::from_str::<KeyConfig>(&format!("name = \"a\"\nhash = \"{hash}\"\nrpn = 1"));
        assert!(unknown.unwrap_err().to_string().contains("rpn"));
        let expires = format!("name = \"a\"\nhash = \"{hash}\"\nexpires = \"2027-01-01T00:00:00Z\"");
        let config: KeyConfig = toml::from_str(&expires).unwrap();
        let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let key = Key::new(config, CancellationToken::new());
        assert!(!key.is_expired(end - jiff::SignedDuration::from_nanos(1)) && key.is_expired(end));
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        let wrong = KeyConfig {
            models: Vec::new(),
            rpm: Some(0),
            tpm: Some(u64::MAX),
            budget_usd_per_day: Some(f64::NAN),
            ..KeyConfig::new("", KeyHash::of(b""))
        };
        let fields: Vec<&str> = wrong.objections().iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["name", "models", "rpm", "tpm", "budget_usd_per_day"]);
    }
}
