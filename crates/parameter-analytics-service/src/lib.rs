//! What to try next, and what is best so far.
//!
//! A [`study::Study`] is asked for trials and told what came of them; a [`bandit::Bandit`] chooses among arms and is told their rewards; an
//! [`advice::Advisor`] says with which parameters to call a model. All three are pure: times, bytes and seeds are passed in.
//! [`ParameterAnalytics`] keeps them by their names in a [`storage::Storage`], which several processes may use at once.
//!
//! ```
//! use parameter_analytics_service::space::{Domain, Parameter, Space};
//! use parameter_analytics_service::study::{Outcome, Study, StudyOptions};
//!
//! let space = Space::new(vec![Parameter::new("temperature", Domain::float(0.0, 2.0))])?;
//! let mut study = Study::create(StudyOptions::new("answers", space), 0)?;
//! for now in 0..20 {
//!     for trial in study.ask(1, now)? {
//!         let temperature = study.trial(trial)?.point.numbers()[0];
//!         study.tell(trial, Outcome::Values(vec![(temperature - 0.7).powi(2)], vec![]), now)?;
//!     }
//! }
//! let best = study.best().map(|trial| trial.point.numbers()[0]);
//! assert!(best.is_some_and(|best| (best - 0.7).abs() < 0.01));
//! # Ok::<(), parameter_analytics_service::study::StudyError>(())
//! ```
//!
//! # What it deliberately does not know
//! HTTP, Redis and other programs' files: whoever has such a storage implements [`storage::Storage`]. Prompts and answers: of a call it is
//! told the numbers alone.

pub mod advice;
pub mod bandit;
pub mod gp;
mod importance;
pub mod journal;
pub mod report;
pub mod sampler;
mod service;
pub mod space;
pub mod storage;
mod stream;
pub mod study;

pub use service::{
    About, Advised, AnalyticsError, AnalyticsOptions, BanditDocument, CallOutcome, ParameterAnalytics,
    PolicyName, RewardName, SharedBandit, SharedStudy, StudyDocument,
};
pub use stream::Stream;
