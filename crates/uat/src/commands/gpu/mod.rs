//! `uat gpu`

mod estimate;
mod list;
mod simulate;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// How much memory a model takes, told from its file's header.
    Estimate(estimate::Args),
    /// The GPUs of this machine, and who uses their memory.
    List(list::Args),
    /// Replay recorded requests on GPUs that you may not have yet, and say how long they would have waited.
    Simulate(simulate::Args),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Estimate(args) => estimate::run(args),
        Action::List(args) => list::run(args),
        Action::Simulate(args) => simulate::run(args),
    }
}
