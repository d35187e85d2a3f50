//! `uat explain`

use std::io::{self, Write};

use hyper::StatusCode;
use runtime::llm_router::{Candidate, Decision, Estimate, Record};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::running::Server;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request: what its answer's header x-request-id says.
    id: String,
    #[command(flatten)]
    server: Server,
    /// Print JSON for programs: the server's report, and whether the same was decided again.
    #[arg(long)]
    json: bool,
}

/// What the server tells of a request, as far as it is said here.
#[derive(Deserialize)]
struct Report<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default, rename = "costUsd")]
    cost_usd: Option<f64>,
    #[serde(default)]
    plan: Option<Plan>,
    /// As it is written: it is decided again to the same bytes.
    #[serde(default, borrow)]
    record: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    decided_in_us: f64,
    #[serde(default)]
    context_added: Vec<Piece>,
    #[serde(default)]
    context_left: Vec<Piece>,
    #[serde(default)]
    context_missing: Vec<Missing>,
    #[serde(default)]
    cascade: Option<Cascade>,
}

/// The two stages, or why there was one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cascade {
    check: String,
    #[serde(default)]
    k: Option<u32>,
    #[serde(default)]
    threshold: Option<f64>,
    #[serde(default)]
    first: String,
    #[serde(default)]
    second: String,
    #[serde(default)]
    without: Option<String>,
    #[serde(default)]
    accepted: Option<bool>,
    #[serde(default)]
    measured: Option<f64>,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    first_cost_usd: Option<f64>,
}

/// Something that was added to the request, or not.
#[derive(Deserialize)]
struct Piece {
    source: String,
    tokens: u64,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
struct Missing {
    source: String,
    why: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if args.id.is_empty() || !args.id.bytes().all(plain) {
        return Err(Failure::usage(format!("expected the x-request-id of an answer, got `{}`", args.id)));
    }
    let answer = args.server.get(&format!("/v1/routing/{}?record", args.id))?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(unknown(&answer.body)),
        status => {
            return Err(args.server.refusal(status, "the key with which was asked, or an admin key,"));
        }
    }
    let no_report =
        |error: serde_json::Error| args.server.nobody(&format!("the answer is not a report ({error})"));
    let report: Report<'_> = serde_json::from_slice(&answer.body).map_err(no_report)?;
    let mut out = io::stdout().lock();
    let Some(record) = report.record else {
        if args.json {
            writeln!(out, "{}", String::from_utf8_lossy(&answer.body))?;
            return Ok(());
        }
        let model = report.model.as_deref().unwrap_or("its model");
        writeln!(out, "{} named {model}: there was nothing to decide.", args.id)?;
        return Ok(());
    };
    let wrong =
        |error: runtime::llm_router::RecordError| Failure::new("UAT_CORRUPT_VALUE", error.to_string());
    let record = Record::from_json(record.get().as_bytes()).map_err(wrong)?;
    let again = record.replay().map_err(wrong)?;
    let is_same = serde_json::to_vec(&again).ok() == serde_json::to_vec(&record.decision).ok();
    if args.json {
        let mut document: Value = serde_json::from_slice(&answer.body).map_err(no_report)?;
        document["replay"] = json!({ "isSame": is_same, "decision": again });
        writeln!(out, "{document}")?;
    } else {
        let micros = report.plan.as_ref().map(|plan| plan.decided_in_us);
        print(&mut out, &record, micros)?;
        if let Some(plan) = &report.plan {
            write!(out, "{}", context(plan))?;
            if let Some(told) = &plan.cascade {
                writeln!(out, "{}", cascade(told, report.cost_usd))?;
            }
        }
        writeln!(out, "{}", answered(&report))?;
        let replay = match is_same {
            true => "Decided again from what was stored: the same, to the byte.",
            false => {
                "Decided again from what was stored: ANOTHER decision; this program is not the one that decided."
            }
        };
        writeln!(out, "{replay}")?;
    }
    if is_same { Ok(()) } else { Err(Failure::Shown) }
}

/// The server's own sentence.
fn unknown(body: &[u8]) -> Failure {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = document["error"]["message"].as_str().unwrap_or("the server knows no such request");
    Failure::new("UAT_NOT_FOUND", message)
}

fn answered(report: &Report<'_>) -> String {
    match (&report.model, &report.endpoint, &report.code) {
        (_, _, Some(code)) => format!("It failed: {code}."),
        (Some(model), Some(endpoint), None) => format!("{model} answered, at {endpoint}."),
        _ => "It has not been answered yet.".to_owned(),
    }
}

/// What was added to the request and what was not, a line each.
fn context(plan: &Plan) -> String {
    let added =
        plan.context_added.iter().map(|piece| format!("Added: {}, {} tokens.\n", piece.source, piece.tokens));
    let left = plan.context_left.iter().map(|piece| {
        let why = match piece.why.as_str() {
            "twice" => "the request says it already",
            "hole" => "a later turn had no room",
            _ => "there was no room",
        };
        format!("Left out: {}, {} tokens: {why}.\n", piece.source, piece.tokens)
    });
    let missing =
        plan.context_missing.iter().map(|missing| format!("Missing: {}: {}.\n", missing.source, missing.why));
    added.chain(left).chain(missing).collect()
}

/// Who was asked first, and what came of it.
fn cascade(told: &Cascade, cost_usd: Option<f64>) -> String {
    let Cascade { check, first, second, .. } = told;
    if let Some(without) = &told.without {
        return format!("No cascade: {without}.");
    }
    let answers = told.k.map_or_else(String::new, |k| format!(" of {k} answers"));
    let least = told.threshold.map_or_else(String::new, |least| format!(", at least {least}"));
    let asked = format!("Cascade: {first} first, judged by {check}{answers}{least}");
    let Some(accepted) = told.accepted else { return format!("{asked}; it was not judged.") };
    let measured = told.measured.map_or_else(String::new, |measured| format!(" {measured:.3}"));
    let why = told.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let became = if accepted { "its answer was given".to_owned() } else { format!("then {second}") };
    let usd =
        |cost: Option<f64>| cost.map_or_else(|| "an unknown sum".to_owned(), |usd| format!("{usd:.6} USD"));
    let cost = format!("The first stage cost {}, both {}.", usd(told.first_cost_usd), usd(cost_usd));
    format!("{asked}:{measured}{why}, {became}.\n{cost}")
}

fn print(out: &mut impl Write, record: &Record, micros: Option<f64>) -> io::Result<()> {
    let Decision { plan, chosen, candidates, estimate, .. } = &record.decision;
    let chosen = chosen.as_deref().unwrap_or("nobody");
    let took = micros.map_or_else(String::new, |micros| format!(", decided in {micros:.1} us"));
    writeln!(out, "{}: {} -> {chosen}{took}", plan.request_id, record.question.target)?;
    writeln!(out, "{}", expected(record, estimate))?;
    let is_asked =
        |model: &str| plan.stages.iter().flat_map(|stage| &stage.candidates).any(|one| *one.model == *model);
    let weights =
        record.policy.weights.named().map(|(name, weight)| format!("{} x{weight}", name.to_uppercase()));
    let mut head = vec!["MODEL".to_owned(), "SCORE".to_owned()];
    head.extend(weights);
    head.extend(["COST", "LATENCY", ""].map(str::to_owned));
    let rows = candidates.iter().map(|candidate| row(candidate, is_asked(&candidate.model)));
    table::write(out, &std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn expected(record: &Record, estimate: &Estimate) -> String {
    let up_to = if record.question.prompt_tokens.is_estimate { "up to " } else { "" };
    let cost = estimate.cost_usd.map_or_else(String::new, |usd| format!(", at most about {usd:.6} USD"));
    let latency = estimate.latency_ms.map_or_else(String::new, |ms| format!(", about {ms:.0} ms"));
    format!("A prompt of {up_to}{} tokens{cost}{latency}.", estimate.prompt_tokens)
}

fn row(candidate: &Candidate, is_asked: bool) -> Vec<String> {
    let unknown = || "-".to_owned();
    let mut row = vec![candidate.model.to_string(), format!("{:.3}", candidate.score)];
    row.extend(candidate.terms.named().map(|(_, term)| format!("{term:.3}")));
    row.push(candidate.estimate.cost_usd.map_or_else(unknown, |usd| format!("{usd:.6}")));
    row.push(candidate.estimate.latency_ms.map_or_else(unknown, |ms| format!("{ms:.0} ms")));
    row.push(match (&candidate.rejected, is_asked, candidate.is_up) {
        (Some(why), _, _) => why.to_string(),
        (None, true, true) => String::new(),
        (None, true, false) => "may not be asked at present: asked last".to_owned(),
        (None, false, _) => "beyond routing.max_candidates".to_owned(),
    });
    row
}

#[cfg(test)]
mod tests {
    use runtime::llm_router::{Catalogue, Model, Policy, Question, Snapshot, Target, decide};

    use super::*;

    #[test]
    fn what_was_added_and_what_was_not_stands_on_lines_of_its_own() {
        let plan = json!({
            "decidedInUs": 1.0,
            "contextAdded": [{ "source": "rules", "tokens": 24 }],
            "contextLeft": [{ "source": "memory#1", "tokens": 900, "why": "budget" }],
            "contextMissing": [{ "source": "memory", "why": "the connection failed" }],
        });
        let expected = "\
Added: rules, 24 tokens.
Left out: memory#1, 900 tokens: there was no room.
Missing: memory: the connection failed.
";
        assert_eq!(context(&serde_json::from_value(plan).unwrap()), expected);
    }

    #[test]
    fn what_a_request_cost_is_read_as_the_server_writes_it() {
        let report: Report<'_> = serde_json::from_str(r#"{"model":"m","costUsd":0.5}"#).unwrap();
        assert_eq!(report.cost_usd, Some(0.5));
    }

    #[test]
    fn a_cascade_is_told_with_what_was_measured_and_what_both_stages_cost() {
        let told = |more: Value| {
            let mut told =
                json!({ "check": "logprob", "threshold": 1.5, "first": "small", "second": "large" });
            told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            cascade(&serde_json::from_value(told).unwrap(), Some(0.5))
        };
        let asked = "Cascade: small first, judged by logprob, at least 1.5";
        let accepted = told(json!({ "accepted": true, "measured": 2.0, "firstCostUsd": 0.25 }));
        let cost = "The first stage cost 0.250000 USD, both 0.500000 USD.";
        assert_eq!(accepted, format!("{asked}: 2.000, its answer was given.\n{cost}"));
        let refused =
            told(json!({ "accepted": false, "why": "it failed (UAT_UPSTREAM)", "firstCostUsd": 0.25 }));
        assert_eq!(refused, format!("{asked}: (it failed (UAT_UPSTREAM)), then large.\n{cost}"));
        assert_eq!(told(json!({})), format!("{asked}; it was not judged."));
        assert_eq!(told(json!({ "without": "there is one" })), "No cascade: there is one.");
    }

    #[test]
    fn the_table_says_what_decided_and_why_the_others_lost() {
        let small = Model { quality: Some(0.5), context_tokens: Some(100), ..Model::new("small") };
        let large = Model { quality: Some(0.75), ..Model::new("large") };
        let (catalogue, snapshot) = (Catalogue::new(vec![small, large], []), Snapshot::default());
        let (question, policy) = (Question::new(Target::Auto, 200), Policy::default());
        let decision = decide("req_1", &question, &catalogue, &snapshot, &policy).unwrap();
        let record = Record::new(&question, &catalogue, &snapshot, &policy, decision);
        let mut out = Vec::new();
        print(&mut out, &record, Some(2.5)).unwrap();
        let expected = "\
req_1: auto -> large, decided in 2.5 us
A prompt of 200 tokens.
MODEL  SCORE  TIER x1  QUALITY x4  PRICE x2  LATENCY x2  HEALTH x1  COST  LATENCY
large  0.500  0.000    0.750       0.000     0.500       1.000      -     -
small  0.400  0.000    0.500       0.000     0.500       1.000      -     -        holds 100 tokens, prompt and answer need 201: 101 too many
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
