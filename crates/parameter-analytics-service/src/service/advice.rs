//! What is known of a model at a kind of task, kept and shared with whoever else uses the same storage.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::events::{Events, News, Write};
use super::{AnalyticsError, lock};
use crate::advice::{Advice, Advisor, AdvisorOptions, Context, Performance, Record, Request};
use crate::space::{ParameterValues, Space};
use crate::storage::{Kind, LogName, Storage};
use crate::stream::mixed;

/// What advice is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The model's name.
    pub model: Arc<str>,
    /// Whatever tells kinds of work apart.
    pub task_type: Arc<str>,
    /// What can be set, if it is not what is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Space>,
}

impl About {
    /// Under which name it is kept: what people recognise, and what tells it from others.
    pub(super) fn log(&self) -> Result<LogName, AnalyticsError> {
        let text = serde_json::to_string(self).unwrap_or_default();
        let hash = text.bytes().fold(0, |hash, byte| mixed(hash ^ u64::from(byte)));
        let named = recognised(&format!("{} {}", self.model, self.task_type));
        LogName::new(Kind::Advice, &format!("{named} {hash:016x}")).map_err(AnalyticsError::Name)
    }
}

/// The beginning of a text in letters that every storage has.
fn recognised(text: &str) -> String {
    const MOST: usize = 60;
    let plain = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '_' };
    text.chars().take(MOST).map(plain).collect()
}

/// Advice, and the name under which to say what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Advised {
    /// To be given back; it says all that [`ParameterAnalytics::record`](super::ParameterAnalytics::record) needs to know, so that nothing
    /// has to be kept until then.
    pub trial_id: String,
    /// What to call with.
    pub advice: Advice,
}

/// What came of a call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallOutcome {
    /// Of the advice that was followed.
    #[serde(alias = "trial_id")]
    pub trial_id: String,
    /// More is better.
    pub reward: Option<f64>,
    /// Milliseconds.
    #[serde(alias = "latency_ms")]
    pub latency_ms: Option<f64>,
    /// US dollars.
    #[serde(alias = "cost_usd")]
    pub cost_usd: Option<f64>,
    /// Of the answer.
    pub tokens: Option<u64>,
    /// Why the call failed.
    pub error: Option<String>,
}

impl CallOutcome {
    /// Whether it is of a model whose name begins with this.
    pub fn is_of(&self, prefix: &str) -> bool {
        TrialId::parse(&self.trial_id).is_ok_and(|trial| trial.log.starts_with(&recognised(prefix)))
    }
}

/// What a trial's name says.
#[derive(Serialize, Deserialize)]
struct TrialId {
    #[serde(rename = "l")]
    log: Arc<str>,
    #[serde(rename = "n")]
    number: u64,
    #[serde(rename = "p")]
    parameters: ParameterValues,
    #[serde(rename = "c", default, skip_serializing_if = "no_context")]
    context: Context,
}

fn no_context(context: &Context) -> bool {
    context.0.is_empty()
}

impl TrialId {
    fn parse(text: &str) -> Result<Self, AnalyticsError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| AnalyticsError::UnknownTrial { trial: text.chars().take(40).collect() })
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The log in which an outcome belongs.
pub(super) fn log_of(outcome: &CallOutcome) -> Result<LogName, AnalyticsError> {
    LogName::new(Kind::Advice, &TrialId::parse(&outcome.trial_id)?.log).map_err(AnalyticsError::Name)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum AdviceEvent {
    /// The first.
    About { about: About, seed: u64 },
    /// A call was made, or more is known of it.
    Recorded { call: u64, record: Record },
}

/// What was said of a call, so that nothing is said twice.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    parts: u8,
}

impl Said {
    fn of(record: &Record) -> Self {
        let parts = [
            record.reward.is_some(),
            record.latency_ms.is_some(),
            record.cost_usd.is_some(),
            record.tokens.is_some(),
            record.error.is_some(),
        ];
        Self {
            parts: parts.iter().enumerate().fold(0, |all, (place, said)| all | (u8::from(*said) << place)),
        }
    }

    /// The first thing that both say.
    fn repeats(self, other: Self) -> Option<&'static str> {
        const NAMES: [&str; 5] = ["reward", "latencyMs", "costUsd", "tokens", "error"];
        NAMES
            .into_iter()
            .enumerate()
            .find(|(place, _)| self.parts & other.parts & (1 << place) != 0)
            .map(|(_, name)| name)
    }
}

/// Calls of which it is remembered what was said: as many as an advisor keeps.
const REMEMBERED: usize = 10_000;
/// Lines of a journal after which the old half is dropped: an advisor does not look at it any more.
const LONGEST: usize = 2 * REMEMBERED;
/// How old what is known of others may be, ms.
const STALE_MS: u64 = 1_000;

#[derive(Debug)]
struct Known {
    about: About,
    advisor: Advisor,
    said: HashMap<u64, Said>,
    order: VecDeque<u64>,
}

impl Known {
    fn new(about: About, seed: u64) -> Result<Self, AnalyticsError> {
        let options =
            AdvisorOptions { space: about.space.clone(), task_type: about.task_type.to_string(), seed };
        let advisor = Advisor::new(options)?;
        Ok(Self { about, advisor, said: HashMap::new(), order: VecDeque::new() })
    }

    fn take(&mut self, call: u64, record: &Record) -> Result<(), AnalyticsError> {
        self.advisor.observe(record)?;
        let order = &mut self.order;
        let said = self.said.entry(call).or_insert_with(|| {
            order.push_back(call);
            Said::default()
        });
        said.parts |= Said::of(record).parts;
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
        Ok(())
    }
}

/// What is known of one model at one kind of task. Calls block.
#[derive(Debug)]
pub(super) struct SharedAdvice {
    storage: Arc<dyn Storage>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    events: Events<AdviceEvent>,
    known: Option<Known>,
    heard_at: u64,
    /// Of the next advice that is given here: what its random numbers are drawn from.
    turn: Option<u64>,
}

impl SharedAdvice {
    pub(super) fn new(storage: Arc<dyn Storage>, name: LogName) -> Self {
        let events = Events::new(Arc::clone(&storage), name);
        Self { storage, kept: Mutex::new(Kept { events, known: None, heard_at: 0, turn: None }) }
    }

    /// Advises; `call` is this call's own number. The first time, it is kept what the advice is about.
    pub(super) fn advise(
        &self,
        about: &About,
        seed: u64,
        request: &Request,
        call: u64,
        now: u64,
    ) -> Result<Advised, AnalyticsError> {
        let kept = &mut *lock(&self.kept);
        if kept.known.is_none() || now.saturating_sub(kept.heard_at) >= STALE_MS {
            kept.hear(Some((about, seed)))?;
            kept.heard_at = now;
        }
        let name = kept.events.name().clone();
        let known = kept.known.as_mut().ok_or(AnalyticsError::Closed)?;
        if known.about != *about {
            let problem = format!("{name} is about something else; please report this");
            return Err(AnalyticsError::Conflict { problem });
        }
        // The best guess comes first, where nothing is known; who comes later begins anywhere, so that all do not try the same.
        let turn = kept.turn.get_or_insert(if known.advisor.observations() == 0 { 0 } else { call });
        let advice = known.advisor.advise(request, *turn)?;
        *turn = turn.wrapping_add(1);
        let (parameters, context) = (advice.parameters.clone(), request.context.clone());
        let trial_id = TrialId { log: name.name, number: call, parameters, context }.text();
        Ok(Advised { trial_id, advice })
    }

    /// Learns what came of calls; it is kept when this returns. Each of the outcomes is taken or refused by itself.
    pub(super) fn record(
        &self,
        outcomes: &[CallOutcome],
        now: u64,
    ) -> Result<Vec<Result<(), AnalyticsError>>, AnalyticsError> {
        let kept = &mut *lock(&self.kept);
        let name = kept.events.name().clone();
        let Kept { events, known, .. } = kept;
        // Nothing is taken in before it is kept: what others said meanwhile comes before it.
        let (said, taken) = events.turn(|news| {
            follow(&name, known, news)?;
            let known = known.as_ref().ok_or_else(|| not_found(&name))?;
            let mut taken: Vec<(u64, Record)> = Vec::new();
            let mut said: HashMap<u64, Said> = HashMap::new();
            let results: Vec<_> = outcomes
                .iter()
                .map(|outcome| {
                    let (call, mut record) = record_of(outcome, now)?;
                    let before = said.get(&call).or_else(|| known.said.get(&call)).copied();
                    let new = Said::of(&record);
                    if let Some(field) = before.and_then(|before| new.repeats(before)) {
                        let problem =
                            format!("`{field}` of this trial was recorded before; each outcome counts once");
                        return Err(AnalyticsError::Conflict { problem });
                    }
                    record.follows = before.is_some();
                    known.advisor.check(&record, taken.iter().map(|(_, record)| record))?;
                    said.insert(call, Said { parts: before.unwrap_or_default().parts | new.parts });
                    taken.push((call, record));
                    Ok(())
                })
                .collect();
            let happened = taken
                .iter()
                .map(|(call, record)| AdviceEvent::Recorded { call: *call, record: record.clone() });
            Ok(((results, taken.clone()), Write::Append(happened.collect())))
        })?;
        if let Some(known) = known {
            for (call, record) in &taken {
                known.take(*call, record)?;
            }
        }
        if events.len() > LONGEST {
            self.shorten(&name)?;
        }
        Ok(said)
    }

    /// Drops the old half of the journal.
    fn shorten(&self, name: &LogName) -> Result<(), AnalyticsError> {
        Events::<AdviceEvent>::new(Arc::clone(&self.storage), name.clone()).turn(|news| {
            let mut all = news.events;
            let first = all.len().saturating_sub(REMEMBERED).max(1);
            if all.len() > LONGEST {
                all.drain(1..first);
                return Ok(((), Write::Replace(all)));
            }
            Ok(((), Write::Append(Vec::new())))
        })
    }

    /// What came of the calls since a time, in ms since 1970; with what they were about.
    pub(super) fn performance(&self, since: u64) -> Result<(About, Performance), AnalyticsError> {
        let kept = &mut *lock(&self.kept);
        kept.hear(None)?;
        let known = kept.known.as_ref().ok_or_else(|| not_found(kept.events.name()))?;
        Ok((known.about.clone(), known.advisor.performance(since)))
    }
}

impl Kept {
    /// Learns what others have kept; begins with `new` where there is nothing.
    fn hear(&mut self, new: Option<(&About, u64)>) -> Result<(), AnalyticsError> {
        let name = self.events.name().clone();
        let Self { events, known, .. } = self;
        let begun = events.turn(|news| {
            follow(&name, known, news)?;
            let begun = match (&known, new) {
                (None, Some((about, seed))) => Some(AdviceEvent::About { about: about.clone(), seed }),
                _ => None,
            };
            Ok((begun.clone(), Write::Append(begun.into_iter().collect())))
        })?;
        if let Some(AdviceEvent::About { about, seed }) = begun {
            *known = Some(Known::new(about, seed)?);
        }
        Ok(())
    }
}

/// A call and what is now known of it.
fn record_of(outcome: &CallOutcome, now: u64) -> Result<(u64, Record), AnalyticsError> {
    let TrialId { number, parameters, context, .. } = TrialId::parse(&outcome.trial_id)?;
    let record = Record {
        parameters,
        context,
        reward: outcome.reward,
        latency_ms: outcome.latency_ms,
        cost_usd: outcome.cost_usd,
        tokens: outcome.tokens,
        error: outcome.error.clone(),
        at: now,
        follows: false,
    };
    Ok((number, record))
}

fn not_found(name: &LogName) -> AnalyticsError {
    AnalyticsError::NotFound { name: name.clone(), nearest: String::new() }
}

fn follow(name: &LogName, known: &mut Option<Known>, news: News<AdviceEvent>) -> Result<(), AnalyticsError> {
    if news.is_whole {
        *known = None;
    }
    for (line, event) in (news.before + 1..).zip(news.events) {
        let taken = match (&mut *known, event) {
            (None, AdviceEvent::About { about, seed }) => {
                Known::new(about, seed).map(|new| *known = Some(new))
            }
            (Some(known), AdviceEvent::Recorded { call, record }) => known.take(call, &record),
            (None, AdviceEvent::Recorded { .. }) | (Some(_), AdviceEvent::About { .. }) => {
                Err(AnalyticsError::Conflict {
                    problem: "what it is about is said once, at first".to_owned(),
                })
            }
        };
        taken.map_err(|error| AnalyticsError::Misfit {
            name: name.clone(),
            line,
            problem: error.to_string(),
        })?;
    }
    Ok(())
}
