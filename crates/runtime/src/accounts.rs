//! Where the accounts of keys are kept: in the Redis of the section `[redis]`, which several processes share, else in the
//! state directory, which one process has.

use std::path::PathBuf;
use std::sync::Arc;

use access::{
    Allowances, FileUsage, LedgerError, Ledgers, Settings, UsageLog, UsageQuery, UsageRow, summarise,
};
use redis_service::Options;

use crate::config::UatConfig;
use crate::errors::RuntimeError;
use crate::ledger::RedisLedger;

/// Where they are kept.
#[derive(Clone, PartialEq)]
pub(crate) enum Place {
    Redis(Box<Options>),
    Disk(PathBuf),
}

impl Place {
    pub(crate) fn of(config: &UatConfig) -> Result<Self, RuntimeError> {
        match &config.redis {
            Some(redis) if redis.names_redis() => Ok(Self::Redis(Box::new(redis.clone()))),
            _ => config.state_dir().map(Self::Disk).ok_or_else(|| {
                RuntimeError::Ledger(LedgerError::Storage {
                    reason: "there is no folder for the state: set server.state_dir".to_owned(),
                })
            }),
        }
    }
}

/// The accounts of one place, opened.
pub(crate) struct Accounts {
    pub(crate) place: Place,
    pub(crate) allowances: Arc<Allowances>,
    redis: Option<Arc<RedisLedger>>,
}

impl Accounts {
    /// Opens them. A Redis that is away is no error: its claims are answered once it is there.
    ///
    /// # Errors
    /// `UAT_CONFLICT` where another process has the folder, `UAT_STORAGE`.
    pub(crate) async fn open(place: Place, settings: Settings) -> Result<Self, RuntimeError> {
        let (ledgers, redis) = match &place {
            Place::Disk(folder) => {
                let folder = folder.clone();
                (crate::blocking(move || Ledgers::on_disk(&folder)).await??, None)
            }
            Place::Redis(options) => {
                let redis = RedisLedger::new(options);
                redis.connect(options.connect_timeout()).await;
                (redis.ledgers(), Some(redis))
            }
        };
        Ok(Self { place, allowances: Arc::new(Allowances::new(ledgers, settings)), redis })
    }

    /// Gives back what was claimed and writes what was used.
    pub(crate) async fn close(&self) {
        self.allowances.close().await;
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
    }
}

/// What was used with keys, as it is written where this configuration keeps it; a server may run meanwhile, whose last second
/// is not there yet.
///
/// # Errors
/// `UAT_STORAGE` where it cannot be read, `UAT_CONFIG` for an address that leads nowhere.
pub async fn read_usage(config: &UatConfig, query: &UsageQuery) -> Result<Vec<UsageRow>, RuntimeError> {
    let (since, until) = query.hours(access::Timestamp::now());
    let rows = match Place::of(config)? {
        Place::Disk(folder) => FileUsage::open(&folder).read(since, until).await?,
        Place::Redis(options) => {
            let redis = RedisLedger::new(&options);
            redis.connect(options.connect_timeout()).await;
            let rows = redis.read(since, until).await;
            redis.close().await;
            rows?
        }
    };
    Ok(summarise(rows, query))
}
