//! What the types alone cannot refuse: duplicate names, references that lead nowhere, addresses and secrets.
//!
//! One file for each section, with a function `findings` that names everything it finds wrong.

mod endpoints;
mod models;
mod routing;
pub(super) mod secrets;
mod server;

use std::ops::RangeInclusive;

use http::Uri;
use redis_service::RedisServiceError;

use super::UatConfig;
use super::finding::Finding;

/// Everything that is wrong in a configuration whose values all have their types.
pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut found = server::findings(config);
    found.extend(engine(config));
    found.extend(endpoints::findings(config));
    found.extend(models::findings(config));
    found.extend(routing::findings(config));
    found.extend(super::context::findings(config));
    found.extend(cache(config));
    found.extend(redis(config));
    found.extend(super::keys::findings(config));
    found.extend(super::gpu::findings(config));
    found.extend(super::parameters::findings(config));
    found.extend(super::telemetry::findings(config));
    found.extend(super::voice::findings(config));
    found
}

/// What is wrong with the address of a server, which is `whose`.
pub(super) fn not_a_base_url(path: String, whose: &str, base_url: &str) -> Option<Finding> {
    let uri = match base_url.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => uri,
        // The address is not repeated: it may hold a password.
        _ => {
            let message =
                format!("{whose}: expected http://HOST[:PORT][/PATH] or https://..., got something else");
            return Some(Finding::new(path, message));
        }
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some(
            Finding::new(path, format!("{whose}: `base_url` holds a user or password"))
                .hint("name the environment variable that holds the key with `api_key_env`"),
        );
    }
    uri.query().is_some().then(|| Finding::new(path, format!("{whose}: `base_url` must not have a query")))
}

/// A number outside its range.
pub(super) fn out_of_range(
    path: impl Into<String>,
    value: u64,
    range: RangeInclusive<u64>,
) -> Option<Finding> {
    if range.contains(&value) {
        return None;
    }
    let path = path.into();
    let expected = match (*range.start(), *range.end()) {
        (least, u64::MAX) => format!("at least {least}"),
        (0, most) => format!("at most {most}"),
        (least, most) => format!("{least} to {most}"),
    };
    Some(Finding::new(&path, format!("`{path}`: expected {expected}, got {value}")))
}

fn engine(config: &UatConfig) -> Vec<Finding> {
    let engine = &config.engine;
    let mut found = Vec::new();
    if engine.model.is_empty() {
        let message = "`engine.model`: expected a model's name, got nothing";
        found.push(Finding::new("engine.model", message).hint("`uat models list` shows the names"));
    }
    let counts = [
        ("engine.threads", engine.threads, 1..=u64::MAX),
        ("engine.context_tokens", engine.context_tokens, 1..=u64::MAX),
        // The engine's own limits.
        ("engine.slots", engine.slots, 1..=256),
        ("engine.queue", engine.queue, 0..=u64::from(u16::MAX)),
        ("engine.memory_mb", engine.memory_mb, 1..=u64::MAX),
    ];
    found.extend(
        counts.into_iter().filter_map(|(path, value, range)| out_of_range(path, u64::from(value?), range)),
    );
    found
}

fn cache(config: &UatConfig) -> Vec<Finding> {
    /// Ten years.
    const LONGEST_TTL_S: u64 = 315_360_000;
    /// The longest whole answer that is read from an endpoint, 64 MiB.
    const LARGEST_ENTRY_KB: u64 = 65_536;
    let cache = &config.cache;
    let mut found = Vec::new();
    if cache.semantic {
        let message = "`cache.semantic`: a cache by meaning is not available; expected false";
        let hint = "`cache.exact` is the cache that there is";
        found.push(Finding::new("cache.semantic", message).hint(hint));
    }
    found.extend(out_of_range("cache.ttl_s", cache.ttl_s, 1..=LONGEST_TTL_S));
    found.extend(out_of_range("cache.max_entry_kb", cache.max_entry_kb.into(), 1..=LARGEST_ENTRY_KB));
    found
}

/// The service knows what it cannot do; it names its options as JavaScript writes them.
fn redis(config: &UatConfig) -> Vec<Finding> {
    let Some(options) = &config.redis else { return Vec::new() };
    let found = options.refusals().into_iter().map(|refusal| match refusal {
        RedisServiceError::Config { field, message } => {
            let path = format!("redis.{}", snake_case(&field));
            Finding::new(path.clone(), format!("`{path}`: {message}"))
        }
        other => Finding::new("redis", other.to_string()),
    });
    found.collect()
}

fn snake_case(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, letter| {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
        out
    })
}
