use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::error::TelemetryError;

/// Where traces go, and how many.
#[derive(Debug, Clone)]
pub struct TracesOptions {
    /// Where spans are posted.
    pub(crate) uri: Uri,
    /// What is sent with them; marked as secret.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The share of traces that begin here and are kept, 0 to 1.
    pub(crate) sample_ratio: f64,
    /// `service.name`.
    pub(crate) service_name: String,
}

impl TracesOptions {
    /// `endpoint` is the collector's base, below which `/v1/traces` lies, as in `OTEL_EXPORTER_OTLP_ENDPOINT`; `headers`
    /// are written like `name=value,other=value`, percent-encoded, as in `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    /// [`TelemetryError::Option`] for what is wrong; no value of a header is repeated.
    pub fn new(
        endpoint: &str,
        headers: Option<&str>,
        sample_ratio: f64,
        service_name: &str,
    ) -> Result<Self, TelemetryError> {
        if !(0.0..=1.0).contains(&sample_ratio) {
            let message = format!("expected a share from 0 to 1, got {sample_ratio}");
            return Err(TelemetryError::Option { field: "sample_ratio", message });
        }
        if service_name.is_empty() {
            let message = "expected a name, got nothing; leave it out for \"uat\"".to_owned();
            return Err(TelemetryError::Option { field: "service_name", message });
        }
        Ok(Self {
            uri: traces_uri(endpoint)?,
            headers: headers.map_or(Ok(Vec::new()), parse_headers)?,
            sample_ratio,
            service_name: service_name.to_owned(),
        })
    }
}

fn traces_uri(endpoint: &str) -> Result<Uri, TelemetryError> {
    let wrong = || TelemetryError::Option {
        field: "otlp_endpoint",
        message: format!(
            "expected the base URL of a collector that speaks OTLP over HTTP, like http://127.0.0.1:4318, got `{endpoint}`"
        ),
    };
    let base: Uri = endpoint.parse().map_err(|_| wrong())?;
    let plain = matches!(base.scheme_str(), Some("http" | "https"))
        && base.query().is_none()
        && base.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if !plain {
        return Err(wrong());
    }
    let base = endpoint.trim_end_matches('/');
    let whole = if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") };
    whole.parse().map_err(|_| wrong())
}

fn parse_headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, TelemetryError> {
    let wrong = |number: usize| TelemetryError::Option {
        field: "otlp_headers",
        message: format!(
            "expected name=value pairs with commas in between, percent-encoded where they hold one; number {number} is none"
        ),
    };
    let pairs = text.trim().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .enumerate()
        .map(|(index, pair)| {
            let wrong = || wrong(index + 1);
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
            let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(&*value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok((name, value))
        })
        .collect()
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTo {
    /// Standard output.
    Stdout,
    /// The end of this file, which is made if there is none.
    File(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_for_traces_is_added_once() {
        for (given, posted) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/otlp", "https://collector.example/otlp/v1/traces"),
            ("http://h:1/v1/traces", "http://h:1/v1/traces"),
        ] {
            assert_eq!(traces_uri(given).unwrap().to_string(), posted);
        }
    }

    #[test]
    fn what_is_no_collector_is_refused() {
        for wrong in ["", "127.0.0.1:4318", "grpc://h:4317", "http://user:pw@h", "http://h/?a=b"] {
            assert!(traces_uri(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_read_and_never_repeated() {
        let options =
            TracesOptions::new("http://h:1", Some("api-key=a%2Cb, X-Team = x"), 1.0, "uat").unwrap();
        let read: Vec<_> =
            options.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(read, [("api-key", "a,b"), ("x-team", "x")]);
        assert!(!format!("{options:?}").contains("a,b"));
        let error = TracesOptions::new("http://h:1", Some("a=1,secret"), 1.0, "uat").unwrap_err().to_string();
        assert!(error.contains("number 2") && !error.contains("secret"), "{error}");
    }
}
