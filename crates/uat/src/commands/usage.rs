//! `uat usage`

use std::io::{self, Write};
use std::time::SystemTime;

use clap::ValueEnum;
use runtime::access::{NanoUsd, Timestamp, UsageBy, UsageQuery, UsageRow};
use runtime::read_usage;
use serde_json::json;

use super::{ConfigArgs, block_on};
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// What is told apart; the rest is added up.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "key,model")]
    by: Vec<By>,
    /// From when on: so long ago (7d, 12h), or a time like 2026-11-01T00:00:00Z. Hours count whole.
    #[arg(long, value_name = "WHEN", default_value = "1d", value_parser = past)]
    since: Timestamp,
    /// Up to when; without it, up to now.
    #[arg(long, value_name = "WHEN", value_parser = past)]
    until: Option<Timestamp>,
    /// Only what was asked with this key.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Key,
    Model,
    Hour,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?.config;
    let query = UsageQuery {
        since: Some(args.since),
        until: args.until,
        key: args.key.as_deref().map(Into::into),
        by: args
            .by
            .iter()
            .map(|by| match by {
                By::Key => UsageBy::Key,
                By::Model => UsageBy::Model,
                By::Hour => UsageBy::Hour,
            })
            .collect(),
    };
    let rows = block_on(async { Ok(read_usage(&config, &query).await?) })?;
    let mut out = io::stdout().lock();
    if args.json {
        let rows: Vec<_> = rows.iter().map(|row| document(row, &args.by)).collect();
        writeln!(out, "{}", json!({ "since": args.since.to_string(), "usage": rows }))?;
        return Ok(());
    }
    if rows.is_empty() {
        writeln!(out, "Nothing was asked with a key since {}", args.since)?;
        return Ok(());
    }
    let mut table: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
    let heads = args.by.iter().map(|by| match by {
        By::Key => "KEY",
        By::Model => "MODEL",
        By::Hour => "HOUR",
    });
    let counts = ["REQUESTS", "PROMPT", "CACHED", "COMPLETION", "USD", "ESTIMATED"];
    table.push(heads.chain(counts).map(str::to_owned).collect());
    for row in &rows {
        let named = args.by.iter().map(|by| match by {
            By::Key => row.key.to_string(),
            By::Model => row.model.to_string(),
            By::Hour => hour(row.hour),
        });
        let counts = [
            row.requests.to_string(),
            row.prompt_tokens.to_string(),
            row.cached_prompt_tokens.to_string(),
            row.completion_tokens.to_string(),
            format!("{:.6}", NanoUsd(row.cost).usd()),
            row.estimated.to_string(),
        ];
        table.push(named.chain(counts).collect());
    }
    table::write(&mut out, &table)?;
    Ok(())
}

fn document(row: &UsageRow, by: &[By]) -> serde_json::Value {
    let mut document = json!({
        "requests": row.requests,
        "estimatedRequests": row.estimated,
        "promptTokens": row.prompt_tokens,
        "cachedPromptTokens": row.cached_prompt_tokens,
        "completionTokens": row.completion_tokens,
        "costUsd": NanoUsd(row.cost).usd(),
    });
    for by in by {
        match by {
            By::Key => document["key"] = json!(row.key),
            By::Model => document["model"] = json!(row.model),
            By::Hour => document["hour"] = json!(hour(row.hour)),
        }
    }
    document
}

fn hour(hours: u64) -> String {
    let at = i64::try_from(hours.saturating_mul(3600)).ok().and_then(|s| Timestamp::from_second(s).ok());
    at.map_or_else(|| hours.to_string(), |at| at.to_string())
}

fn past(text: &str) -> Result<Timestamp, String> {
    super::moment(text, "a duration like 7d or a time like 2026-11-01T00:00:00Z", SystemTime::checked_sub)
}
