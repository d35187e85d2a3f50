//! The cases that the TypeScript fallback is held to as well: `test/fallback/router-decisions.test.ts` reads the same file.
//! `UPDATE_CASES=1 cargo test -p llm-router --test cases` writes what comes out into it, for a person to look at.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use std::path::Path;

use llm_router::{Catalogue, Decision, Policy, Question, RouterError, Snapshot, decide};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, Serialize)]
struct Case {
    name: String,
    question: Question,
    catalogue: Catalogue,
    snapshot: Snapshot,
    policy: Policy,
    /// The decision, and the error where nobody is chosen.
    #[serde(default)]
    expected: Value,
}

#[test]
fn every_case_is_decided_as_it_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/decisions.json");
    let mut cases: Vec<Case> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    if std::env::var_os("UPDATE_CASES").is_some() {
        for case in &mut cases {
            case.expected = found(case);
        }
        std::fs::write(&path, written(&cases)).unwrap();
    }
    for case in &cases {
        assert_eq!(found(case).to_string(), case.expected.to_string(), "{}", case.name);
    }
}

/// One case a line, so that a change is seen.
fn written(cases: &[Case]) -> String {
    let lines: Vec<String> = cases.iter().map(|case| serde_json::to_string(case).unwrap()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn found(case: &Case) -> Value {
    let Case { question, catalogue, snapshot, policy, .. } = case;
    match decide("r", question, catalogue, snapshot, policy) {
        Ok(decision) => json!({ "decision": told(&decision) }),
        Err(error) => {
            let decision = match &error {
                RouterError::NoCandidate { decision, .. } => told(decision),
                _ => Value::Null,
            };
            let refused =
                json!({ "code": error.code(), "message": error.to_string(), "retryable": error.retryable() });
            json!({ "decision": decision, "refused": refused })
        }
    }
}

/// The decision with its plan as names.
fn told(decision: &Decision) -> Value {
    let asked = decision.plan.stages.iter().flat_map(|stage| &stage.candidates);
    let plan: Vec<&str> = asked.map(|candidate| &*candidate.model).collect();
    let mut told = serde_json::to_value(decision).unwrap();
    told["plan"] = json!(plan);
    told
}
