//! What is tried once the model is nearly sure that nothing is to be gained.
//!
//! It may be sure for the wrong reason: length scales are fitted to what was seen, and where a parameter made no difference with one
//! category it is believed to make none with any. Then no improvement is expected of a category that was tried once, with unlucky values
//! of the others. Bull (JMLR 2011) shows that expected improvement with fitted length scales may stay in the wrong place for ever, and
//! Berkenkamp, Schoellig and Krause (JMLR 2019) let them shrink with time. Here a second model doubts: no length scale is longer than
//! was likely before anything was seen. It is asked for one trial of three, and only about the neighbours of the best point in its
//! discrete values; asked about the whole space it would go through the corners.

use super::Models;
use crate::gp::likelihood;
use crate::gp::{Acquisition, Below, Candidate, Posterior, exchanges, ordered};
use crate::sampler::Observations;
use crate::space::Space;

/// One trial of so many; the others go on with what the model expects.
const ONE_OF: usize = 3;
/// Of the neighbours so many are offered, for when the best were tried.
const OFFERED: usize = 32;

impl Models {
    /// Whether a trial is one for which the model is doubted.
    pub(super) fn is_doubted(known: &Observations) -> bool {
        (known.len() + known.pending.len()).is_multiple_of(ONE_OF)
    }

    /// The neighbours of the best point in its discrete values, those of which a doubting model expects the most first; none where there
    /// are no discrete values. `acquisition` is that of the model. O(n^3).
    pub(super) fn doubted(
        &self,
        space: &Space,
        known: &Observations,
        observed: &[&[f64]],
        acquisition: &Acquisition<'_>,
        best: &[f64],
    ) -> Vec<Candidate> {
        let points = exchanges(space, best);
        if points.is_empty() {
            return Vec::new();
        }
        let pairs = self.posteriors.iter().zip(observed);
        let doubting: Option<Vec<Posterior>> =
            pairs.map(|(posterior, observed)| doubting(posterior, known, observed)).collect();
        let Some((objective, limited)) = doubting.as_deref().and_then(<[_]>::split_first) else {
            return Vec::new();
        };
        let with = |(posterior, below): (_, &Below<'_>)| Below { posterior, limit: below.limit };
        let constraints = limited.iter().zip(&acquisition.constraints).map(with).collect();
        let limit = acquisition.objective.map_or(0.0, |below| below.limit);
        let own =
            Acquisition { objective: Some(Below { posterior: objective, limit }), constraints, caution: 1.0 };
        let values = own.values(&points).into_iter().map(ordered);
        let pairs = points.into_iter().zip(values);
        let mut found: Vec<Candidate> =
            pairs.map(|(coordinates, value)| Candidate { value, coordinates }).collect();
        found.sort_by(|a, b| b.value.total_cmp(&a.value));
        found.truncate(OFFERED);
        found
    }
}

/// The same model with no length scale longer than where a fit begins.
fn doubting(posterior: &Posterior, known: &Observations, observed: &[f64]) -> Option<Posterior> {
    let mut hyperparameters = posterior.hyperparameters().clone();
    let before = likelihood::hyperparameters(&likelihood::start(known.inputs.dimensions()));
    for (weight, least) in hyperparameters.kernel.weights.iter_mut().zip(&before.kernel.weights) {
        *weight = weight.max(*least);
    }
    let mut doubting = Posterior::new(hyperparameters, &known.inputs, known.len(), observed).ok()?;
    known.pending.iter().for_each(|(_, coordinates)| doubting.believe(coordinates));
    Some(doubting)
}
