//! `uat bandit`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use runtime::parameter_analytics_service::report::bandit_html;
use serde_json::json;

use super::StorageArgs;
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    storage: StorageArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// The bandits that there are.
    List,
    /// Write a page with what a bandit knows, for a browser.
    Report {
        /// The bandit's name.
        name: String,
        /// The file; `-` is standard output. Without it, NAME.html here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// What a bandit knows of its arms.
    Show {
        /// The bandit's name.
        name: String,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::List => list(args),
        Action::Report { name, out } => report(args, name, out.as_deref()),
        Action::Show { name } => show(args, name),
    }
}

fn list(args: &Args) -> Result<(), Failure> {
    let names = args.storage.with(|analytics| analytics.bandits())?;
    let mut out = io::stdout().lock();
    if args.storage.json {
        writeln!(out, "{}", json!({ "bandits": names }))?;
    } else if names.is_empty() {
        writeln!(out, "There are no bandits in {}", args.storage.place()?)?;
    }
    if !args.storage.json {
        names.iter().try_for_each(|name| writeln!(out, "{name}"))?;
    }
    Ok(())
}

fn report(args: &Args, name: &str, to: Option<&Path>) -> Result<(), Failure> {
    let own = name.to_owned();
    let page = args.storage.with(move |analytics| {
        let (bandit, now) = (analytics.load_bandit(&own)?, analytics.now());
        let arms = bandit.posterior(None, now)?;
        Ok(bandit_html(&own, &arms, bandit.verdict().as_deref(), now))
    })?;
    args.storage.write_page(name, &page, to)
}

fn show(args: &Args, name: &str) -> Result<(), Failure> {
    let own = name.to_owned();
    let (options, standings, verdict) = args.storage.with(move |analytics| {
        let bandit = analytics.load_bandit(&own)?;
        Ok((bandit.options(), bandit.posterior(None, analytics.now())?, bandit.verdict()))
    })?;
    let mut out = io::stdout().lock();
    if args.storage.json {
        let shown = json!({
            "name": name,
            "policy": options.policy,
            "rewards": options.rewards,
            "forget": options.forget,
            "arms": standings,
            "verdict": verdict,
        });
        writeln!(out, "{shown}")?;
        return Ok(());
    }
    let mut rows = vec![["ARM", "MEAN", "STD", "REWARDS", "BEST"].map(str::to_owned)];
    rows.extend(standings.iter().map(|standing| {
        let retired = if standing.is_retired { " (retired)" } else { "" };
        [
            format!("{}{retired}", standing.arm),
            format!("{:.4}", standing.mean),
            format!("{:.4}", standing.std),
            format!("{:.1}", standing.pulls),
            format!("{:.1} %", 100.0 * standing.probability_best),
        ]
    }));
    table::write(&mut out, &rows)?;
    if let Some(arm) = verdict {
        writeln!(out, "\nThe best arm is known: {arm}")?;
    }
    Ok(())
}
