//! A bandit that is kept, and that learns what others learnt who use the same storage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::events::{Events, News, Write};
use super::{AnalyticsError, lock};
use crate::bandit::{Bandit, BanditOptions, Decision, DecisionId, Delta, Standing};
use crate::storage::{LogName, Storage};
use crate::stream::mixed;

/// What happened to a bandit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum BanditEvent {
    /// The first. Of its seed, each process has its own.
    Created { options: BanditOptions },
    /// A process learnt something, for the how many-th time.
    Learnt { by: u64, number: u64, delta: Delta },
    /// In place of all that was learnt before. Who learnt what last is kept for those who were not told that they were heard.
    Summary { delta: Delta, heard: BTreeMap<u64, u64> },
}

/// A bandit by its name. Decisions and rewards are taken in memory; what they taught is kept by [`flush`](Self::flush), which is called
/// every second for those that are used, and learns from others on the way.
#[derive(Debug)]
pub struct SharedBandit {
    bandit: Mutex<Bandit>,
    /// Locked before the bandit, if both are.
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    events: Events<BanditEvent>,
    /// All that is kept.
    total: Delta,
    /// Taken from the bandit, and not offered to the storage yet.
    fresh: Delta,
    /// Offered to the storage, and perhaps kept: it stays as it is until that is known.
    unkept: Delta,
    /// This process, among those that share the bandit.
    own: u64,
    /// Of `unkept`.
    number: u64,
    /// Who was heard since the last summary.
    heard: BTreeMap<u64, u64>,
}

/// Lines after which a journal is worth one summary of them all: a thousand seconds of one busy process.
const SUMMED_UP: usize = 1_000;

impl SharedBandit {
    /// `own` tells this process from others.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        name: LogName,
        options: BanditOptions,
        own: u64,
    ) -> Result<Self, AnalyticsError> {
        let nothing = Delta::nothing(&options);
        let seed = options.seed;
        let bandit = match storage.is_shared() {
            true => Bandit::named(options, (mixed(own ^ seed) >> 32) as u32)?,
            false => Bandit::new(options)?,
        };
        let kept = Kept {
            events: Events::new(storage, name),
            total: nothing.clone(),
            fresh: nothing.clone(),
            unkept: nothing,
            own,
            number: 0,
            heard: BTreeMap::new(),
        };
        Ok(Self { bandit: Mutex::new(bandit), kept: Mutex::new(kept) })
    }

    /// Chooses an arm; see [`Bandit::select`].
    ///
    /// # Errors
    /// As there.
    pub fn select(&self, context: Option<&[f64]>, now_ms: u64) -> Result<Decision, AnalyticsError> {
        Ok(lock(&self.bandit).select(context, now_ms)?)
    }

    /// Says what came of a decision; see [`Bandit::reward`].
    ///
    /// # Errors
    /// As there.
    pub fn reward(&self, decision: DecisionId, reward: f64, now_ms: u64) -> Result<(), AnalyticsError> {
        Ok(lock(&self.bandit).reward(decision, reward, now_ms)?)
    }

    /// What is known of each arm; see [`Bandit::posterior`].
    ///
    /// # Errors
    /// As there.
    pub fn posterior(&self, context: Option<&[f64]>, now_ms: u64) -> Result<Vec<Standing>, AnalyticsError> {
        Ok(lock(&self.bandit).posterior(context, now_ms)?)
    }

    /// The best arm, where one was looked for and is known.
    pub fn verdict(&self) -> Option<Arc<str>> {
        lock(&self.bandit).verdict()
    }

    /// How it was made.
    pub fn options(&self) -> BanditOptions {
        lock(&self.bandit).options().clone()
    }

    /// Keeps what was learnt here and learns what others have kept. When it returns, every reward before it is kept.
    ///
    /// # Errors
    /// Those of the storage, and then what was learnt is kept by a later call; [`AnalyticsError::Differs`] where the one that is kept is
    /// made of something else.
    pub fn flush(&self, now_ms: u64) -> Result<(), AnalyticsError> {
        let kept = &mut *lock(&self.kept);
        let new = lock(&self.bandit).take_delta();
        kept.fresh.merge(&new)?;
        let options = self.options();
        loop {
            if kept.unkept.is_empty() {
                kept.unkept = std::mem::replace(&mut kept.fresh, Delta::nothing(&options));
            }
            self.exchange(kept, &options, now_ms)?;
            if kept.fresh.is_empty() {
                return Ok(());
            }
        }
    }

    /// Keeps what is unkept, and learns what others learnt.
    fn exchange(&self, kept: &mut Kept, options: &BanditOptions, now_ms: u64) -> Result<(), AnalyticsError> {
        let name = kept.events.name().clone();
        let Kept { events, total, fresh, unkept, own, number, heard } = kept;
        events.turn(|news| {
            let (is_whole, is_first) = (news.is_whole, news.is_whole && news.events.is_empty());
            let lines = news.before + news.events.len();
            if is_whole {
                (*total, *heard) = (Delta::nothing(options), BTreeMap::new());
            }
            let mut others = Delta::nothing(options);
            learn(&name, options, news, &mut others, heard)?;
            total.merge(&others)?;
            if heard.get(own) == Some(number) {
                // Kept by a call that was not told so.
                (*unkept, *number) = (Delta::nothing(options), *number + 1);
            }
            let mut bandit = lock(&self.bandit);
            if is_whole {
                let mut known = total.clone();
                known.merge(unkept)?;
                known.merge(fresh)?;
                bandit.relearn(&known, now_ms)?;
            } else if !others.is_empty() {
                bandit.absorb(&others, now_ms)?;
            }
            let created = BanditEvent::Created { options: options.clone() };
            if unkept.is_empty() || lines < SUMMED_UP {
                let learnt = BanditEvent::Learnt { by: *own, number: *number, delta: unkept.clone() };
                let happened = [(is_first, created), (!unkept.is_empty(), learnt)];
                let happened =
                    happened.into_iter().filter_map(|(has_happened, event)| has_happened.then_some(event));
                return Ok(((), Write::Append(happened.collect())));
            }
            let mut delta = total.clone();
            delta.merge(unkept)?;
            bandit.trim(&mut delta);
            let heard = heard.iter().map(|(by, number)| (*by, *number)).chain([(*own, *number)]).collect();
            Ok(((), Write::Replace(vec![created, BanditEvent::Summary { delta, heard }])))
        })?;
        if !unkept.is_empty() {
            total.merge(unkept)?;
            (*unkept, *number) = (Delta::nothing(options), *number + 1);
        }
        Ok(())
    }

    /// Whether it is made of this, with the same arms.
    pub(super) fn check(&self, options: &BanditOptions) -> Result<(), AnalyticsError> {
        check(lock(&self.kept).events.name(), &self.options(), options)
    }

    /// Whether nobody would miss what is in memory alone.
    pub(super) fn is_idle(&self) -> bool {
        let kept = lock(&self.kept);
        let bandit = lock(&self.bandit);
        let is_kept = kept.unkept.is_empty() && kept.fresh.is_empty() && bandit.has_nothing_new();
        is_kept && bandit.outstanding() == 0
    }
}

/// How the bandit that is kept under a name was made, where there is one.
pub(super) fn options_of(
    storage: Arc<dyn Storage>,
    name: LogName,
) -> Result<Option<BanditOptions>, AnalyticsError> {
    Events::new(storage, name).turn(|news| {
        let first = news.events.into_iter().next();
        let options = first.and_then(|event| match event {
            BanditEvent::Created { options } => Some(options),
            _ => None,
        });
        Ok((options, Write::Append(Vec::new())))
    })
}

/// Whether a bandit is made of this, with the same arms.
pub(super) fn check(
    name: &LogName,
    own: &BanditOptions,
    given: &BanditOptions,
) -> Result<(), AnalyticsError> {
    let mut differences = differences(own, given);
    if own.arms != given.arms {
        differences.push(format!("`arms` were {:?} and are {:?} now", own.arms, given.arms));
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(AnalyticsError::Differs { name: name.clone(), differences }),
    }
}

/// Takes in what happened, with what others learnt of it.
fn learn(
    name: &LogName,
    options: &BanditOptions,
    news: News<BanditEvent>,
    others: &mut Delta,
    heard: &mut BTreeMap<u64, u64>,
) -> Result<(), AnalyticsError> {
    for (line, event) in (news.before + 1..).zip(news.events) {
        let misfit = |problem: String| AnalyticsError::Misfit { name: name.clone(), line, problem };
        match event {
            BanditEvent::Created { options: kept } => {
                let differences = differences(&kept, options);
                if !differences.is_empty() {
                    return Err(AnalyticsError::Differs { name: name.clone(), differences });
                }
            }
            BanditEvent::Learnt { by, number, delta } => {
                others.merge(&delta).map_err(|error| misfit(error.to_string()))?;
                heard.insert(by, number);
            }
            BanditEvent::Summary { delta, heard: before } => {
                others.merge(&delta).map_err(|error| misfit(error.to_string()))?;
                heard.extend(before);
            }
        }
    }
    Ok(())
}

/// What of `given` is not as it is kept, but for what each process has of its own: the seed, the arms in play.
fn differences(kept: &BanditOptions, given: &BanditOptions) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |field: &str, is_same: bool, kept: String, given: String| {
        if !is_same {
            found.push(format!("`{field}` was {kept} and is {given} now"));
        }
    };
    macro_rules! compare {
        ($($field:ident),*) => {$(
            compare(
                stringify!($field),
                kept.$field == given.$field,
                serde_json::to_string(&kept.$field).unwrap_or_default(),
                serde_json::to_string(&given.$field).unwrap_or_default(),
            );
        )*};
    }
    compare!(policy, rewards, forget);
    found
}
