//! The parts that a prediction is put together from, fitted to some rows: each says how far a prompt is from the
//! mean, for how easy it is and for how each model does beyond that.

use serde::{Deserialize, Serialize};

use super::PromptFeatures;
use super::features::{FORM, LENGTH};
use super::linear::{SparseRow, dense_ridge, sparse_ridge, weighted_mean};
use super::trees::{Binned, Growth, Trees};

/// Shrinks the words' weights; between 5 and 20 it made no difference on exam questions.
pub(super) const WORD_RIDGE: f64 = 10.0;
/// Shrinks the weights of words and measures together, where ease is learned: it spreads half as far as gain.
const JOINT_RIDGE: f64 = 5.0;
/// The scale of a standardised measure among words, whose vector has length 1: fifty of them are then about as long.
const MEASURE_SCALE: f32 = 0.1;
/// Trees for how easy a prompt is: every model's score speaks of it.
const EASE_GROWTH: Growth = Growth { trees: 150, rate: 0.05 };
/// Trees for what is particular to a model: there is less to find.
const RELATIVE_GROWTH: Growth = Growth { trees: 250, rate: 0.03 };
/// Numbers that a prompt's words are sketched into to compare it with what was learned from; a multiple of eight.
pub(super) const SKETCH: usize = 1024;

/// Parts of a prediction of ease, in the order of [`Signals::ease`]: trees, words with measures.
pub(super) const EASE_PARTS: usize = 2;
/// Parts of a prediction of a model's own: length, words, trees. The curve comes before them.
pub(super) const RELATIVE_PARTS: usize = 3;

/// How measures are brought to one scale, and within what they were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale {
    mean: Vec<f32>,
    spread: Vec<f32>,
}

impl Scale {
    pub(super) fn of(rows: &[&PromptFeatures]) -> Self {
        let n = rows.len().max(1) as f32;
        let mut mean = vec![0.0f32; FORM.len()];
        let mut spread = vec![0.0f32; FORM.len()];
        for row in rows {
            for (mean, value) in mean.iter_mut().zip(&row.form) {
                *mean += value / n;
            }
        }
        for row in rows {
            for ((spread, mean), value) in spread.iter_mut().zip(&mean).zip(&row.form) {
                *spread += (value - mean).powi(2) / n;
            }
        }
        for spread in &mut spread {
            *spread = spread.sqrt().max(1e-6);
        }
        Self { mean, spread }
    }

    /// Standardised measures; what is far outside of what was seen counts as its border.
    pub(super) fn apply(&self, features: &PromptFeatures) -> Vec<f32> {
        let scaled = features.form.iter().zip(&self.mean).zip(&self.spread);
        scaled.map(|((value, mean), spread)| ((value - mean) / spread).clamp(-3.0, 3.0)).collect()
    }

    /// Standardised length, without a border: it must keep telling long from longer.
    fn length(&self, features: &PromptFeatures) -> f64 {
        f64::from((features.form[LENGTH] - self.mean[LENGTH]) / self.spread[LENGTH])
    }

    pub(super) fn is_sound(&self) -> bool {
        self.mean.len() == FORM.len()
            && self.spread.len() == FORM.len()
            && self.mean.iter().all(|v| v.is_finite())
            && self.spread.iter().all(|v| v.is_finite() && *v > 0.0)
    }
}

/// Linear weights with the share of the intercept that is beyond the mean.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) weights: Vec<f32>,
    pub(super) offset: f64,
}

impl Line {
    fn sparse(&self, row: &SparseRow) -> f64 {
        let weight = |column: u32| self.weights.get(column as usize).copied().unwrap_or(0.0);
        self.offset + row.iter().map(|&(column, x)| f64::from(x * weight(column))).sum::<f64>()
    }

    fn is_sound(&self, columns: usize) -> bool {
        self.weights.len() == columns && self.offset.is_finite() && self.weights.iter().all(|w| w.is_finite())
    }
}

/// What was fitted for how easy a prompt is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Ease {
    /// By words, then by measures.
    joint: Line,
    trees: Trees,
}

/// What was fitted for one model's score beyond that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Own {
    /// The slope by standardised length.
    length: f64,
    words: Line,
    trees: Trees,
}

/// Everything that was fitted to one set of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) scale: Scale,
    vocabulary: Vocabulary,
    ease: Ease,
    /// Each model but, where every row has every score, the last.
    pub(super) own: Vec<Own>,
    /// The mean of the sketches of prompts that were learned from, then, for each group of them, how its mean differs
    /// from that, brought to length 1.
    centroids: Vec<Vec<f32>>,
}

/// What the parts say of one prompt.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    pub(super) ease: [f64; EASE_PARTS],
    /// For each model.
    pub(super) relative: Vec<[f64; RELATIVE_PARTS]>,
    /// What share of its words was seen, and how near the nearest group is.
    pub(super) novelty: [f64; 2],
}

/// All rows of a training, with what every fold shares.
pub(super) struct Rows<'a> {
    pub(super) features: Vec<&'a PromptFeatures>,
    pub(super) scale: Scale,
    pub(super) form: Vec<Vec<f32>>,
    pub(super) binned: Binned,
    /// Ease first, then each model: target and weight of each row.
    pub(super) targets: Vec<(Vec<f64>, Vec<f64>)>,
    pub(super) group: Vec<usize>,
    pub(super) models: usize,
}

impl Parts {
    /// Fits every part to the rows `of`.
    pub(super) fn fit(rows: &Rows<'_>, of: &[usize], rng: &mut fastrand::Rng) -> Self {
        let vocabulary = Vocabulary::of(&rows.features, of);
        let mut words: Vec<SparseRow> = vec![Vec::new(); rows.features.len()];
        for &i in of {
            words[i] = vocabulary.weighted(rows.features[i]);
        }
        let mut joint = words.clone();
        for &i in of {
            vocabulary.join(&mut joint[i], &rows.form[i]);
        }
        let length: Vec<[f32; 1]> = rows.features.iter().map(|f| [rows.scale.length(f) as f32]).collect();
        let centre = |(target, weight): &(Vec<f64>, Vec<f64>)| {
            let mean = weighted_mean(of, target, weight);
            target.iter().map(|y| y - mean).collect::<Vec<f64>>()
        };
        let line = |(weights, offset): (Vec<f32>, f64)| Line { weights, offset };
        let fitted = rows.targets.first().map(|target| {
            let (centred, weight) = (centre(target), &target.1);
            let columns = vocabulary.len() + FORM.len();
            Ease {
                joint: line(sparse_ridge(&joint, of, &centred, weight, columns, JOINT_RIDGE)),
                trees: rows.binned.grow(of, &centred, weight, EASE_GROWTH, rng),
            }
        });
        let ease = fitted.unwrap_or_default();
        let own = rows.targets.iter().skip(1).map(|target| {
            let (centred, weight) = (centre(target), &target.1);
            Own {
                length: f64::from(dense_ridge(&length, of, &centred, weight, 1.0).0[0]),
                words: line(sparse_ridge(&words, of, &centred, weight, vocabulary.len(), WORD_RIDGE)),
                trees: rows.binned.grow(of, &centred, weight, RELATIVE_GROWTH, rng),
            }
        });
        let own = own.collect();
        let centroids = centroids(&words, of, &rows.group);
        Self { scale: rows.scale.clone(), vocabulary, ease, own, centroids }
    }

    /// What every part says of a prompt, for so many models.
    pub(super) fn signals(&self, features: &PromptFeatures, models: usize) -> Signals {
        let form = self.scale.apply(features);
        let words = self.vocabulary.weighted(features);
        let mut joint = words.clone();
        self.vocabulary.join(&mut joint, &form);
        let ease = [self.ease.trees.value(&features.form), self.ease.joint.sparse(&joint)];
        let length = self.scale.length(features);
        let of = |own: &Own| [own.length * length, own.words.sparse(&words), own.trees.value(&features.form)];
        let mut relative: Vec<[f64; RELATIVE_PARTS]> = self.own.iter().map(of).collect();
        if relative.len() < models {
            // What one model has more, the others have less.
            let mut last = [0.0; RELATIVE_PARTS];
            for model in &relative {
                for (last, value) in last.iter_mut().zip(model) {
                    *last -= value;
                }
            }
            relative.push(last);
        }
        let mut sketch = sketch(&words);
        if let Some(mean) = self.centroids.first() {
            away_from(&mut sketch, mean);
        }
        let nearest =
            self.centroids.iter().skip(1).map(|c| f64::from(product(c, &sketch))).fold(0.0, f64::max);
        let share = words.len() as f64 / features.words.len().max(1) as f64;
        Signals { ease, relative, novelty: [share, nearest] }
    }

    /// Whether everything has the size that [`Parts::signals`] reads.
    pub(super) fn is_sound(&self, models: usize) -> bool {
        let trees = |trees: &Trees| trees.0.iter().all(|t| t.leaf.iter().all(|v| v.is_finite()));
        self.scale.is_sound()
            && self.vocabulary.is_sound()
            && (self.own.len() == models || self.own.len() + 1 == models)
            && self.centroids.iter().all(|c| c.len() == SKETCH && c.iter().all(|v| v.is_finite()))
            && self.ease.joint.is_sound(self.vocabulary.len() + FORM.len())
            && trees(&self.ease.trees)
            && self.own.iter().all(|own| {
                own.length.is_finite() && own.words.is_sound(self.vocabulary.len()) && trees(&own.trees)
            })
    }
}

/// An embedding of length 5.
pub(super) fn scaled_embedding(embedding: &[f32]) -> Vec<f32> {
    let norm = embedding.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
    embedding.iter().map(|v| 5.0 * v / norm).collect()
}

/// The words that occur in two rows or more, and how telling each is: ln((1 + rows) / (1 + rows with it)) + 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Vocabulary {
    /// Ascending; a word's place here is its column.
    buckets: Vec<u32>,
    idf: Vec<f32>,
}

impl Vocabulary {
    pub(super) fn of(features: &[&PromptFeatures], of: &[usize]) -> Self {
        let mut all: Vec<u32> =
            of.iter().flat_map(|&i| features[i].words.iter().map(|&(bucket, _)| bucket)).collect();
        all.sort_unstable();
        let n = of.len() as f32;
        let repeated = all.chunk_by(|a, b| a == b).filter(|same| same.len() >= 2);
        let (buckets, idf) = repeated
            .filter_map(|same| Some((*same.first()?, ((1.0 + n) / (1.0 + same.len() as f32)).ln() + 1.0)))
            .unzip();
        Self { buckets, idf }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// A prompt's known words by column, weighted by how telling they are, as a vector of length 1.
    pub(super) fn weighted(&self, features: &PromptFeatures) -> SparseRow {
        let known = features.words.iter().filter_map(|&(bucket, count)| {
            let column = self.buckets.binary_search(&bucket).ok()?;
            Some((column as u32, count * self.idf.get(column)?))
        });
        let mut row: SparseRow = known.collect();
        let norm = row.iter().map(|(_, value)| value * value).sum::<f32>().sqrt().max(1e-12);
        for (_, value) in &mut row {
            *value /= norm;
        }
        row
    }

    /// Adds standardised measures to the words of [`Vocabulary::weighted`], as the columns that follow them.
    fn join(&self, words: &mut SparseRow, form: &[f32]) {
        let columns = self.len() as u32..;
        words.extend(columns.zip(form).map(|(column, value)| (column, MEASURE_SCALE * value)));
    }

    fn is_sound(&self) -> bool {
        self.idf.len() == self.buckets.len()
            && self.buckets.is_sorted_by(|a, b| a < b)
            && self.idf.iter().all(|v| v.is_finite())
    }
}

/// A count sketch (Charikar, Chen, Farach-Colton 2002) of weighted words, as a vector of length 1: products of
/// sketches are near the products of what they are of.
pub(super) fn sketch(words: &SparseRow) -> Vec<f32> {
    let mut sketch = vec![0.0f32; SKETCH];
    for &(bucket, value) in words {
        let hash = bucket.wrapping_mul(0x9E37_79B1);
        let place = (hash >> 8) as usize % SKETCH;
        sketch[place] += if hash >> 31 == 0 { value } else { -value };
    }
    normalise(&mut sketch);
    sketch
}

pub(super) fn normalise(vector: &mut [f32]) {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
    for v in vector {
        *v /= norm;
    }
}

/// The product of two vectors in eight sums at a time, which a compiler can keep in one register.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn away_from(sketch: &mut [f32], mean: &[f32]) {
    for (value, mean) in sketch.iter_mut().zip(mean) {
        *value -= mean;
    }
    normalise(sketch);
}

fn centroids(words: &[SparseRow], of: &[usize], group: &[usize]) -> Vec<Vec<f32>> {
    let groups = of.iter().map(|&i| group[i] + 1).max().unwrap_or(0);
    let mut sums = vec![(vec![0.0f32; SKETCH], 0.0f32); groups];
    let mut mean = vec![0.0f32; SKETCH];
    for &i in of {
        let (sum, count) = &mut sums[group[i]];
        *count += 1.0;
        for ((sum, mean), value) in sum.iter_mut().zip(&mut mean).zip(sketch(&words[i])) {
            *sum += value;
            *mean += value / of.len() as f32;
        }
    }
    let mut out = vec![mean.clone()];
    for (mut sum, count) in sums.into_iter().filter(|(_, count)| *count > 0.0) {
        for value in &mut sum {
            *value /= count;
        }
        away_from(&mut sum, &mean);
        out.push(sum);
    }
    out
}
