//! `uat`: the gateway as a server, a chat in the terminal, models, and what is wrong.
//!
//! Each command is a file in `commands`; everything that they do is done by `runtime` and `http-api`.
//!
//! Exit codes: 0 it worked, 1 it did not, 2 the command line or the configuration is wrong, 130 interrupted.

mod commands;
mod failure;
mod log;
mod reload;
mod running;
mod signals;
mod table;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use log::LogFormat;

/// A local-first AI runtime: a gateway for OpenAI, Anthropic, Gemini and Ollama clients, with a model of its own.
#[derive(Debug, Parser)]
#[command(name = "uat", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 it worked, 1 it did not, 2 the command line or the configuration is wrong, 130 interrupted.\n\
Settings come from --config, else the file that UAT_CONFIG names, else ./uat.toml; UAT__SERVER__BIND=... overrides server.bind."
)]
struct Cli {
    /// Log lines as text for people, or as JSON for programs. Logs go to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human, help_heading = "Logging")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or per part such as `info,fast_llm_coordinator=debug`.
    #[arg(long, global = true, env = "UAT_LOG", value_name = "FILTER", help_heading = "Logging")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve OpenAI, Anthropic, Gemini and Ollama clients over HTTP.
    Serve(commands::serve::Args),
    /// Ask a model from the terminal; no server needed.
    Chat(commands::chat::Args),
    /// List, fetch and remove the models of the local engine.
    Models(commands::models::Args),
    /// Write down what was said in recordings; no server needed.
    Transcribe(commands::transcribe::Args),
    /// Write down what a microphone hears, while somebody speaks; no server needed.
    Listen(commands::listen::Args),
    /// Check that everything needed is there, and say what to do where it is not.
    Doctor(commands::doctor::Args),
    /// Ask a running server how its endpoints are. Exit code 1 if one is taken out.
    Health(commands::health::Args),
    /// Say why a running server had a request answered by which model, and decide it again.
    Explain(commands::explain::Args),
    /// Measure how fast the local engine is on this machine.
    Bench(commands::bench::Args),
    /// Look into the cache in Redis, change it, and measure it.
    Cache(commands::cache::Args),
    /// Make, list and revoke the keys with which the server is asked.
    Keys(commands::keys::Args),
    /// What was asked with which keys, and what it cost.
    Usage(commands::usage::Args),
    /// Learn which model answers which prompts well, and measure it.
    Router(commands::router::Args),
    /// Look into studies, which are asked what to try next; carry them elsewhere.
    Study(commands::study::Args),
    /// Look into bandits, which learn which of several choices is best.
    Bandit(commands::bandit::Args),
    /// Plan how much GPU memory is needed.
    Gpu(commands::gpu::Args),
    /// Check or show the configuration, or print its schema.
    Config(commands::config::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A server tells what it does; a command in the terminal speaks only when something is wrong.
    let default_level = match cli.command {
        Command::Serve(_) => "info",
        // What it would warn of, that Redis is away, is the command's own error.
        Command::Cache(_) => "error",
        _ => "warn",
    };
    let result = log::start(cli.log.as_deref().unwrap_or(default_level), cli.log_format).and_then(|()| {
        match cli.command {
            Command::Serve(args) => commands::serve::run(&args),
            Command::Chat(args) => commands::chat::run(&args),
            Command::Models(args) => commands::models::run(&args),
            Command::Transcribe(args) => commands::transcribe::run(args),
            Command::Listen(args) => commands::listen::run(args),
            Command::Doctor(args) => commands::doctor::run(&args),
            Command::Health(args) => commands::health::run(&args),
            Command::Explain(args) => commands::explain::run(&args),
            Command::Bench(args) => commands::bench::run(&args),
            Command::Cache(args) => commands::cache::run(&args),
            Command::Keys(args) => commands::keys::run(&args),
            Command::Usage(args) => commands::usage::run(&args),
            Command::Router(args) => commands::router::run(&args),
            Command::Study(args) => commands::study::run(&args),
            Command::Bandit(args) => commands::bandit::run(&args),
            Command::Gpu(args) => commands::gpu::run(&args),
            Command::Config(args) => commands::config::run(&args),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
