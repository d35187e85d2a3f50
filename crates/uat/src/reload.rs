//! Keeps the configuration of a running server, and the keys of its callers, what their files say.

use std::io::{IsTerminal, stdin};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use runtime::{ConfigErrors, ConfigSource, Runtime, RuntimeError, UatConfig, process_environment};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::watch::FileWatch;

/// Takes over what the files say, when they change and at SIGHUP.
pub(crate) struct Reload {
    runtime: Arc<Runtime>,
    /// What the process began with: settings that count only at the start are held against it.
    started_with: Arc<UatConfig>,
    /// In place of the file's `server.bind`.
    bind: Option<SocketAddr>,
    watch: FileWatch,
    /// `server.keys_file`, where there is one.
    keys: Option<FileWatch>,
    /// `routing.learned_file`, where there is one.
    learned: Option<FileWatch>,
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
        // Before it is read, so that no change is missed.
        let keys = started_with.server.keys_file.clone().map(FileWatch::new);
        let learned = started_with.routing.learned_file.clone().map(FileWatch::new);
        let in_terminal = stdin().is_terminal();
        Ok(Self { runtime, started_with, bind, watch, keys, learned, has_file, hangup, in_terminal })
    }

    /// Resolves only when the terminal that the server runs in is closed, which says so with the same signal. Calls
    /// `taken_over` after each success.
    pub(crate) async fn keep_current(&mut self, taken_over: impl Fn(&Runtime)) {
        loop {
            let why = tokio::select! {
                () = self.watch.changed() => "the file has changed",
                () = changed(self.keys.as_mut()) => {
                    self.take_over_keys().await;
                    continue;
                }
                () = changed(self.learned.as_mut()) => "the file of what was learned has changed",
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

    /// A key that has gone ends at once.
    async fn take_over_keys(&self) {
        match self.runtime.reload_keys().await {
            Ok(()) => tracing::info!("the keys are as their file says"),
            Err(error) => tracing::error!(code = error.code(), %error, "the keys stay as they were"),
        }
    }

    async fn take_over(&mut self) -> Result<(), RuntimeError> {
        let file = self.watch.file().to_owned();
        self.has_file |= file.exists();
        let source = if self.has_file { ConfigSource::File(file) } else { ConfigSource::Default };
        let bind = self.bind;
        self.runtime.reload_with(move || load(source, bind)).await?;
        let config = self.runtime.config();
        follow(&mut self.learned, config.routing.learned_file.as_deref());
        if follow(&mut self.keys, config.server.keys_file.as_deref()) {
            // What became of it since it was read with the rest.
            self.take_over_keys().await;
        }
        Ok(())
    }
}

/// Watches this file from now on; whether it is another one than before.
fn follow(watch: &mut Option<FileWatch>, file: Option<&Path>) -> bool {
    let is_other = file != watch.as_ref().map(FileWatch::file);
    if is_other {
        *watch = file.map(|file| FileWatch::new(file.to_owned()));
    }
    is_other
}

/// Resolves when that file has become another one; never where there is none.
async fn changed(watch: Option<&mut FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
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
