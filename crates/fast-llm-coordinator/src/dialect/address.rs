//! Where an endpoint lies, and the key that it is asked with.

use std::path::PathBuf;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use parking_lot::RwLock;

use crate::config::{EndpointConfig, Protocol};
use crate::error::CoordinatorError;

/// An endpoint's `base_url`, checked.
pub(super) struct Base {
    root: String,
    has_path: bool,
    is_tls: bool,
}

/// Checks the `base_url` and what may stand beside it.
pub(super) fn base(config: &EndpointConfig) -> Result<Base, CoordinatorError> {
    let name = &config.name;
    if config.api_version.is_some() && !matches!(config.protocol, Protocol::Azure | Protocol::Anthropic) {
        return Err(invalid(format!(
            "endpoint `{name}`: api_version is for the protocols azure and anthropic; remove it"
        )));
    }
    if config.protocol == Protocol::UatEngine {
        // The host is not looked up: the connector goes to the engine's socket whatever it says.
        return if config.base_url.is_none() {
            Ok(Base { root: "http://localhost".to_owned(), has_path: false, is_tls: false })
        } else {
            Err(invalid(format!(
                "endpoint `{name}`: the local engine has no base_url; remove it, or use protocol = \"openai\""
            )))
        };
    }
    let base = config.base_url.as_deref().ok_or_else(|| {
        invalid(format!(
            "endpoint `{name}`: base_url is missing; expected something like \"http://127.0.0.1:11434\""
        ))
    })?;
    let uri: Uri = base.parse().map_err(|e| {
        invalid(format!(
            "endpoint `{name}`: base_url {base:?} is not a URL ({e}); expected \"http://HOST:PORT\""
        ))
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(invalid(format!(
            "endpoint `{name}`: base_url {base:?} must begin with http:// or https:// and name a host"
        )));
    }
    Ok(Base {
        root: base.trim_end_matches('/').to_owned(),
        has_path: !uri.path().trim_end_matches('/').is_empty(),
        is_tls: uri.scheme() == Some(&http::uri::Scheme::HTTPS),
    })
}

impl Base {
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// `path` below the base URL.
    pub(super) fn at(&self, config: &EndpointConfig, path: &str) -> Result<Uri, CoordinatorError> {
        let Self { root, .. } = self;
        format!("{root}{path}").parse().map_err(|e| {
            let (name, base) = (&config.name, config.base_url.as_deref().unwrap_or_default());
            invalid(format!("endpoint `{name}`: base_url {base:?}: {e}"))
        })
    }

    /// The same, below `version` unless the base URL has a path of its own.
    pub(super) fn versioned(
        &self,
        config: &EndpointConfig,
        version: &str,
        path: &str,
    ) -> Result<Uri, CoordinatorError> {
        let version = if self.has_path { "" } else { version };
        self.at(config, &format!("{version}{path}"))
    }
}

/// A name as one segment of a path (RFC 3986: everything but unreserved characters is escaped).
pub(super) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The API key of one endpoint as a header.
pub(super) struct Key {
    header: HeaderName,
    value: RwLock<Option<HeaderValue>>,
    file: Option<PathBuf>,
}

impl Key {
    pub(super) fn read(config: &EndpointConfig) -> Result<Self, CoordinatorError> {
        let header = match config.protocol {
            Protocol::Anthropic => HeaderName::from_static("x-api-key"),
            Protocol::Gemini => HeaderName::from_static("x-goog-api-key"),
            Protocol::Azure => HeaderName::from_static("api-key"),
            Protocol::OpenAi | Protocol::Ollama | Protocol::UatEngine => AUTHORIZATION,
        };
        let name = &config.name;
        let key = match (&config.api_key_env, &config.api_key_file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(invalid(format!(
                    "endpoint `{name}`: api_key_env and api_key_file exclude each other; keep one"
                )));
            }
            (Some(variable), None) => Some(std::env::var(variable).map_err(|_| {
                invalid(format!(
                    "endpoint `{name}`: the environment variable {variable} (api_key_env) is not set"
                ))
            })?),
            (None, Some(file)) => Some(std::fs::read_to_string(file).map_err(|e| {
                invalid(format!("endpoint `{name}`: api_key_file {} cannot be read: {e}", file.display()))
            })?),
        };
        let value = match key {
            None => None,
            Some(key) => Some(header_value(&header, &key).ok_or_else(|| {
                invalid(format!("endpoint `{name}`: its API key holds characters that a header cannot carry"))
            })?),
        };
        Ok(Self { header, value: RwLock::new(value), file: config.api_key_file.clone() })
    }

    /// Reads the file again, if the key comes from one. One that cannot be used leaves the key as it is.
    pub(super) fn read_again(&self) {
        let Some(file) = &self.file else { return };
        let read = std::fs::read_to_string(file).ok().and_then(|key| header_value(&self.header, &key));
        match read {
            Some(value) => *self.value.write() = Some(value),
            None => tracing::warn!(file = %file.display(), "the file of an API key cannot be used"),
        }
    }

    pub(super) fn insert_into(&self, headers: &mut HeaderMap) {
        if let Some(value) = &*self.value.read() {
            headers.insert(self.header.clone(), value.clone());
        }
    }
}

fn header_value(header: &HeaderName, key: &str) -> Option<HeaderValue> {
    let key = key.trim();
    let text = if *header == AUTHORIZATION { format!("Bearer {key}") } else { key.to_owned() };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn invalid(message: String) -> CoordinatorError {
    CoordinatorError::Config { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_that_is_none_is_refused_by_name() {
        for base_url in ["127.0.0.1:80", "ftp://host", "http://", "not a url"] {
            let config = EndpointConfig::new("gpu-7", Protocol::OpenAi, Some(base_url.to_owned()));
            assert!(base(&config).is_err_and(|e| e.to_string().contains("gpu-7")), "{base_url}");
        }
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let mut config = EndpointConfig::new("e", Protocol::OpenAi, Some("http://h".into()));
        config.api_key_env = Some("PATH".into());
        let mut headers = HeaderMap::new();
        Key::read(&config).unwrap().insert_into(&mut headers);
        assert_eq!(format!("{:?}", headers[AUTHORIZATION]), "Sensitive");
    }

    #[test]
    fn a_key_is_read_again_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old\n").unwrap();
        let mut config = EndpointConfig::new("e", Protocol::Anthropic, Some("http://h".into()));
        config.api_key_file = Some(file.path().to_owned());
        let key = Key::read(&config).unwrap();
        std::fs::write(file.path(), "new\n").unwrap();
        key.read_again();
        let mut headers = HeaderMap::new();
        key.insert_into(&mut headers);
        assert_eq!(headers["x-api-key"], "new");
    }
}
