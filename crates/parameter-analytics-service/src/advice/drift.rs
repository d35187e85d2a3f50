//! Since when a quantity has been as it is: what was recorded before a change is not learned from.
//!
//! A model that mixes what was with what is recommends neither. For a number of moments the means of each configuration before and after
//! are compared (a chi-square of their differences, configuration by configuration, so that other configurations being tried is no
//! change), and the most significant moment counts: binary segmentation (Scott and Knott 1974), once.

/// The least number of records on either side of a change.
const LEAST: usize = 20;
/// Ratio of the distances from the end at which a change is looked for.
const RATIO: f64 = 1.2;
/// Standard deviations of significance. Some twenty moments are tried at each of some hundred refits of three quantities, and
/// configurations that looked good by luck come down by themselves afterwards: 5 would be one false alarm in 600 such lives.
const SIGNIFICANT: f64 = 6.0;
/// A configuration's variance is drawn to that of all as if by so many records.
const SHARED: f64 = 10.0;

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Welford 1962.
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }
}

/// How many of the records, given in order as group and value, were before the last change; 0 where there was none.
pub(super) fn changed_at(records: &[(usize, f64)], groups: usize) -> usize {
    let (mut best, mut distance) = ((SIGNIFICANT, 0), LEAST as f64);
    while distance as usize + LEAST <= records.len() {
        let at = records.len() - distance as usize;
        let found = significance(records, at, groups);
        if found > best.0 {
            best = (found, at);
        }
        distance *= RATIO;
    }
    best.1
}

/// In standard deviations, how unlikely the differences between before and after are by chance.
fn significance(records: &[(usize, f64)], at: usize, groups: usize) -> f64 {
    let (before, after) = records.split_at(at.min(records.len()));
    let moments = |records: &[(usize, f64)]| {
        let mut moments = vec![Moments::default(); groups];
        for (group, value) in records {
            if let Some(moments) = moments.get_mut(*group) {
                moments.add(*value);
            }
        }
        moments
    };
    let pairs: Vec<(Moments, Moments)> = moments(before).into_iter().zip(moments(after)).collect();
    let squares: f64 = pairs.iter().map(|(a, b)| a.squares + b.squares).sum();
    let free = |m: &Moments| (m.count - 1.0).max(0.0);
    let degrees: f64 = pairs.iter().map(|(a, b)| free(a) + free(b)).sum();
    let variance = squares / degrees.max(1.0);
    // A constant that jumps: any variance will do, and rounding is no difference.
    let least = 1e-18 * pairs.iter().map(|(a, b)| a.mean.powi(2).max(b.mean.powi(2))).fold(1e-300, f64::max);
    let (mut chi_square, mut terms) = (0.0, 0.0);
    for (a, b) in pairs.iter().filter(|(a, b)| a.count >= 3.0 && b.count >= 3.0) {
        let own = SHARED * variance + a.squares + b.squares;
        let own = (own / (SHARED + free(a) + free(b))).max(least);
        chi_square += (a.mean - b.mean).powi(2) / (own * (1.0 / a.count + 1.0 / b.count));
        terms += 1.0;
    }
    if terms == 0.0 {
        return 0.0;
    }
    // Wilson and Hilferty 1931: the cube root of a chi-square over its degrees is nearly normal.
    let spread = 2.0 / (9.0 * terms);
    ((chi_square / terms).cbrt() - (1.0 - spread)) / spread.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    fn calls(
        count: usize,
        groups: usize,
        seed: u64,
        mean: impl Fn(usize, usize) -> f64,
    ) -> Vec<(usize, f64)> {
        let mut stream = Stream::new(seed, 0);
        let call = |n| {
            let group = stream.below(groups);
            (group, mean(n, group) + 0.3 * stream.normal())
        };
        (0..count).map(call).collect()
    }

    #[test]
    fn a_change_is_found_near_where_it_was() {
        let records = calls(1_000, 6, 1, |n, group| group as f64 + if n < 700 { 0.0 } else { 0.4 });
        let found = changed_at(&records, 6);
        assert!((640..=760).contains(&found), "{found}");
    }

    #[test]
    fn noise_and_other_configurations_are_no_change() {
        let alarms =
            (0..200).filter(|seed| changed_at(&calls(600, 8, *seed, |_, group| group as f64), 8) > 0);
        assert_eq!(alarms.count(), 0);
        let moved: Vec<(usize, f64)> = calls(400, 4, 7, |_, group| group as f64)
            .into_iter()
            .enumerate()
            .map(|(n, (group, value))| if n < 200 { (0, value - group as f64) } else { (group, value) })
            .collect();
        assert_eq!(changed_at(&moved, 4), 0);
    }
}
