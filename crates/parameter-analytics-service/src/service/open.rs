//! What is in use, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::advice::SharedAdvice;
use super::{AnalyticsError, SharedBandit, SharedStudy, lock};
use crate::storage::{Kind, LogName};

/// What is kept in memory for the next call: a study of 1,000 trials has some 10 MB with its model.
const MOST: usize = 256;

/// Something that may be dropped from memory and opened again.
pub(super) trait Idle {
    /// Whether nothing would be lost.
    fn is_idle(&self) -> bool;
}

impl Idle for SharedStudy {
    fn is_idle(&self) -> bool {
        true
    }
}

impl Idle for SharedAdvice {
    fn is_idle(&self) -> bool {
        true
    }
}

impl Idle for SharedBandit {
    fn is_idle(&self) -> bool {
        SharedBandit::is_idle(self)
    }
}

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Open<T> {
    kind: Kind,
    opened: Mutex<Opened<T>>,
}

#[derive(Debug)]
struct Opened<T> {
    /// With the number of the last use.
    by_name: HashMap<Arc<str>, (u64, Arc<T>)>,
    uses: u64,
}

impl<T> Opened<T> {
    fn find(&mut self, name: &str) -> Option<Arc<T>> {
        self.uses += 1;
        let (used, known) = self.by_name.get_mut(name)?;
        *used = self.uses;
        Some(Arc::clone(known))
    }
}

impl<T: Idle> Open<T> {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, opened: Mutex::new(Opened { by_name: HashMap::new(), uses: 0 }) }
    }

    /// What is in use under a name, or what is made for it. What `make` waits for holds up nobody else; of two that are made at once the
    /// first to be ready is taken.
    pub(super) fn get(
        &self,
        name: &str,
        make: impl FnOnce(LogName) -> Result<T, AnalyticsError>,
    ) -> Result<Arc<T>, AnalyticsError> {
        if let Some(known) = lock(&self.opened).find(name) {
            return Ok(known);
        }
        let name = LogName::new(self.kind, name).map_err(AnalyticsError::Name)?;
        let made = Arc::new(make(name.clone())?);
        let opened = &mut *lock(&self.opened);
        if let Some(known) = opened.find(&name.name) {
            return Ok(known);
        }
        if opened.by_name.len() >= MOST {
            let idle = opened
                .by_name
                .iter()
                .filter(|(_, (_, known))| Arc::strong_count(known) == 1 && known.is_idle());
            let oldest = idle.min_by_key(|(_, (used, _))| *used).map(|(name, _)| Arc::clone(name));
            let oldest = oldest.ok_or(AnalyticsError::TooMany { kind: self.kind, most: MOST })?;
            opened.by_name.remove(&oldest);
        }
        opened.by_name.insert(name.name, (opened.uses, Arc::clone(&made)));
        Ok(made)
    }

    /// Drops it from memory.
    pub(super) fn forget(&self, name: &str) {
        lock(&self.opened).by_name.remove(name);
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.opened).by_name.values().map(|(_, known)| Arc::clone(known)).collect()
    }
}
