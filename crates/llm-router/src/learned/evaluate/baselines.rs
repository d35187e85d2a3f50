//! Simpler ways to score a prompt, to be measured against.

use super::super::features::LENGTH;
use super::super::linear::{dense_ridge, sparse_ridge};
use super::super::parts::{Vocabulary, WORD_RIDGE, scaled_embedding};
use super::super::{Example, PromptFeatures};

/// One way to score rows of `test` after seeing those of `train`: greater asks the strong model first.
pub(super) type Baseline = fn(&[&Example], &[f64], &[&Example]) -> Vec<f64>;

/// Their names, and whether they need embeddings.
pub(super) const BASELINES: [(&str, bool, Baseline); 6] = [
    ("random", false, random),
    ("prompt length", false, length),
    ("subject mean", false, subject_mean),
    ("TF-IDF ridge", false, tfidf_ridge),
    ("MiniLM ridge", true, embedding_ridge),
    ("MiniLM kNN", true, embedding_neighbours),
];

fn random(_: &[&Example], _: &[f64], test: &[&Example]) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(1);
    test.iter().map(|_| rng.f64()).collect()
}

fn length(_: &[&Example], _: &[f64], test: &[&Example]) -> Vec<f64> {
    test.iter().map(|row| row.features.form.get(LENGTH).copied().map_or(0.0, f64::from)).collect()
}

/// The mean gain of the row's subject, which it is told; of all where the subject is unknown.
fn subject_mean(train: &[&Example], gains: &[f64], test: &[&Example]) -> Vec<f64> {
    let mut sums = std::collections::HashMap::new();
    for (row, gain) in train.iter().zip(gains) {
        let sum = sums.entry(row.subject).or_insert((0.0, 0.0));
        *sum = (sum.0 + gain, sum.1 + 1.0);
    }
    let all = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    test.iter().map(|row| sums.get(&row.subject).map_or(all, |(sum, n)| sum / n)).collect()
}

/// Ridge regression of the gain on words and pairs of words.
fn tfidf_ridge(train: &[&Example], gains: &[f64], test: &[&Example]) -> Vec<f64> {
    let features: Vec<&PromptFeatures> = train.iter().map(|row| &row.features).collect();
    let all: Vec<usize> = (0..train.len()).collect();
    let vocabulary = Vocabulary::of(&features, &all);
    let rows: Vec<_> = features.iter().map(|f| vocabulary.weighted(f)).collect();
    let (b, _) = sparse_ridge(&rows, &all, gains, &vec![1.0; train.len()], vocabulary.len(), WORD_RIDGE);
    let score = |row: &&Example| {
        vocabulary.weighted(&row.features).iter().map(|&(column, x)| f64::from(x * b[column as usize])).sum()
    };
    test.iter().map(score).collect()
}

fn embedding(row: &Example) -> Vec<f32> {
    scaled_embedding(row.features.embedding.as_deref().unwrap_or_default())
}

fn embedding_ridge(train: &[&Example], gains: &[f64], test: &[&Example]) -> Vec<f64> {
    let rows: Vec<Vec<f32>> = train.iter().map(|row| embedding(row)).collect();
    let all: Vec<usize> = (0..train.len()).collect();
    let (b, _) = dense_ridge(&rows, &all, gains, &vec![1.0; train.len()], 30.0);
    let score = |row: &&Example| embedding(row).iter().zip(&b).map(|(x, b)| f64::from(x * b)).sum();
    test.iter().map(score).collect()
}

/// Neighbours whose mean gain is taken: 50 to 100 do best on exam questions.
const NEIGHBOURS: usize = 75;

fn embedding_neighbours(train: &[&Example], gains: &[f64], test: &[&Example]) -> Vec<f64> {
    let rows: Vec<Vec<f32>> = train.iter().map(|row| embedding(row)).collect();
    let score = |row: &&Example| {
        let row = embedding(row);
        let mut near: Vec<(f32, f64)> = rows
            .iter()
            .zip(gains)
            .map(|(other, gain)| (other.iter().zip(&row).map(|(a, b)| a * b).sum::<f32>(), *gain))
            .collect();
        let k = NEIGHBOURS.min(near.len());
        if k == 0 {
            return 0.0;
        }
        near.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
        near.iter().take(k).map(|(_, gain)| gain).sum::<f64>() / k as f64
    };
    test.iter().map(score).collect()
}
