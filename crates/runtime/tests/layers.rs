//! Dependencies point down: an edge that the layer table does not allow fails here, before it becomes a habit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The layer of each crate. A crate depends on lower layers only, so services (layer 1) never import each other and
/// foundations (layer 0) import nothing of ours but what [`BESIDE`] names.
const LAYERS: &[(&str, u8)] = &[
    ("access", 0),
    ("answer-check", 0),
    ("audio-input", 0),
    ("balance", 0),
    ("child-engine", 0),
    ("context-pack", 0),
    ("embedder", 0),
    ("gguf", 0),
    ("gpu-driver", 0),
    ("https-connector", 0),
    ("llm-wire", 0),
    ("memory-estimate", 0),
    ("model-store", 0),
    ("optuna-import", 0),
    ("resilience", 0),
    ("route-plan", 0),
    ("silero-vad", 0),
    ("telemetry", 0),
    ("trace-context", 0),
    ("whisper", 0),
    ("fast-llm-coordinator", 1),
    ("llm-router", 1),
    ("parameter-analytics-service", 1),
    ("redis-service", 1),
    ("vision-resource-manager", 1),
    ("voice-processing", 1),
    ("webrtc-audio", 1),
    ("runtime", 2),
    ("http-api", 3),
    ("node-addon", 3),
    // Beside the other outer crates in the design's picture; it contains the server.
    ("uat", 4),
    // A program of its own, spoken to over a socket: it stands beside the services and shares only foundations.
    ("llama-engine", 1),
];

/// Foundations that build upon another foundation, each with its reason.
const BESIDE: &[(&str, &str)] = &[
    // What a request may cost is by the price that the plan's models have.
    ("access", "route-plan"),
    // Starting the engine again is a backoff like any other.
    ("child-engine", "resilience"),
    // Spans go to a collector over HTTP.
    ("telemetry", "https-connector"),
    // What a model takes is told from its header.
    ("memory-estimate", "gguf"),
    // Only what is a whole model is added as one.
    ("model-store", "gguf"),
    // A request's spans carry the ids that endpoints were told.
    ("telemetry", "trace-context"),
];

/// Crates that only tests and benchmarks use; nothing that is shipped contains them.
const DEVELOPMENT: &[&str] = &["testkit", "fake-nvml", "bench-harness"];

/// Foundations that no outer crate needs: what they are for goes through `runtime`.
const ONLY_BELOW_RUNTIME: &[&str] = &[
    "access",
    "answer-check",
    "audio-input",
    "balance",
    "context-pack",
    "embedder",
    "gpu-driver",
    "resilience",
    "silero-vad",
    "child-engine",
    "whisper",
];

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|&(_, layer)| layer)
}

/// Why `from` may not depend on `to`, if it may not.
fn objection(from: &str, to: &str, kind: DependencyKind) -> Option<String> {
    if DEVELOPMENT.contains(&to) {
        let allowed = kind == DependencyKind::Development || DEVELOPMENT.contains(&from);
        return (!allowed).then(|| format!("{from} ships {to}, which is for tests"));
    }
    if DEVELOPMENT.contains(&from) || kind == DependencyKind::Development {
        // A test may put together what it likes, as long as no cycle of services comes of it: cargo sees to that.
        return None;
    }
    let (Some(upper), Some(lower)) = (layer(from), layer(to)) else {
        return Some(format!("{from} -> {to}: a crate that the layer table does not know"));
    };
    if lower >= upper && !BESIDE.contains(&(from, to)) {
        return Some(format!("{from} (layer {upper}) -> {to} (layer {lower}): dependencies point down"));
    }
    (ONLY_BELOW_RUNTIME.contains(&to) && upper > 2).then(|| format!("{from} -> {to}: goes through runtime"))
}

fn workspace_edges() -> (Vec<String>, Vec<(String, String, DependencyKind)>) {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata");
    let packages: BTreeMap<String, _> =
        metadata.packages.iter().map(|package| (package.name.to_string(), package)).collect();
    let mut edges = Vec::new();
    for (name, package) in &packages {
        for dependency in &package.dependencies {
            if packages.contains_key(&dependency.name) {
                edges.push((name.clone(), dependency.name.clone(), dependency.kind));
            }
        }
    }
    (packages.into_keys().collect(), edges)
}

#[test]
fn every_crate_has_its_layer() {
    let (crates, _) = workspace_edges();
    let unknown: Vec<&String> =
        crates.iter().filter(|name| layer(name).is_none() && !DEVELOPMENT.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "say in this table where {unknown:?} belong");
}

#[test]
fn dependencies_point_down() {
    let (_, edges) = workspace_edges();
    assert!(edges.len() > 5, "the workspace's own edges were not read: {edges:?}");
    let objections: Vec<String> =
        edges.iter().filter_map(|(from, to, kind)| objection(from, to, *kind)).collect();
    assert!(objections.is_empty(), "{objections:#?}");
}

#[test]
fn the_table_refuses_what_it_should() {
    let normal = DependencyKind::Normal;
    assert!(objection("runtime", "fast-llm-coordinator", normal).is_none());
    assert!(objection("fast-llm-coordinator", "runtime", normal).is_some());
    assert!(objection("fast-llm-coordinator", "llama-engine", normal).is_some());
    assert!(objection("llm-wire", "route-plan", normal).is_some());
    assert!(objection("http-api", "testkit", normal).is_some());
    assert!(objection("http-api", "testkit", DependencyKind::Development).is_none());
    assert!(objection("http-api", "balance", normal).is_some());
    assert!(objection("fast-llm-coordinator", "newcomer", normal).is_some());
}
