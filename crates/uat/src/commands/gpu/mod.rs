//! `uat gpu`

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
    /// Replay recorded requests on GPUs that you may not have yet, and say how long they would have waited.
    Simulate(simulate::Args),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Simulate(args) => simulate::run(args),
    }
}
