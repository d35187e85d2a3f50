//! The file, and what is in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::error::ImportError;
use crate::read;
use crate::study::Study;

/// Schemas that are written the same, as far as is read here: of Optuna 3.0 and 3.1, and of 3.2 to 5.0.
const KNOWN: [&str; 2] = ["v3.0.0.d", "v3.2.0.a"];
/// How long a writer is waited for: Optuna's writes take a few ms.
const PATIENCE: Duration = Duration::from_secs(1);
/// Tables that are read.
const TABLES: [&str; 8] = [
    "alembic_version",
    "studies",
    "study_directions",
    "trials",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_system_attributes",
];

/// A file of Optuna's, open for reading only. Whoever writes to it meanwhile is not disturbed.
#[derive(Debug)]
pub struct File {
    connection: Connection,
}

impl File {
    /// Opens a file and looks whether it is one of Optuna's. Blocks.
    ///
    /// # Errors
    /// Any [`ImportError`] but [`ImportError::UnknownStudy`].
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let fail = |problem: String| ImportError::Open { path: path.to_owned(), problem };
        if !path.is_file() {
            return Err(fail(
                if path.exists() { "it is not a file" } else { "it does not exist" }.to_owned(),
            ));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| fail(error.to_string()))?;
        connection.busy_timeout(PATIENCE)?;
        let foreign = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => ImportError::NotSqlite { path: path.to_owned() },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure) => {
                fail(error.to_string())
            }
            _ => error.into(),
        };
        // Nothing that a file defines is run: neither functions in a schema nor views in place of tables.
        connection
            .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")
            .map_err(foreign)?;
        check(&connection, path).map_err(|error| match error {
            Check::Sqlite(error) => foreign(error),
            Check::Import(error) => error,
        })?;
        Ok(Self { connection })
    }

    /// The names of the studies, in the order in which they were made.
    ///
    /// # Errors
    /// [`ImportError::Damaged`], [`ImportError::Busy`].
    pub fn names(&self) -> Result<Vec<String>, ImportError> {
        let mut names = self.connection.prepare("SELECT study_name FROM studies ORDER BY study_id")?;
        let names = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(names)
    }

    /// A study with all its trials. Reads the tables once each.
    ///
    /// # Errors
    /// [`ImportError::UnknownStudy`] names those that are there; [`ImportError::Damaged`], [`ImportError::Busy`].
    pub fn study(&self, name: &str) -> Result<Study, ImportError> {
        // All of it as it is at one moment; ends with the connection's next use.
        let transaction = self.connection.unchecked_transaction()?;
        let mut ids = transaction.prepare("SELECT study_id FROM studies WHERE study_name = ?1")?;
        let id: Option<i64> = ids.query_map(params![name], |row| row.get(0))?.next().transpose()?;
        match id {
            Some(id) => read::study(&transaction, id, name),
            None => Err(ImportError::UnknownStudy { name: name.to_owned(), known: self.names()? }),
        }
    }
}

enum Check {
    Sqlite(rusqlite::Error),
    Import(ImportError),
}

impl From<rusqlite::Error> for Check {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn check(connection: &Connection, path: &Path) -> Result<(), Check> {
    let mut is_table =
        connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    for missing in TABLES {
        if !is_table.exists(params![missing])? {
            return Err(Check::Import(ImportError::NotOptuna { path: PathBuf::from(path), missing }));
        }
    }
    let mut versions = connection.prepare("SELECT version_num FROM alembic_version")?;
    let found: Vec<String> = versions.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if !found.is_empty() && found.iter().all(|version| KNOWN.contains(&version.as_str())) {
        return Ok(());
    }
    let found = if found.is_empty() { "without a version".to_owned() } else { found.join(", ") };
    Err(Check::Import(ImportError::Version { found, known: KNOWN.join(" and ") }))
}
