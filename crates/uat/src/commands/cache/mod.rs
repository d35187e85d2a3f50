//! `uat cache`: one-shot commands on the cache in Redis. What cannot reach Redis fails here, where a program would go on
//! without it: nobody is left to settle what was written meanwhile.

mod bench;
mod value;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use runtime::redis_service::resp::{Command, Value};
use runtime::redis_service::{Mode, OnlyIf, Options, RedisService, RedisServiceError, SetOptions, Topology};
use runtime::{ask_redis, open_redis};
use serde_json::json;

use super::{ConfigArgs, block_on};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    config: ConfigArgs,
    /// The Redis, in place of the one under [redis]; other users of this machine can see it while the command runs.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Whether Redis answers, how fast, and what it is.
    Status,
    /// Print a value; exit code 1 and nothing else if there is none.
    Get {
        /// The key, without the key prefix.
        key: String,
    },
    /// Write a value.
    Set {
        /// The key, without the key prefix.
        key: String,
        /// The value, as text; `-` reads it from standard input.
        value: String,
        /// How long it lives, such as 500ms, 30s, 5m or 1day; without end if absent.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
        /// Write only if there is no value yet, or only if there is one.
        #[arg(long, value_enum, value_name = "WHEN")]
        only_if: Option<When>,
        /// The value is JSON: a number is one that can be added to, an object is an object to every reader.
        #[arg(long)]
        json_value: bool,
    },
    /// Delete values.
    Delete {
        /// The keys, without the key prefix.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Delete all values, or those whose keys begin with PREFIX; sessions stay.
    Clear {
        /// What the keys begin with, after the key prefix.
        prefix: Option<String>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Measure reads and writes, without the near tier.
    Bench(bench::BenchArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    Absent,
    Present,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let options = options(args)?;
    block_on(async {
        let work = async {
            let service = open(options.clone()).await?;
            let result = act(args, &options, &service).await;
            service.close().await;
            result
        };
        if matches!(args.action, Action::Bench(_)) {
            // It tidies up after Ctrl-C.
            return work.await;
        }
        tokio::select! {
            result = work => result,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from).and(Err(Failure::Interrupted)),
        }
    })
}

async fn act(args: &Args, options: &Options, service: &Arc<RedisService>) -> Result<(), Failure> {
    match &args.action {
        Action::Status => status(args, options, service).await,
        Action::Get { key } => get(args, service, key).await,
        Action::Set { key, value, ttl, only_if, json_value } => {
            let value = value::read(value, *json_value)?;
            let only_if = only_if.map(|when| match when {
                When::Absent => OnlyIf::Absent,
                When::Present => OnlyIf::Present,
            });
            let written = service.set(key, &value, &SetOptions { ttl: *ttl, only_if }).await?;
            reached(service)?;
            let what = if only_if == Some(OnlyIf::Absent) { "there is a value" } else { "there is no value" };
            let sentence =
                if written { format!("{key} is written") } else { format!("{key} is not written: {what}") };
            say(args, &json!({ "key": key, "written": written }), &sentence)?;
            if written { Ok(()) } else { Err(Failure::Shown) }
        }
        Action::Delete { keys } => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let deleted = service.delete(&keys).await?;
            reached(service)?;
            say(args, &json!({ "deleted": deleted }), &format!("deleted {deleted} of {}", keys.len()))
        }
        Action::Clear { prefix, yes } => clear(args, options, service, prefix.as_deref(), *yes).await,
        Action::Bench(bench) => bench::run(bench, service, args.json).await,
    }
}

/// What counts, for a process that ends at once.
fn options(args: &Args) -> Result<Options, Failure> {
    let mut options = args.config.load()?.config.redis.unwrap_or_default();
    if let Some(url) = &args.url {
        options = Options { url: Some(url.clone()), url_env: None, url_file: None, ..options };
    }
    if !options.names_redis() {
        return Err(Failure::new(
            "UAT_CONFIG",
            "no Redis is configured: expected `url` under [redis] in uat.toml",
        )
        .hint("uat cache status --url redis://127.0.0.1:6379, or set UAT__REDIS__URL"));
    }
    // The journal belongs to the program that serves sessions.
    options.replay_writes = false;
    if matches!(args.action, Action::Bench(_)) {
        options.near_cache = false;
    } else {
        // Somebody waits for the answer, not for a deadline: a slow link is no miss.
        options.read_budget_ms = options.command_timeout_ms;
    }
    Ok(options.with_url()?)
}

/// A service whose Redis answers.
async fn open(options: Options) -> Result<Arc<RedisService>, Failure> {
    let service = open_redis(options).await?;
    if let Err(failure) = reached(&service) {
        service.close().await;
        return Err(failure);
    }
    Ok(service)
}

/// That everything so far went to Redis.
fn reached(service: &RedisService) -> Result<(), Failure> {
    let status = service.status();
    if status.mode == Mode::Redis && status.pending_replays == 0 {
        return Ok(());
    }
    let reason = status.last_error.unwrap_or_else(|| "it did not answer".to_owned());
    Err(Failure::new("UAT_STORAGE", format!("Redis does not answer: {reason}"))
        .hint("check that the server runs, and its address"))
}

async fn status(args: &Args, options: &Options, service: &RedisService) -> Result<(), Failure> {
    let answer = ask_redis(service).await?;
    let address = options.address()?;
    let is_cluster = address.as_ref().is_some_and(|address| matches!(address.topology, Topology::Cluster(_)));
    // One node of a cluster would count its own keys only.
    let keys = if is_cluster { None } else { keys(service).await? };
    let near = options.near_cache && answer.tells_changes;
    let round_trip_us = u64::try_from(answer.round_trip.as_micros()).unwrap_or(u64::MAX);
    let places = address.map(|address| address.places()).unwrap_or_default();
    let mode = service.status().mode.as_str();
    let mut out = io::stdout().lock();
    if args.json {
        let document = json!({
            "mode": mode, "address": places, "server": answer.server, "roundTripUs": round_trip_us,
            "near": near, "keys": keys, "keyPrefix": options.key_prefix,
        });
        return Ok(writeln!(out, "{document}")?);
    }
    let near = match (options.near_cache, answer.tells_changes) {
        (false, _) => "off (near_cache = false)".to_owned(),
        (true, false) => "off: the server does not tell of changes (CLIENT TRACKING)".to_owned(),
        (true, true) => format!("on, up to {} in each process", super::human_bytes(options.near_max_bytes)),
    };
    let server = answer.server.as_deref().unwrap_or("does not tell its version");
    writeln!(out, "mode        {mode}\nserver      {server} at {places}")?;
    writeln!(out, "round trip  {:.2} ms\nnear tier   {near}", round_trip_us as f64 / 1000.0)?;
    if let Some(keys) = keys {
        writeln!(out, "keys        {keys} in the database, whatever their names")?;
    }
    if !options.key_prefix.is_empty() {
        writeln!(out, "key prefix  {}", options.key_prefix)?;
    }
    Ok(())
}

/// How many keys the database has; none where the user may not ask.
async fn keys(service: &RedisService) -> Result<Option<i64>, Failure> {
    match service.call(Command::new("DBSIZE")).await {
        Ok(size) => Ok(size.as_integer()),
        Err(RedisServiceError::Unauthorized { .. } | RedisServiceError::Upstream { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As a command, which unlike a read of the cache says whether Redis is away.
async fn get(args: &Args, service: &RedisService, key: &str) -> Result<(), Failure> {
    // Refuses what is no key.
    let ttl = service.ttl(key).await?;
    let prefixed = service.prefixed(key.as_bytes());
    let stored = match service.call(Command::new("GET").key(&prefixed)).await? {
        Value::Bulk(stored) => Some(stored),
        _ => None,
    };
    let mut out = io::stdout().lock();
    let Some(stored) = stored else {
        if args.json {
            writeln!(out, "{}", json!({ "key": key, "found": false }))?;
        }
        return Err(Failure::Shown);
    };
    let Some(value) = service.decode(&stored) else {
        return Err(Failure::new(
            "UAT_CORRUPT_VALUE",
            format!("{key}: the value is damaged, or a newer version wrote it; it stays"),
        ));
    };
    if args.json {
        let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        writeln!(out, "{}", value::document(key, &value, ttl_ms))?;
    } else if out.is_terminal() {
        writeln!(out, "{}", value::for_people(&value))?;
    } else {
        out.write_all(&value::bytes(&value))?;
        out.flush()?;
    }
    Ok(())
}

async fn clear(
    args: &Args,
    options: &Options,
    service: &RedisService,
    prefix: Option<&str>,
    yes: bool,
) -> Result<(), Failure> {
    let prefix = prefix.unwrap_or_default();
    if prefix.is_empty() && !yes && !agreed(options, service).await? {
        return Err(Failure::new("UAT_CANCELLED", "nothing was deleted: expected the answer y, or --yes"));
    }
    let deleted = service.clear(prefix.as_bytes()).await?;
    reached(service)?;
    say(args, &json!({ "deleted": deleted }), &format!("deleted {deleted} value(s)"))
}

/// Asks on standard error, so that standard output stays the command's own.
async fn agreed(options: &Options, service: &RedisService) -> Result<bool, Failure> {
    let places = options.address()?.map(|address| address.places()).unwrap_or_default();
    let keys =
        keys(service).await?.map(|keys| format!(" (it holds {keys} key(s) in all)")).unwrap_or_default();
    let which = match options.key_prefix.as_str() {
        "" => "all values".to_owned(),
        prefix => format!("all values under {prefix:?}"),
    };
    write!(io::stderr(), "Delete {which} at {places}{keys}? [y/N] ")?;
    // On a thread, so that Ctrl-C is heard.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = answer.await.map_err(|error| Failure::new("UAT_INTERNAL", error.to_string()))??;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn say(args: &Args, document: &serde_json::Value, sentence: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "{sentence}")?;
    }
    Ok(())
}
