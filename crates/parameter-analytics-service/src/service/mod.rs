//! Studies, bandits and advice by their names, kept in a [`Storage`] that others may use at the same time. Calls block.
//!
//! ```
//! use parameter_analytics_service::space::{Domain, Parameter, Space};
//! use parameter_analytics_service::storage::Memory;
//! use parameter_analytics_service::study::{Outcome, StudyOptions};
//! use parameter_analytics_service::{AnalyticsOptions, ParameterAnalytics};
//!
//! let analytics = ParameterAnalytics::new(Memory::default(), AnalyticsOptions::default())?;
//! let space = Space::new(vec![Parameter::new("temperature", Domain::float(0.0, 2.0))])?;
//! let (study, _) = analytics.create_study(&StudyOptions::new("answers", space))?;
//! let now = analytics.now();
//! let trial = study.change(|study| study.ask(1, now))?[0];
//! study.change(|study| study.tell(trial, Outcome::Values(vec![0.5], vec![]), now))?;
//! assert_eq!(study.now()?.best().map(|trial| trial.values[0]), Some(0.5));
//! analytics.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bandit_document;
mod bandits;
mod error;
mod events;
mod flusher;
mod open;
mod studies;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use bandit_document::{BanditDocument, PolicyName, RewardName};
pub use bandits::SharedBandit;
pub use error::AnalyticsError;
pub use studies::{SharedStudy, StudyDocument};

use crate::bandit::BanditOptions;
use crate::storage::{Kind, LogName, Storage};
use crate::stream::mixed;
use crate::study::StudyOptions;
use flusher::Flusher;
use open::Open;

/// How a [`ParameterAnalytics`] is made.
#[derive(Clone)]
pub struct AnalyticsOptions {
    /// What time it is, in ms since 1970.
    pub clock: fn() -> u64,
    /// A random number: tells this process from others, and is the seed of what has none.
    pub random: u64,
}

impl Default for AnalyticsOptions {
    fn default() -> Self {
        fn since_1970() -> u64 {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }
        // Hash maps are seeded by the system.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        Self { clock: since_1970, random }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct ParameterAnalytics {
    storage: Arc<dyn Storage>,
    clock: fn() -> u64,
    random: u64,
    studies: Open<SharedStudy>,
    bandits: Arc<Open<SharedBandit>>,
    flusher: Flusher,
}

/// A panic elsewhere leaves nothing half-done: what is changed is exchanged whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ParameterAnalytics {
    /// Uses a storage; reads nothing of it yet.
    ///
    /// # Errors
    /// [`AnalyticsError::Thread`].
    pub fn new(storage: impl Storage + 'static, options: AnalyticsOptions) -> Result<Self, AnalyticsError> {
        let AnalyticsOptions { clock, random } = options;
        let bandits = Arc::new(Open::new(Kind::Bandit));
        let flusher = Flusher::start(Arc::clone(&bandits), clock)?;
        Ok(Self {
            storage: Arc::new(storage),
            clock,
            random,
            studies: Open::new(Kind::Study),
            bandits,
            flusher,
        })
    }

    /// What time it is, in ms since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Creates a study, or opens the one of this name, if it was created with the same; and whether it was created.
    ///
    /// # Errors
    /// [`AnalyticsError::Differs`] names what is otherwise; those of [`StudyOptions`] and of the storage.
    pub fn create_study(&self, options: &StudyOptions) -> Result<(Arc<SharedStudy>, bool), AnalyticsError> {
        let study = self.study(&options.name)?;
        let is_new = study.create(options, self.now())?;
        Ok((study, is_new))
    }

    /// Opens a study.
    ///
    /// # Errors
    /// [`AnalyticsError::NotFound`] says which there are.
    pub fn load_study(&self, name: &str) -> Result<Arc<SharedStudy>, AnalyticsError> {
        let study = self.study(name)?;
        match study.refreshed() {
            Err(AnalyticsError::NotFound { name, .. }) => {
                self.studies.forget(&name.name);
                Err(self.with_nearest(name))
            }
            other => other.map(|_| study),
        }
    }

    /// Creates a study that was made elsewhere, with its trials.
    ///
    /// # Errors
    /// [`AnalyticsError::Conflict`] where there is one of this name; those of [`Study::add`](crate::study::Study::add).
    pub fn import_study(&self, document: &StudyDocument) -> Result<Arc<SharedStudy>, AnalyticsError> {
        let study = self.study(&document.options.name)?;
        study.import(document, self.now())?;
        Ok(study)
    }

    /// Removes a study and all of its trials.
    ///
    /// # Errors
    /// [`AnalyticsError::NotFound`].
    pub fn remove_study(&self, name: &str) -> Result<(), AnalyticsError> {
        let removed = self.study(name)?.remove();
        self.studies.forget(name);
        removed.map_err(|error| match error {
            AnalyticsError::NotFound { name, .. } => self.with_nearest(name),
            other => other,
        })
    }

    /// The names of the studies, sorted.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn studies(&self) -> Result<Vec<Arc<str>>, AnalyticsError> {
        self.names(Kind::Study)
    }

    fn study(&self, name: &str) -> Result<Arc<SharedStudy>, AnalyticsError> {
        self.open()?;
        self.studies.get(name, |name| Ok(SharedStudy::new(Arc::clone(&self.storage), name)))
    }

    /// A bandit; what is kept under its name is learnt at its first [`flush`](SharedBandit::flush). One that is in use here already is
    /// that one.
    ///
    /// # Errors
    /// [`AnalyticsError::Differs`] where one is in use that is made of something else; those of the options.
    pub fn bandit(&self, name: &str, options: &BanditOptions) -> Result<Arc<SharedBandit>, AnalyticsError> {
        self.open()?;
        let make = |name| SharedBandit::new(Arc::clone(&self.storage), name, options.clone(), self.random);
        let bandit = self.bandits.get(name, make)?;
        bandit.check(options)?;
        Ok(bandit)
    }

    /// A seed that nobody has chosen, for a bandit that is given none: another one at each call and in each process.
    pub fn seed(&self) -> u64 {
        mixed(self.random ^ mixed(self.bandits.next()))
    }

    /// A bandit that is in use here or kept, with what is known of it.
    ///
    /// # Errors
    /// [`AnalyticsError::NotFound`] says which there are.
    pub fn load_bandit(&self, name: &str) -> Result<Arc<SharedBandit>, AnalyticsError> {
        self.open()?;
        let seed = self.seed();
        let make = |name: LogName| {
            let storage = || Arc::clone(&self.storage);
            let options = bandits::options_of(storage(), name.clone())?;
            let Some(mut options) = options else { return Err(self.with_nearest(name)) };
            options.seed = seed;
            let bandit = SharedBandit::new(storage(), name, options, self.random)?;
            bandit.flush(self.now())?;
            Ok(bandit)
        };
        self.bandits.get(name, make)
    }

    /// The names of the bandits that are kept, sorted.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn bandits(&self) -> Result<Vec<Arc<str>>, AnalyticsError> {
        self.names(Kind::Bandit)
    }

    fn names(&self, kind: Kind) -> Result<Vec<Arc<str>>, AnalyticsError> {
        let name = || LogName { kind, name: "*".into() };
        self.storage.names(kind).map_err(|source| AnalyticsError::Storage { name: name(), source })
    }

    /// The error that says what there is instead.
    fn with_nearest(&self, name: LogName) -> AnalyticsError {
        let known = self.storage.names(name.kind).unwrap_or_default();
        let shown: Vec<String> = known.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
        let more = known.len().saturating_sub(SHOWN);
        let nearest = match (known.len(), more) {
            (0, _) => format!("; there are no {}", name.kind.plural()),
            (_, 0) => format!("; there are {}", shown.join(", ")),
            _ => format!("; there are {} and {more} more", shown.join(", ")),
        };
        AnalyticsError::NotFound { name, nearest }
    }

    /// Why what bandits learn is not kept at present, if it is not.
    pub fn outage(&self) -> Option<String> {
        self.flusher.trouble()
    }

    fn open(&self) -> Result<(), AnalyticsError> {
        if self.flusher.is_stopped() { Err(AnalyticsError::Closed) } else { Ok(()) }
    }

    /// Keeps what bandits have learnt; nothing can be opened from then on. May be called again.
    ///
    /// # Errors
    /// The first of those of the storage.
    pub fn close(&self) -> Result<(), AnalyticsError> {
        self.flusher.stop();
        let now = self.now();
        self.bandits.all().iter().map(|bandit| bandit.flush(now)).fold(Ok(()), Result::and)
    }
}

/// Names in an error.
const SHOWN: usize = 5;
