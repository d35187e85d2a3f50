//! `uat cache bench`: clients that read and write one key each, as fast as they are answered.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use runtime::redis_service::envelope::CacheValue;
use runtime::redis_service::{RedisService, SetOptions};
use serde_json::{Value, json};

use super::reached;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// How long reads and writes are measured, each.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Calls under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Length of a value.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    bytes: u32,
}

/// What is left behind by a process that was killed goes by itself.
const TTL: Duration = Duration::from_secs(1200);
/// Three digits are exact enough for microseconds.
const DIGITS: u8 = 3;

/// What one kind of call took.
struct Figures {
    name: &'static str,
    calls: Histogram<u64>,
    /// Reads that were not answered in their time.
    missed: u64,
    elapsed: Duration,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.calls.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn text(&self) -> String {
        let ms = |quantile| self.calls.value_at_quantile(quantile) as f64 / 1000.0;
        let missed = match self.missed {
            0 => String::new(),
            missed => format!(", {missed} over the read budget"),
        };
        format!(
            "{}  {:9.0}/s  p50 {:.2} ms  p99 {:.2} ms{missed}\n",
            self.name,
            self.rate(),
            ms(0.5),
            ms(0.99)
        )
    }

    fn document(&self) -> Value {
        let us = |quantile| self.calls.value_at_quantile(quantile);
        json!({
            "calls": self.calls.len(), "perS": self.rate(), "p50Us": us(0.5), "p99Us": us(0.99), "missed": self.missed,
        })
    }
}

pub(super) async fn run(args: &BenchArgs, service: &Arc<RedisService>, as_json: bool) -> Result<(), Failure> {
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(100));
    let keys: Vec<String> =
        (0..args.clients).map(|client| format!("uat-bench:{}:{client}", std::process::id())).collect();
    let figures = tokio::select! {
        figures = measure(args, service, &keys, &progress) => figures,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from).and(Err(Failure::Interrupted)),
    };
    progress.finish_and_clear();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    // Where Redis has gone there is nothing to tidy up, and that is said below.
    let tidied = service.delete(&keys).await;
    let [set, get] = figures?;
    tidied?;
    let mode = service.status().mode.as_str();
    let mut out = io::stdout().lock();
    if as_json {
        let document = json!({
            "mode": mode, "seconds": args.seconds, "clients": args.clients, "bytes": args.bytes,
            "set": set.document(), "get": get.document(),
        });
        writeln!(out, "{document}")?;
    } else {
        let BenchArgs { seconds, clients, bytes } = args;
        writeln!(
            out,
            "mode {mode}; {clients} clients, values of {bytes} bytes, {seconds} s each, no near tier"
        )?;
        write!(out, "{}{}", set.text(), get.text())?;
    }
    Ok(())
}

async fn measure(
    args: &BenchArgs,
    service: &RedisService,
    keys: &[String],
    progress: &ProgressBar,
) -> Result<[Figures; 2], Failure> {
    let value = CacheValue::Text(text(args.bytes as usize).into());
    let options = SetOptions { ttl: Some(TTL), only_if: None };
    let set = phase("SET", args.seconds, keys, progress, async |key: &str| {
        Ok(service.set(key, &value, &options).await?)
    })
    .await?;
    reached(service)?;
    let get =
        phase("GET", args.seconds, keys, progress, async |key: &str| Ok(service.get(key).await?.is_some()))
            .await?;
    reached(service)?;
    Ok([set, get])
}

async fn phase(
    name: &'static str,
    seconds: u64,
    keys: &[String],
    progress: &ProgressBar,
    call: impl AsyncFn(&str) -> Result<bool, Failure>,
) -> Result<Figures, Failure> {
    progress.set_message(format!("{name} for {seconds} s"));
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    // One for all: a histogram of each client's own would take 300 KB.
    let calls = RefCell::new(histogram()?);
    let missed = Cell::new(0);
    try_join_all(keys.iter().map(async |key| {
        while Instant::now() < end {
            let asked = Instant::now();
            let found = call(key).await?;
            missed.set(missed.get() + u64::from(!found));
            let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
            calls.borrow_mut().saturating_record(took);
        }
        Ok::<_, Failure>(())
    }))
    .await?;
    Ok(Figures { name, calls: calls.into_inner(), missed: missed.get(), elapsed: began.elapsed() })
}

/// Microseconds up to a minute, which no command takes.
fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, 60_000_000, DIGITS)
        .map_err(|error| Failure::new("UAT_INTERNAL", error.to_string()))
}

/// Text that compresses about as prose does, so that a configured compression has its usual work.
fn text(length: usize) -> String {
    const WORDS: [&str; 8] = ["river", "house", "seven", "answer", "model", "winter", "letter", "paper"];
    let mut text = String::with_capacity(length + 8);
    while text.len() < length {
        text.push_str(WORDS[fastrand::usize(..WORDS.len())]);
        text.push(' ');
    }
    text.truncate(length);
    text
}
