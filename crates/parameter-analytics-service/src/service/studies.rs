//! A study that is kept, and shared with whoever else uses the same storage.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::events::{Events, News, Write};
use super::{AnalyticsError, lock};
use crate::space::SpaceDocument;
use crate::storage::{LogName, Storage};
use crate::study::{Event, Study, StudyError, StudyOptions, TrialDocument};

/// A study by its name. Changes are kept when a call returns, and calls block while they are; [`now`](Self::now) never does.
#[derive(Debug)]
pub struct SharedStudy {
    events: Mutex<Events<Event>>,
    /// As it was when it was last heard of; exchanged whole, so that nobody sees half a change or one that was not kept.
    now: RwLock<Option<Arc<Study>>>,
}

/// A study to be carried elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StudyDocument {
    /// What it was made from, with the choices as they are now.
    pub options: StudyOptions,
    /// All trials, by number.
    pub trials: Vec<TrialDocument>,
}

impl From<&Study> for StudyDocument {
    fn from(study: &Study) -> Self {
        let trials = study.trials().map(|trial| study.document(trial));
        Self { options: study.options().clone(), trials: trials.collect() }
    }
}

impl SharedStudy {
    pub(super) fn new(storage: Arc<dyn Storage>, name: LogName) -> Self {
        Self { events: Mutex::new(Events::new(storage, name)), now: RwLock::default() }
    }

    /// The study as it was after the last call that this process made of it.
    ///
    /// # Errors
    /// [`AnalyticsError::NotFound`]: it was removed.
    pub fn now(&self) -> Result<Arc<Study>, AnalyticsError> {
        self.known().ok_or_else(|| not_found(lock(&self.events).name()))
    }

    /// The study with what others did to it.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub fn refreshed(&self) -> Result<Arc<Study>, AnalyticsError> {
        let mut events = lock(&self.events);
        let name = events.name().clone();
        events.turn(|news| {
            self.hear(&name, news)?;
            Ok(((), Write::Append(Vec::new())))
        })?;
        drop(events);
        self.now()
    }

    /// Does something to the study; what comes of it is kept when this returns. May be tried several times.
    ///
    /// # Errors
    /// Those of `act`, after which nothing has changed, and those of the storage.
    pub fn change<R>(
        &self,
        mut act: impl FnMut(&mut Study) -> Result<R, StudyError>,
    ) -> Result<R, AnalyticsError> {
        self.turn(|name, study| {
            let study = study.as_mut().ok_or_else(|| not_found(name))?;
            Ok(act(study)?)
        })
    }

    /// Creates the study, or finds that it is there and made of the same; whether it was created.
    pub(super) fn create(&self, options: &StudyOptions, at: u64) -> Result<bool, AnalyticsError> {
        self.turn(|name, study| match study {
            Some(there) => match differences(there, options) {
                differences if differences.is_empty() => Ok(false),
                differences => Err(AnalyticsError::Differs { name: name.clone(), differences }),
            },
            None => {
                *study = Some(Study::create(options.clone(), at)?);
                Ok(true)
            }
        })
    }

    /// Creates the study with its trials, at once.
    pub(super) fn import(&self, document: &StudyDocument, at: u64) -> Result<(), AnalyticsError> {
        self.turn(|name, study| {
            if study.is_some() {
                let problem = format!("{name} exists; import it under another name, or remove it first");
                return Err(AnalyticsError::Conflict { problem });
            }
            let mut new = Study::create(document.options.clone(), at)?;
            for trial in &document.trials {
                new.add(trial)?;
            }
            *study = Some(new);
            Ok(())
        })
    }

    pub(super) fn remove(&self) -> Result<(), AnalyticsError> {
        let mut events = lock(&self.events);
        let name = events.name().clone();
        events.turn(|News { is_whole, events, .. }| match is_whole && events.is_empty() {
            true => Err(not_found(&name)),
            false => Ok(((), Write::Remove)),
        })?;
        self.publish(None);
        Ok(())
    }

    fn turn<R>(
        &self,
        mut act: impl FnMut(&LogName, &mut Option<Study>) -> Result<R, AnalyticsError>,
    ) -> Result<R, AnalyticsError> {
        let mut events = lock(&self.events);
        let name = events.name().clone();
        let mut changed = None;
        let result = events.turn(|news| {
            // Even if `act` fails: what others did was done.
            let mut study = self.hear(&name, news)?.map(|study| (*study).clone());
            let result = act(&name, &mut study)?;
            let events = study.as_mut().map(Study::take_events).unwrap_or_default();
            changed = (!events.is_empty()).then_some(study);
            Ok((result, Write::Append(events)))
        })?;
        if let Some(study) = changed {
            self.publish(study);
        }
        Ok(result)
    }

    /// Takes in what others did; the study as it is then.
    fn hear(&self, name: &LogName, news: News<Event>) -> Result<Option<Arc<Study>>, AnalyticsError> {
        let before = self.known();
        if !news.is_whole && news.events.is_empty() {
            return Ok(before);
        }
        let mut study = before.filter(|_| !news.is_whole).map(|study| (*study).clone());
        follow(name, &mut study, news).inspect_err(|_| self.publish(None))?;
        self.publish(study);
        Ok(self.known())
    }

    fn known(&self) -> Option<Arc<Study>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, study: Option<Study>) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = study.map(Arc::new);
    }
}

fn not_found(name: &LogName) -> AnalyticsError {
    AnalyticsError::NotFound { name: name.clone(), nearest: String::new() }
}

/// Takes in what happened.
fn follow(name: &LogName, study: &mut Option<Study>, news: News<Event>) -> Result<(), AnalyticsError> {
    for (number, event) in (news.before + 1..).zip(news.events) {
        let followed = match (&mut *study, event) {
            (None, Event::Created { options, .. }) => {
                Study::replay([Event::Created { options, at: 0 }]).map(|new| {
                    *study = Some(new);
                })
            }
            (Some(study), event) => study.follow(&event),
            (None, _) => {
                Err(StudyError::Replay { number, problem: "a study begins with `created`".to_owned() })
            }
        };
        followed.map_err(|error| AnalyticsError::Misfit {
            name: name.clone(),
            line: number,
            problem: error.to_string(),
        })?;
    }
    Ok(())
}

/// What of these options is not as the study has it.
fn differences(study: &Study, options: &StudyOptions) -> Vec<String> {
    let own = study.options();
    let mut found = Vec::new();
    let mut compare = |field: &str, own: String, given: String| {
        if own != given {
            found.push(format!("`{field}` was {own} and is {given} now"));
        }
    };
    let text = |value: serde_json::Result<String>| value.unwrap_or_default();
    macro_rules! compare {
        ($($field:ident as $name:literal),*) => {$(
            compare($name, text(serde_json::to_string(&own.$field)), text(serde_json::to_string(&options.$field)));
        )*};
    }
    compare!(
        directions as "directions",
        constraints as "constraints",
        sampler as "sampler",
        seed as "seed",
        pruner as "pruner",
        heartbeat_ms as "heartbeatMs"
    );
    if options.space != own.space && options.space != *study.created_with() {
        let created = SpaceDocument::from(study.created_with());
        found.extend(created.differences(&SpaceDocument::from(&options.space)));
    }
    found
}
