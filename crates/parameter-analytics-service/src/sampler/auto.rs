//! Which sampler suits.

use crate::sampler::SamplerKind;
use crate::space::Space;

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Never `Auto`.
    pub sampler: SamplerKind,
    /// A sentence.
    pub reason: String,
}

/// A Gaussian process with more inputs than this has a factor of 20 MB and more, and a second for each ask.
const MODELLED: usize = 1_500;
/// With more dimensions than this the distances between points say little.
const WIDE: usize = 100;

/// Chooses by the dimensions of the space and by how many trials are complete.
pub fn choose(space: &Space, complete: usize) -> Choice {
    let dimensions = space.dimensions();
    if complete > MODELLED || dimensions > WIDE {
        let reason = format!(
            "{complete} trials in {dimensions} dimensions are too many for a Gaussian process (more than {MODELLED} or {WIDE})"
        );
        return Choice { sampler: SamplerKind::Tpe, reason };
    }
    let reason = format!("a Gaussian process learns most from {complete} trials in {dimensions} dimensions");
    Choice { sampler: SamplerKind::Gp, reason }
}
