//! Metrics of one name, by their labels' values.
//!
//! `prometheus`' own vectors hash the values one after the other and keep nothing but the hash, so that the model `gpt-4`
//! at the endpoint `o-azure` and `gpt-4o` at `-azure` would be one series.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use prometheus::Opts;
use prometheus::core::{Collector, Metric};
use prometheus::proto::MetricFamily;

/// Label values are configured names. Configurations that are exchanged with other names each time begin anew at this
/// many series of one metric, so that nothing grows without end; Prometheus knows counters that begin anew.
const MOST_SERIES: usize = 4_096;

/// One metric, and a series of it for each combination of its labels' values that was seen.
pub(super) struct Labelled<M, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    make: fn(Opts) -> prometheus::Result<M>,
    series: RwLock<HashMap<[Arc<str>; N], M>>,
}

/// The same as a key of the map, borrowed. An array is hashed as what it consists of, and `Arc<str>` as `str`.
#[derive(Hash)]
struct Values<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Equivalent<[Arc<str>; N]> for Values<'_, N> {
    fn equivalent(&self, key: &[Arc<str>; N]) -> bool {
        self.0.iter().zip(key).all(|(value, of_key)| **value == **of_key)
    }
}

impl<M: Metric + Collector, const N: usize> Labelled<M, N> {
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        make: fn(Opts) -> prometheus::Result<M>,
    ) -> Self {
        Self { name, help, labels, make, series: RwLock::default() }
    }

    /// Counts in the series of these values.
    pub(super) fn with(&self, values: [&str; N], count: impl FnOnce(&M)) {
        let values = Values(values);
        if let Some(metric) = self.series.read().get(&values) {
            return count(metric);
        }
        let mut options = Opts::new(self.name, self.help);
        for (label, value) in self.labels.iter().zip(values.0) {
            options = options.const_label(*label, value);
        }
        // Only names and labels that Prometheus does not allow are refused, and those are ours: there is a test for each.
        let Ok(metric) = (self.make)(options) else { return };
        let mut series = self.series.write();
        if series.len() >= MOST_SERIES {
            series.clear();
        }
        count(series.entry(values.0.map(Arc::from)).or_insert(metric));
    }

    /// Forgets the series whose values are not wanted any more.
    pub(super) fn retain(&self, is_wanted: impl Fn([&str; N]) -> bool) {
        self.series.write().retain(|values, _| is_wanted(values.each_ref().map(|value| &**value)));
    }

    /// All series; `None` where nothing was counted.
    pub(super) fn family(&self) -> Option<MetricFamily> {
        let series = self.series.read();
        let mut families = series.values().flat_map(Collector::collect);
        let mut family = families.next()?;
        let mut metrics = family.take_metric();
        for mut other in families {
            metrics.extend(other.take_metric());
        }
        metrics.sort_by(|a, b| labels(a).cmp(labels(b)));
        family.set_metric(metrics);
        Some(family)
    }
}

fn labels(metric: &prometheus::proto::Metric) -> impl Iterator<Item = &str> {
    metric.get_label().iter().map(|label| label.value())
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;

    use super::*;

    fn counted(of: &Labelled<IntCounter, 2>) -> Vec<(String, String, f64)> {
        let family = of.family().unwrap();
        let row = |metric: &prometheus::proto::Metric| {
            let labels: Vec<&str> = labels(metric).collect();
            (labels[0].to_owned(), labels[1].to_owned(), metric.get_counter().get_value())
        };
        family.get_metric().iter().map(row).collect()
    }

    #[test]
    fn values_that_read_the_same_one_after_the_other_are_two_series() {
        let counts = Labelled::new("a_total", "Help.", ["a", "b"], IntCounter::with_opts);
        assert!(counts.family().is_none());
        counts.with(["gpt-4", "o-azure"], |counter| counter.inc_by(1));
        counts.with(["gpt-4o", "-azure"], |counter| counter.inc_by(2));
        counts.with(["gpt-4", "o-azure"], |counter| counter.inc_by(4));
        let row = |a: &str, b: &str, count| (a.to_owned(), b.to_owned(), count);
        assert_eq!(counted(&counts), [row("gpt-4", "o-azure", 5.0), row("gpt-4o", "-azure", 2.0)]);
    }

    #[test]
    fn names_that_go_on_changing_begin_anew() {
        let counts = Labelled::new("a_total", "Help.", ["a", "b"], IntCounter::with_opts);
        for number in 0..=MOST_SERIES {
            counts.with([&number.to_string(), ""], |counter| counter.inc_by(1));
        }
        assert_eq!(counted(&counts).len(), 1);
    }
}
