//! `uat gpu`

mod daemon;
mod estimate;
mod gpus;
mod how;
mod leases;
mod list;
mod load;
mod place;
mod run;
mod simulate;
mod top;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give out the memory of this machine's GPUs to the processes of this user, until it is ended.
    Daemon(daemon::Args),
    /// How much memory a model takes, told from its file's header.
    Estimate(estimate::Args),
    /// Who has which memory until when, and who waits.
    Leases(leases::Args),
    /// The GPUs of this machine, and who uses their memory.
    List(list::Args),
    /// Run a command that needs memory of a GPU: it begins when that is there, and gives it back when it ends.
    Run(run::Args),
    /// Replay recorded requests on GPUs that you may not have yet, and say how long they would have waited.
    Simulate(simulate::Args),
    /// Watch the GPUs and their leases.
    Top(top::Args),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Daemon(args) => daemon::run(args),
        Action::Estimate(args) => estimate::run(args),
        Action::Leases(args) => leases::run(args),
        Action::List(args) => list::run(args),
        Action::Run(args) => run::run(args),
        Action::Simulate(args) => simulate::run(args),
        Action::Top(args) => top::run(args),
    }
}
