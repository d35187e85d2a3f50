use http::Uri;

use super::super::UatConfig;
use super::super::finding::Finding;
use super::out_of_range;

/// A body is collected in memory: more than this, in MiB, is a mistake in the unit.
const MOST_BODY_MB: u64 = 1024;

pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let server = &config.server;
    let mut found = Vec::new();
    found.extend(out_of_range("server.max_body_mb", server.max_body_mb.into(), 1..=MOST_BODY_MB));
    found.extend(out_of_range("server.max_connections", server.max_connections.into(), 1..=u64::MAX));
    found.extend(server.allowed_origins.iter().enumerate().filter_map(|(index, text)| origin(index, text)));
    found
}

fn origin(index: usize, origin: &str) -> Option<Finding> {
    let path = format!("server.allowed_origins[{index}]");
    if origin == "*" {
        let message = "`*` would let every web page that the user opens call this server";
        return Some(Finding::new(path, message).hint("name the origins, like \"https://app.example\""));
    }
    let well_formed = origin.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme().is_some() && uri.authority().is_some() && uri.path() == "/" && uri.query().is_none()
    }) && !origin.ends_with('/');
    (!well_formed).then(|| {
        Finding::new(path, format!("expected an origin, SCHEME://HOST or SCHEME://HOST:PORT, got `{origin}`"))
    })
}
