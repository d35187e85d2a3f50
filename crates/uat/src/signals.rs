//! How a program that runs on is asked to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What asks it to end: Ctrl-C, or `kill`.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one; whether it was Ctrl-C, which the terminal sends to all that run in it.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => false,
        }
    }
}
