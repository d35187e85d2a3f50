//! Who asks, and what a request may cost it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::{Allowances, Ask, Key, KeyConfig, Keyring, Reservation, Settings, Standing, Used, What};
use arc_swap::{ArcSwap, ArcSwapOption};
use fast_llm_coordinator::{Meter, Most, Spent};
use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use parking_lot::Mutex;

use crate::accounts::{Accounts, Place};
use crate::config::UatConfig;
use crate::errors::RuntimeError;

/// The longest answer, in tokens, that is reserved for where neither the request nor the model's `max_output_tokens` says
/// more: what most models write at most.
const ASSUMED_MOST_TOKENS: u64 = 32_768;
/// What of an answer is reserved of a rate at most: few are longer, and a rate makes up for those by itself.
const EXPECTED_TOKENS: u64 = 4_096;

/// How a key stands in its limits of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standings {
    /// Requests; `None`: as many as it likes.
    pub requests: Option<Standing>,
    /// Tokens.
    pub tokens: Option<Standing>,
}

/// The keys that are valid now, and the accounts of those that ask.
pub(crate) struct Callers {
    keyring: ArcSwap<Keyring>,
    /// Whether this is a server. Other programs with the same configuration have no callers: the keys of
    /// `server.keys_file`, which they may not even be able to read, do not count there.
    serves: AtomicBool,
    /// Opened when the first key asks, or before.
    accounts: ArcSwapOption<Accounts>,
    opening: tokio::sync::Mutex<()>,
}

impl Callers {
    pub(crate) fn new(config: &UatConfig) -> Result<Self, RuntimeError> {
        Ok(Self {
            keyring: ArcSwap::from_pointee(keyring(&Keyring::default(), config, false)?),
            serves: AtomicBool::new(false),
            accounts: ArcSwapOption::empty(),
            opening: tokio::sync::Mutex::new(()),
        })
    }

    /// Whose key is among these; the first reason where it is none's.
    pub(crate) fn authenticate<'a>(
        &self,
        presented: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Arc<Key>, RuntimeError> {
        let keyring = self.keyring.load();
        let mut denied = None;
        for text in presented {
            match keyring.authenticate(text) {
                Ok(key) => return Ok(key),
                Err(why) => denied = denied.or(Some(why)),
            }
        }
        Err(denied.unwrap_or(access::Denied::Missing).into())
    }

    /// This is a server from now on.
    pub(crate) fn serve(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// The keyring of this configuration, which is not used yet.
    pub(crate) fn successor(&self, config: &UatConfig) -> Result<Keyring, RuntimeError> {
        keyring(&self.keyring.load(), config, self.serves.load(Ordering::Relaxed))
    }

    /// Goes on with this keyring: keys that it does not have are revoked.
    pub(crate) fn exchange(&self, next: Keyring) {
        let next = Arc::new(next);
        let former = self.keyring.swap(Arc::clone(&next));
        former.part_from(&next);
    }

    /// The accounts as this configuration wants them kept, opened if they are not.
    pub(crate) async fn accounts(&self, config: &UatConfig) -> Result<Arc<Accounts>, RuntimeError> {
        if let Some(accounts) = self.accounts.load_full() {
            return Ok(accounts);
        }
        let _opening = self.opening.lock().await;
        if let Some(accounts) = self.accounts.load_full() {
            return Ok(accounts);
        }
        let accounts = Arc::new(Accounts::open(Place::of(config)?, settings(config)).await?);
        self.accounts.store(Some(Arc::clone(&accounts)));
        Ok(accounts)
    }

    /// What another configuration needs opened before it counts; `None`: what there is goes on.
    pub(crate) async fn prepare(&self, config: &UatConfig) -> Result<Option<Arc<Accounts>>, RuntimeError> {
        let others = match self.accounts.load_full() {
            Some(accounts) => accounts.place != Place::of(config)?,
            // A server is refused a configuration whose accounts it could not open, rather than its callers their requests.
            None => self.serves.load(Ordering::Relaxed),
        };
        if !others || !config.asks_for_keys() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Accounts::open(Place::of(config)?, settings(config)).await?)))
    }

    /// Goes on with what was prepared.
    pub(crate) async fn move_to(&self, prepared: Option<Arc<Accounts>>, config: &UatConfig) {
        match prepared {
            Some(next) => {
                if let Some(former) = self.accounts.swap(Some(next)) {
                    former.close().await;
                }
            }
            None => {
                if let Some(accounts) = &*self.accounts.load() {
                    accounts.allowances.set(settings(config));
                }
            }
        }
    }

    /// How a key stands, once it has asked for something.
    pub(crate) fn standings(&self, key: &Key) -> Standings {
        let Some(accounts) = self.accounts.load_full() else { return Standings::default() };
        let config = key.config();
        let of = |what, limit: Option<u64>| limit.and_then(|_| accounts.allowances.standing(key, what));
        Standings { requests: of(What::Requests, config.rpm), tokens: of(What::Tokens, config.tpm) }
    }

    /// What share of its budget of the day each key has spent or reserved, of those that have one and have asked.
    pub(crate) fn budgets_used(&self) -> Vec<(Arc<str>, f64)> {
        let Some(accounts) = self.accounts.load_full() else { return Vec::new() };
        let keyring = self.keyring.load();
        let used = keyring.keys().iter().filter_map(|key| {
            key.config().budget_usd_per_day?;
            let Standing { limit, left, .. } = accounts.allowances.standing(key, What::Money)?;
            let used = limit.saturating_sub(left) as f64 / limit.max(1) as f64;
            Some((Arc::clone(key.name()), used))
        });
        used.collect()
    }

    pub(crate) fn opened(&self) -> Option<Arc<Accounts>> {
        self.accounts.load_full()
    }

    pub(crate) async fn close(&self) {
        if let Some(accounts) = self.accounts.load_full() {
            accounts.close().await;
        }
    }
}

fn settings(config: &UatConfig) -> Settings {
    Settings { on_outage: config.limits.on_outage }
}

fn keyring(former: &Keyring, config: &UatConfig, serves: bool) -> Result<Keyring, RuntimeError> {
    let mut rows: Vec<KeyConfig> = config.keys.clone();
    let Some(path) = config.server.keys_file.as_ref().filter(|_| serves) else {
        return successor(former, rows, None);
    };
    let wrong = |message: String| RuntimeError::KeysFile { path: path.clone(), message };
    rows.extend(access::keys_file::list(path).map_err(|error| wrong(error.to_string()))?);
    successor(former, rows, Some(path))
}

fn successor(
    former: &Keyring,
    rows: Vec<KeyConfig>,
    file: Option<&std::path::PathBuf>,
) -> Result<Keyring, RuntimeError> {
    former.successor(rows).map_err(|error| match file {
        Some(path) => RuntimeError::KeysFile { path: path.clone(), message: error.to_string() },
        // The check of the configuration refuses all that a keyring does.
        None => RuntimeError::Internal { message: error.to_string() },
    })
}

/// What a request may take.
pub(crate) struct Size {
    /// At most: by which money is reserved.
    pub(crate) most: Most,
    /// In all probability: by which a rate is.
    pub(crate) expected_tokens: u64,
}

impl Size {
    pub(crate) const NOTHING: Self =
        Self { most: Most { prompt_tokens: 0, completion_tokens: 0 }, expected_tokens: 0 };

    pub(crate) fn of_chat(request: &ChatRequest, max_output_tokens: Option<u64>) -> Self {
        let said = request.max_tokens().or(max_output_tokens);
        let answers = |each: u64| each.saturating_mul(request.n().into());
        Self {
            most: Most {
                prompt_tokens: request.prompt_tokens_bound(),
                completion_tokens: answers(said.unwrap_or(ASSUMED_MOST_TOKENS)),
            },
            expected_tokens: request
                .most_prompt_tokens()
                .saturating_add(answers(said.map_or(EXPECTED_TOKENS, |said| said.min(EXPECTED_TOKENS)))),
        }
    }

    pub(crate) fn of_embeddings(request: &EmbeddingsRequest) -> Self {
        let bytes = request.body().len() as u64;
        Self { most: Most { prompt_tokens: bytes, completion_tokens: 0 }, expected_tokens: bytes / 3 }
    }
}

/// Reserves the most that a request can take, and says who is told what it did take.
pub(crate) async fn admit(
    allowances: &Allowances,
    key: &Arc<Key>,
    model: &str,
    size: Size,
    price: Option<route_plan::Price>,
) -> Result<Arc<dyn Meter>, RuntimeError> {
    let Size { most, expected_tokens } = size;
    let ask = Ask {
        model: model.into(),
        prompt_tokens: most.prompt_tokens,
        completion_tokens: most.completion_tokens,
        expected_tokens: Some(expected_tokens),
        price,
    };
    let reservation = allowances.admit(key, ask).await?;
    Ok(Arc::new(Metered { reservation: Mutex::new(Some(reservation)), most }))
}

/// A request that was admitted. What is never told that an endpoint was asked costs nothing.
#[derive(Debug)]
struct Metered {
    reservation: Mutex<Option<Reservation>>,
    most: Most,
}

impl Metered {
    fn settle(&self, used: Used) {
        if let Some(reservation) = self.reservation.lock().take() {
            reservation.settle(used);
        }
    }
}

impl Meter for Metered {
    fn most(&self) -> Most {
        self.most
    }

    fn used(&self, _model: &Arc<str>, spent: Spent) {
        let Spent { prompt_tokens, cached_prompt_tokens, completion_tokens, is_estimate } = spent;
        self.settle(Used { prompt_tokens, cached_prompt_tokens, completion_tokens, is_estimate });
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.settle(Used::default());
    }
}
