//! A Gaussian process as a model of what was told, and where it expects the most.
//!
//! [`likelihood`] finds hyperparameters, [`Posterior`] predicts with them, [`Acquisition`] says what a point is worth, and [`maximise`]
//! where that is most. Inputs are [coordinates](crate::space::Space::encode); observations have mean 0 and variance 1.

mod acquisition;
pub mod bounded;
mod exchange;
mod factor;
mod kernel;
pub mod likelihood;
pub(crate) mod lower;
mod maximise;
pub mod normal;
pub mod outcome;
mod posterior;
mod vector;

pub use acquisition::{Acquisition, Below};
pub(crate) use exchange::exchanges;
pub use factor::NotFinite;
pub use kernel::{Inputs, Kernel};
pub use maximise::{Candidate, Effort, maximise};
pub(crate) use maximise::{neighbour, ordered};
pub use posterior::{Hyperparameters, Posterior, Prediction, Scratch};
