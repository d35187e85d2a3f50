//! The names of a session: the id, which only its owner has, and the hash and handle by which everybody else knows it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::RedisServiceError;

/// 256 bits, so that nobody guesses one.
const ID_BYTES: usize = 32;

/// What a handle begins with; 64 hex digits follow.
const HANDLE: &str = "s:";

/// The hex SHA-256 of an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Hash(pub(crate) String);

impl Hash {
    /// Of an id.
    pub(crate) fn of(id: &str) -> Self {
        Self(hex(&Sha256::digest(id.as_bytes())))
    }

    /// Of what `destroy` takes: an id or a handle.
    pub(crate) fn of_id_or_handle(text: &str) -> Self {
        match of_handle(text) {
            Some(hash) => Self(hash.to_owned()),
            None => Self::of(text),
        }
    }

    pub(crate) fn handle(&self) -> String {
        format!("{HANDLE}{}", self.0)
    }
}

/// A new id: random bytes from the operating system, base64url.
pub(crate) fn new_id() -> Result<String, RedisServiceError> {
    let mut bytes = [0; ID_BYTES];
    // The random source that TLS uses, which is here anyway.
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| {
        RedisServiceError::Internal { message: "the operating system gives no random bytes".to_owned() }
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether it could be taken for a handle, which no id may.
pub(crate) fn is_handle(text: &str) -> bool {
    of_handle(text).is_some()
}

fn of_handle(text: &str) -> Option<&str> {
    let hash = text.strip_prefix(HANDLE)?;
    let is_hex = hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (hash.len() == 64 && is_hex).then_some(hash)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_256_bits_and_is_new_each_time() {
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        assert_eq!((one.len(), URL_SAFE_NO_PAD.decode(&one).unwrap().len()), (43, 32));
        assert_ne!(one, other);
    }

    #[test]
    fn a_handle_leads_to_the_same_session_as_its_id() {
        let hash = Hash::of("abc");
        assert_eq!(hash.0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Hash::of_id_or_handle(&hash.handle()), hash);
        assert_eq!(Hash::of_id_or_handle("s:abc"), Hash::of("s:abc"));
    }
}
