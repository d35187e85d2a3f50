//! Accounts and usage in Redis, which several processes share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::{Claim, Granted, Ledger, LedgerError, UsageLog, UsageRow};
use futures_util::future::{BoxFuture, try_join_all};
use redis_service::resp::{Command, Value};
use redis_service::{Mode, Options, RedisService, RedisServiceError};

const CLAIM: &str = include_str!("claim.lua");
const USE: &str = include_str!("use.lua");

/// Usage is kept for a little longer than a year, so that a month can be compared with that of the year before.
const USAGE_TTL: Duration = Duration::from_secs(400 * 24 * 3600);
const USAGE_HOURS: u64 = USAGE_TTL.as_secs() / 3600;

/// Hours that are asked for at a time: what one batch of them weighs is no burden to the server.
const HOURS_AT_ONCE: u64 = 256;

/// How long a replica is waited for, ms: a claim has 50 in all.
const REPLICA_MS: i64 = 30;

/// Between the parts of a field's name; no name has it.
const SEPARATOR: char = '\u{1f}';

/// The Redis in which several processes keep their accounts. Its connections are its own: what waits for a replica keeps
/// no cached answer waiting.
pub(super) struct Shared {
    service: RedisService,
}

impl Shared {
    /// A server that is away is no error: then claims are not answered until it is there.
    pub(super) async fn connect(options: &Options) -> Result<Arc<Self>, RedisServiceError> {
        let options = Options { near_cache: false, replay_writes: false, ..options.clone() };
        Ok(Arc::new(Self { service: RedisService::connect(options, None).await? }))
    }

    pub(super) async fn close(&self) {
        self.service.close().await;
    }

    /// A command, where Redis is there: nobody waits for one that is not.
    async fn call(&self, command: Command) -> Result<Value, LedgerError> {
        let status = self.service.status();
        if status.mode != Mode::Redis {
            let reason = status.last_error.unwrap_or_else(|| "Redis is not connected".to_owned());
            return Err(LedgerError::Unavailable { reason });
        }
        self.service.call(command).await.map_err(failed)
    }

    async fn claim_now(&self, claim: Claim) -> Result<Granted, LedgerError> {
        let Claim { account, instance, number, limit, window, held, total, spent, fresh } = claim;
        let name = format!("~uat:claims:{}:{}:{}", account.what, account.period, account.key);
        let key = self.service.prefixed(name.as_bytes());
        let window = window.map(|window| window.to_string()).unwrap_or_default();
        let mut command = Command::new("EVAL").arg(CLAIM).int(1).key(&key);
        command =
            command.arg(instance.to_string()).arg(number.to_string()).arg(limit.to_string()).arg(window);
        for amount in [held, total, spent, fresh] {
            command = command.arg(amount.to_string());
        }
        command = command.arg(account.period.length().as_millis().to_string());
        let answer = self.call(command).await?;
        let numbers: Option<Vec<u64>> = answer.into_elements().and_then(|values| {
            values.iter().map(|value| value.as_integer().and_then(|n| u64::try_from(n).ok())).collect()
        });
        let Some([window, ends_in, granted, others, others_spent, replicas]) = numbers.as_deref() else {
            return Err(unexpected());
        };
        if *replicas > 0 {
            // On the same connection, which is what it waits for. A replica that is slow is not worth a refusal, a lost
            // connection is: then nobody knows which server is the master.
            let confirmed = self.call(Command::new("WAIT").int(1).int(REPLICA_MS).routed_by(&key)).await?;
            if confirmed.as_integer() == Some(0) {
                tracing::debug!("no replica has confirmed a claim in its time");
            }
        }
        Ok(Granted {
            window: *window,
            ends_in: Duration::from_millis(*ends_in),
            granted: *granted,
            others: *others,
            others_spent: *others_spent,
        })
    }

    /// `{hour}` puts both keys into one slot of a cluster.
    fn hour_key(&self, hour: u64) -> bytes::Bytes {
        self.service.prefixed(format!("~uat:usage:{{{hour}}}").as_bytes())
    }

    async fn add_hour(&self, batch: u64, hour: u64, rows: &[&UsageRow]) -> Result<(), LedgerError> {
        let key = self.hour_key(hour);
        let mark = self.service.prefixed(format!("~uat:usage:{{{hour}}}:{batch:016x}").as_bytes());
        let mut command = Command::new("EVAL").arg(USE).int(2).key(&key).arg(&mark);
        command = command.arg(USAGE_TTL.as_secs().to_string());
        for row in rows {
            for (count, amount) in counts(row).into_iter().filter(|(_, amount)| *amount > 0) {
                let field = [&*row.key, &*row.model, count].join(&SEPARATOR.to_string());
                command = command.arg(field).arg(amount.to_string());
            }
        }
        self.call(command).await.map(|_| ())
    }

    async fn read_hour(&self, hour: u64) -> Result<Vec<UsageRow>, LedgerError> {
        let answer = self.call(Command::new("HGETALL").key(self.hour_key(hour))).await?;
        let mut rows: HashMap<(String, String), UsageRow> = HashMap::new();
        for (field, amount) in answer.into_pairs().ok_or_else(unexpected)? {
            let (Some(field), Some(amount)) = (field.as_str(), amount.as_integer()) else { continue };
            let mut parts = field.split(SEPARATOR);
            let (Some(key), Some(model), Some(count)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let row = rows.entry((key.to_owned(), model.to_owned())).or_insert_with(|| UsageRow {
                key: key.into(),
                model: model.into(),
                hour,
                requests: 0,
                estimated: 0,
                prompt_tokens: 0,
                cached_prompt_tokens: 0,
                completion_tokens: 0,
                cost: 0,
            });
            let amount = u64::try_from(amount).unwrap_or(0);
            match count {
                "requests" => row.requests = amount,
                "estimated" => row.estimated = amount,
                "prompt" => row.prompt_tokens = amount,
                "cached" => row.cached_prompt_tokens = amount,
                "completion" => row.completion_tokens = amount,
                "cost" => row.cost = amount,
                _ => {}
            }
        }
        Ok(rows.into_values().collect())
    }
}

fn counts(row: &UsageRow) -> [(&'static str, u64); 6] {
    [
        ("requests", row.requests),
        ("estimated", row.estimated),
        ("prompt", row.prompt_tokens),
        ("cached", row.cached_prompt_tokens),
        ("completion", row.completion_tokens),
        ("cost", row.cost),
    ]
}

impl Ledger for Shared {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        Box::pin(self.claim_now(claim))
    }
}

impl UsageLog for Shared {
    fn add<'a>(&'a self, batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let mut hours: HashMap<u64, Vec<&UsageRow>> = HashMap::new();
            for row in rows {
                hours.entry(row.hour).or_default().push(row);
            }
            let adding = hours.iter().map(|(hour, rows)| self.add_hour(batch, *hour, rows));
            try_join_all(adding).await.map(|_| ())
        })
    }

    fn read(&self, since_hour: u64, until_hour: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>> {
        Box::pin(async move {
            let until = until_hour.min(now_hour());
            let mut from = since_hour.max(until.saturating_sub(USAGE_HOURS));
            let mut rows = Vec::new();
            while from <= until {
                let to = until.min(from + HOURS_AT_ONCE - 1);
                let hours = try_join_all((from..=to).map(|hour| self.read_hour(hour))).await?;
                rows.extend(hours.into_iter().flatten());
                from = to + 1;
            }
            Ok(rows)
        })
    }
}

fn now_hour() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() / 3600
}

fn failed(error: RedisServiceError) -> LedgerError {
    LedgerError::Unavailable { reason: error.to_string() }
}

fn unexpected() -> LedgerError {
    LedgerError::Storage { reason: "Redis answered something else than was expected".to_owned() }
}
