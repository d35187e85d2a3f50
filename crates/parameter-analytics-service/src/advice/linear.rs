//! Linear regression with a ridge, for what is too little for a Gaussian process: slopes of features, and of scatter.

use crate::gp::lower::Lower;

/// The slopes that explain `value` by `features` best, with weights and a ridge (Hoerl and Kennard 1970): as if `ridge` records with
/// features of 1 had said that each slope is 0. Zeros where nothing can be said. A dozen features at most, so that the normal equations
/// and [`Lower`] do; a crate of linear algebra would bring thirty others.
pub(super) fn slopes<'a>(
    records: impl Iterator<Item = (&'a [f64], f64, f64)>,
    dimensions: usize,
    ridge: f64,
) -> Vec<f64> {
    let mut gram = Lower::zeros(dimensions);
    let mut right = vec![0.0; dimensions];
    gram.add_to_diagonal(ridge);
    for (features, value, weight) in records {
        for ((row, feature), right) in features.iter().enumerate().zip(right.iter_mut()) {
            *right += weight * feature * value;
            for (entry, other) in gram.row_mut(row).iter_mut().zip(features) {
                *entry += weight * feature * other;
            }
        }
    }
    let mut slopes = vec![0.0; dimensions];
    if gram.factor() {
        for row in gram.inverse().rows() {
            let v: f64 = row.iter().zip(&right).map(|(entry, right)| entry * right).sum();
            slopes.iter_mut().zip(row).for_each(|(slope, entry)| *slope += v * entry);
        }
    }
    if slopes.iter().all(|slope| slope.is_finite()) { slopes } else { vec![0.0; dimensions] }
}

/// How a quantity moves with the context, whatever the parameters are.
#[derive(Debug, Clone, Default)]
pub(super) struct ByContext {
    means: Vec<f64>,
    slopes: Vec<f64>,
}

/// Deviations of a feature are of the order of 1 (they are logarithms), so that this many records decide against no slope at all.
const RIDGE: f64 = 1.0;

impl ByContext {
    /// Learns from what differs within a group of records alone (the fixed effects of Mundlak 1978), so that a configuration that is used
    /// for long prompts is not taken for slow. `records`: group, features (empty: not known), value.
    pub(super) fn fit(records: &[(usize, &[f64], f64)], groups: usize, features: usize) -> Self {
        if features == 0 {
            return Self::default();
        }
        let known = || records.iter().filter(|(_, context, _)| context.len() == features);
        // Of each group: features, value, count.
        let mut sums = vec![(vec![0.0; features], 0.0, 0.0); groups];
        let mut total = (vec![0.0; features], 0.0f64);
        for (group, context, value) in known() {
            if let Some((sum, of_value, count)) = sums.get_mut(*group) {
                sum.iter_mut().zip(*context).for_each(|(sum, feature)| *sum += feature);
                *of_value += value;
                *count += 1.0;
            }
            total.0.iter_mut().zip(*context).for_each(|(sum, feature)| *sum += feature);
            total.1 += 1.0;
        }
        let within: Vec<(Vec<f64>, f64)> = known()
            .filter_map(|(group, context, value)| {
                let (sum, of_value, count) = sums.get(*group)?;
                let features = context.iter().zip(sum).map(|(feature, sum)| feature - sum / count).collect();
                Some((features, value - of_value / count))
            })
            .collect();
        let records = within.iter().map(|(features, value)| (&**features, *value, 1.0));
        let means = total.0.iter().map(|sum| sum / total.1.max(1.0)).collect();
        Self { means, slopes: slopes(records, features, RIDGE) }
    }

    /// By how much a context moves the quantity from what it is in the mean context; 0 for an unknown one.
    pub(super) fn shift(&self, context: &[f64]) -> f64 {
        let terms = context.iter().zip(&self.means).zip(&self.slopes);
        terms.map(|((feature, mean), slope)| slope * (feature - mean)).sum()
    }
}
