use serde::Serialize;
use serde_json::Value;

use super::UatConfig;

/// The settings of `[server]` that a running server takes over.
const TAKEN_OVER: [&str; 6] =
    ["allowed_origins", "max_body_mb", "hold_ms", "drain_timeout_s", "keys_file", "state_dir"];

impl UatConfig {
    /// The settings that `next` has otherwise and that count only when a server starts, like `server.bind`.
    pub fn needs_restart_for(&self, next: &Self) -> Vec<String> {
        let mut found = differing("server", &self.server, &next.server);
        found.retain(|setting| !TAKEN_OVER.iter().any(|key| setting.strip_prefix("server.") == Some(key)));
        let feedback = differing("routing", &self.routing, &next.routing);
        found.extend(feedback.into_iter().filter(|setting| setting == "routing.feedback_file"));
        found.extend(differing("parameters", &self.parameters, &next.parameters));
        found.extend(differing("voice", &self.voice, &next.voice));
        found.extend(differing("gpu", &self.gpu, &next.gpu));
        found.extend(differing("telemetry", &self.telemetry, &next.telemetry));
        found
    }
}

/// The settings of a section that are not the same in both.
fn differing(section: &str, former: &impl Serialize, next: &impl Serialize) -> Vec<String> {
    let (former, next) = (members(former), members(next));
    let keys = former.keys().chain(next.keys().filter(|key| !former.contains_key(*key)));
    let differing = keys.filter(|key| former.get(*key) != next.get(*key));
    differing.map(|key| format!("{section}.{key}")).collect()
}

/// Whatever the section has or will have: a new setting counts at the start until it is named above.
fn members(section: &impl Serialize) -> serde_json::Map<String, Value> {
    match serde_json::to_value(section) {
        Ok(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_server_cannot_take_over_is_named() {
        let former = UatConfig::default();
        let mut next = former.clone();
        assert!(former.needs_restart_for(&next).is_empty());
        next.server.hold_ms = 1;
        next.server.max_body_mb = 1;
        next.server.drain_timeout_s = 1;
        next.server.allowed_origins.push("https://a.example".into());
        next.server.keys_file = Some("keys.toml".into());
        next.server.state_dir = Some("state".into());
        next.engine.idle_exit_s = 1;
        assert!(former.needs_restart_for(&next).is_empty());
        next.server.max_connections = 1;
        next.server.bind.set_port(1);
        next.parameters.storage = Some(":memory:".into());
        next.voice.threads = Some(1);
        next.gpu = Some(crate::config::GpuConfig { headroom_mb: 1, ..Default::default() });
        next.telemetry.access_log = "stdout".into();
        next.routing.feedback_file = Some("feedback".into());
        next.routing.learned_file = Some("learned".into());
        assert_eq!(
            former.needs_restart_for(&next),
            [
                "server.bind",
                "server.max_connections",
                "routing.feedback_file",
                "parameters.storage",
                "voice.threads",
                "gpu.headroom_mb",
                "gpu.poll_ms",
                "gpu.max_waiting",
                "telemetry.access_log"
            ]
        );
    }
}
