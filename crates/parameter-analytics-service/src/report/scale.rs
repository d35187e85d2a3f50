//! Where a number lies along an axis, and which numbers are written there.

use crate::report::text;
use crate::space::Domain;

/// An axis. Ends differ and are finite.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// Differences count.
    Linear { low: f64, high: f64, whole: bool },
    /// Ratios count; both ends are above 0.
    Log { low: f64, high: f64 },
    /// Names, each with the same share; a number is the place of one.
    Bands(Vec<String>),
}

/// A number that is written at an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where, 0 to 1.
    pub(super) at: f64,
    /// What.
    pub(super) label: String,
}

impl Scale {
    /// From the least to the greatest; a little around a single number.
    pub(super) fn linear(low: f64, high: f64) -> Self {
        if low < high {
            return Self::Linear { low, high, whole: false };
        }
        let around = if low == 0.0 { 1.0 } else { low.abs() * 0.05 };
        let (low, high) = ((low - around).max(f64::MIN), (low + around).min(f64::MAX));
        Self::Linear { low, high, whole: false }
    }

    /// The same, with whole numbers written.
    pub(super) fn whole(low: f64, high: f64) -> Self {
        match Self::linear(low, if low < high { high } else { low + 1.0 }) {
            Self::Linear { low, high, .. } => Self::Linear { low, high, whole: true },
            other => other,
        }
    }

    /// That of a parameter: every value has the same share, as in the coordinates of the models.
    pub(super) fn of(domain: &Domain) -> Self {
        match domain {
            Domain::Float { low, high, log: true, .. } if low < high => Self::Log { low: *low, high: *high },
            Domain::Float { low, high, step: None, .. } => Self::linear(*low, *high),
            Domain::Float { low, high, step: Some(step), .. } => {
                Self::linear(low - step / 2.0, high + step / 2.0)
            }
            Domain::Int { low, high, log: true, .. } => {
                Self::Log { low: *low as f64 - 0.5, high: *high as f64 + 0.5 }
            }
            Domain::Int { low, step, .. } => {
                let (low, high, half) = (*low as f64, domain.at(1.0), *step as f64 / 2.0);
                Self::Linear { low: low - half, high: high + half, whole: true }
            }
            Domain::Categorical { choices } => {
                Self::Bands(choices.iter().map(|choice| text::setting(&choice.value, text::LABEL)).collect())
            }
        }
    }

    /// Where a number lies, 0 to 1; one beyond an end lies at it.
    pub(super) fn share(&self, number: f64) -> f64 {
        let share = match self {
            // Halves, since a difference of two can be infinite.
            Self::Linear { low, high, .. } => (number / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0),
            Self::Log { low, high } => {
                (number.max(f64::MIN_POSITIVE).ln() - low.ln()) / (high.ln() - low.ln())
            }
            Self::Bands(names) => (number + 0.5) / names.len().max(1) as f64,
        };
        if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) }
    }

    /// Numbers to write, about `most` and never many more.
    pub(super) fn ticks(&self, most: usize) -> Vec<Tick> {
        let labelled = |(at, label)| Tick { at, label };
        match self {
            Self::Linear { low, high, whole } => {
                let (numbers, step) = round_numbers(*low, *high, most.max(2), *whole);
                let label =
                    |number: f64| (self.share(number), tick_label(number, step, low.abs().max(high.abs())));
                numbers.into_iter().map(label).map(labelled).collect()
            }
            Self::Log { low, high } => {
                let numbers = round_ratios(*low, *high, most.max(2));
                numbers
                    .into_iter()
                    .map(|number| (self.share(number), text::number(number)))
                    .map(labelled)
                    .collect()
            }
            Self::Bands(names) => {
                let every = names.len().div_ceil(most.max(1)).max(1);
                let named = names.iter().enumerate().step_by(every);
                named.map(|(place, name)| (self.share(place as f64), name.clone())).map(labelled).collect()
            }
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten (Heckbert, "Nice numbers for graph labels", Graphics Gems 1990), and their distance.
fn round_numbers(low: f64, high: f64, most: usize, whole: bool) -> (Vec<f64>, f64) {
    let rough = (high / 2.0 - low / 2.0) / most as f64 * 2.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough).max(if whole { 1.0 } else { 0.0 });
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    if !step.is_finite() || step == 0.0 || !(last - first).is_finite() {
        return (vec![low, high], high / 2.0 - low / 2.0);
    }
    // A step that rounding has made smaller than the numbers' last digit would go on for ever.
    let numbers =
        (0..=most + 1).map(|place| (first + place as f64) * step).take_while(|number| *number <= high);
    (numbers.collect(), step)
}

/// Powers of ten, and where there are few of them what lies between.
fn round_ratios(low: f64, high: f64, most: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = high.log10() - low.log10();
    if decades < 0.7 {
        return round_numbers(low, high, most, false).0;
    }
    let every = (decades / most as f64).ceil().max(1.0) as usize;
    let factors: &[f64] = match most as f64 / decades {
        3.0.. => &[1.0, 2.0, 5.0],
        1.8.. => &[1.0, 3.0],
        _ => &[1.0],
    };
    let powers = (first..=last).step_by(every);
    let numbers = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
    numbers.filter(|number| (low * 0.999..=high * 1.001).contains(number)).collect()
}

fn tick_label(number: f64, step: f64, largest: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    // Digits between the largest number and the step; more of them would not fit.
    let digits = (largest.log10().floor() - step.log10().floor()).clamp(0.0, 6.0);
    if largest >= 1e6 || step < 1e-5 {
        let scientific = format!("{number:.*e}", digits as usize);
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return format!("{}e{exponent}", text::tidy(digits));
    }
    text::tidy(&format!("{number:.*}", (-step.log10().floor()).clamp(0.0, 6.0) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks(5).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn round_numbers_are_written() {
        assert_eq!(labels(&Scale::linear(0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(&Scale::linear(-3.2, 7.9)), ["0", "5"]);
        assert_eq!(labels(&Scale::whole(0.0, 3.0)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Scale::Log { low: 1e-5, high: 1e-1 }), ["1e-5", "0.0001", "0.001", "0.01", "0.1"]);
        assert_eq!(labels(&Scale::linear(1e300, 3e300)), ["1e300", "1.5e300", "2e300", "2.5e300", "3e300"]);
    }

    #[test]
    fn any_ends_have_few_ticks_in_their_order() {
        for (low, high) in [
            (f64::MIN, f64::MAX),
            (0.0, 5e-324),
            (1.0, 1.0 + f64::EPSILON),
            (7.0, 7.0),
            (0.0, 0.0),
            (f64::MAX, f64::MAX),
            (-1e300, 1e-300),
            (1e15, 1e15 + 2.0),
        ] {
            let scale = Scale::linear(low, high);
            let ticks = scale.ticks(5);
            assert!(!ticks.is_empty() && ticks.len() < 9, "{low} {high} {ticks:?}");
            assert!(ticks.windows(2).all(|pair| pair[0].at <= pair[1].at), "{low} {high} {ticks:?}");
            assert!((0.0..=1.0).contains(&scale.share(low)) && (0.0..=1.0).contains(&scale.share(high)));
        }
    }
}
