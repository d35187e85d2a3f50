//! The learned scoring beside the baselines, on rows that neither saw.

use serde::Serialize;

use super::super::train::{Report, TrainError, TrainOptions, train_with_progress};
use super::super::{Example, Examples};
use super::baselines::BASELINES;
use super::curve::{Curve, Measures, calibration_error, difference};

/// How it is measured.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// Seeds folds and resamples.
    pub seed: u64,
    /// Folds where rows are left out at random.
    pub folds: usize,
    /// Resamples of the paired bootstrap.
    pub resamples: usize,
    /// How each training goes.
    pub train: TrainOptions,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self { seed: 1, folds: 5, resamples: 1000, train: TrainOptions::default() }
    }
}

/// Which rows are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Rows at random, alike in scores in each fold.
    Folds,
    /// One subject after the other.
    Subjects,
}

/// One way to score, measured.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// What it is called.
    pub name: String,
    /// Its measures.
    #[serde(flatten)]
    pub measures: Measures,
    /// Ours less this one's APGR: difference, 95 % interval, share of resamples in which ours is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours_less_this: Option<[f64; 4]>,
    /// Points for drawing: share of strong calls, share of the gap that is closed.
    pub curve: Vec<(f64, f64)>,
}

/// What one setting gave.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The model that is asked less.
    pub weak: String,
    /// The model that is asked where it pays.
    pub strong: String,
    /// Rows that were scored.
    pub rows: usize,
    /// Mean scores of the weak and the strong model.
    pub quality: [f64; 2],
    /// Ours first, then the baselines, then the oracle that knows every answer.
    pub scorings: Vec<Named>,
    /// Expected calibration error of the estimates of the weak and the strong model, and of their difference.
    pub calibration: [f64; 3],
    /// How familiar the rows were to the gate, on average; none without a signal.
    pub familiarity: Option<f64>,
    /// Trainings that found no signal, and all.
    pub without_signal: [usize; 2],
    /// What the last training found.
    pub training: Report,
}

/// Which models are told apart: those with the least and the greatest mean score.
fn pair(examples: &Examples) -> [usize; 2] {
    let mean = |model: usize| {
        let scores: Vec<f64> = examples.rows.iter().filter_map(|row| *row.scores.get(model)?).collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    };
    let order = |a: &usize, b: &usize| mean(*a).total_cmp(&mean(*b));
    let models = 0..examples.models.len();
    [models.clone().min_by(order).unwrap_or(0), models.max_by(order).unwrap_or(0)]
}

/// What was gathered of the rows that were scored.
struct Scored {
    ours: Vec<f64>,
    baselines: Vec<Vec<f64>>,
    estimates: [Vec<f64>; 2],
    familiarity: f64,
    without_signal: usize,
    trainings: usize,
    training: Report,
}

impl Scored {
    fn new(rows: usize) -> Self {
        Self {
            ours: vec![0.0; rows],
            baselines: vec![vec![0.0; rows]; BASELINES.len()],
            estimates: [vec![0.0; rows], vec![0.0; rows]],
            familiarity: 0.0,
            without_signal: 0,
            trainings: 0,
            training: Report::default(),
        }
    }
}

/// Leaves rows out as `setting` says, trains on the others, and scores what was left out. Rows without both scores
/// are trained on and never scored. It stops where `progress` says false, with none.
pub fn cross_validate(
    examples: &Examples,
    setting: Setting,
    options: &EvalOptions,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Option<Comparison>, TrainError> {
    let fold_of = match setting {
        Setting::Folds => stratified(examples, options),
        Setting::Subjects => examples.rows.iter().map(|row| row.subject.unwrap_or(0)).collect(),
    };
    let folds = fold_of.iter().max().map_or(0, |fold| fold + 1);
    let mut scored = Scored::new(examples.rows.len());
    for fold in 0..folds {
        let test: Vec<usize> = (0..fold_of.len()).filter(|&i| fold_of[i] == fold).collect();
        let train: Vec<usize> = (0..fold_of.len()).filter(|&i| fold_of[i] != fold).collect();
        let mut part = |share: f64| progress((fold as f64 + share) / folds as f64);
        if !score(examples, &train, &test, options, &mut scored, &mut part)? {
            return Ok(None);
        }
    }
    let all: Vec<usize> = (0..fold_of.len()).collect();
    Ok(Some(compared(examples, &all, options, scored)))
}

/// Trains on one table and scores another of the same models.
pub fn across(
    train: &Examples,
    test: &Examples,
    options: &EvalOptions,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Option<Comparison>, TrainError> {
    let models = train.models.clone();
    let mut both = Examples { models, rows: train.rows.clone() };
    both.rows.extend(test.rows.iter().cloned());
    let first: Vec<usize> = (0..train.rows.len()).collect();
    let second: Vec<usize> = (train.rows.len()..both.rows.len()).collect();
    let mut scored = Scored::new(both.rows.len());
    if !score(&both, &first, &second, options, &mut scored, progress)? {
        return Ok(None);
    }
    Ok(Some(compared(&both, &second, options, scored)))
}

/// Folds in which each combination of scores is about as frequent.
fn stratified(examples: &Examples, options: &EvalOptions) -> Vec<usize> {
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut order: Vec<usize> = (0..examples.rows.len()).collect();
    rng.shuffle(&mut order);
    let key = |i: &usize| {
        let scores = &examples.rows[*i].scores;
        scores.iter().map(|s| s.map_or(-1, |s| (s * 4.0) as i64)).collect::<Vec<_>>()
    };
    order.sort_by_cached_key(key);
    let mut fold_of = vec![0; order.len()];
    for (place, i) in order.into_iter().enumerate() {
        fold_of[i] = place % options.folds.max(2);
    }
    fold_of
}

fn score(
    examples: &Examples,
    train: &[usize],
    test: &[usize],
    options: &EvalOptions,
    scored: &mut Scored,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<bool, TrainError> {
    let [weak, strong] = pair(examples);
    let subset = Examples {
        models: examples.models.clone(),
        rows: train.iter().map(|&i| examples.rows[i].clone()).collect(),
    };
    let mut stopped = false;
    let (learned, report) = train_with_progress(&subset, &options.train, &mut |share| {
        stopped = !progress(0.9 * share);
        !stopped
    })?;
    if stopped {
        return Ok(false);
    }
    scored.trainings += 1;
    scored.without_signal += usize::from(!learned.has_signal());
    scored.training = report;
    let prior = super::super::train::means(&subset);
    for &i in test {
        let features = &examples.rows[i].features;
        let estimates = learned.qualities(features);
        let mean = |model: usize| {
            estimates.as_ref().and_then(|e| e.get(model)).map_or(prior[model], |estimate| estimate.mean)
        };
        scored.estimates[0][i] = mean(weak);
        scored.estimates[1][i] = mean(strong);
        scored.ours[i] = mean(strong) - mean(weak);
        scored.familiarity += learned.familiarity(features).unwrap_or(0.0);
    }
    let gain = |row: &Example| Some(row.scores.get(strong).copied()?? - row.scores.get(weak).copied()??);
    let (rows, gains): (Vec<&Example>, Vec<f64>) =
        subset.rows.iter().filter_map(|row| Some((row, gain(row)?))).unzip();
    let tested: Vec<&Example> = test.iter().map(|&i| &examples.rows[i]).collect();
    for (place, (_, embedded, baseline)) in BASELINES.iter().enumerate() {
        if *embedded && tested.iter().chain(&rows).any(|row| row.features.embedding.is_none()) {
            continue;
        }
        for (&i, score) in test.iter().zip(baseline(&rows, &gains, &tested)) {
            scored.baselines[place][i] = score;
        }
    }
    Ok(progress(1.0))
}

fn compared(examples: &Examples, tested: &[usize], options: &EvalOptions, scored: Scored) -> Comparison {
    let [weak, strong] = pair(examples);
    let both = |i: usize| {
        let scores = &examples.rows[i].scores;
        Some((scores.get(weak).copied()??, scores.get(strong).copied()??))
    };
    let (rows, truth): (Vec<usize>, Vec<(f64, f64)>) =
        tested.iter().filter_map(|&i| Some((i, both(i)?))).unzip();
    let pick = |all: &[f64]| rows.iter().map(|&i| all[i]).collect::<Vec<f64>>();
    let gains: Vec<f64> = truth.iter().map(|(weak, strong)| strong - weak).collect();
    let ours = pick(&scored.ours);
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut named = |name: &str, scores: &[f64], beside: bool| {
        let curve = Curve::of(scores, &gains);
        let apart = beside.then(|| difference(&ours, scores, &gains, options.resamples, &mut rng));
        Named {
            name: name.to_owned(),
            measures: curve.measures(),
            ours_less_this: apart,
            curve: curve.points(50),
        }
    };
    let mut scorings = vec![named("learned", &ours, false)];
    let embedded = rows.iter().all(|&i| examples.rows[i].features.embedding.is_some());
    for ((name, needs, _), scores) in BASELINES.iter().zip(&scored.baselines) {
        let subjects = rows.iter().any(|&i| examples.rows[i].subject.is_some());
        if (*needs && !embedded) || (*name == "subject mean" && !subjects) {
            continue;
        }
        scorings.push(named(name, &pick(scores), true));
    }
    scorings.push(named("oracle", &gains, false));
    let [weak_truth, strong_truth] =
        [truth.iter().map(|t| t.0).collect::<Vec<_>>(), truth.iter().map(|t| t.1).collect()];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    // Fifteen bins are what others report.
    let error = |estimates: &[f64], truth: &[f64]| calibration_error(estimates, truth, 15);
    let name = |model: usize| examples.models.get(model).cloned().unwrap_or_default();
    Comparison {
        weak: name(weak),
        strong: name(strong),
        rows: rows.len(),
        quality: [mean(&weak_truth), mean(&strong_truth)],
        calibration: [
            error(&pick(&scored.estimates[0]), &weak_truth),
            error(&pick(&scored.estimates[1]), &strong_truth),
            error(&ours, &gains),
        ],
        scorings,
        familiarity: (scored.without_signal < scored.trainings)
            .then(|| scored.familiarity / tested.len().max(1) as f64),
        without_signal: [scored.without_signal, scored.trainings],
        training: scored.training,
    }
}
