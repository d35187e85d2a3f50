//! All keys that are valid now, and who of them is asking.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use jiff::Timestamp;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use crate::key::{Key, KeyConfig, KeyHash};

/// Bytes of what is taken for a key at most; ours have 47.
const MAX_PRESENTED: usize = 512;

/// Keys by their hashes. A configuration has one; the next configuration has its [`successor`](Self::successor).
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<Arc<Key>>,
    /// Places in `keys`, by a hash of the key's hash that nobody outside can foresee: so the time of a look-up says nothing about
    /// which keys there are, however many.
    places: HashMap<u64, Vec<usize>>,
    random: RandomState,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Nothing was presented.
    #[error("expected an API key, got none: send `Authorization: Bearer KEY`; `uat keys new` makes one")]
    Missing,
    /// No such key, or not any more.
    #[error("the API key is not known here: it was mistyped, revoked, or belongs to another service")]
    Unknown,
    /// Its time is over.
    #[error("the API key {key:?} expired on {at}; `uat keys new` makes another")]
    Expired {
        /// The key's name.
        key: Arc<str>,
        /// When.
        at: Timestamp,
    },
}

impl Denied {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        "UAT_UNAUTHORIZED"
    }
}

/// Why rows of keys make no keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A value cannot be.
    #[error("the key {key:?}: {field}: {message}")]
    Value {
        /// The key's name.
        key: Arc<str>,
        /// Which place in the list.
        at: usize,
        /// Which field.
        field: &'static str,
        /// What was expected.
        message: String,
    },
    /// Two keys have the same name or the same hash.
    #[error("the key {key:?}: expected each {field} once, got it twice")]
    Twice {
        /// The second key's name.
        key: Arc<str>,
        /// Its place in the list.
        at: usize,
        /// `name` or `hash`.
        field: &'static str,
    },
}

impl KeyringError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        "UAT_CONFIG"
    }
}

impl Keyring {
    /// A keyring of its own, with nothing before it.
    ///
    /// # Errors
    /// [`KeyringError`]: the first row that is wrong.
    pub fn new(rows: impl IntoIterator<Item = KeyConfig>) -> Result<Self, KeyringError> {
        Self::default().successor(rows)
    }

    /// The keyring of the next configuration. Keys that did not change stay the very same; one that is allowed something else
    /// is another [`Key`] that is revoked together with the former. Nothing is revoked yet: [`part_from`](Self::part_from) does
    /// that, when the whole configuration has been accepted.
    ///
    /// # Errors
    /// [`KeyringError`]: the first row that is wrong.
    pub fn successor(&self, rows: impl IntoIterator<Item = KeyConfig>) -> Result<Self, KeyringError> {
        let mut next = Self { random: self.random.clone(), ..Self::default() };
        let mut names = std::collections::HashSet::new();
        for (at, config) in rows.into_iter().enumerate() {
            if let Some((field, message)) = config.objections().into_iter().next() {
                return Err(KeyringError::Value { key: config.name, at, field, message });
            }
            let twice = match (names.insert(config.name.clone()), next.find(&config.hash)) {
                (false, _) => Some("name"),
                (true, Some(_)) => Some("hash"),
                (true, None) => None,
            };
            if let Some(field) = twice {
                return Err(KeyringError::Twice { key: config.name, at, field });
            }
            // One that was revoked and is back must not end at once.
            let former = self.find(&config.hash).filter(|former| !former.is_revoked());
            next.enter(match former {
                Some(former) if *former.config() == config => Arc::clone(former),
                Some(former) => Arc::new(Key::new(config, former.token().clone())),
                None => Arc::new(Key::new(config, CancellationToken::new())),
            });
        }
        Ok(next)
    }

    /// Revokes the keys that the successor does not have: what they began ends now.
    pub fn part_from(&self, successor: &Self) {
        for key in &self.keys {
            if successor.find(&key.config().hash).is_none() {
                key.token().cancel();
            }
        }
    }

    fn enter(&mut self, key: Arc<Key>) {
        let tag = self.random.hash_one(key.config().hash);
        self.places.entry(tag).or_default().push(self.keys.len());
        self.keys.push(key);
    }

    fn find(&self, hash: &KeyHash) -> Option<&Arc<Key>> {
        let places = self.places.get(&self.random.hash_one(hash))?;
        let found = places.iter().filter_map(|&at| self.keys.get(at));
        found.fold(None, |found, key| {
            let same: bool = key.config().hash.as_bytes().ct_eq(hash.as_bytes()).into();
            if same { Some(key) } else { found }
        })
    }

    /// Whose key this is. Takes the same time whatever was presented, and for any number of keys: what is compared is the SHA-256
    /// of what was presented, found by a keyed hash of that, and without stopping at the first byte that differs.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authenticate(&self, presented: &[u8]) -> Result<Arc<Key>, Denied> {
        self.authenticate_at(presented, Timestamp::now())
    }

    /// The same, at a certain time.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authenticate_at(&self, presented: &[u8], now: Timestamp) -> Result<Arc<Key>, Denied> {
        if presented.is_empty() {
            return Err(Denied::Missing);
        }
        if presented.len() > MAX_PRESENTED {
            return Err(Denied::Unknown);
        }
        let key = self.find(&KeyHash::of(presented)).ok_or(Denied::Unknown)?;
        match key.config().expires {
            Some(at) if key.is_expired(now) => Err(Denied::Expired { key: key.name().clone(), at }),
            _ => Ok(Arc::clone(key)),
        }
    }

    /// Whether there is no key at all: then nobody needs one.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys, in the order of their rows.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> KeyConfig {
        KeyConfig::new(name, KeyHash::of(name.as_bytes()))
    }

    fn name_of(keyring: &Keyring, presented: &str) -> Result<String, Denied> {
        keyring.authenticate(presented.as_bytes()).map(|key| key.name().to_string())
    }

    #[test]
    fn whoever_has_the_text_is_known_by_the_hash() {
        let keyring = Keyring::new((0..1000).map(|number| row(&format!("key{number}")))).unwrap();
        assert_eq!(name_of(&keyring, "key0").as_deref(), Ok("key0"));
        assert_eq!(name_of(&keyring, "key999").as_deref(), Ok("key999"));
        assert_eq!(name_of(&keyring, "key1000"), Err(Denied::Unknown));
        assert_eq!(name_of(&keyring, ""), Err(Denied::Missing));
        assert_eq!(name_of(&keyring, &"x".repeat(100_000)), Err(Denied::Unknown));
        assert_eq!(name_of(&keyring, &KeyHash::of(b"key0").to_string()), Err(Denied::Unknown));
        assert!(Keyring::default().is_empty() && !keyring.is_empty());
    }

    #[test]
    fn an_expired_key_is_told_so() {
        let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let keyring = Keyring::new([KeyConfig { expires: Some(end), ..row("a") }]).unwrap();
        assert!(keyring.authenticate_at(b"a", end - jiff::SignedDuration::from_secs(1)).is_ok());
        let expired = keyring.authenticate_at(b"a", end).unwrap_err();
        assert_eq!(expired, Denied::Expired { key: "a".into(), at: end });
        assert_eq!(expired.code(), "UAT_UNAUTHORIZED");
    }

    #[tokio::test]
    async fn after_a_reload_those_that_went_are_revoked_and_the_others_are_not() {
        let first = Keyring::new([row("stays"), row("changes"), row("goes")]).unwrap();
        let [stays, changes, goes] =
            ["stays", "changes", "goes"].map(|name| first.authenticate(name.as_bytes()).unwrap());
        let second = first
            .successor([KeyConfig { rpm: Some(1), ..row("changes") }, row("stays"), row("comes")])
            .unwrap();
        assert!(!goes.is_revoked(), "the configuration may yet be refused for another reason");
        first.part_from(&second);
        goes.revoked().await;
        assert!(goes.is_revoked() && !stays.is_revoked() && !changes.is_revoked());
        assert!(Arc::ptr_eq(&stays, &second.authenticate(b"stays").unwrap()));
        let changed = second.authenticate(b"changes").unwrap();
        assert_eq!(changed.config().rpm, Some(1));
        assert_eq!(name_of(&second, "goes"), Err(Denied::Unknown));

        // What the first version of a key began ends when its last version goes.
        let third = second.successor([]).unwrap();
        second.part_from(&third);
        assert!(changes.is_revoked() && changed.is_revoked() && stays.is_revoked());

        // Back again is a new beginning.
        let fourth = second.successor([row("stays")]).unwrap();
        assert!(!fourth.authenticate(b"stays").unwrap().is_revoked());
    }

    #[test]
    fn rows_that_cannot_be_are_named_with_their_place() {
        let wrong = |rows: Vec<KeyConfig>| Keyring::new(rows).unwrap_err();
        assert_eq!(
            wrong(vec![row("a"), KeyConfig { hash: KeyHash::of(b"b"), ..row("a") }]),
            KeyringError::Twice { key: "a".into(), at: 1, field: "name" }
        );
        assert_eq!(
            wrong(vec![row("a"), KeyConfig { name: "b".into(), ..row("a") }]),
            KeyringError::Twice { key: "b".into(), at: 1, field: "hash" }
        );
        assert!(matches!(
            wrong(vec![KeyConfig { rpm: Some(0), ..row("a") }]),
            KeyringError::Value { at: 0, field: "rpm", .. }
        ));
    }
}
