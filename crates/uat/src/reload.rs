//! Keeps the configuration of a running server what its file says.

use std::io::{IsTerminal, stdin};
use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{ConfigErrors, ConfigSource, Runtime, RuntimeError, UatConfig, process_environment};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::watch::FileWatch;

/// Takes over what the file says, when it changes and at SIGHUP.
pub(crate) struct Reload {
    runtime: Arc<Runtime>,
    /// What the process began with: settings that count only at the start are held against it.
    started_with: Arc<UatConfig>,
    /// In place of the file's `server.bind`.
    bind: Option<SocketAddr>,
    watch: FileWatch,
    /// Whether there has been a file. If it goes, the defaults do not take its place.
    has_file: bool,
    hangup: Signal,
    in_terminal: bool,
}

impl Reload {
    /// # Errors
    /// The signal cannot be listened to.
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        watch: FileWatch,
        has_file: bool,
        bind: Option<SocketAddr>,
    ) -> std::io::Result<Self> {
        let started_with = runtime.config();
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { runtime, started_with, bind, watch, has_file, hangup, in_terminal: stdin().is_terminal() })
    }

    /// Resolves only when the terminal that the server runs in is closed, which says so with the same signal. Calls
    /// `taken_over` after each success.
    pub(crate) async fn keep_current(&mut self, taken_over: impl Fn(&Runtime)) {
        loop {
            let why = tokio::select! {
                () = self.watch.changed() => "the file has changed",
                _ = self.hangup.recv() => {
                    if self.in_terminal && !stdin().is_terminal() {
                        return;
                    }
                    self.watch.is_read_now().await;
                    "SIGHUP"
                }
            };
            match self.take_over().await {
                Ok(()) => {
                    tracing::info!(why, "another configuration is taken over");
                    for setting in self.started_with.needs_restart_for(&self.runtime.config()) {
                        tracing::warn!(
                            setting,
                            "differs, and counts only when the server starts: restart it"
                        );
                    }
                    taken_over(&self.runtime);
                }
                Err(error) => tell(why, &error),
            }
        }
    }

    async fn take_over(&mut self) -> Result<(), RuntimeError> {
        let file = self.watch.file().to_owned();
        self.has_file |= file.exists();
        let source = if self.has_file { ConfigSource::File(file) } else { ConfigSource::Default };
        let bind = self.bind;
        self.runtime.reload_with(move || load(source, bind)).await
    }
}

fn load(source: ConfigSource, bind: Option<SocketAddr>) -> Result<UatConfig, ConfigErrors> {
    let mut config = UatConfig::load(source, process_environment())?.config;
    config.server.bind = bind.unwrap_or(config.server.bind);
    Ok(config)
}

/// Everything that is wrong, each in a line of its own.
fn tell(why: &str, error: &RuntimeError) {
    const KEPT: &str = "the configuration is refused, and the former one goes on";
    match error {
        RuntimeError::Config(errors) => {
            for error in errors.iter() {
                let hint = error.hint.as_deref();
                tracing::error!(code = error.code(), path = error.path, hint, "{}", error.sentence());
            }
            tracing::error!(why, mistakes = errors.count(), "{KEPT}");
        }
        error => tracing::error!(why, code = error.code(), %error, "{KEPT}"),
    }
}
