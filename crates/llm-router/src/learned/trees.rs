//! Gradient-boosted regression trees of depth three over binned measures.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine" (2001), with LightGBM's histograms. Its own
//! two hundred lines, because the crates that exist bring a C++ build (lightgbm3) or a data-frame's worth of
//! dependencies (perpetual), or have not been kept for years (gbdt).

use serde::{Deserialize, Serialize};

/// Levels of a tree; eight leaves see three measures together, which is what some 10,000 rows can support.
const DEPTH: usize = 3;
/// Inner nodes of a tree.
const INNER: usize = (1 << DEPTH) - 1;
/// Leaves of a tree.
const LEAVES: usize = 1 << DEPTH;
/// Bins of a measure: finer ones found nothing more.
const BINS: usize = 32;
/// Shrinks a leaf of little weight towards nothing.
const LEAF_RIDGE: f64 = 20.0;
/// The least weight of rows on either side of a split.
const LEAST_WEIGHT: f64 = 40.0;
/// What share of the rows, and of the measures, one tree sees.
const ROWS: f64 = 0.7;
const MEASURES: f64 = 0.4;

/// How much is learned: `trees` steps of `rate`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    pub(super) trees: usize,
    pub(super) rate: f64,
}

/// One tree, complete: node `i` has the children `2i + 1` (at most the threshold) and `2i + 2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tree {
    pub(super) measure: [u16; INNER],
    pub(super) threshold: [f32; INNER],
    pub(super) leaf: [f32; LEAVES],
}

impl Tree {
    fn value(&self, row: &[f32]) -> f64 {
        let mut node = 0;
        for _ in 0..DEPTH {
            let value = row.get(usize::from(self.measure[node])).copied().unwrap_or(0.0);
            node = 2 * node + if value <= self.threshold[node] { 1 } else { 2 };
        }
        f64::from(self.leaf[node - INNER])
    }
}

/// A sum of trees.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Trees(pub(super) Vec<Tree>);

impl Trees {
    pub(super) fn value(&self, row: &[f32]) -> f64 {
        self.0.iter().map(|tree| tree.value(row)).sum()
    }
}

/// The measures of all rows by bins, which every fold and target shares.
pub(super) struct Binned {
    /// For each measure the bin of each row.
    columns: Vec<Vec<u8>>,
    /// For each measure the greatest value of each bin but the last.
    edges: Vec<Vec<f32>>,
}

impl Binned {
    pub(super) fn of(rows: &[&[f32]]) -> Self {
        let measures = rows.first().map_or(0, |row| row.len());
        let mut columns = Vec::with_capacity(measures);
        let mut edges = Vec::with_capacity(measures);
        for measure in 0..measures {
            let mut values: Vec<f32> = rows.iter().map(|row| row[measure]).collect();
            values.sort_unstable_by(f32::total_cmp);
            let mut edge: Vec<f32> = (1..BINS).map(|i| values[i * values.len() / BINS]).collect();
            edge.dedup();
            // Nothing lies above the greatest value.
            edge.retain(|e| Some(e) < values.last());
            columns.push(rows.iter().map(|row| edge.partition_point(|&e| e < row[measure]) as u8).collect());
            edges.push(edge);
        }
        Self { columns, edges }
    }

    /// Trees for `target` of the rows `of`, each with its weight.
    pub(super) fn grow(
        &self,
        of: &[usize],
        target: &[f64],
        weight: &[f64],
        growth: Growth,
        rng: &mut fastrand::Rng,
    ) -> Trees {
        let mut residual: Vec<f64> = target.to_vec();
        let mut trees = Vec::with_capacity(growth.trees);
        let mut measures: Vec<usize> = (0..self.columns.len()).collect();
        let seen = ((measures.len() as f64 * MEASURES) as usize).max(1);
        for _ in 0..growth.trees {
            let rows: Vec<usize> = of.iter().copied().filter(|_| rng.f64() < ROWS).collect();
            rng.shuffle(&mut measures);
            let tree = self.tree(&rows, &measures[..seen], &residual, weight, growth.rate);
            for &row in of {
                residual[row] -= self.value(&tree, row);
            }
            trees.push(self.with_thresholds(&tree));
        }
        Trees(trees)
    }

    fn value(&self, tree: &Splits, row: usize) -> f64 {
        f64::from(tree.leaf[self.leaf(tree, row, DEPTH) - INNER])
    }

    /// The node that a row has reached after so many levels.
    fn leaf(&self, tree: &Splits, row: usize, levels: usize) -> usize {
        let mut node = 0;
        for _ in 0..levels {
            let (measure, bin) = tree.split[node];
            node = 2 * node + if self.columns[measure][row] <= bin { 1 } else { 2 };
        }
        node
    }

    fn tree(
        &self,
        rows: &[usize],
        measures: &[usize],
        residual: &[f64],
        weight: &[f64],
        rate: f64,
    ) -> Splits {
        let mut tree = Splits { split: [(0, u8::MAX); INNER], leaf: [0.0; LEAVES] };
        let mut node_of: Vec<usize> = vec![0; rows.len()];
        for level in 0..DEPTH {
            let first = (1 << level) - 1;
            let nodes = 1 << level;
            let mut best = vec![(0.0, (0, u8::MAX)); nodes];
            let mut sums = vec![[(0.0, 0.0); BINS]; nodes];
            for &measure in measures {
                sums.fill([(0.0, 0.0); BINS]);
                let column = &self.columns[measure];
                for (&row, &node) in rows.iter().zip(&node_of) {
                    let sum = &mut sums[node - first][usize::from(column[row])];
                    sum.0 += residual[row] * weight[row];
                    sum.1 += weight[row];
                }
                for (best, bins) in best.iter_mut().zip(&sums) {
                    if let Some((gain, bin)) = best_split(bins)
                        && gain > best.0
                    {
                        *best = (gain, (measure, bin));
                    }
                }
            }
            for (i, (_, split)) in best.into_iter().enumerate() {
                tree.split[first + i] = split;
            }
            for (node, &row) in node_of.iter_mut().zip(rows) {
                let (measure, bin) = tree.split[*node];
                *node = 2 * *node + if self.columns[measure][row] <= bin { 1 } else { 2 };
            }
        }
        let mut sums = [(0.0, 0.0); LEAVES];
        for (&node, &row) in node_of.iter().zip(rows) {
            let sum = &mut sums[node - INNER];
            sum.0 += residual[row] * weight[row];
            sum.1 += weight[row];
        }
        for (leaf, (sum, weight)) in tree.leaf.iter_mut().zip(sums) {
            *leaf = (rate * sum / (weight + LEAF_RIDGE)) as f32;
        }
        tree
    }

    fn with_thresholds(&self, tree: &Splits) -> Tree {
        let mut out = Tree { measure: [0; INNER], threshold: [f32::MAX; INNER], leaf: tree.leaf };
        for (node, &(measure, bin)) in tree.split.iter().enumerate() {
            out.measure[node] = measure as u16;
            out.threshold[node] = self.edges[measure].get(usize::from(bin)).copied().unwrap_or(f32::MAX);
        }
        out
    }
}

/// A tree while it grows: splits by bin. `u8::MAX` sends every row to the left.
struct Splits {
    split: [(usize, u8); INNER],
    leaf: [f32; LEAVES],
}

/// Where splitting lowers the squared error most, and by how much.
fn best_split(bins: &[(f64, f64); BINS]) -> Option<(f64, u8)> {
    let (sum, weight) = bins.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    let worth = |sum: f64, weight: f64| sum * sum / (weight + LEAF_RIDGE);
    let mut left = (0.0, 0.0);
    let mut best = None::<(f64, u8)>;
    for (bin, value) in bins.iter().enumerate().take(BINS - 1) {
        left.0 += value.0;
        left.1 += value.1;
        if value.1 == 0.0 || left.1 < LEAST_WEIGHT || weight - left.1 < LEAST_WEIGHT {
            continue;
        }
        let gain = worth(left.0, left.1) + worth(sum - left.0, weight - left.1) - worth(sum, weight);
        if best.is_none_or(|(known, _)| gain > known) {
            best = Some((gain, bin as u8));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_and_an_interaction_are_found() {
        let mut rng = fastrand::Rng::with_seed(1);
        let rows: Vec<Vec<f32>> = (0..4000).map(|_| (0..10).map(|_| rng.f32()).collect()).collect();
        let truth = |row: &[f32]| if row[0] > 0.5 && row[2] > 0.3 { 1.0 } else { 0.0 };
        let target: Vec<f64> = rows.iter().map(|row| truth(row) + rng.f64() - 0.5).collect();
        let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let binned = Binned::of(&slices);
        let all: Vec<usize> = (0..rows.len()).collect();
        let growth = Growth { trees: 150, rate: 0.1 };
        let trees = binned.grow(&all, &target, &vec![1.0; rows.len()], growth, &mut rng);
        let error: f64 = rows.iter().map(|row| (trees.value(row) - truth(row)).powi(2)).sum::<f64>() / 4000.0;
        assert!(error < 0.02, "mean squared error {error}");
    }

    #[test]
    fn measures_that_never_differ_are_left_alone() {
        let rows = vec![vec![1.0f32, 2.0]; 200];
        let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let all: Vec<usize> = (0..200).collect();
        let growth = Growth { trees: 5, rate: 0.1 };
        let mut rng = fastrand::Rng::with_seed(1);
        let trees = Binned::of(&slices).grow(&all, &vec![0.0; 200], &vec![1.0; 200], growth, &mut rng);
        assert_eq!(trees.value(&[1.0, 2.0]), 0.0);
    }
}
