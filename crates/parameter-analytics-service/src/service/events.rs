//! A log of events: what [`storage`](crate::storage) keeps, in the words of [`journal`](crate::journal).

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::AnalyticsError;
use crate::journal::{self, JournalError};
use crate::storage::{Log, LogName, Storage, StorageError};

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Events<E> {
    storage: Arc<dyn Storage>,
    name: LogName,
    /// `None` where all has to be read again.
    log: Option<Box<dyn Log>>,
    /// Lines that were read or written.
    lines: usize,
    events: PhantomData<fn() -> E>,
}

/// What has happened that was not known.
#[derive(Debug)]
pub(super) struct News<E> {
    /// These are all events: what was known before does not count any more.
    pub(super) is_whole: bool,
    /// In order.
    pub(super) events: Vec<E>,
    /// Events before these.
    pub(super) before: usize,
}

/// What a turn ends with.
pub(super) enum Write<E> {
    /// These happened; none: nothing is written.
    Append(Vec<E>),
    /// All of the log is these from now on.
    Replace(Vec<E>),
    /// There is no such log any more.
    Remove,
}

/// How often in a row others may come first, where a storage has no lock that waits.
const ATTEMPTS: usize = 100;

impl<E: Serialize + DeserializeOwned> Events<E> {
    pub(super) fn new(storage: Arc<dyn Storage>, name: LogName) -> Self {
        Self { storage, name, log: None, lines: 0, events: PhantomData }
    }

    pub(super) fn name(&self) -> &LogName {
        &self.name
    }

    /// How many events there are, as far as is known.
    pub(super) fn len(&self) -> usize {
        self.lines
    }

    /// Takes a turn: `act` is given what happened, and says what happens. It has to take the news in even where it fails then, and
    /// is called again where somebody else came first.
    pub(super) fn turn<R>(
        &mut self,
        mut act: impl FnMut(News<E>) -> Result<(R, Write<E>), AnalyticsError>,
    ) -> Result<R, AnalyticsError> {
        for _ in 1..ATTEMPTS {
            match self.attempt(&mut act) {
                Err(AnalyticsError::Storage { source: StorageError::Overtaken, .. }) => {}
                done => return done,
            }
        }
        self.attempt(&mut act)
    }

    fn attempt<R>(
        &mut self,
        act: &mut impl FnMut(News<E>) -> Result<(R, Write<E>), AnalyticsError>,
    ) -> Result<R, AnalyticsError> {
        let named = self.name.clone();
        let storage = |source| AnalyticsError::Storage { name: named.clone(), source };
        let journal = |source| AnalyticsError::Journal { name: named.clone(), source };
        // Where anything but being overtaken goes wrong with the log, it is read again from the beginning.
        let mut log = match self.log.take() {
            Some(log) => log,
            None => self.storage.log(&self.name).map_err(storage)?,
        };
        let (tail, mut turn) = log.turn().map_err(storage)?;
        if tail.is_whole {
            self.lines = 0;
        }
        let before = self.lines;
        let contents = journal::read(&tail.bytes).map_err(|error| {
            journal(match error {
                JournalError::Corrupt { line, problem } => {
                    JournalError::Corrupt { line: before + line, problem }
                }
                other => other,
            })
        })?;
        self.lines += contents.events.len();
        let news = News { is_whole: tail.is_whole, events: contents.events, before };
        let (result, write) = match act(news) {
            Ok(done) => done,
            Err(error) => {
                drop(turn);
                self.log = (!matches!(error, AnalyticsError::Misfit { .. })).then_some(log);
                return Err(error);
            }
        };
        let written = match write {
            Write::Append(events) if events.is_empty() => Ok(self.lines),
            Write::Append(events) => {
                let lines = encoded(&events).map_err(journal)?;
                turn.append(&lines).map(|()| self.lines + events.len())
            }
            Write::Replace(events) => {
                let lines = encoded(&events).map_err(journal)?;
                turn.replace(&lines).map(|()| events.len())
            }
            Write::Remove => turn.remove().map(|()| 0),
        };
        drop(turn);
        match written {
            Ok(lines) => {
                (self.lines, self.log) = (lines, Some(log));
                Ok(result)
            }
            Err(error) => {
                self.log = matches!(error, StorageError::Overtaken).then_some(log);
                Err(storage(error))
            }
        }
    }
}

fn encoded<E: Serialize>(events: &[E]) -> Result<Vec<u8>, JournalError> {
    let mut lines = Vec::new();
    events.iter().try_for_each(|event| journal::append(&mut lines, event))?;
    Ok(lines)
}
