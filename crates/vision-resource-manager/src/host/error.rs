//! What can go wrong for a daemon, and how callers are told.

use std::io;
use std::path::PathBuf;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::wire::{Problem, ProblemDetails};
use crate::{ManagerError, Refusal};

/// Why a daemon does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Another one serves.
    #[error("a daemon serves {} already (its lock is {}): use that one, or stop it first", socket.display(), lock.display())]
    Busy {
        /// Where.
        socket: PathBuf,
        /// The file that it holds.
        lock: PathBuf,
    },
    /// A file or the socket.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The manager.
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

impl HostError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "UAT_CONFLICT",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => "UAT_CORRUPT_VALUE",
            Self::Io { .. } => "UAT_STORAGE",
            Self::Manager(error) => error.code(),
        }
    }

    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// What a caller is told.
#[derive(Debug)]
pub(super) enum Refused {
    Manager(ManagerError),
    /// What it sent makes no sense.
    Invalid(String),
    /// No such path.
    NoSuchPath(String),
    /// The client has no such request that waits.
    NoSuchRequest(u64),
    /// The client has no such use of a model.
    NoSuchUse(u64),
    /// It is somebody else's.
    Forbidden(String),
    /// The lease could not be written down, so that it was not given out.
    Storage(io::Error),
}

impl From<ManagerError> for Refused {
    fn from(error: ManagerError) -> Self {
        Self::Manager(error)
    }
}

impl Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::Manager(error) => error.code(),
            Self::Invalid(_) => "UAT_INVALID_INPUT",
            Self::NoSuchPath(_) | Self::NoSuchRequest(_) | Self::NoSuchUse(_) => "UAT_NOT_FOUND",
            Self::Forbidden(_) => "UAT_FORBIDDEN",
            Self::Storage(_) => "UAT_STORAGE",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRequest(_) | Self::NoSuchUse(_) => StatusCode::NOT_FOUND,
            Self::Manager(error) => match error.code() {
                "UAT_INVALID_INPUT" => StatusCode::BAD_REQUEST,
                "UAT_CONFLICT" => StatusCode::CONFLICT,
                "UAT_LEASE_EXPIRED" | "UAT_PREEMPTED" => StatusCode::GONE,
                "UAT_INTERNAL" => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchPath(_) => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (code, status) = (self.code().to_owned(), self.status());
        let retryable = matches!(&self, Self::Manager(error) if error.retryable());
        let refusal = match &self {
            Self::Manager(ManagerError::Insufficient { refusal }) => Some(refusal.clone()),
            Self::Manager(ManagerError::Overloaded { waiting }) => {
                Some(Refusal::QueueFull { waiting: *waiting })
            }
            _ => None,
        };
        let message = match self {
            Self::Manager(error) => error.to_string(),
            Self::Invalid(message) | Self::NoSuchPath(message) | Self::Forbidden(message) => message,
            Self::NoSuchRequest(request) => {
                format!("this client has no request {request} that waits: it was answered, or never was")
            }
            Self::NoSuchUse(name) => {
                format!("this client has no use {name} of a model: it has ended, or never began")
            }
            Self::Storage(error) => {
                format!("the lease could not be written down, so that it was not given out: {error}")
            }
        };
        let problem = Problem { error: ProblemDetails { code, message, retryable, refusal } };
        (status, axum::Json(problem)).into_response()
    }
}
