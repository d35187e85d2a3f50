//! What to try next, and what is best so far.
//!
//! A [`study::Study`] is asked for trials and told what came of them; [`journal`] turns what happened into bytes and back, and
//! [`report`] draws it.
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
//! Language models, HTTP, clocks, where a study is kept: times, bytes and seeds are passed in.

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
