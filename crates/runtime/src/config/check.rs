//! What the types alone cannot refuse: duplicate names, references that lead nowhere, addresses and secrets.

use std::collections::HashSet;

use fast_llm_coordinator::{EndpointConfig, ModelConfig, Protocol};
use http::Uri;
use redis_service::{Address, RedisServiceError};
use serde_json::Value;

use super::UatConfig;
use super::error::{ConfigError, Location};
use crate::nearest::nearest;

/// Something wrong at a path; its place in the file is added by who knows it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) path: String,
    message: String,
    hint: Option<String>,
}

impl Finding {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn at(&self, location: Location) -> ConfigError {
        ConfigError {
            location,
            path: self.path.clone(),
            message: self.message.clone(),
            hint: self.hint.clone(),
        }
    }
}

/// A secret written into the file. Looked for before the types are read, for a better sentence than "unknown key".
pub(super) fn literal_secret(tree: &Value) -> Option<Finding> {
    endpoint_secret(tree).or_else(|| redis_secret(tree))
}

/// The key of a table that asks for a secret.
fn secret_key(table: &Value) -> Option<&String> {
    table.as_object()?.keys().find(|key| {
        let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        matches!(
            plain.to_ascii_lowercase().as_str(),
            "apikey" | "key" | "token" | "secret" | "password" | "authorization" | "bearer"
        )
    })
}

fn secret(path: String, key: &str, hint: &str) -> Finding {
    Finding::new(path, format!("`{key}` would put a secret into the configuration")).hint(hint)
}

fn endpoint_secret(tree: &Value) -> Option<Finding> {
    const HINT: &str =
        "name the environment variable that holds it with `api_key_env`, or a file with `api_key_file`";
    let endpoints = tree.get("endpoints")?.as_array()?;
    endpoints.iter().enumerate().find_map(|(index, endpoint)| {
        let key = secret_key(endpoint)?;
        Some(secret(format!("endpoints[{index}].{key}"), key, HINT))
    })
}

const REDIS_HINT: &str =
    "name the environment variable that holds the whole URL with `url_env`, or a file with `url_file`";

fn redis_secret(tree: &Value) -> Option<Finding> {
    let key = secret_key(tree.get("redis")?)?;
    Some(secret(format!("redis.{key}"), key, REDIS_HINT))
}

/// A password in the URL of Redis: refused where it stands in a file.
pub(super) fn password_of_redis(config: &UatConfig) -> Option<Finding> {
    let address = Address::parse(config.redis.as_ref()?.url.as_deref()?).ok()?;
    let has_password = address.login.is_some_and(|login| !login.password.is_empty());
    has_password.then(|| Finding::new("redis.url", "`redis.url` holds a password").hint(REDIS_HINT))
}

pub(super) fn first_finding(config: &UatConfig) -> Option<Finding> {
    server(config)
        .or_else(|| engine(config))
        .or_else(|| endpoints(&config.endpoints, config.engine.enabled))
        .or_else(|| models(&config.models, &config.endpoints))
        .or_else(|| cache(config))
        .or_else(|| redis(config))
        .or_else(|| super::telemetry::findings(config).into_iter().next())
}

fn cache(config: &UatConfig) -> Option<Finding> {
    /// Ten years.
    const LONGEST_TTL_S: u64 = 315_360_000;
    /// The longest whole answer that is read from an endpoint, 64 MiB.
    const LARGEST_ENTRY_KB: u64 = 65_536;
    let cache = &config.cache;
    if cache.semantic {
        let message = "`cache.semantic`: a cache by meaning is not available; expected false";
        return Some(
            Finding::new("cache.semantic", message).hint("`cache.exact` is the cache that there is"),
        );
    }
    let numbers = [
        ("cache.ttl_s", cache.ttl_s, LONGEST_TTL_S),
        ("cache.max_entry_kb", cache.max_entry_kb.into(), LARGEST_ENTRY_KB),
    ];
    numbers.into_iter().find_map(|(path, value, most)| {
        (!(1..=most).contains(&value))
            .then(|| Finding::new(path, format!("`{path}`: expected 1 to {most}, got {value}")))
    })
}

/// The service knows what it cannot do; it names its options as JavaScript writes them.
fn redis(config: &UatConfig) -> Option<Finding> {
    match config.redis.as_ref()?.check().err()? {
        RedisServiceError::Config { field, message } => {
            let path = format!("redis.{}", snake_case(&field));
            Some(Finding::new(path.clone(), format!("`{path}`: {message}")))
        }
        other => Some(Finding::new("redis", other.to_string())),
    }
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

fn server(config: &UatConfig) -> Option<Finding> {
    let server = &config.server;
    if !server.bind.ip().is_loopback() {
        return Some(
            Finding::new(
                "server.bind",
                format!(
                    "{} is not a loopback address: listening there needs [[keys]], which this version does not have yet",
                    server.bind
                ),
            )
            .hint("bind 127.0.0.1 or [::1]"),
        );
    }
    let at_least_one = [
        ("server.max_body_mb", u64::from(server.max_body_mb)),
        ("server.max_connections", u64::from(server.max_connections)),
    ];
    for (path, value) in at_least_one {
        if value == 0 {
            return Some(Finding::new(path, format!("`{path}`: expected at least 1, got 0")));
        }
    }
    // A body is collected in memory: more than this is a mistake in the unit.
    const MOST_BODY_MB: u32 = 1024;
    if server.max_body_mb > MOST_BODY_MB {
        return Some(Finding::new(
            "server.max_body_mb",
            format!(
                "`server.max_body_mb`: expected at most {MOST_BODY_MB} (MiB), got {}",
                server.max_body_mb
            ),
        ));
    }
    server.allowed_origins.iter().enumerate().find_map(|(index, origin)| {
        let path = format!("server.allowed_origins[{index}]");
        if origin == "*" {
            return Some(
                Finding::new(path, "`*` would let every web page that the user opens call this server")
                    .hint("name the origins, like \"https://app.example\""),
            );
        }
        let well_formed = origin.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.authority().is_some() && uri.path() == "/" && uri.query().is_none()
        }) && !origin.ends_with('/');
        (!well_formed).then(|| {
            Finding::new(
                path,
                format!("expected an origin, SCHEME://HOST or SCHEME://HOST:PORT, got `{origin}`"),
            )
        })
    })
}

fn engine(config: &UatConfig) -> Option<Finding> {
    let engine = &config.engine;
    if engine.model.is_empty() {
        return Some(
            Finding::new("engine.model", "`engine.model`: expected a model's name, got nothing")
                .hint("`uat models list` shows the names"),
        );
    }
    let counts = [
        ("engine.threads", engine.threads, 1..=u32::MAX),
        ("engine.context_tokens", engine.context_tokens, 1..=u32::MAX),
        // The engine's own limits.
        ("engine.slots", engine.slots, 1..=256),
        ("engine.queue", engine.queue, 0..=u32::from(u16::MAX)),
        ("engine.memory_mb", engine.memory_mb, 1..=u32::MAX),
    ];
    counts.into_iter().find_map(|(path, value, range)| match value? {
        value if value < *range.start() => {
            Some(Finding::new(path, format!("`{path}`: expected at least {}, got {value}", range.start())))
        }
        value if value > *range.end() => {
            Some(Finding::new(path, format!("`{path}`: expected at most {}, got {value}", range.end())))
        }
        _ => None,
    })
}

fn endpoints(endpoints: &[EndpointConfig], engine_enabled: bool) -> Option<Finding> {
    let mut names = HashSet::new();
    endpoints.iter().enumerate().find_map(|(index, endpoint)| {
        let path = format!("endpoints[{index}]");
        if endpoint.name.trim().is_empty() {
            return Some(Finding::new(format!("{path}.name"), "an endpoint needs a name"));
        }
        if !names.insert(&endpoint.name) {
            return Some(Finding::new(
                format!("{path}.name"),
                format!("two endpoints are named `{}`: names must be unique", endpoint.name),
            ));
        }
        endpoint_address(endpoint, &path)
            .or_else(|| endpoint_key(endpoint, &path))
            .or_else(|| endpoint_version(endpoint, &path))
            .or_else(|| endpoint_limits(endpoint, &path))
            .or_else(|| {
                (endpoint.protocol == Protocol::UatEngine && !engine_enabled).then(|| {
                    Finding::new(
                        format!("{path}.protocol"),
                        format!(
                            "endpoint `{}` is the local engine, but `engine.enabled` is false",
                            endpoint.name
                        ),
                    )
                })
            })
    })
}

fn endpoint_address(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
    let name = &endpoint.name;
    let base_url = match (endpoint.protocol, &endpoint.base_url) {
        (Protocol::UatEngine, None) => return None,
        (Protocol::UatEngine, Some(_)) => {
            return Some(
                Finding::new(
                    format!("{path}.base_url"),
                    format!("endpoint `{name}`: the local engine has no address, it is found and started by itself"),
                )
                .hint("remove `base_url`"),
            );
        }
        (_, None) => {
            return Some(
                Finding::new(path, format!("endpoint `{name}` needs a `base_url`"))
                    .hint("for example base_url = \"http://127.0.0.1:11434\""),
            );
        }
        (_, Some(base_url)) => base_url,
    };
    let path = format!("{path}.base_url");
    let uri = match base_url.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => uri,
        // The address is not repeated: it may hold a password.
        _ => {
            return Some(Finding::new(
                path,
                format!(
                    "endpoint `{name}`: expected http://HOST[:PORT][/PATH] or https://..., got something else"
                ),
            ));
        }
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some(
            Finding::new(path, format!("endpoint `{name}`: `base_url` holds a user or password"))
                .hint("name the environment variable that holds the key with `api_key_env`"),
        );
    }
    uri.query()
        .is_some()
        .then(|| Finding::new(path, format!("endpoint `{name}`: `base_url` must not have a query")))
}

fn endpoint_key(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
    (endpoint.api_key_env.is_some() && endpoint.api_key_file.is_some()).then(|| {
        Finding::new(
            format!("{path}.api_key_file"),
            format!("endpoint `{}` has both `api_key_env` and `api_key_file`: expected one", endpoint.name),
        )
    })
}

fn endpoint_version(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
    let name = &endpoint.name;
    let versioned = matches!(endpoint.protocol, Protocol::Azure | Protocol::Anthropic);
    let version = endpoint.api_version.as_deref()?;
    let refused = if !versioned {
        Some(format!("endpoint `{name}`: only the protocols azure and anthropic have an `api_version`"))
    } else if version.is_empty() || !version.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        Some(format!("endpoint `{name}`: expected an `api_version` like 2024-10-21, got {version:?}"))
    } else {
        None
    };
    refused.map(|message| Finding::new(format!("{path}.api_version"), message))
}

fn endpoint_limits(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
    let limits = [
        ("connect_timeout_ms", endpoint.connect_timeout_ms),
        ("first_token_timeout_ms", endpoint.first_token_timeout_ms),
        ("idle_timeout_ms", endpoint.idle_timeout_ms),
        ("total_timeout_ms", endpoint.total_timeout_ms),
        ("max_in_flight", endpoint.max_in_flight.map_or(1, u64::from)),
        ("queue_timeout_ms", endpoint.queue_timeout_ms),
    ];
    limits.into_iter().find_map(|(key, value)| {
        (value == 0).then(|| {
            Finding::new(
                format!("{path}.{key}"),
                format!("endpoint `{}`: `{key}` must be at least 1, got 0", endpoint.name),
            )
        })
    })
}

fn models(models: &[ModelConfig], endpoints: &[EndpointConfig]) -> Option<Finding> {
    if models.is_empty() && !endpoints.is_empty() {
        return Some(
            Finding::new(
                "endpoints",
                "endpoints are configured, but no [[models]] uses them: nothing could be asked for",
            )
            .hint("add [[models]] with a name and endpoints = [{ endpoint = \"...\" }]"),
        );
    }
    let mut names = HashSet::new();
    models.iter().enumerate().find_map(|(index, model)| {
        let path = format!("models[{index}]");
        if model.name.trim().is_empty() {
            return Some(Finding::new(format!("{path}.name"), "a model needs a name"));
        }
        if !names.insert(&model.name) {
            return Some(Finding::new(
                format!("{path}.name"),
                format!("two models are named `{}`: names must be unique", model.name),
            ));
        }
        if model.endpoints.is_empty() {
            return Some(Finding::new(
                format!("{path}.endpoints"),
                format!("model `{}` names no endpoint: expected at least one", model.name),
            ));
        }
        model_endpoints(model, endpoints, &path)
    })
}

fn model_endpoints(model: &ModelConfig, endpoints: &[EndpointConfig], path: &str) -> Option<Finding> {
    model.endpoints.iter().enumerate().find_map(|(index, served)| {
        let path = format!("{path}.endpoints[{index}]");
        if !endpoints.iter().any(|endpoint| endpoint.name == served.endpoint) {
            let known = endpoints.iter().map(|endpoint| &*endpoint.name);
            let finding = Finding::new(
                format!("{path}.endpoint"),
                format!(
                    "model `{}` names the endpoint `{}`, which does not exist",
                    model.name, served.endpoint
                ),
            );
            return Some(match nearest(&served.endpoint, known) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")),
                None => finding.hint("every endpoint stands in a section [[endpoints]]"),
            });
        }
        (!(served.weight.is_finite() && served.weight > 0.0)).then(|| {
            Finding::new(
                format!("{path}.weight"),
                format!("model `{}`: `weight` must be above 0, got {}", model.name, served.weight),
            )
        })
    })
}
