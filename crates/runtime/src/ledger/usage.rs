//! What was used, in Redis: a hash for each day, kept for 400 days.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use access::{KEPT_DAYS, LedgerError, UsageLog, UsageRow};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis_service::RedisService;
use redis_service::resp::{Command, Value};

use super::{RedisLedger, unavailable};

/// A day's two keys are in one slot of a cluster.
const PREFIX: &str = "~uat:usage:";

const ADD: &str = include_str!("usage-add.lua");

/// Seconds for which it is remembered that a batch has arrived: longer than anybody repeats one.
const BATCH_SECONDS: u64 = 24 * 3600;

/// The counts of a row, by the letters under which they are kept.
const COUNTS: [&str; 6] = ["requests", "estimated", "prompt", "cached", "completion", "cost"];

fn counts(row: &UsageRow) -> [u64; 6] {
    let UsageRow {
        requests, estimated, prompt_tokens, cached_prompt_tokens, completion_tokens, cost, ..
    } = row;
    [*requests, *estimated, *prompt_tokens, *cached_prompt_tokens, *completion_tokens, *cost]
}

fn count_of<'a>(row: &'a mut UsageRow, name: &str) -> Option<&'a mut u64> {
    Some(match name {
        "requests" => &mut row.requests,
        "estimated" => &mut row.estimated,
        "prompt" => &mut row.prompt_tokens,
        "cached" => &mut row.cached_prompt_tokens,
        "completion" => &mut row.completion_tokens,
        "cost" => &mut row.cost,
        _ => return None,
    })
}

fn day_key(service: &RedisService, day: u64) -> Bytes {
    service.prefixed(format!("{PREFIX}{{{day}}}").as_bytes())
}

impl RedisLedger {
    async fn add_day(&self, day: u64, batch: u64, rows: &[&UsageRow]) -> Result<(), LedgerError> {
        let service = self.service().await?;
        let key = day_key(service, day);
        let mut command = Command::new("EVAL")
            .arg(ADD)
            .arg("2")
            .key(&key)
            .arg([&key[..], format!(":{batch:016x}").as_bytes()].concat())
            .arg((KEPT_DAYS * 24 * 3600).to_string())
            .arg(BATCH_SECONDS.to_string());
        for row in rows {
            for (name, count) in COUNTS.into_iter().zip(counts(row)).filter(|(_, count)| *count > 0) {
                let field = serde_json::json!([row.hour, row.key, row.model, name]);
                command = command.arg(field.to_string()).arg(count.to_string());
            }
        }
        service.call(command).await.map(drop).map_err(|error| unavailable(&error))
    }

    async fn read_day(&self, day: u64, rows: &mut HashMap<Place, UsageRow>) -> Result<(), LedgerError> {
        let service = self.service().await?;
        let command = Command::new("HGETALL").key(day_key(service, day));
        let fields = service.call(command).await.map_err(|error| unavailable(&error))?;
        for (field, count) in fields.into_pairs().unwrap_or_default() {
            let Some((place, name, count)) = read_field(&field, &count) else { continue };
            let (hour, key, model) = place.clone();
            let row =
                rows.entry(place).or_insert_with(|| UsageRow { key, model, hour, ..UsageRow::default() });
            if let Some(sum) = count_of(row, &name) {
                *sum = count;
            }
        }
        Ok(())
    }
}

/// Hour, key and model.
type Place = (u64, Arc<str>, Arc<str>);

fn read_field(field: &Value, count: &Value) -> Option<(Place, String, u64)> {
    let (hour, key, model, name): (u64, Arc<str>, Arc<str>, String) =
        serde_json::from_str(field.as_str()?).ok()?;
    Some(((hour, key, model), name, u64::try_from(count.as_integer()?).ok()?))
}

impl UsageLog for RedisLedger {
    fn add<'a>(&'a self, batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let mut days: BTreeMap<u64, Vec<&UsageRow>> = BTreeMap::new();
            for row in rows {
                days.entry(row.hour / 24).or_default().push(row);
            }
            for (day, rows) in days {
                self.add_day(day, batch, &rows).await?;
            }
            Ok(())
        })
    }

    fn read(&self, since_hour: u64, until_hour: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>> {
        Box::pin(async move {
            let last = until_hour / 24;
            let first = (since_hour / 24).max(last.saturating_sub(KEPT_DAYS));
            let mut rows = HashMap::new();
            for day in first..=last {
                self.read_day(day, &mut rows).await?;
            }
            Ok(rows.into_values().filter(|row| (since_hour..=until_hour).contains(&row.hour)).collect())
        })
    }
}
