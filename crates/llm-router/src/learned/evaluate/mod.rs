//! How much quality a scoring buys for the strong model's calls, beside simpler ways to score.
//!
//! The measures are RouteLLM's (arXiv 2406.18665). Rows are sorted by a score; the strong model is asked for the first
//! share of them, the weak one for the rest. The gap is what always asking the strong model gains.

mod baselines;
mod compare;
mod curve;
mod plot;

pub use compare::{Comparison, EvalOptions, Named, Setting, across, cross_validate};
pub use curve::{Curve, Measures, calibration_error, difference};
pub use plot::{Line, svg};
