use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;

use model_store::StoreError;
use runtime::redis_service::RedisServiceError;
use runtime::vision_resource_manager::host::{ClientError, HostError};
use runtime::{ConfigErrors, RuntimeError};

/// Why a command did not work, and how the process says so.
#[derive(Debug)]
pub(crate) enum Failure {
    /// `error[CODE]: message`, and what to try. Exit code 1.
    Failed { code: Cow<'static, str>, message: String, hint: Option<String> },
    /// The configuration is wrong: the same lines for everything that is. Exit code 2.
    Config(ConfigErrors),
    /// The command line cannot be carried out. Exit code 2.
    Usage(String),
    /// What is wrong was already printed. Exit code 1.
    Shown,
    /// The same of a configuration. Exit code 2.
    ShownConfig,
    /// A command that was run for the user ended so.
    Ended(u8),
    /// Ctrl-C. Exit code 130.
    Interrupted,
    /// Nobody reads our output any more (`uat models list | head -1`): no error.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Failed { code: code.into(), message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Failed { code, message, .. } => Self::Failed { code, message, hint: Some(text.into()) },
            other => other,
        }
    }

    /// Says it on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let mut out = io::stderr().lock();
        let (code, said) = match self {
            Self::Failed { code, message, hint } => {
                let said = writeln!(out, "error[{code}]: {message}");
                (1, said.and_then(|()| hint.map_or(Ok(()), |hint| writeln!(out, "try: {hint}"))))
            }
            Self::Config(errors) => (2, list(&mut out, &errors)),
            Self::Usage(message) => {
                (2, writeln!(out, "error: {message}\n\nFor more information, try '--help'."))
            }
            Self::Shown => (1, Ok(())),
            Self::ShownConfig => (2, Ok(())),
            Self::Ended(code) => (code, Ok(())),
            Self::Interrupted => (130, Ok(())),
            Self::BrokenPipe => (0, Ok(())),
        };
        // With standard error gone too there is nobody left to tell.
        drop(said);
        ExitCode::from(code)
    }
}

/// One thing after the other, in the form of every error.
fn list(out: &mut impl Write, errors: &ConfigErrors) -> io::Result<()> {
    for error in errors.iter() {
        writeln!(out, "error[{}]: {}", error.code(), error.sentence())?;
        if let Some(hint) = &error.hint {
            writeln!(out, "try: {hint}")?;
        }
    }
    match errors.count() {
        1 => Ok(()),
        count => writeln!(out, "{count} mistakes: nothing of this configuration is used"),
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cancelled { .. } => Self::Interrupted,
            StoreError::NotPulled { ref name, .. } => {
                let hint = format!("uat models pull {name}");
                Self::new(error.code(), error.to_string()).hint(hint)
            }
            error => Self::new(error.code(), error.to_string()),
        }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Config(error) => error.into(),
            RuntimeError::Store(error) => error.into(),
            error => {
                let failure = Self::new(error.code(), error.to_string());
                match (&error, error.code()) {
                    (_, "UAT_ENGINE_UNAVAILABLE") => failure.hint("uat doctor"),
                    (RuntimeError::Redis(_), "UAT_STORAGE" | "UAT_TIMEOUT") => {
                        failure.hint("uat cache status")
                    }
                    _ => failure,
                }
            }
        }
    }
}

impl From<RedisServiceError> for Failure {
    fn from(error: RedisServiceError) -> Self {
        RuntimeError::from(error).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.code().to_owned(), error.to_string())
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Errors of reading and writing the terminal; files have errors of their own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::new("UAT_STORAGE", format!("cannot read or write the terminal: {error}")),
        }
    }
}
