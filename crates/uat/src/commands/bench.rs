//! `uat bench`

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use llm_wire::openai::{ChatRequest, chunk_facts};
use runtime::{Answer, ChatOptions, Engine, Neighbours, Runtime, RuntimeError, UatConfig};
use serde_json::{Value, json};

use super::doctor::ask_engine;
use super::{ConfigArgs, block_on};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How fast the local engine is here: reading prompts, generating, alone and with several chats at once.
    Engine(EngineArgs),
}

#[derive(Debug, clap::Args)]
struct EngineArgs {
    /// The model; without it, `engine.model` of the configuration.
    #[arg(short, long)]
    model: Option<String>,
    /// Threads that compute, where the engine is not running yet.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Length of the prompt that is read, in tokens, about.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..))]
    prompt_tokens: u32,
    /// Length of an answer, in tokens.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    tokens: u32,
    /// Chats at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    parallel: u32,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Each figure is the median of so many: one may be disturbed.
const ROUNDS: u32 = 3;
/// Answers after a cached prefix: only their beginning is looked at.
const FEW_TOKENS: u32 = 4;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let What::Engine(args) = &args.what;
    // The engine alone, whatever else is configured or answers on this machine.
    let mut config = UatConfig { engine: args.config.load()?.config.engine, ..UatConfig::default() };
    if let Some(model) = &args.model {
        config.engine.model.clone_from(model);
    }
    config.engine.threads = args.threads.or(config.engine.threads);
    let model = config.engine.model.clone();
    let runtime = Runtime::with_neighbours(config, Vec::new(), Neighbours::none())?;
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(100));
    let figures = block_on(async {
        let bench = Bench { runtime: &runtime, model: &model, progress: &progress };
        let result = tokio::select! {
            result = bench.measure(args) => result,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from).and(Err(Failure::Interrupted)),
        };
        runtime.close().await;
        result
    });
    progress.finish_and_clear();
    let figures = figures?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", figures.document(args))
    } else {
        out.write_all(figures.text(args).as_bytes())
    }
    .map_err(Failure::from)
}

/// Asks as any client does.
struct Bench<'a> {
    runtime: &'a Arc<Runtime>,
    model: &'a str,
    progress: &'a ProgressBar,
}

/// What one answer's client saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// From the question to the first content.
    first: Duration,
    /// From there to the end.
    rest: Duration,
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// Medians. Times in ms, rates in tokens/s.
#[derive(Debug, Clone, PartialEq)]
struct Figures {
    model: String,
    threads: u64,
    prompt_tokens: f64,
    prompt_rate: f64,
    generation_rate: f64,
    first_ms: f64,
    cached_first_ms: f64,
    alone_rate: f64,
    parallel_rate: f64,
}

impl Bench<'_> {
    async fn measure(&self, args: &EngineArgs) -> Result<Figures, Failure> {
        let engine = self.runtime.engine().ok_or_else(|| {
            Failure::new("UAT_ENGINE_UNAVAILABLE", "the engine is switched off by engine.enabled = false")
        })?;
        self.say("loading the model");
        let words = self.words_for(args.prompt_tokens).await?;
        let threads = threads_of(&engine, args.threads).await?;

        let (mut cold, mut cached) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            self.say(&format!("one chat, round {round} of {ROUNDS}"));
            let prefix = Prefix::new(words);
            cold.push(self.ask(&prefix, 1, args.tokens).await?);
            cached.push(self.ask(&prefix, 2, FEW_TOKENS).await?);
        }
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            self.say(&format!("{} chats at once, round {round} of {ROUNDS}", args.parallel));
            alone.push(self.at_once(1, args.tokens).await?);
            together.push(self.at_once(args.parallel, args.tokens).await?);
        }
        let of_cold = |figure: fn(&Seen) -> f64| median(cold.iter().map(figure));
        Ok(Figures {
            model: self.model.to_owned(),
            threads,
            prompt_tokens: of_cold(|seen| seen.prompt_tokens as f64),
            prompt_rate: of_cold(|seen| seen.prompt_tokens as f64 / seen.first.as_secs_f64()),
            generation_rate: of_cold(|seen| {
                seen.completion_tokens.saturating_sub(1) as f64 / seen.rest.as_secs_f64()
            }),
            first_ms: of_cold(|seen| seen.first.as_secs_f64() * 1e3),
            cached_first_ms: median(cached.iter().map(|seen| seen.first.as_secs_f64() * 1e3)),
            alone_rate: median(alone.into_iter()),
            parallel_rate: median(together.into_iter()),
        })
    }

    /// How many words make a prompt of about so many tokens: found with two short prompts, since only the engine knows
    /// the model's vocabulary and template.
    async fn words_for(&self, tokens: u32) -> Result<usize, Failure> {
        const FEW: usize = 8;
        const MORE: usize = 40;
        let few = self.ask(&Prefix::new(FEW), 1, 1).await?.prompt_tokens as f64;
        let more = self.ask(&Prefix::new(MORE), 1, 1).await?.prompt_tokens as f64;
        let per_word = ((more - few) / (MORE - FEW) as f64).max(f64::MIN_POSITIVE);
        Ok((FEW as f64 + (f64::from(tokens) - few) / per_word).max(1.0).round() as usize)
    }

    /// Tokens per second of so many chats, from the first question to the end of the last answer.
    async fn at_once(&self, chats: u32, tokens: u32) -> Result<f64, Failure> {
        let started = Instant::now();
        let prefixes: Vec<_> = (0..chats).map(|_| Prefix::new(1)).collect();
        let seen = try_join_all(prefixes.iter().map(|prefix| self.ask(prefix, 1, tokens))).await?;
        let tokens: u64 = seen.iter().map(|seen| seen.completion_tokens).sum();
        Ok(tokens as f64 / started.elapsed().as_secs_f64())
    }

    async fn ask(&self, prefix: &Prefix, from: u32, tokens: u32) -> Result<Seen, Failure> {
        let body = json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": prefix.0 },
                // A small model counts on and on: the answer does not end before its last token.
                { "role": "user", "content": format!("Count from {from} to 5000, one number per line, without a stop.") },
            ],
            "temperature": 0,
            "max_tokens": tokens,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        let request = ChatRequest::parse(body.to_string().into()).map_err(RuntimeError::from)?;
        let started = Instant::now();
        let Answer::Stream(mut chunks) = self.runtime.chat(request, ChatOptions::default()).await? else {
            return Err(Failure::new("UAT_INTERNAL", "expected a stream, got a whole answer"));
        };
        let (mut first, mut usage) = (None, None);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(RuntimeError::from)?;
            let facts = chunk_facts(&chunk).map_err(RuntimeError::from)?;
            if facts.has_content {
                first.get_or_insert_with(|| started.elapsed());
            }
            usage = facts.usage.or(usage);
        }
        let (Some(first), Some(usage)) = (first, usage) else {
            return Err(Failure::new(
                "UAT_UPSTREAM",
                "expected an answer and its usage, got neither or one of them",
            ));
        };
        Ok(Seen {
            first,
            rest: started.elapsed() - first,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        })
    }

    /// On a terminal in place, elsewhere a line each.
    fn say(&self, what: &str) {
        self.progress.set_message(what.to_owned());
        if self.progress.is_hidden() {
            // Progress is a courtesy: a closed standard error must not end the measurement.
            let _ = writeln!(io::stderr(), "{what}");
        }
    }
}

/// A system message that the engine has not read before: what it kept of an earlier run would make it look fast.
struct Prefix(String);

impl Prefix {
    fn new(words: usize) -> Self {
        /// One token each in most vocabularies.
        const WORDS: [&str; 8] = ["river", "house", "water", "school", "music", "road", "light", "year"];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // The digits that differ come first, so that nothing is shared.
        let mut text: String = now.to_string().chars().rev().take(12).collect();
        for word in WORDS.iter().cycle().take(words) {
            text.push(' ');
            text.push_str(word);
        }
        Self(text)
    }
}

/// How many threads the engine computes with. An engine that was running before keeps its own number.
async fn threads_of(engine: &Engine, asked: Option<u32>) -> Result<u64, Failure> {
    let health = ask_engine(engine).await.map_err(|error| {
        Failure::new("UAT_ENGINE_UNAVAILABLE", format!("the engine does not tell its health: {error}"))
    })?;
    let threads = health.get("threads").and_then(Value::as_u64).unwrap_or_default();
    match asked {
        Some(asked) if u64::from(asked) != threads => Err(Failure::new(
            "UAT_CONFLICT",
            format!("expected {asked} thread(s), but the engine was already running with {threads}"),
        )
        .hint("end the programs that use it, wait until it ends by itself (engine.idle_exit_s), and run this again")),
        _ => Ok(threads),
    }
}

impl Figures {
    fn text(&self, args: &EngineArgs) -> String {
        let Self { model, threads, prompt_tokens, first_ms, cached_first_ms, .. } = self;
        format!(
            "{model}, {threads} threads: {prompt_tokens:.0} tokens of prompt, {} of answer; medians of {ROUNDS}\n\
             prompt         {:8.1} tokens/s\n\
             generation     {:8.1} tokens/s\n\
             {:<14} {:8.1} tokens/s, {:.2} times one alone ({:.1})\n\
             first token    {first_ms:8.1} ms, and {cached_first_ms:.1} ms where the beginning was read before\n",
            args.tokens,
            self.prompt_rate,
            self.generation_rate,
            format!("{} at once", args.parallel),
            self.parallel_rate,
            self.parallel_rate / self.alone_rate,
            self.alone_rate,
        )
    }

    fn document(&self, args: &EngineArgs) -> Value {
        json!({
            "model": self.model, "threads": self.threads, "rounds": ROUNDS,
            "promptTokens": self.prompt_tokens, "answerTokens": args.tokens,
            "promptTokensPerS": self.prompt_rate, "generationTokensPerS": self.generation_rate,
            "firstTokenMs": self.first_ms, "cachedFirstTokenMs": self.cached_first_ms,
            "parallel": { "chats": args.parallel, "tokensPerS": self.parallel_rate, "aloneTokensPerS": self.alone_rate },
        })
    }
}

/// The middle one of an odd number of values, such as [`ROUNDS`].
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_prompts_share_no_beginning() {
        let (one, other) = (Prefix::new(3), Prefix::new(3));
        assert_ne!(one.0, other.0);
        assert!(one.0.ends_with(" river house water"));
    }

    #[test]
    fn one_disturbed_round_does_not_count() {
        assert_eq!(median([100.0, 2.0, 101.0].into_iter()), 100.0);
    }
}
