use std::sync::Arc;

use parking_lot::Mutex;

/// Crockford's base 32: no letter that is mistaken for a digit, and safe in headers, URLs and file names.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 characters of 5 bits hold the 128 bits of a UUID: no two requests of anybody share one.
const LENGTH: usize = 26;

/// Makes request ids: `req_` and 26 characters. They name a request in logs and reports; they are no secret.
#[derive(Debug)]
pub(crate) struct RequestIds {
    random: Mutex<fastrand::Rng>,
}

impl RequestIds {
    /// The same seed makes the same ids.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }

    /// The next id.
    pub(crate) fn make(&self) -> Arc<str> {
        let mut bits = self.random.lock().u128(..);
        let mut id = String::with_capacity("req_".len() + LENGTH);
        id.push_str("req_");
        for _ in 0..LENGTH {
            id.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
        id.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_the_seed_decides_them() {
        let ids = RequestIds::new(7);
        let (first, second) = (ids.make(), ids.make());
        assert_ne!(first, second);
        assert_eq!(first, RequestIds::new(7).make());
        assert_eq!(first.len(), "req_".len() + LENGTH);
        assert!(first.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
    }
}
