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

mod advice;
mod bandit_document;
mod bandits;
mod error;
mod events;
mod flusher;
mod open;
mod studies;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use advice::{About, Advised, CallOutcome};
pub use bandit_document::{BanditDocument, PolicyName, RewardName};
pub use bandits::SharedBandit;
pub use error::AnalyticsError;
pub use studies::{SharedStudy, StudyDocument};

use crate::advice::{Performance, Request};
use crate::bandit::BanditOptions;
use crate::storage::{Kind, LogName, Storage};
use crate::stream::mixed;
use crate::study::{Study, StudyError, StudyOptions};
use advice::SharedAdvice;
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
    /// How many were given.
    seeds: AtomicU64,
    studies: Open<SharedStudy>,
    bandits: Arc<Open<SharedBandit>>,
    advice: Open<SharedAdvice>,
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
            seeds: AtomicU64::new(0),
            studies: Open::new(Kind::Study),
            bandits,
            advice: Open::new(Kind::Advice),
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
        self.found(name, study.refreshed())?;
        Ok(study)
    }

    /// Does something to a study by its name; see [`SharedStudy::change`].
    ///
    /// # Errors
    /// [`AnalyticsError::NotFound`] says which there are; those of [`SharedStudy::change`].
    pub fn change_study<R>(
        &self,
        name: &str,
        act: impl FnMut(&mut Study) -> Result<R, StudyError>,
    ) -> Result<R, AnalyticsError> {
        self.found(name, self.study(name)?.change(act))
    }

    /// With what there is instead of a study that there is not.
    fn found<T>(&self, name: &str, result: Result<T, AnalyticsError>) -> Result<T, AnalyticsError> {
        result.map_err(|error| match error {
            AnalyticsError::NotFound { name: log, .. } => {
                self.studies.forget(name);
                self.with_nearest(log)
            }
            other => other,
        })
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
        self.found(name, removed)
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

    /// Creates a bandit, or opens the one of this name, if it was created with the same; and whether it was created. It is kept when this
    /// returns.
    ///
    /// # Errors
    /// [`AnalyticsError::Differs`] names what is otherwise in the one that is kept; those of the storage.
    pub fn create_bandit(
        &self,
        name: &str,
        options: &BanditOptions,
    ) -> Result<(Arc<SharedBandit>, bool), AnalyticsError> {
        let log = LogName::new(Kind::Bandit, name).map_err(AnalyticsError::Name)?;
        // Before it is in use: one that differs would stand in the way of the one that is kept.
        let kept = bandits::options_of(Arc::clone(&self.storage), log.clone())?;
        if let Some(kept) = &kept {
            bandits::check(&log, kept, options)?;
        }
        let bandit = self.bandit(name, options)?;
        bandit.flush(self.now())?;
        Ok((bandit, kept.is_none()))
    }

    /// A seed that nobody has chosen, for a bandit that is given none: another one at each call and in each process.
    pub fn seed(&self) -> u64 {
        mixed(self.random ^ mixed(self.seeds.fetch_add(1, Ordering::Relaxed)))
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

    /// Says with which parameters a model should be called for a kind of task; see [`crate::advice`]. The first time for each, it is kept
    /// that there is such a thing; after that nothing is written.
    ///
    /// # Errors
    /// Those of [`Advisor::advise`](crate::advice::Advisor::advise) and of the storage.
    pub fn optimize(&self, about: &About, request: &Request) -> Result<Advised, AnalyticsError> {
        self.open()?;
        let advice = self.advice.get(&about.log()?.name, |name| self.advice_of(name))?;
        advice.advise(about, self.random, request, self.seed(), self.now())
    }

    /// Learns what came of a call.
    ///
    /// # Errors
    /// As [`record_all`](Self::record_all), for this one.
    pub fn record(&self, outcome: &CallOutcome) -> Result<(), AnalyticsError> {
        self.record_all(std::slice::from_ref(outcome)).pop().unwrap_or(Ok(()))
    }

    /// Learns what came of several calls, in one write for each model and task. What is known of a call later can be told later, each
    /// part once.
    ///
    /// # Errors
    /// For each outcome its own: [`AnalyticsError::Input`] for a trial's name that is none or a number that cannot be,
    /// [`AnalyticsError::NotFound`] where what it is about was removed, [`AnalyticsError::Conflict`] where a part was recorded before, and
    /// those of the storage.
    pub fn record_all(&self, outcomes: &[CallOutcome]) -> Vec<Result<(), AnalyticsError>> {
        let mut results: Vec<Option<Result<(), AnalyticsError>>> = Vec::new();
        let mut groups: BTreeMap<LogName, Vec<usize>> = BTreeMap::new();
        for (place, outcome) in outcomes.iter().enumerate() {
            let log = self.open().and_then(|()| advice::log_of(outcome));
            results.push(match log {
                Ok(log) => {
                    groups.entry(log).or_default().push(place);
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        for (log, places) in groups {
            let own: Vec<CallOutcome> =
                places.iter().filter_map(|place| outcomes.get(*place).cloned()).collect();
            let open = self.advice.get(&log.name, |name| self.advice_of(name));
            let mut recorded = match open.and_then(|advice| advice.record(&own, self.now())) {
                Ok(recorded) => recorded.into_iter(),
                // The same error for each of them: it cannot be copied, and its sentence can.
                Err(error) => {
                    let (code, reason) = (error.code(), error.to_string());
                    let same = || Err(AnalyticsError::Refused { code, reason: reason.clone() });
                    places.iter().map(|_| same()).collect::<Vec<_>>().into_iter()
                }
            };
            for place in places {
                if let Some(result) = results.get_mut(place) {
                    *result = recorded.next();
                }
            }
        }
        results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect()
    }

    /// How calls went, for each model and kind of task, since a time in ms since 1970; of the calls that are remembered.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn performance(&self, since: u64) -> Result<Vec<(About, Performance)>, AnalyticsError> {
        self.open()?;
        let mut rows = Vec::new();
        for name in self.names(Kind::Advice)? {
            let advice = self.advice.get(&name, |name| self.advice_of(name))?;
            let (about, known) = advice.performance(since)?;
            if known.trials > 0 {
                rows.push((about, known));
            }
        }
        rows.sort_by(|(a, _), (b, _)| (&a.model, &a.task_type).cmp(&(&b.model, &b.task_type)));
        Ok(rows)
    }

    fn advice_of(&self, name: LogName) -> Result<SharedAdvice, AnalyticsError> {
        Ok(SharedAdvice::new(Arc::clone(&self.storage), name))
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
