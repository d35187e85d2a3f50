//! Which model should answer, and why: a pure function of a question, a catalogue and what is known of the models now.
//!
//! [`decide`] takes away whom the question rules out (hard filters), scores the rest by five named terms, and writes the
//! [`RoutePlan`](route_plan::RoutePlan) that a coordinator carries out. What it found out on the way stays in the [`Decision`]: every
//! candidate with its terms, and why the others lost. A [`Record`] of it can be decided [again](Record::replay), to the same bytes.
//!
//! ```
//! use llm_router::{Catalogue, Model, Policy, Question, Snapshot, Target, decide};
//!
//! let small = Model { quality: Some(0.4), ..Model::new("small") };
//! let large = Model { quality: Some(0.9), ..Model::new("large") };
//! let catalogue = Catalogue::new(vec![small, large], []);
//! let question = Question::new(Target::Auto, 120);
//! let decision = decide("req_1", &question, &catalogue, &Snapshot::default(), &Policy::default())?;
//! assert_eq!(decision.chosen.as_deref(), Some("large"));
//! assert_eq!(decision.candidates[1].terms.quality, 0.4);
//! # Ok::<(), llm_router::RouterError>(())
//! ```
//!
//! # What it deliberately does not know
//! Sockets, HTTP, files, clocks, how a plan is carried out. What is learnt of the models' quality, from answers that were judged
//! ([`learned`]) and from judgements as they come ([`Judgements`]), comes into a decision as numbers.

mod candidates;
mod cascade;
mod catalogue;
mod config;
mod decide;
mod decision;
mod error;
mod filter;
mod judgements;
pub mod learned;
mod question;
mod record;
mod score;
mod snapshot;

pub use cascade::{Cascade, NoCascade};
pub use catalogue::{Catalogue, Model};
pub use config::{Policy, RoutingConfig, Weights};
pub use decide::decide;
pub use decision::{Candidate, Decision, Estimate, Order, Terms};
pub use error::RouterError;
pub use filter::Rejection;
pub use judgements::{Belief, HALF_LIFE, Judgement, Judgements, Seen, drawn};
pub use question::{Constraints, PromptTokens, Question, Target};
pub use record::{Record, RecordError, VERSION};
pub use score::quality;
pub use snapshot::{Snapshot, Standing};
