//! Observations as a Gaussian process wants them.

/// Moved to mean 0 and variance 1; zeros where all are alike. Any finite numbers, up to the largest.
pub fn standardised(values: &[f64]) -> Standardised {
    let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let count = values.len().max(1) as f64;
    let mut scaled: Vec<f64> = values.iter().map(|value| value / unit).collect();
    let mean = scaled.iter().sum::<f64>() / count;
    scaled.iter_mut().for_each(|value| *value -= mean);
    let deviation = (scaled.iter().map(|value| value * value).sum::<f64>() / count).sqrt();
    // Differences in the last digit are rounding.
    if deviation > 1e-14 {
        scaled.iter_mut().for_each(|value| *value /= deviation);
    } else {
        scaled.fill(0.0);
    }
    Standardised { values: scaled, mean, deviation: if deviation > 1e-14 { deviation } else { 1.0 }, unit }
}

/// With mean 0 and variance 1 like [`standardised`], and where bad values lie far out, drawn together: the power transform of Yeo and
/// Johnson (2000), as Cowen-Rivers et al. use it (HEBO, JAIR 2022, arXiv 2012.03826), with the power that makes the values most
/// normal. Small values are good: we depart from HEBO in never taking a power above 1, which would draw the good ones together. The
/// order stays as it is. `None` where there is little to gain.
pub fn tamed(values: &[f64]) -> Option<Tamed> {
    let plain = standardised(values).values;
    // Golden section: the profile likelihood has one top.
    let (mut low, mut high) = LEAST_POWER;
    let cost = |power: f64| -normality(&plain, power);
    let inner = |low: f64, high: f64| (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (cost(left), cost(right));
    for _ in 0..SECTIONS {
        if at_left < at_right {
            high = right;
            (right, at_right) = (left, at_left);
            left = inner(low, high).0;
            at_left = cost(left);
        } else {
            low = left;
            (left, at_left) = (right, at_right);
            right = inner(low, high).1;
            at_right = cost(right);
        }
    }
    let power = 0.5 * (low + high);
    // With so little to gain, values stay as they are: a model of them is easier to believe.
    if cost(1.0) - cost(power) < WORTH_IT {
        return None;
    }
    let bent: Vec<f64> = plain.iter().map(|value| yeo_johnson(*value, power)).collect();
    let Standardised { values, deviation, unit, .. } = standardised(&bent);
    let log_stretch = log_slopes(&plain, power) - plain.len() as f64 * (deviation * unit).ln();
    Some(Tamed { values, log_stretch })
}

/// What [`tamed`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Tamed {
    /// With mean 0 and variance 1.
    pub values: Vec<f64>,
    /// The logarithm of the transform's Jacobian at the [standardised] values: what the log-likelihood of a model of the tamed values needs
    /// beside it to be compared with that of a model of the plain ones (Snelson, Rasmussen and Ghahramani, "Warped Gaussian
    /// Processes", NeurIPS 2003).
    pub log_stretch: f64,
}

/// The sum of the logarithms of [`yeo_johnson`]'s slopes.
fn log_slopes(values: &[f64], power: f64) -> f64 {
    values.iter().map(|value| (power - 1.0) * value.abs().ln_1p().copysign(*value)).sum()
}

/// Powers that are tried; at -5, a value ten deviations out comes to within a fifth.
const LEAST_POWER: (f64, f64) = (-5.0, 1.0);
const GOLDEN: f64 = 0.618_033_988_749_894_8;
/// Brings the power within 0.005.
const SECTIONS: usize = 15;
/// In units of the logarithm of a likelihood; 2 are the usual threshold for one more parameter.
const WORTH_IT: f64 = 2.0;

fn yeo_johnson(value: f64, power: f64) -> f64 {
    let raised = |base: f64, power: f64| {
        if power.abs() < 1e-6 { base.ln_1p() } else { (power * base.ln_1p()).exp_m1() / power }
    };
    if value >= 0.0 { raised(value, power) } else { -raised(-value, 2.0 - power) }
}

/// The logarithm of the likelihood of the values, transformed, being normal, without constants.
fn normality(values: &[f64], power: f64) -> f64 {
    let count = values.len().max(1) as f64;
    let (mut sum, mut squares) = (0.0, 0.0);
    for &value in values {
        let bent = yeo_johnson(value, power);
        sum += bent;
        squares += bent * bent;
    }
    let variance = squares / count - (sum / count).powi(2);
    log_slopes(values, power) - 0.5 * count * variance.max(1e-300).ln()
}

/// What [`standardised`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardised {
    /// With mean 0 and variance 1.
    pub values: Vec<f64>,
    mean: f64,
    deviation: f64,
    unit: f64,
}

impl Standardised {
    /// Where another value lies in the same measure.
    pub fn place(&self, value: f64) -> f64 {
        (value / self.unit - self.mean) / self.deviation
    }

    /// What a value in this measure was before.
    pub fn back(&self, value: f64) -> f64 {
        (value * self.deviation + self.mean) * self.unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_far_out_is_drawn_in_and_keeps_its_order() {
        let values: Vec<f64> = (0..40).map(|n| f64::from(n * n * n % 97) / 10.0).map(f64::exp).collect();
        let tamed = super::tamed(&values).unwrap().values;
        let mut order: Vec<usize> = (0..40).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        assert!(order.windows(2).all(|pair| tamed[pair[0]] <= tamed[pair[1]]));
        let most = |values: &[f64]| values.iter().copied().fold(f64::MIN, f64::max);
        assert!(most(&standardised(&values).values) > 3.0 && most(&tamed) < 2.5, "{tamed:?}");
        let even: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(super::tamed(&even), None);
        assert_eq!(super::tamed(&[3.0; 5]), None);
    }

    #[test]
    fn the_stretch_is_the_product_of_the_slopes() {
        let values: Vec<f64> = (0..30).map(|n| f64::from(n * n % 37) / 9.0).map(f64::exp).collect();
        let plain = standardised(&values).values;
        let power = -1.3;
        let h = 1e-6;
        let slopes =
            plain.iter().map(|v| (yeo_johnson(v + h, power) - yeo_johnson(v - h, power)) / (2.0 * h));
        let expected: f64 = slopes.map(f64::ln).sum();
        assert!((log_slopes(&plain, power) - expected).abs() < 1e-6, "{expected}");
        // The tamed values have the variance of the plain ones, so that what was stretched here was pressed there.
        assert!(super::tamed(&values).unwrap().log_stretch.is_finite());
    }

    #[test]
    fn any_scale_becomes_one() {
        for unit in [1e-300, 1.0, 1e300] {
            let out = standardised(&[unit, 2.0 * unit, 3.0 * unit]);
            let root = 1.5f64.sqrt();
            for (value, expected) in out.values.iter().zip([-root, 0.0, root]) {
                assert!((value - expected).abs() < 1e-12, "{out:?}");
            }
            assert!((out.place(2.0 * unit)).abs() < 1e-12 && (out.back(0.0) / unit - 2.0).abs() < 1e-12);
        }
        assert_eq!(standardised(&[5.0; 4]).values, [0.0; 4]);
        assert!(standardised(&[]).values.is_empty());
    }
}
