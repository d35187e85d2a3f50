//! What [`Options`] need as a section of a configuration: an address that stands elsewhere, a check without a connection, and
//! passwords that nobody prints.

use std::fmt;

use serde::Serializer;

use crate::error::RedisServiceError;
use crate::options::{Address, Options, Place, Topology};

/// What stands in the place of a user and a password.
const HIDDEN: &str = "***";

impl Options {
    /// Whether an address is given, here or elsewhere.
    pub fn names_redis(&self) -> bool {
        self.url.is_some() || self.url_env.is_some() || self.url_file.is_some()
    }

    /// The same with the address read from where `url_env` or `url_file` says that it is.
    ///
    /// # Errors
    /// [`RedisServiceError::Config`] if the variable is not set, or the file cannot be read.
    pub fn with_url(mut self) -> Result<Self, RedisServiceError> {
        self.one_address()?;
        if let Some(variable) = self.url_env.take() {
            // The reason is not repeated: that of a variable which is no UTF-8 holds its value.
            let url = std::env::var(&variable).map_err(|_| {
                RedisServiceError::config(
                    "url_env",
                    format!("the environment variable {variable} is not set"),
                )
            })?;
            self.url = Some(url.trim().to_owned());
        }
        if let Some(file) = self.url_file.take() {
            let url = std::fs::read_to_string(&file).map_err(|error| {
                RedisServiceError::config("url_file", format!("{} cannot be read: {error}", file.display()))
            })?;
            self.url = Some(url.trim().to_owned());
        }
        Ok(self)
    }

    /// What can be told without a connection; an address that stands elsewhere is not read yet.
    ///
    /// # Errors
    /// [`RedisServiceError::Config`] naming the first option that is wrong.
    pub fn check(&self) -> Result<(), RedisServiceError> {
        self.refusals().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that [`check`](Self::check) refuses.
    pub fn refusals(&self) -> Vec<RedisServiceError> {
        let at_least_one = [
            ("nearMaxBytes", self.near_max_bytes),
            ("fallbackMaxBytes", self.fallback_max_bytes),
            ("maxReplay", self.max_replay as u64),
        ];
        let mut refusals: Vec<RedisServiceError> = self.one_address().err().into_iter().collect();
        refusals.extend(
            at_least_one
                .iter()
                .filter(|(_, value)| *value == 0)
                .map(|(field, _)| RedisServiceError::config(*field, "expected at least 1, got 0")),
        );
        if !(1..=19).contains(&self.compression_level) {
            let message = format!("expected a level of zstd's, 1 to 19, got {}", self.compression_level);
            refusals.push(RedisServiceError::config("compressionLevel", message));
        }
        refusals.extend(self.refused_limits());
        refusals.extend(self.url.as_deref().and_then(|url| Address::parse(url).err()));
        refusals
    }

    fn one_address(&self) -> Result<(), RedisServiceError> {
        let given = [
            ("url", self.url.is_some()),
            ("url_env", self.url_env.is_some()),
            ("url_file", self.url_file.is_some()),
        ];
        match given.iter().filter(|(_, given)| *given).nth(1) {
            Some((field, _)) => Err(RedisServiceError::config(
                *field,
                "url, url_env and url_file exclude each other: keep one",
            )),
            None => Ok(()),
        }
    }
}

impl Address {
    /// Where it leads, for people: places only.
    pub fn places(&self) -> String {
        let list = |places: &[Place]| places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.topology {
            Topology::Single(place) => place.to_string(),
            Topology::Sentinel { sentinels, master } => format!("{master} of {}", list(sentinels)),
            Topology::Cluster(nodes) => format!("the cluster of {}", list(nodes)),
        }
    }
}

/// The address as anybody may read it. What does not parse may hold a password anywhere, so that nothing of it is shown.
fn shown(url: &str) -> String {
    match Address::parse(url) {
        Err(_) => HIDDEN.to_owned(),
        Ok(Address { login: None, .. }) => url.to_owned(),
        Ok(_) => match (url.split_once("://"), url.split_once('?')) {
            (_, Some((socket, _))) if url.starts_with("unix:") => format!("{socket}?{HIDDEN}"),
            (Some((scheme, rest)), _) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let hosts = rest[..end].rfind('@').map_or(0, |at| at + 1);
                format!("{scheme}://{HIDDEN}@{}", &rest[hosts..])
            }
            _ => HIDDEN.to_owned(),
        },
    }
}

pub(crate) fn without_password<S: Serializer>(
    url: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => serializer.serialize_some(&shown(url)),
        None => serializer.serialize_none(),
    }
}

/// Through serde, so that a new option cannot be forgotten here and the password cannot be shown by one of the two.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "Options {fields}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: Options, says: &str) {
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn no_password_is_shown_whatever_the_address() {
        for (url, expected) in [
            ("redis://localhost/2", "redis://localhost/2"),
            ("rediss://u:secret@h:1/2?ca=/x", "rediss://***@h:1/2?ca=/x"),
            ("redis+cluster://:se%40cret@a,b:1", "redis+cluster://***@a,b:1"),
            ("unix:/run/r.sock?pass=secret&db=1", "unix:/run/r.sock?***"),
            ("redis:/u:secret@h", "***"),
            ("redis://:secret/x@h", "***"),
            ("redis://u:1/secret@h", "***"),
        ] {
            let options = Options { url: Some(url.to_owned()), ..Options::default() };
            let json = serde_json::to_value(&options).unwrap();
            assert_eq!(json["url"], expected);
            assert!(!format!("{options:?}").contains("secret"), "{options:?}");
        }
    }

    #[test]
    fn an_option_that_cannot_be_is_named() {
        check(Options { compression_level: 20, ..Options::default() }, "compressionLevel: ");
        check(Options { near_max_bytes: 0, ..Options::default() }, "nearMaxBytes: ");
        check(Options { url: Some("http://x".into()), ..Options::default() }, "url: ");
        let two = Options { url: Some("redis://h".into()), url_env: Some("X".into()), ..Options::default() };
        check(two, "url_env: ");
        Options::default().check().unwrap();
    }

    #[test]
    fn an_address_may_stand_in_a_file_or_a_variable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "redis://h\n").unwrap();
        let at = |url_file| Options { url_file: Some(url_file), ..Options::default() };
        assert_eq!(at(file.path().to_owned()).with_url().unwrap().url.as_deref(), Some("redis://h"));
        let error = at("/nowhere/at/all".into()).with_url().unwrap_err().to_string();
        assert!(error.starts_with("url_file: /nowhere/at/all cannot be read"), "{error}");
        let unset = Options { url_env: Some("UAT_TEST_NOT_SET".into()), ..Options::default() };
        let error = unset.with_url().unwrap_err().to_string();
        assert!(error.contains("UAT_TEST_NOT_SET"), "{error}");
    }
}
