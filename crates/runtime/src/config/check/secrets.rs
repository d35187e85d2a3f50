//! Secrets belong into the environment or into files of their own: a configuration is copied, shown and kept.

use redis_service::Address;
use serde_json::Value;

use super::super::UatConfig;
use super::super::finding::Finding;

const ENDPOINT_HINT: &str =
    "name the environment variable that holds it with `api_key_env`, or a file with `api_key_file`";
const REDIS_HINT: &str =
    "name the environment variable that holds the whole URL with `url_env`, or a file with `url_file`";

/// Secrets written into the file. Looked for before the types are read, for a better sentence than "unknown key".
pub(in super::super) fn literal(tree: &Value) -> Vec<Finding> {
    let endpoints = tree.get("endpoints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        found.extend(secrets(endpoint, &format!("endpoints[{index}]"), ENDPOINT_HINT));
    }
    found.extend(tree.get("redis").into_iter().flat_map(|redis| secrets(redis, "redis", REDIS_HINT)));
    found
}

/// The keys of a table that ask for a secret.
fn secrets(table: &Value, path: &str, hint: &str) -> Vec<Finding> {
    let keys = table.as_object().into_iter().flat_map(|table| table.keys());
    keys.filter(|key| asks_for_a_secret(key))
        .map(|key| {
            let message = format!("`{key}` would put a secret into the configuration");
            Finding::new(format!("{path}.{key}"), message).hint(hint).about_key()
        })
        .collect()
}

fn asks_for_a_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    matches!(
        plain.to_ascii_lowercase().as_str(),
        "apikey" | "key" | "token" | "secret" | "password" | "authorization" | "bearer"
    )
}

/// A password in the URL of Redis: refused where it stands in a file.
pub(in super::super) fn password_of_redis(config: &UatConfig) -> Option<Finding> {
    let address = Address::parse(config.redis.as_ref()?.url.as_deref()?).ok()?;
    let has_password = address.login.is_some_and(|login| !login.password.is_empty());
    has_password.then(|| Finding::new("redis.url", "`redis.url` holds a password").hint(REDIS_HINT))
}
