use std::collections::HashSet;

use fast_llm_coordinator::{EndpointConfig, Protocol};

use super::super::UatConfig;
use super::super::finding::Finding;
use super::super::gpu::MOST_MB;
use super::{not_a_base_url, out_of_range};

/// A day, in ms: what the coordinator takes.
const LONGEST_TIMEOUT_MS: u64 = 86_400_000;

pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut names = HashSet::new();
    let mut found = Vec::new();
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let path = format!("endpoints[{index}]");
        found.extend(name(endpoint, &path, &mut names));
        found.extend(address(endpoint, &path));
        found.extend(key(endpoint, &path));
        found.extend(version(endpoint, &path));
        found.extend(limits(endpoint, &path));
        found.extend(gpu(endpoint, &path, config.gpu.is_some()));
        if endpoint.protocol == Protocol::UatEngine && !config.engine.enabled {
            let message =
                format!("endpoint `{}` is the local engine, but `engine.enabled` is false", endpoint.name);
            found.push(Finding::new(format!("{path}.protocol"), message));
        }
    }
    found
}

fn name<'a>(endpoint: &'a EndpointConfig, path: &str, names: &mut HashSet<&'a str>) -> Option<Finding> {
    let path = format!("{path}.name");
    if endpoint.name.trim().is_empty() {
        return Some(Finding::new(path, "an endpoint needs a name"));
    }
    (!names.insert(&endpoint.name)).then(|| {
        Finding::new(path, format!("two endpoints are named `{}`: names must be unique", endpoint.name))
    })
}

fn address(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
    let name = &endpoint.name;
    let base_url = match (endpoint.protocol, &endpoint.base_url) {
        (Protocol::UatEngine, None) => return None,
        (Protocol::UatEngine, Some(_)) => {
            let message = format!(
                "endpoint `{name}`: the local engine has no address, it is found and started by itself"
            );
            return Some(Finding::new(format!("{path}.base_url"), message).hint("remove `base_url`"));
        }
        (_, None) => {
            return Some(
                Finding::new(path, format!("endpoint `{name}` needs a `base_url`"))
                    .hint("for example base_url = \"http://127.0.0.1:11434\"")
                    .resting_on([format!("{path}.base_url"), format!("{path}.protocol")]),
            );
        }
        (_, Some(base_url)) => base_url,
    };
    not_a_base_url(format!("{path}.base_url"), &format!("endpoint `{name}`"), base_url)
}

fn key(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
    (endpoint.api_key_env.is_some() && endpoint.api_key_file.is_some()).then(|| {
        Finding::new(
            format!("{path}.api_key_file"),
            format!("endpoint `{}` has both `api_key_env` and `api_key_file`: expected one", endpoint.name),
        )
    })
}

fn version(endpoint: &EndpointConfig, path: &str) -> Option<Finding> {
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
    let rests_on = [format!("{path}.protocol")];
    refused.map(|message| Finding::new(format!("{path}.api_version"), message).resting_on(rests_on))
}

/// Its memory is given out by this server.
fn gpu(endpoint: &EndpointConfig, path: &str, given_out: bool) -> Option<Finding> {
    let need = endpoint.gpu.as_ref()?;
    let wrong = out_of_range(format!("{path}.gpu.vram_mb"), need.vram_mb, 1..=MOST_MB);
    wrong.or_else(|| {
        let message = format!("endpoint `{}` needs memory of a GPU, which nobody gives out", endpoint.name);
        let finding = || Finding::new(format!("{path}.gpu"), message).hint("add a section [gpu]");
        (!given_out).then(finding)
    })
}

fn limits(endpoint: &EndpointConfig, path: &str) -> Vec<Finding> {
    let name = &endpoint.name;
    let limits = [
        ("connect_timeout_ms", endpoint.connect_timeout_ms, LONGEST_TIMEOUT_MS),
        ("first_token_timeout_ms", endpoint.first_token_timeout_ms, LONGEST_TIMEOUT_MS),
        ("idle_timeout_ms", endpoint.idle_timeout_ms, LONGEST_TIMEOUT_MS),
        ("total_timeout_ms", endpoint.total_timeout_ms, LONGEST_TIMEOUT_MS),
        ("max_in_flight", endpoint.max_in_flight.map_or(1, u64::from), u64::MAX),
        ("queue_timeout_ms", endpoint.queue_timeout_ms, LONGEST_TIMEOUT_MS),
    ];
    let wrong = limits.into_iter().filter_map(|(key, value, most)| match value {
        0 => Some((key, format!("endpoint `{name}`: `{key}` must be at least 1, got 0"))),
        value if value > most => {
            Some((key, format!("endpoint `{name}`: `{key}` must be at most {most} (a day), got {value}")))
        }
        _ => None,
    });
    wrong.map(|(key, message)| Finding::new(format!("{path}.{key}"), message)).collect()
}
