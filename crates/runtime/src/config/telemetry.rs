//! `[telemetry]`: what is told of requests to others than their callers.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telemetry::{AccessLogTo, TelemetryError, TracesOptions};

use super::UatConfig;
use super::finding::Finding;

/// `[telemetry]`. Without it nothing is sent and nothing written; `/metrics` needs none of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// The base URL of a collector that takes OTLP over HTTP, like `http://127.0.0.1:4318`; absent: no traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// The environment variable that holds headers for the collector: `name=value,other=value`, percent-encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_headers_env: Option<String>,
    /// A file that holds them, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_headers_file: Option<PathBuf>,
    /// The share of traces that begin here and are kept, 0 to 1. One that a caller began is kept where the caller keeps it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: f64,
    /// The name under which spans are found.
    pub service_name: String,
    /// `off`, `stdout`, or the path of a file to which a line of JSON is appended for each request.
    pub access_log: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers_env: None,
            otlp_headers_file: None,
            // Whoever names a collector wants to see traces; a gateway under load is told to keep fewer.
            sample_ratio: 1.0,
            service_name: "uat".to_owned(),
            access_log: "off".to_owned(),
        }
    }
}

impl TelemetryConfig {
    /// Where traces go, if anywhere. Reads the variable or the file with the headers.
    ///
    /// # Errors
    /// [`TelemetryError::Option`] with the key that is wrong.
    pub fn traces(&self) -> Result<Option<TracesOptions>, TelemetryError> {
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(None) };
        let headers = self.headers()?;
        TracesOptions::new(endpoint, headers.as_deref(), self.sample_ratio, &self.service_name).map(Some)
    }

    /// Where the access log goes, if anywhere.
    pub fn access_log(&self) -> Option<AccessLogTo> {
        match self.access_log.as_str() {
            "off" => None,
            "stdout" => Some(AccessLogTo::Stdout),
            path => Some(AccessLogTo::File(path.into())),
        }
    }

    fn headers(&self) -> Result<Option<String>, TelemetryError> {
        let wrong = |field, message| TelemetryError::Option { field, message };
        match (&self.otlp_headers_env, &self.otlp_headers_file) {
            (Some(name), _) => std::env::var(name).map(Some).map_err(|_| {
                wrong(
                    "otlp_headers_env",
                    format!("the environment variable {name} is not set, or is no UTF-8"),
                )
            }),
            (None, Some(file)) => std::fs::read_to_string(file).map(Some).map_err(|error| {
                wrong("otlp_headers_file", format!("{} cannot be read: {error}", file.display()))
            }),
            (None, None) => Ok(None),
        }
    }
}

/// What is wrong with the section, as far as it stands there: variables and files are read when the server starts.
pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let section = &config.telemetry;
    let mut findings = Vec::new();
    let mut finding = |key: &str, message: String| {
        let path = format!("telemetry.{key}");
        findings.push(Finding::new(path.clone(), format!("`{path}`: {message}")));
    };
    let endpoint = section.otlp_endpoint.as_deref();
    // Each alone, so that every mistake is found.
    for (endpoint, ratio, name) in [
        (endpoint.unwrap_or(NOWHERE), 1.0, "uat"),
        (NOWHERE, section.sample_ratio, "uat"),
        (NOWHERE, 1.0, section.service_name.as_str()),
    ] {
        if let Err(TelemetryError::Option { field, message }) =
            TracesOptions::new(endpoint, None, ratio, name)
        {
            finding(field, message);
        }
    }
    if section.otlp_headers_env.is_some() && section.otlp_headers_file.is_some() {
        finding(
            "otlp_headers_file",
            "expected one of otlp_headers_env and otlp_headers_file, got both".into(),
        );
    }
    let has_headers = section.otlp_headers_env.is_some() || section.otlp_headers_file.is_some();
    if endpoint.is_none() && has_headers {
        let key = if section.otlp_headers_env.is_some() { "otlp_headers_env" } else { "otlp_headers_file" };
        finding(key, "there is no `telemetry.otlp_endpoint` that they could be sent to".into());
    }
    if section.access_log.is_empty() {
        finding("access_log", "expected off, stdout or the path of a file, got nothing".into());
    }
    findings
}

/// An endpoint with which nothing is wrong.
const NOWHERE: &str = "http://127.0.0.1:4318";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigSource, UatConfig};

    fn found(section: &str) -> Vec<String> {
        let config: UatConfig = toml::from_str(&format!("[telemetry]\n{section}")).unwrap();
        findings(&config).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn nothing_is_told_unless_it_is_asked_for() {
        let section = TelemetryConfig::default();
        assert!(section.traces().unwrap().is_none());
        assert_eq!(section.access_log(), None);
        assert!(findings(&UatConfig::default()).is_empty());
    }

    #[test]
    fn every_mistake_is_found() {
        assert_eq!(
            found(
                "otlp_endpoint = \"h:4317\"\nsample_ratio = 2.0\nservice_name = \"\"\naccess_log = \"\"\notlp_headers_env = \"A\"\notlp_headers_file = \"b\""
            ),
            [
                "telemetry.otlp_endpoint",
                "telemetry.sample_ratio",
                "telemetry.service_name",
                "telemetry.otlp_headers_file",
                "telemetry.access_log"
            ]
        );
        assert_eq!(found("otlp_headers_env = \"A\""), ["telemetry.otlp_headers_env"]);
        assert_eq!(found("sample_ratio = nan"), ["telemetry.sample_ratio"]);
    }

    #[test]
    fn a_right_section_has_no_findings() {
        assert!(found("otlp_endpoint = \"http://127.0.0.1:4318\"\nsample_ratio = 0.05\naccess_log = \"/var/log/uat.log\"").is_empty());
    }

    #[test]
    fn a_mistake_is_said_with_its_place() {
        let json = r#"{"telemetry":{"sample_ratio":7}}"#.to_owned();
        let error = UatConfig::load(ConfigSource::Json(json), []).unwrap_err();
        assert_eq!(error.first().path, "telemetry.sample_ratio");
        assert!(error.first().message.contains("0 to 1") && error.first().message.contains('7'), "{error}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let section = TelemetryConfig {
            otlp_endpoint: Some(NOWHERE.to_owned()),
            otlp_headers_env: Some("UAT_TEST_NO_SUCH_VARIABLE".to_owned()),
            ..TelemetryConfig::default()
        };
        assert!(section.traces().unwrap_err().to_string().contains("UAT_TEST_NO_SUCH_VARIABLE"));
    }
}
