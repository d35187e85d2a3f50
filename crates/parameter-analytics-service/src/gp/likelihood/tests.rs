use super::*;
use crate::gp::posterior::{Posterior, Scratch};

/// Points and observations that look random and are not.
fn example(n: usize, categorical: Vec<bool>) -> (Inputs, Vec<f64>) {
    let mut inputs = Inputs::new(categorical.clone());
    let mut observed = Vec::new();
    let noise = |seed: f64| (seed * 12.9898).sin().mul_add(43_758.545, 0.0).rem_euclid(1.0);
    for i in 0..n {
        let point: Vec<f64> = categorical
            .iter()
            .enumerate()
            .map(|(p, &categorical)| {
                let share = noise((i * 7 + p * 131 + 1) as f64);
                if categorical { (share * 3.0).floor() } else { share }
            })
            .collect();
        observed.push((point.iter().sum::<f64>() * 3.0).sin() + 0.1 * noise(i as f64 + 0.5));
        inputs.push(&point);
    }
    (inputs, observed)
}

#[test]
fn the_gradient_is_that_of_differences() {
    for (n, categorical) in [(1, vec![false]), (12, vec![false; 3]), (40, vec![false, true, false, true])] {
        let (inputs, observed) = example(n, categorical.clone());
        let d = categorical.len();
        for shift in [-0.7, 0.0, 0.9] {
            let mut logs: Logs = (0..d).map(|p| -0.5 + shift + 0.3 * p as f64).collect();
            logs.extend([0.2 - shift, -3.0 + shift]);
            let mut gradient = vec![0.0; d + 2];
            log_posterior(&logs, &inputs, &observed, &mut gradient).unwrap();
            for p in 0..d + 2 {
                let at = |step: f64| {
                    let mut moved = logs.clone();
                    moved[p] += step;
                    log_posterior(&moved, &inputs, &observed, &mut vec![0.0; d + 2]).unwrap()
                };
                // Five points: the error of the difference is below 1e-9.
                let h = 1e-3;
                let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let error = (gradient[p] - slope).abs() / slope.abs().max(1.0);
                assert!(error < 1e-6, "n {n}, {p}: {} {slope}", gradient[p]);
            }
        }
    }
}

#[test]
fn one_observation_has_the_closed_form() {
    let mut inputs = Inputs::new(vec![false]);
    inputs.push(&[0.25]);
    let hyper = Hyperparameters { kernel: Kernel { weights: vec![4.0], scale: 2.0 }, noise: 0.5 };
    let posterior = Posterior::new(hyper, &inputs, 1, &[1.5]).unwrap();
    let prediction = posterior.predict(&[0.75], &mut Scratch::default());
    // |0.5| * 2 = 1 length scale.
    let r = 5.0f64.sqrt();
    let k = 2.0 * (1.0 + r + 5.0 / 3.0) * (-r).exp();
    assert!((prediction.mean - k * 1.5 / 2.5).abs() < 1e-14);
    assert!((prediction.deviation.powi(2) - (2.0 - k * k / 2.5)).abs() < 1e-14);
}

#[test]
fn two_observations_have_the_closed_form() {
    let mut inputs = Inputs::new(vec![false, true]);
    inputs.push(&[0.1, 0.0]);
    inputs.push(&[0.4, 2.0]);
    let hyper = Hyperparameters { kernel: Kernel { weights: vec![1.0, 0.3], scale: 1.5 }, noise: 0.1 };
    let kernel = |square: f64| {
        let r = (5.0 * square).sqrt();
        1.5 * (1.0 + r + r * r / 3.0) * (-r).exp()
    };
    let (a, b) = (1.6, kernel(0.09 + 0.3));
    let (k1, k2) = (kernel(0.04), kernel(0.01 + 0.3));
    let determinant = a * a - b * b;
    let y = [1.0, -0.5];
    let mean = (k1 * (a * y[0] - b * y[1]) + k2 * (a * y[1] - b * y[0])) / determinant;
    let variance = 1.5 - (a * k1 * k1 - 2.0 * b * k1 * k2 + a * k2 * k2) / determinant;
    // Together, one by one, and in a batch.
    for fitted in [2, 1] {
        let posterior = Posterior::new(hyper.clone(), &inputs, fitted, &y).unwrap();
        let points = vec![vec![0.3, 0.0]; 6];
        let mut all = posterior.predict_all(&points);
        all.push(posterior.predict(&points[0], &mut Scratch::default()));
        for prediction in all {
            assert!((prediction.mean - mean).abs() < 1e-13, "{prediction:?} {mean}");
            assert!((prediction.deviation.powi(2) - variance).abs() < 1e-13, "{prediction:?} {variance}");
        }
    }
}

#[test]
fn a_believed_point_changes_no_mean_and_takes_the_variance() {
    let (inputs, observed) = example(20, vec![false; 2]);
    let hyper = hyperparameters(&[-1.0, -1.0, 0.0, -9.0]);
    let mut posterior = Posterior::new(hyper, &inputs, 20, &observed).unwrap();
    let (at, near) = (vec![0.33, 0.66], vec![0.9, 0.1]);
    let before = posterior.predict_all(&[at.clone(), near.clone()]);
    posterior.believe(&at);
    let after = posterior.predict_all(&[at, near]);
    assert!((after[0].mean - before[0].mean).abs() < 1e-12 && (after[1].mean - before[1].mean).abs() < 1e-12);
    assert!(after[0].deviation < 0.02 && after[1].deviation <= before[1].deviation);
    posterior.truncate(20);
    assert_eq!(posterior.predict_all(&[inputs.point(0)]).len(), 1);
}

#[test]
fn growing_gives_the_same_bits_as_starting_anew() {
    let (inputs, observed) = example(60, vec![false, false, true]);
    let hyper = hyperparameters(&[-1.0, -0.5, 0.0, 0.0, -8.0]);
    let mut grown = {
        let mut first = inputs.clone();
        first.truncate(40);
        Posterior::new(hyper.clone(), &first, 40, &observed[..40]).unwrap()
    };
    for n in [41, 42, 50, 60] {
        let mut some = inputs.clone();
        some.truncate(n);
        grown.believe(&[0.1, 0.2, 1.0]);
        grown.truncate(grown.len() - 1);
        grown.extend(&some, &observed[..n]);
    }
    let anew = Posterior::new(hyper, &inputs, 40, &observed).unwrap();
    let point = [vec![0.3, 0.6, 2.0]];
    assert_eq!(grown.predict_all(&point), anew.predict_all(&point));
}

#[test]
fn a_fit_finds_what_does_not_matter_and_how_much_is_noise() {
    let (inputs, _) = example(60, vec![false; 3]);
    let observed: Vec<f64> = (0..60).map(|i| (inputs.point(i)[0] * 9.0).sin() * 1.4).collect();
    let logs = fit(&inputs, &observed, &[start(3)], 100).0;
    assert!(logs[0] < 0.0 && logs[1] > logs[0] + 1.0 && logs[2] > logs[0] + 1.0, "{logs:?}");
    assert!(logs[4] < -9.0, "no noise: {logs:?}");
    let mut stream = crate::stream::Stream::new(1, 1);
    let noisy: Vec<f64> = observed.iter().map(|y| 0.7 * y + 0.7 * stream.normal()).collect();
    assert!(fit(&inputs, &noisy, &[start(3)], 100).0[4] > -3.0);
}

/// Every point of the example three times, with other values each time; and the means of the three.
fn repeated() -> (Inputs, Vec<f64>, Inputs, Vec<f64>, Within) {
    let (points, values) = example(9, vec![false, true]);
    let (mut all, mut means) = (Inputs::new(vec![false, true]), Inputs::new(vec![false, true]));
    let (mut observed, mut squares) = (Vec::new(), 0.0);
    for (place, value) in values.iter().enumerate() {
        means.push_pooled(&points.point(place), 3.0);
        for step in [-0.3, 0.1, 0.2] {
            all.push(&points.point(place));
            observed.push(value + step);
            squares += step * step;
        }
    }
    (all, observed, means, values, Within { squares, degrees: 18.0 })
}

#[test]
fn a_mean_of_observations_tells_what_they_tell() {
    let (all, observed, means, values, within) = repeated();
    let logs = [-0.4, 0.3, 0.1, -1.5];
    let of = |inputs: &Inputs, observed: &[f64]| {
        Posterior::new(hyperparameters(&logs), inputs, inputs.len(), observed).unwrap()
    };
    let predict = |posterior: &Posterior| posterior.predict(&[0.3, 1.0], &mut Scratch::default());
    let (one, other) = (predict(&of(&all, &observed)), predict(&of(&means, &values)));
    assert!((one.mean - other.mean).abs() < 1e-12 && (one.deviation - other.deviation).abs() < 1e-12);

    // The likelihoods differ by what does not depend on the hyperparameters, and the gradients not at all.
    let (mut slopes, mut pooled_slopes) = ([0.0; 4], [0.0; 4]);
    let mut difference = |logs: &[f64]| {
        log_posterior(logs, &all, &observed, &mut slopes).unwrap()
            - log_posterior_pooled(logs, &means, &values, within, &mut pooled_slopes).unwrap()
    };
    let (first, second) = (difference(&[0.5, -0.2, 0.6, -3.0]), difference(&logs));
    assert!((first - second).abs() < 1e-9, "{first} {second}");
    assert!(
        slopes.iter().zip(&pooled_slopes).all(|(a, b)| (a - b).abs() < 1e-9),
        "{slopes:?} {pooled_slopes:?}"
    );
}

#[test]
fn a_point_left_out_is_predicted_as_if_it_had_never_been_seen() {
    let (_, _, means, values, _) = repeated();
    let logs = [-0.4, 0.3, 0.1, -1.5];
    let left_out = Posterior::new(hyperparameters(&logs), &means, 9, &values).unwrap().left_out(&values);
    for (out, found) in left_out.iter().enumerate() {
        let mut rest = Inputs::new(vec![false, true]);
        (0..9).filter(|place| *place != out).for_each(|place| rest.push_pooled(&means.point(place), 3.0));
        let others: Vec<f64> =
            values.iter().enumerate().filter(|(place, _)| *place != out).map(|(_, value)| *value).collect();
        let posterior = Posterior::new(hyperparameters(&logs), &rest, 8, &others).unwrap();
        let expected = posterior.predict(&means.point(out), &mut Scratch::default());
        assert!((found.mean - expected.mean).abs() < 1e-10, "{out}: {found:?} {expected:?}");
        assert!((found.deviation - expected.deviation).abs() < 1e-10, "{out}: {found:?} {expected:?}");
    }
}
