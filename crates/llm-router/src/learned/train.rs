//! Learning, and finding out within the training what of it holds.
//!
//! Every part is fitted twice over folds of the rows: over random folds, which show what it is worth for prompts like
//! those seen, and over folds of whole groups (subjects, or clusters of prompts where no subject is given), which
//! show what it is worth for others. Each view has its own blend, and a gate learns from both what familiar prompts
//! look like. In the strange view a blend must beat the prompt's length alone by a standard error over groups, or
//! length alone is used.
//!
//! What parts weigh against one another in a blend is given, and only how much they weigh together is fitted. Weights
//! that were fitted by non-negative least squares (stacking, Wolpert 1992) closed no more of the gap on exam questions of
//! the same subjects, and less on those of others (0.01 of APGR): 10,000 answers that are right or wrong do not tell
//! weights apart. It is long known of forecasts (Smith and Wallis, "A simple explanation of the forecast combination
//! puzzle", 2009).
//!
//! What generalises best is not who wins but how easy a prompt is, and what a model's score does with it: a parabola
//! from ease to what each model has beyond it, as in item response theory, where a question's difficulty and a
//! model's ability explain an answer (IRT-Router, arXiv 2506.01048, has it with neural networks).
//!
//! At last each model's estimate is calibrated by a parabola on rows that were left out: mixing two blends shrinks
//! what each of them estimates. It counts as far as a prompt is familiar, as what is known of strange ones is little.
//!
//! Sentence embeddings are for the baselines of [`super::evaluate`] alone: what neighbours by MiniLM's added on exam
//! questions of the same subjects (0.003 of APGR) they took from those of others (0.01).

use serde::Serialize;

use super::data::Examples;
use super::linear::{Parabola, logistic, sparse_ridge};
use super::model::{Blend, Learned, Predictor, familiarity};
use super::parts::{
    EASE_PARTS, Parts, RELATIVE_PARTS, Rows, SKETCH, Scale, Signals, Vocabulary, WORD_RIDGE, normalise,
    sketch,
};
use super::trees::Binned;

/// How training goes.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Seeds folds, trees and clusters: the same examples and seed make the same file.
    pub seed: u64,
    /// Parts that are left out, to measure what each is worth: `curve`, `length`, `words`, `trees`, `gate`.
    pub without: Vec<String>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { seed: 1, without: Vec::new() }
    }
}

/// Why nothing could be learned.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrainError {
    /// A choice needs two.
    #[error("expected the scores of two models or more, got {0}")]
    TooFewModels(usize),
    /// Too little to cross-validate.
    #[error(
        "expected {LEAST_ROWS} rows or more, got {0}; until there are, priors and what feedback says of each model decide"
    )]
    TooFewRows(usize),
    /// A row's shape differs.
    #[error("row {row}: {reason}")]
    Row {
        /// Which row, from 1.
        row: usize,
        /// What was expected and what arrived.
        reason: String,
    },
}

impl TrainError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        "UAT_INVALID_INPUT"
    }
}

/// With fewer rows five folds of five groups say nothing.
const LEAST_ROWS: usize = 100;
const FOLDS: usize = 5;
/// A signal is one whose cross-validated covariance with the truth is so many standard errors above nothing: chance
/// reaches it once in 700 trainings.
const SIGNIFICANT: f64 = 3.0;

/// What training found.
#[derive(Debug, Clone, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Rows that were learned from.
    pub rows: usize,
    /// Subjects, or clusters of prompts where no subject was given.
    pub groups: usize,
    /// Whether the groups are clusters.
    pub clustered: bool,
    /// Cross-validated covariance of predicted and true differences between models, in standard errors.
    pub signal: f64,
    /// The same over groups that were left out.
    pub signal_elsewhere: f64,
    /// Weights of the parts for familiar and for strange prompts.
    pub familiar: Vec<(String, f64)>,
    /// The same for strange ones.
    pub strange: Vec<(String, f64)>,
    /// By how many standard errors over groups the strange blend beats the prompt's length alone.
    pub beyond_length: f64,
    /// How familiar rows of random and of group folds looked to the gate, on average.
    pub gate: [f64; 2],
    /// One sentence for people.
    pub summary: String,
}

/// Learns from examples; some seconds for 10,000 rows and two models. No signal is not an error: then
/// [`Learned::has_signal`] is false.
pub fn train(examples: &Examples, options: &TrainOptions) -> Result<Learned, TrainError> {
    train_with_progress(examples, options, &mut |_| true).map(|(learned, _)| learned)
}

/// The same, telling what share is done; it stops where `progress` says false, with nothing learned.
pub fn train_with_progress(
    examples: &Examples,
    options: &TrainOptions,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<(Learned, Report), TrainError> {
    check(examples)?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let (rows, clustered) = rows(examples, &mut rng);
    let n = rows.features.len();
    let mut report = Report {
        rows: n,
        groups: rows.group.iter().max().map_or(0, |g| g + 1),
        clustered,
        ..Report::default()
    };
    let nothing = |mut report: Report, why: &str| {
        report.summary = format!("no signal, priors used: {why}");
        Ok((Learned::nothing(examples.models.clone()), report))
    };
    let random = random_folds(n, &mut rng);
    let grouped = group_folds(&rows.group, &mut rng);
    let steps = (2 * FOLDS + 1) as f64;
    let mut done = 0.0;
    let mut step = || {
        done += 1.0;
        progress(done / steps)
    };
    let Some(familiar_view) = View::of(&rows, random, &mut rng, &mut step) else {
        return nothing(report, "it was stopped");
    };
    let Some(strange_view) = View::of(&rows, grouped, &mut rng, &mut step) else {
        return nothing(report, "it was stopped");
    };
    let without = |part: &str| options.without.iter().any(|w| w == part);
    let masked = |mut recipe: Recipe| {
        recipe.ease = zip(recipe.ease, [!without("trees"), !without("words")]);
        let parts = ["curve", "length", "words", "trees"];
        recipe.relative = zip(recipe.relative, parts.map(|part| !without(part)));
        recipe
    };
    let mut familiar = blend(&rows, &familiar_view, &masked(FAMILIAR));
    let mut strange = blend(&rows, &strange_view, &masked(STRANGE));
    report.signal = significance(&rows, &familiar_view, &familiar, None);
    if report.signal < SIGNIFICANT {
        let why = format!(
            "cross-validated, what the prompts say of the differences between models is {:.1} standard errors from \
             nothing, and {SIGNIFICANT} are needed",
            report.signal
        );
        return nothing(report, &why);
    }
    let length = Recipe { relative: [0.0, 1.0, 0.0, 0.0], ..STRANGE };
    let alone = blend(&rows, &strange_view, &masked(length));
    report.beyond_length = better_by(&rows, &strange_view, &strange, &alone);
    if report.beyond_length < 1.0 {
        strange = alone;
    }
    report.signal_elsewhere = significance(&rows, &strange_view, &strange, Some(&rows.group));
    familiar.trust = trust(&rows, &familiar_view, &familiar, n);
    strange.trust = trust(&rows, &strange_view, &strange, n);
    let mut gate = gate(&familiar_view, &strange_view);
    if without("gate") {
        gate = [0.0, 0.0, 50.0];
    }
    report.gate = [&familiar_view, &strange_view]
        .map(|view| view.signals.iter().map(|s| familiarity(&gate, s)).sum::<f64>() / n as f64);
    report.familiar = named(&familiar);
    report.strange = named(&strange);
    let all: Vec<usize> = (0..n).collect();
    let parts = Parts::fit(&rows, &all, &mut rng);
    if !step() {
        return nothing(report, "it was stopped");
    }
    report.summary = format!(
        "learned from {n} rows in {} {}: the signal is {:.1} standard errors from nothing, {:.1} where whole groups \
         are left out",
        report.groups,
        if clustered { "clusters" } else { "subjects" },
        report.signal,
        report.signal_elsewhere
    );
    let means = means(examples);
    let mut predictor = Predictor { means, parts, familiar, strange, gate, calibration: Vec::new() };
    predictor.calibration = calibration(examples, &familiar_view, &predictor);
    Ok((Learned { models: examples.models.clone(), predictor: Some(predictor) }, report))
}

fn check(examples: &Examples) -> Result<(), TrainError> {
    let models = examples.models.len();
    if models < 2 {
        return Err(TrainError::TooFewModels(models));
    }
    if examples.rows.len() < LEAST_ROWS {
        return Err(TrainError::TooFewRows(examples.rows.len()));
    }
    let dimensions = examples.rows.first().and_then(|row| row.features.embedding.as_ref().map(Vec::len));
    for (i, row) in examples.rows.iter().enumerate() {
        let wrong = |reason: String| Err(TrainError::Row { row: i + 1, reason });
        if row.scores.len() != models {
            return wrong(format!("expected {models} scores, got {}", row.scores.len()));
        }
        if row.scores.iter().flatten().any(|score| !(0.0..=1.0).contains(score)) {
            return wrong("expected scores from 0 to 1".to_owned());
        }
        if !row.features.is_sound() || !row.weight.is_finite() || row.weight < 0.0 {
            return wrong("expected features of this version and a weight of 0 or more".to_owned());
        }
        if row.features.embedding.as_ref().map(Vec::len) != dimensions {
            return wrong("expected an embedding of the same length for all prompts, or for none".to_owned());
        }
    }
    Ok(())
}

/// The mean score of each model; the middle where there is none.
pub(super) fn means(examples: &Examples) -> Vec<f64> {
    let mean = |model: usize| {
        let scores =
            examples.rows.iter().filter_map(|row| Some((row.scores.get(model).copied()??, row.weight)));
        let (sum, weight) =
            scores.fold((0.0, 0.0), |(s, w), (score, weight)| (s + score * weight, w + weight));
        if weight > 0.0 { sum / weight } else { 0.5 }
    };
    (0..examples.models.len()).map(mean).collect()
}

/// What is learned: how easy each prompt is (the mean score beyond the means), and what each model has beyond that.
fn rows<'a>(examples: &'a Examples, rng: &mut fastrand::Rng) -> (Rows<'a>, bool) {
    let features: Vec<_> = examples.rows.iter().map(|row| &row.features).collect();
    let scale = Scale::of(&features);
    let form: Vec<Vec<f32>> = features.iter().map(|f| scale.apply(f)).collect();
    let raw: Vec<&[f32]> = features.iter().map(|f| f.form.as_slice()).collect();
    let means = means(examples);
    let models = means.len();
    let beyond = |row: &super::Example, model: usize| {
        row.scores.get(model).copied().flatten().map(|score| score - means[model])
    };
    let mut ease = Vec::with_capacity(features.len());
    let mut weight = Vec::with_capacity(features.len());
    let mut complete = true;
    for row in &examples.rows {
        let known: Vec<f64> = (0..models).filter_map(|model| beyond(row, model)).collect();
        complete &= known.len() == models;
        ease.push(known.iter().sum::<f64>() / known.len().max(1) as f64);
        weight.push(if known.is_empty() { 0.0 } else { row.weight });
    }
    // Where a row has not every score, its own mean would hide who is better: ease is what its words say.
    let judged = if complete { ease.clone() } else { by_words(&features, &ease, &weight, rng) };
    let mut targets = vec![(ease.clone(), weight)];
    for model in 0..if complete { models - 1 } else { models } {
        let mut target = Vec::with_capacity(features.len());
        let mut weight = Vec::with_capacity(features.len());
        for (i, row) in examples.rows.iter().enumerate() {
            let own = row.scores.iter().flatten().count() == models;
            let base = if own { ease[i] } else { judged[i] };
            target.push(beyond(row, model).map_or(0.0, |beyond| beyond - base));
            weight.push(if beyond(row, model).is_some() { row.weight } else { 0.0 });
        }
        targets.push((target, weight));
    }
    let subjects: Option<Vec<usize>> = examples.rows.iter().map(|row| row.subject).collect();
    let several = |groups: &Vec<usize>| groups.iter().any(|g| Some(g) != groups.first());
    let (group, clustered) = match subjects.filter(several) {
        Some(subjects) => (renumbered(&subjects), false),
        None => (renumbered(&clusters(&features, rng)), true),
    };
    let rows = Rows { binned: Binned::of(&raw), features, scale, form, targets, group, models };
    (rows, clustered)
}

fn renumbered(groups: &[usize]) -> Vec<usize> {
    let mut known: Vec<usize> = groups.to_vec();
    known.sort_unstable();
    known.dedup();
    groups.iter().map(|g| known.partition_point(|k| k < g)).collect()
}

/// Ease of each row by its words, predicted from the other half.
fn by_words(
    features: &[&super::PromptFeatures],
    ease: &[f64],
    weight: &[f64],
    rng: &mut fastrand::Rng,
) -> Vec<f64> {
    let half: Vec<bool> = features.iter().map(|_| rng.bool()).collect();
    let mut out = vec![0.0; features.len()];
    for side in [false, true] {
        let of: Vec<usize> = (0..features.len()).filter(|&i| half[i] == side).collect();
        let vocabulary = Vocabulary::of(features, &of);
        let rows: Vec<_> = features.iter().map(|f| vocabulary.weighted(f)).collect();
        let (b, intercept) = sparse_ridge(&rows, &of, ease, weight, vocabulary.len(), WORD_RIDGE);
        for i in (0..features.len()).filter(|&i| half[i] != side) {
            out[i] =
                intercept + rows[i].iter().map(|&(column, x)| f64::from(x * b[column as usize])).sum::<f64>();
        }
    }
    out
}

/// Groups of alike prompts where no subject is given: spherical k-means over sketches of their words.
fn clusters(features: &[&super::PromptFeatures], rng: &mut fastrand::Rng) -> Vec<usize> {
    let all: Vec<usize> = (0..features.len()).collect();
    let vocabulary = Vocabulary::of(features, &all);
    let sketches: Vec<Vec<f32>> = features.iter().map(|f| sketch(&vocabulary.weighted(f))).collect();
    // As many as there would be subjects: about one for each 250 rows.
    let k = (features.len() / 250).clamp(2 * FOLDS, 40);
    let mut centres: Vec<Vec<f32>> = (0..k).map(|_| sketches[rng.usize(..sketches.len())].clone()).collect();
    let mut of = vec![0; sketches.len()];
    for _ in 0..8 {
        for (of, row) in of.iter_mut().zip(&sketches) {
            let near = |c: &Vec<f32>| c.iter().zip(row).map(|(a, b)| a * b).sum::<f32>();
            let nearest = centres.iter().map(near).enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            *of = nearest.map_or(0, |(i, _)| i);
        }
        for centre in &mut centres {
            *centre = vec![0.0; SKETCH];
        }
        for (&of, row) in of.iter().zip(&sketches) {
            for (c, v) in centres[of].iter_mut().zip(row) {
                *c += v;
            }
        }
        for centre in &mut centres {
            normalise(centre);
        }
    }
    of
}

fn random_folds(n: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut folds: Vec<usize> = (0..n).map(|i| i % FOLDS).collect();
    rng.shuffle(&mut folds);
    folds
}

/// Whole groups in folds of about the same size: the largest first, each to the smallest fold.
fn group_folds(group: &[usize], rng: &mut fastrand::Rng) -> Vec<usize> {
    let groups = group.iter().max().map_or(0, |g| g + 1);
    let mut sizes = vec![0usize; groups];
    for &g in group {
        sizes[g] += 1;
    }
    let mut order: Vec<usize> = (0..groups).collect();
    rng.shuffle(&mut order);
    order.sort_by_key(|&g| std::cmp::Reverse(sizes[g]));
    let mut fold_of = vec![0; groups];
    let mut filled = [0usize; FOLDS];
    for g in order {
        let fold = (0..FOLDS).min_by_key(|&f| filled[f]).unwrap_or(0);
        fold_of[g] = fold;
        filled[fold] += sizes[g];
    }
    group.iter().map(|&g| fold_of[g]).collect()
}

/// What the parts said of each row while it was left out.
struct View {
    signals: Vec<Signals>,
    fold_of: Vec<usize>,
}

impl View {
    /// Fits the parts to all folds but one, for each; `None` where `step`, which is told of each, says that it is enough.
    fn of(
        rows: &Rows<'_>,
        fold_of: Vec<usize>,
        rng: &mut fastrand::Rng,
        step: &mut dyn FnMut() -> bool,
    ) -> Option<Self> {
        let n = rows.features.len();
        let mut signals: Vec<Option<Signals>> = vec![None; n];
        for fold in 0..FOLDS {
            let of: Vec<usize> = (0..n).filter(|&i| fold_of[i] != fold).collect();
            let parts = Parts::fit(rows, &of, rng);
            for i in (0..n).filter(|&i| fold_of[i] == fold) {
                signals[i] = Some(parts.signals(rows.features[i], rows.models));
            }
            if !step() {
                return None;
            }
        }
        Some(Self { signals: signals.into_iter().flatten().collect(), fold_of })
    }
}

/// What parts weigh against one another. How much they weigh together is fitted.
struct Recipe {
    ease: [f64; EASE_PARTS],
    /// Curve, length, words, trees.
    relative: [f64; RELATIVE_PARTS + 1],
}

/// For familiar prompts. The trees see little that the curve, which trees go into as well, does not.
const FAMILIAR: Recipe = Recipe { ease: [1.0, 1.0], relative: [1.0, 0.0, 1.0, 0.5] };
/// For strange ones: words say less where most are new, and trees of a model's own held nothing in other subjects.
const STRANGE: Recipe = Recipe { ease: [1.0, 1.0], relative: [1.0, 0.0, 0.5, 0.0] };

fn zip<const N: usize>(weights: [f64; N], kept: [bool; N]) -> [f64; N] {
    std::array::from_fn(|i| if kept[i] { weights[i] } else { 0.0 })
}

/// Target, weight and model of what each row says of each model: the last is what the others are not.
fn relative_truth(rows: &Rows<'_>, row: usize) -> Vec<(f64, f64)> {
    let mut truth: Vec<(f64, f64)> =
        rows.targets.iter().skip(1).map(|(target, weight)| (target[row], weight[row])).collect();
    if truth.len() < rows.models {
        let rest = -truth.iter().map(|(target, _)| target).sum::<f64>();
        truth.push((rest, truth.first().map_or(0.0, |(_, weight)| *weight)));
    }
    truth
}

/// Puts parts together as `recipe` says, by what they said of rows that were left out: ease and what is each model's
/// own are each multiplied by the slope of the truth by them.
fn blend(rows: &Rows<'_>, view: &View, recipe: &Recipe) -> Blend {
    let n = view.signals.len();
    let mut out = Blend {
        ease: recipe.ease,
        curve: vec![Parabola::default(); rows.models],
        relative: recipe.relative,
        trust: 0.0,
    };
    let Some((ease, ease_weight)) = rows.targets.first() else { return out };
    let said: Vec<f64> = view.signals.iter().map(|s| out.easy(s)).collect();
    let truth = ease.iter().zip(ease_weight).map(|(&ease, &weight)| (ease, weight));
    let share = slope(said.iter().copied().zip(truth));
    for weight in &mut out.ease {
        *weight *= share;
    }
    let easy: Vec<f64> = said.iter().map(|said| said * share).collect();
    let truth: Vec<Vec<(f64, f64)>> = (0..n).map(|i| relative_truth(rows, i)).collect();
    // To weigh the curve honestly, each fold's is fitted without it.
    let mut said = vec![Vec::new(); n];
    for fold in 0..FOLDS {
        let of: Vec<usize> = (0..n).filter(|&i| view.fold_of[i] != fold).collect();
        out.curve = curves(&easy, &truth, &of, rows.models);
        for i in (0..n).filter(|&i| view.fold_of[i] == fold) {
            said[i] = (0..rows.models).map(|model| out.beyond_ease(&view.signals[i], model)).collect();
        }
    }
    let pairs =
        said.iter().zip(&truth).flat_map(|(said, truth)| said.iter().copied().zip(truth.iter().copied()));
    let share = slope(pairs);
    for weight in &mut out.relative {
        *weight *= share;
    }
    let all: Vec<usize> = (0..n).collect();
    out.curve = curves(&easy, &truth, &all, rows.models);
    out
}

/// By how much the truth rises where what was said rises by one; never negative. Each is (said, (truth, weight)).
fn slope(pairs: impl Iterator<Item = (f64, (f64, f64))>) -> f64 {
    let (products, squares) = pairs.fold((0.0, 0.0), |(products, squares), (said, (truth, weight))| {
        (products + weight * said * truth, squares + weight * said * said)
    });
    if squares > 0.0 { (products / squares).max(0.0) } else { 0.0 }
}

/// For each model what it has beyond ease, by ease, from the rows `of`.
fn curves(easy: &[f64], truth: &[Vec<(f64, f64)>], of: &[usize], models: usize) -> Vec<Parabola> {
    let curve = |model: usize| {
        let target: Vec<f64> = truth.iter().map(|t| t[model].0).collect();
        let weight: Vec<f64> = truth.iter().map(|t| t[model].1).collect();
        Parabola::fit(easy, of, &target, &weight)
    };
    (0..models).map(curve).collect()
}

/// The covariance of predicted and true differences between models, in its standard errors; over groups where given.
fn significance(rows: &Rows<'_>, view: &View, blend: &Blend, groups: Option<&[usize]>) -> f64 {
    let mut sums = vec![0.0; groups.map_or(view.signals.len(), |g| g.iter().max().map_or(0, |g| g + 1))];
    let said: Vec<Vec<f64>> = view
        .signals
        .iter()
        .map(|signals| (0..rows.models).map(|model| blend.beyond_ease(signals, model)).collect())
        .collect();
    let mut mean = vec![0.0; rows.models];
    for said in &said {
        for (mean, said) in mean.iter_mut().zip(said) {
            *mean += said / view.signals.len() as f64;
        }
    }
    let truth_means: Vec<f64> = (0..rows.models).map(|model| truth_mean(rows, model)).collect();
    for (i, said) in said.iter().enumerate() {
        let truth = relative_truth(rows, i);
        let products = truth.iter().enumerate().map(|(model, (target, weight))| {
            weight * (target - truth_means[model]) * (said[model] - mean[model])
        });
        sums[groups.map_or(i, |g| g[i])] += products.sum::<f64>();
    }
    let error = sums.iter().map(|s| s * s).sum::<f64>().sqrt();
    if error > 0.0 { sums.iter().sum::<f64>() / error } else { 0.0 }
}

/// The mean of a model's own target is near nothing, as targets are beyond means; exactly so with every score known.
fn truth_mean(rows: &Rows<'_>, model: usize) -> f64 {
    match rows.targets.get(model + 1) {
        Some((target, weight)) if rows.targets.len() > rows.models => {
            let all: Vec<usize> = (0..rows.features.len()).collect();
            super::linear::weighted_mean(&all, target, weight)
        }
        _ => 0.0,
    }
}

/// By how many standard errors over groups `blend` errs less than `other`.
fn better_by(rows: &Rows<'_>, view: &View, blend: &Blend, other: &Blend) -> f64 {
    let mut gains = vec![0.0; rows.group.iter().max().map_or(0, |g| g + 1)];
    for (i, signals) in view.signals.iter().enumerate() {
        for (model, (target, weight)) in relative_truth(rows, i).into_iter().enumerate() {
            let error = |blend: &Blend| (target - blend.beyond_ease(signals, model)).powi(2);
            gains[rows.group[i]] += weight * (error(other) - error(blend));
        }
    }
    let error = gains.iter().map(|g| g * g).sum::<f64>().sqrt();
    if error > 0.0 { gains.iter().sum::<f64>() / error } else { 0.0 }
}

/// How far to trust a blend against a prior: what share of the differences between groups it explains while they are
/// left out, and less with few rows.
fn trust(rows: &Rows<'_>, view: &View, blend: &Blend, n: usize) -> f64 {
    let groups = rows.group.iter().max().map_or(0, |g| g + 1);
    let Some((ease, weight)) = rows.targets.first() else { return 0.0 };
    let mut sums = vec![(0.0, 0.0, 0.0); groups];
    for (i, signals) in view.signals.iter().enumerate() {
        let sum = &mut sums[rows.group[i]];
        sum.0 += weight[i] * ease[i];
        sum.1 += weight[i] * blend.easy(signals);
        sum.2 += weight[i];
    }
    let known = sums.iter().filter(|s| s.2 > 0.0);
    let (left, all) = known.fold((0.0, 0.0), |(left, all), (truth, predicted, weight)| {
        (left + (truth - predicted).powi(2) / weight, all + truth.powi(2) / weight)
    });
    let explained = if all > 0.0 { 1.0 - left / all } else { 0.0 };
    // Half of it at 200 rows: by then a mean of scores is known to some 0.03.
    explained.clamp(0.1, 1.0) * n as f64 / (n as f64 + 200.0)
}

/// Learns what familiar prompts look like: rows whose like was in the fit (random folds) against rows whose whole
/// group was not.
fn gate(familiar: &View, strange: &View) -> [f64; 3] {
    let row = |signals: &Signals, known: bool| (signals.novelty.to_vec(), known, 1.0);
    let rows: Vec<_> = familiar
        .signals
        .iter()
        .map(|s| row(s, true))
        .chain(strange.signals.iter().map(|s| row(s, false)))
        .collect();
    let b = logistic(&rows);
    // More words seen and a nearer group never make a prompt stranger.
    let at = |i: usize| b.get(i).copied().unwrap_or(0.0);
    [at(0).max(0.0), at(1).max(0.0), at(2)]
}

/// For each model what rows that were left out at random had beyond their estimate: mixing blends, and parts that are
/// each calibrated, still leave a bend.
fn calibration(examples: &Examples, view: &View, predictor: &Predictor) -> Vec<Parabola> {
    let said: Vec<Vec<f64>> = view.signals.iter().map(|s| predictor.beyond_means(s)).collect();
    let of = |(model, mean): (usize, &f64)| {
        let said: Vec<f64> = said.iter().map(|said| said[model]).collect();
        let scores = examples.rows.iter().map(|row| row.scores.get(model).copied().flatten());
        let known: Vec<usize> = scores.clone().enumerate().filter_map(|(i, s)| s.map(|_| i)).collect();
        let missed: Vec<f64> =
            scores.zip(&said).map(|(score, said)| score.map_or(0.0, |score| score - mean - said)).collect();
        let weight: Vec<f64> = examples.rows.iter().map(|row| row.weight).collect();
        Parabola::fit(&said, &known, &missed, &weight)
    };
    predictor.means.iter().enumerate().map(of).collect()
}

fn named(blend: &Blend) -> Vec<(String, f64)> {
    let ease = ["ease by trees", "ease by words"];
    let own = ["curve", "length", "words", "trees"];
    ease.iter()
        .zip(blend.ease)
        .chain(own.iter().zip(blend.relative))
        .map(|(n, w)| ((*n).to_owned(), w))
        .collect()
}
