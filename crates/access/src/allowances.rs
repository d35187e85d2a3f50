//! Admits requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{Period, What};
use crate::key::Key;
use crate::ledger::{CLAIM_TIME, Claim, Granted, InstanceId, LedgerError};
use crate::ledgers::{Ledgers, OnOutage, Settings};
use crate::memory_ledger::now;
use crate::meters::{Holding, Meter, Meters, Needs, Waiting};
use crate::purse::Shortage;
use crate::refused::Refused;
use crate::reservation::{Ask, Reservation};
use crate::usage::{Tally, UsageQuery, UsageRow, summarise};

/// How often it is looked what can be given back, and how often usage is written: what is lost of it by `kill -9`.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How long a request waits for claims: one that is given up has been by then.
const WAIT_TIME: Duration = CLAIM_TIME.saturating_add(Duration::from_millis(10));

/// How long [`Allowances::close`] tries to give back and to write.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// How a key stands in a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What a window allows: requests, tokens, or nano-USD.
    pub limit: u64,
    /// What is neither spent nor reserved nor claimed by other processes.
    pub left: u64,
    /// When the window begins anew.
    pub resets_in: Duration,
}

/// Admits requests within the limits of their keys. One for a process's life: it survives reloads of the configuration, since a key's
/// limits come with the key.
pub struct Allowances {
    inner: Arc<Inner>,
}

/// What reservations and tasks share.
pub(crate) struct Inner {
    ledgers: Ledgers,
    instance: InstanceId,
    alone: AtomicBool,
    /// By the names of the keys.
    meters: RwLock<HashMap<Arc<str>, Arc<Meters>>>,
    pub(crate) tally: Tally,
    closed: CancellationToken,
    tasks: TaskTracker,
    is_tidying: AtomicBool,
    outage: Mutex<Option<Arc<str>>>,
}

impl Allowances {
    /// Nothing is asked of the ledgers before the first request.
    pub fn new(ledgers: Ledgers, settings: Settings) -> Self {
        let allowances = Self {
            inner: Arc::new(Inner {
                ledgers,
                instance: InstanceId::new(),
                alone: AtomicBool::new(false),
                meters: RwLock::default(),
                tally: Tally::default(),
                closed: CancellationToken::new(),
                tasks: TaskTracker::new(),
                is_tidying: AtomicBool::new(false),
                outage: Mutex::default(),
            }),
        };
        allowances.set(settings);
        allowances
    }

    /// Goes on with other settings.
    pub fn set(&self, settings: Settings) {
        self.inner.alone.store(settings.on_outage == OnOutage::Local, Ordering::Relaxed);
    }

    /// Reserves what the request may use at most. Without I/O where the process holds enough, which is the rule; else within
    /// [`CLAIM_TIME`]. Needs tokio.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is reserved.
    pub async fn admit(&self, key: &Arc<Key>, ask: Ask) -> Result<Reservation, Refused> {
        self.admit_with(key, ask, 0).await
    }

    /// The same for a request that may cost so many nano-USD beside what it asks, of other models.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn admit_with(&self, key: &Arc<Key>, ask: Ask, more: u64) -> Result<Reservation, Refused> {
        let inner = &self.inner;
        let most = inner.judge(key, &ask)?.saturating_add(more);
        let meters = inner.meters_of(key);
        let tokens =
            ask.expected_tokens.unwrap_or_else(|| ask.prompt_tokens.saturating_add(ask.completion_tokens));
        let needs = [1, tokens, most];
        let holding = match inner.reserve(&meters, &needs, now()) {
            Some(holding) => holding,
            None => inner.wait_for(key, &meters, &needs).await?,
        };
        Ok(Reservation::new(Arc::clone(inner), meters, holding, Arc::clone(key), ask, most))
    }

    /// How a key stands in one of its limits, as far as this process knows; `None` where it has no such limit, or has not asked
    /// for anything yet.
    pub fn standing(&self, key: &Key, what: What) -> Option<Standing> {
        let meters = self.inner.meters.read().get(key.name()).cloned()?;
        let mut limiting = meters.limiting().map(|(_, meter)| meter);
        let meter = limiting.find(|meter| meter.purse.lock().account.what == what)?;
        let standing = meter.purse.lock().standing(now());
        Some(standing)
    }

    /// What was used, this process's last seconds included.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, LedgerError> {
        let unwritten = match self.flush().await {
            Ok(()) => Vec::new(),
            Err(_) => self.inner.tally.unwritten().await,
        };
        let (since, until) = query.hours(Timestamp::now());
        let mut rows = self.inner.ledgers.usage.read(since, until).await?;
        rows.extend(unwritten.into_iter().filter(|row| (since..=until).contains(&row.hour)));
        Ok(summarise(rows, query))
    }

    /// Why a ledger counts as away, if one does: for a report of readiness.
    pub fn outage(&self) -> Option<Arc<str>> {
        self.inner.outage.lock().clone()
    }

    /// Writes what was used and not written yet.
    ///
    /// # Errors
    /// [`LedgerError`]: then it is tried again later.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.inner.tally.write(&*self.inner.ledgers.usage).await
    }

    /// Admits nothing more, gives back what is not reserved, and writes what was used; takes 2 s at most. Requests that have not ended
    /// should have settled: what they reserved counts otherwise.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.closed.cancel();
        let closing = async {
            inner.tasks.close();
            inner.tasks.wait().await;
            // All at once: a ledger that is away takes its time only once.
            inner.give_back(true);
            inner.tasks.wait().await;
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "what was used last is not written");
            }
        };
        if tokio::time::timeout(CLOSE_TIME, closing).await.is_err() {
            tracing::warn!(
                "the ledger of limits does not answer: what was claimed and not used counts as spent"
            );
        }
    }
}

impl Inner {
    /// Whether the key may ask this at all; the most that it may cost, in nano-USD.
    fn judge(&self, key: &Arc<Key>, ask: &Ask) -> Result<u64, Refused> {
        if self.closed.is_cancelled() {
            return Err(Refused::Closed);
        }
        if key.is_revoked() {
            return Err(Refused::Revoked { key: key.name().clone() });
        }
        if !key.may_use(&ask.model) {
            return Err(Refused::Model { key: key.name().clone(), model: ask.model.clone() });
        }
        match ask.price {
            Some(price) => Ok(price.most_nano_usd(ask.prompt_tokens, ask.completion_tokens)),
            None if key.config().budget_usd_per_day.is_none() => Ok(0),
            None => Err(Refused::UnknownPrice { key: key.name().clone(), model: ask.model.clone() }),
        }
    }

    fn meters_of(self: &Arc<Self>, key: &Arc<Key>) -> Arc<Meters> {
        if let Some(meters) = self.meters.read().get(key.name()).filter(|meters| meters.are_of(key)) {
            return Arc::clone(meters);
        }
        let mut all = self.meters.write();
        let former = all.get(key.name());
        if let Some(meters) = former.filter(|meters| meters.are_of(key)) {
            return Arc::clone(meters);
        }
        let ledger = |period| match period {
            Period::Minute => Arc::clone(&self.ledgers.minute),
            Period::Day => Arc::clone(&self.ledgers.day),
        };
        let meters = Arc::new(Meters::new(key, former.map(|former| &**former), self.instance, ledger));
        all.insert(key.name().clone(), Arc::clone(&meters));
        drop(all);
        self.tidy();
        meters
    }

    fn reserve(self: &Arc<Self>, meters: &Meters, needs: &Needs, now: Instant) -> Option<Holding> {
        meters.reserve(needs, now, self.alone.load(Ordering::Relaxed), |meter, claim| self.ask(meter, claim))
    }

    /// Reserves after a claim, where the process did not hold enough.
    async fn wait_for(
        self: &Arc<Self>,
        key: &Arc<Key>,
        meters: &Meters,
        needs: &Needs,
    ) -> Result<Holding, Refused> {
        let deadline = tokio::time::Instant::now() + WAIT_TIME;
        loop {
            // Listening before looking: what happens in between is not missed.
            let mut changes = Vec::with_capacity(3);
            for (at, meter) in meters.limiting() {
                let mut changed = Box::pin(meter.changed.notified());
                changed.as_mut().enable();
                changes.push((at, meter, changed));
            }
            let now = now();
            if let Some(holding) = self.reserve(meters, needs, now) {
                return Ok(holding);
            }
            // Only until the answer: whoever has what he waited for needs it no more.
            let mut waiting = Vec::with_capacity(3);
            let mut last_short = None;
            let mut pending = Vec::with_capacity(3);
            for (at, meter, changed) in changes {
                if meter.purse.lock().has(needs[at], now) {
                    continue;
                }
                let short = meter.short(needs[at], now);
                // Nothing is claimed for what can never fit.
                let mut is_coming = false;
                if short.2.may_fit {
                    waiting.push(Waiting::new(meter, needs[at]));
                    let claim = meter.purse.lock().wish(now);
                    is_coming = claim.is_some() || meter.purse.lock().is_asked();
                    if let Some(claim) = claim {
                        self.ask(meter, claim);
                    }
                }
                if !is_coming {
                    drop(waiting);
                    self.give_back_of(meters, false);
                    return Err(Refused::short(key, needs[at], short, self.outage.lock().clone()));
                }
                last_short = Some((needs[at], short));
                pending.push(changed);
            }
            let changed = async {
                for changed in pending {
                    changed.await;
                }
            };
            if tokio::time::timeout_at(deadline, changed).await.is_err()
                && let Some((need, short)) = last_short
            {
                let (what, period, shortage) = short;
                let late = (what, period, Shortage { is_away: true, may_fit: true, ..shortage });
                return Err(Refused::short(key, need, late, Some("it did not answer in its time".into())));
            }
        }
    }

    /// Carries a claim to its ledger, whoever waits for it and whether or not he still does.
    fn ask(self: &Arc<Self>, meter: &Arc<Meter>, claim: Claim) {
        let (inner, meter) = (Arc::clone(self), Arc::clone(meter));
        self.tasks.spawn(async move {
            let mut asking = Asking { meter: &meter, is_answered: false };
            let sent = now();
            let answer = match tokio::time::timeout(CLAIM_TIME, meter.ledger.claim(claim.clone())).await {
                Ok(answer) => answer,
                Err(_) => Err(LedgerError::Unavailable {
                    reason: format!("no answer within {} ms", CLAIM_TIME.as_millis()),
                }),
            };
            inner.note(&answer);
            if let Ok(granted) = &answer {
                asking.is_answered = true;
                meter.purse.lock().answered(&claim, granted, sent, now());
            }
            drop(asking);
            meter.changed.notify_waiters();
        });
    }

    /// Remembers whether the ledgers answer; says so once when that changes.
    fn note(&self, answer: &Result<Granted, LedgerError>) {
        let mut outage = self.outage.lock();
        match answer {
            Ok(_) if outage.is_some() => {
                *outage = None;
                drop(outage);
                tracing::info!("the ledger of limits answers again");
            }
            Ok(_) => {}
            Err(error) => {
                let is_news = outage.replace(error.to_string().into()).is_none();
                drop(outage);
                if is_news {
                    tracing::warn!(%error, "limits keep to what was claimed before");
                }
            }
        }
    }

    /// Begins to give back what is not needed: now and then, or everything.
    fn give_back(self: &Arc<Self>, all: bool) {
        let meters: Vec<Arc<Meters>> = self.meters.read().values().cloned().collect();
        meters.iter().for_each(|meters| self.give_back_of(meters, all));
    }

    /// The same for one key, at once after a claim that was not enough: what was granted in vain is not lost with the process.
    fn give_back_of(self: &Arc<Self>, meters: &Meters, all: bool) {
        for meter in meters.all() {
            let claim = meter.purse.lock().excess(now(), all);
            if let Some(claim) = claim {
                self.ask(meter, claim);
            }
        }
    }

    /// Starts the two tasks of the background, once.
    fn tidy(self: &Arc<Self>) {
        if self.is_tidying.swap(true, Ordering::Relaxed) {
            return;
        }
        self.tasks.spawn(now_and_then(Arc::downgrade(self), self.closed.clone(), |inner| async move {
            inner.give_back(false);
        }));
        self.tasks.spawn(now_and_then(Arc::downgrade(self), self.closed.clone(), |inner| async move {
            if let Err(error) = inner.tally.write(&*inner.ledgers.usage).await {
                tracing::debug!(%error, "usage is written later");
            }
        }));
    }
}

/// Repeats until everything is closed, or gone.
async fn now_and_then<F: Future<Output = ()>>(
    inner: Weak<Inner>,
    closed: CancellationToken,
    act: impl Fn(Arc<Inner>) -> F,
) {
    while closed.run_until_cancelled(tokio::time::sleep(TIDY_EVERY)).await.is_some() {
        let Some(inner) = inner.upgrade() else { return };
        act(inner).await;
    }
}

/// A claim on its way: one that is never answered, because the runtime ends or a ledger panics, counts as failed.
struct Asking<'a> {
    meter: &'a Meter,
    is_answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.meter.purse.lock().failed(now());
        }
    }
}

impl fmt::Debug for Allowances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowances").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}
