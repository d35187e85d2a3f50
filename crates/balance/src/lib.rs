//! Chooses one of several endpoints. Ways to pick: [`power_of_two`] of what [`PeakEwma`] estimates a request would wait,
//! [`RoundRobin`] by weights, [`least_in_flight`] by weights, [`affinity`] of like requests to the same endpoint within a
//! bound on its load. [`SlowStart`] lets the weight of one that came back grow; [`RecentMean`] is what a request takes.
//!
//! `tower::load::PeakEwma` ties the estimate to a service it wraps and reads the clock itself; a decision that is
//! tested with tables needs both passed in. The algorithm is Finagle's, by way of tower and linkerd2-proxy. Knows
//! nothing of endpoints, sockets or models.
//!
//! ```
//! use std::time::{Duration, Instant};
//! let t0 = Instant::now();
//! let mut near = balance::PeakEwma::new(Duration::from_millis(30), Duration::from_secs(10), t0);
//! near.observe(Duration::from_millis(20), t0);
//! let costs = [near.get_at(t0).as_secs_f64(), 0.4];
//! assert_eq!(balance::power_of_two(2, |i| costs[i], &mut fastrand::Rng::with_seed(1)), Some(0));
//! ```

mod affinity;
mod ewma;
mod load;
mod mean;
mod round_robin;
mod slow_start;
mod two_choices;

pub use affinity::{Home, affinity};
pub use ewma::PeakEwma;
pub use load::{Load, bound, least_in_flight};
pub use mean::RecentMean;
pub use round_robin::RoundRobin;
pub use slow_start::SlowStart;
pub use two_choices::power_of_two;
