//! The decision: which reads are wrong. Sorts once, then sweeps over each key.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Action, Operation, Outcome, Report, Rules, Violation};

/// Finds every read that the rules do not allow. See the [module](super) for the rules.
///
/// An operation that ends before it starts counts as ending when it starts.
pub fn check<K: Eq + Hash, V: Eq + Hash>(history: &[Operation<K, V>], rules: &Rules) -> Report {
    let mut keys: HashMap<&K, Register<'_, V>> = HashMap::new();
    for (index, operation) in history.iter().enumerate() {
        keys.entry(&operation.key).or_default().add(index, operation, rules);
    }
    let mut report = Report { keys: keys.len(), ..Report::default() };
    for register in keys.into_values() {
        register.judge(rules, &mut report);
    }
    report.violations.sort_by_key(Violation::read);
    report
}

/// All that happened to one key.
struct Register<'a, V> {
    /// For each value, and for its absence, when it can have come.
    effects: HashMap<Option<&'a V>, Effects>,
    /// Acknowledged writes and deletes.
    overwrites: Vec<Overwrite>,
    reads: Vec<Read<'a, V>>,
}

struct Overwrite {
    start: u64,
    end: u64,
    index: usize,
}

struct Read<'a, V> {
    start: u64,
    end: u64,
    index: usize,
    value: Option<&'a V>,
}

impl<V> Default for Register<'_, V> {
    fn default() -> Self {
        Self { effects: HashMap::new(), overwrites: Vec::new(), reads: Vec::new() }
    }
}

impl<'a, V: Eq + Hash> Register<'a, V> {
    fn add<K>(&mut self, index: usize, operation: &'a Operation<K, V>, rules: &Rules) {
        let (start, end) = (operation.start, operation.end.max(operation.start));
        let value = match (&operation.action, operation.outcome) {
            (Action::Read(value), Outcome::Ok) => {
                return self.reads.push(Read { start, end, index, value: value.as_ref() });
            }
            (Action::Read(_), _) | (_, Outcome::Failed) => return,
            (Action::Write(value), _) => Some(value),
            (Action::Delete, _) => None,
        };
        let last = match operation.outcome {
            Outcome::Ok => end,
            _ => rules.unknown_for_ns.map_or(u64::MAX, |more| end.saturating_add(more)),
        };
        self.effects.entry(value).or_default().0.push((start, last));
        if operation.outcome == Outcome::Ok {
            self.overwrites.push(Overwrite { start, end, index });
        }
    }

    /// Goes through the reads by start, and keeps of the overwrites that were acknowledged long enough before the one that
    /// began last: if that one does not make the value stale, none does.
    fn judge(mut self, rules: &Rules, report: &mut Report) {
        for effects in self.effects.values_mut() {
            effects.settle();
        }
        self.overwrites.sort_unstable_by_key(|overwrite| overwrite.end);
        self.reads.sort_unstable_by_key(|read| read.start);
        report.reads += self.reads.len();
        let mut acknowledged = self.overwrites.iter().peekable();
        let mut latest: Option<&Overwrite> = None;
        for read in &self.reads {
            while let Some(next) =
                acknowledged.next_if(|next| next.end.saturating_add(rules.slack_ns) < read.start)
            {
                if latest.is_none_or(|latest| latest.start < next.start) {
                    latest = Some(next);
                }
            }
            if read.value.is_none() && rules.may_forget {
                continue;
            }
            let last = self.effects.get(&read.value).and_then(|effects| effects.last_before(read.end));
            let violation = match (read.value, last, latest) {
                (Some(_), None, _) => Violation::FromNowhere { read: read.index },
                (_, Some(last), Some(latest)) if latest.start > last => read.against(latest),
                // It began before everything, so that any write makes it wrong.
                (None, None, Some(latest)) => read.against(latest),
                _ => continue,
            };
            report.violations.push(violation);
        }
    }
}

impl<V> Read<'_, V> {
    fn against(&self, overwrite: &Overwrite) -> Violation {
        let (read, late_ns) = (self.index, self.start - overwrite.end);
        match self.value {
            // A deletion explains an absence, so that what stands against an absence is a write.
            None => Violation::Lost { read, write: overwrite.index, late_ns },
            Some(_) => Violation::Stale { read, overwrite: overwrite.index, late_ns },
        }
    }
}

/// When one value can have come: the first and the last possible moment of each write of it.
#[derive(Default)]
struct Effects(Vec<(u64, u64)>);

impl Effects {
    /// Sorts by the first moment, and makes each last moment the latest of all so far.
    fn settle(&mut self) {
        self.0.sort_unstable();
        let mut latest = 0;
        for (_, last) in &mut self.0 {
            latest = latest.max(*last);
            *last = latest;
        }
    }

    /// The last moment at which the value can have come, of the writes that began before `end`.
    fn last_before(&self, end: u64) -> Option<u64> {
        let began = self.0.partition_point(|(first, _)| *first <= end);
        self.0[..began].last().map(|(_, last)| *last)
    }
}
