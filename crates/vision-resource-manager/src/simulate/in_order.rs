//! The policies that take requests in the order in which they came.
//!
//! Common to both: a request for a model that is loaded goes to it at once and waits there for its turn. For another model
//! idle ones are unloaded until it fits; where none is idle, it waits, and everybody behind it.

use std::collections::VecDeque;

use super::clock::Clock;
use super::{Run, Scenario, Trace};

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    /// The loop waits until a model is loaded before it looks at the next request.
    pub(super) load_blocks: bool,
    /// Models that may be loaded at once for each device.
    pub(super) models_per_device: usize,
    /// Which of the idle models goes.
    pub(super) goes: Goes,
}

/// Which of the idle models goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goes {
    /// The one that was used longest ago, of those where enough can become free.
    LeastRecentlyUsed,
    /// The first by name, wherever it lies.
    FirstByName,
}

/// First come, first served, with LRU: what most home-made managers do.
pub(super) const FIFO_LRU: Rules =
    Rules { load_blocks: false, models_per_device: usize::MAX, goes: Goes::LeastRecentlyUsed };

/// Ollama's scheduler, as read from `server/sched.go`: one loop takes pending requests in order and waits for each load;
/// three models for each GPU at most; of equal keep-alives the idle runner that comes first by name goes. Its five minutes
/// of keep-alive are left out: under load nothing stays idle so long, and without load they cost it reloads.
pub(super) const OLLAMA: Rules = Rules { load_blocks: true, models_per_device: 3, goes: Goes::FirstByName };

#[derive(Clone, Copy)]
enum Happens {
    Arrival(usize),
    Loaded(usize),
    Answered(usize),
}

#[derive(Clone)]
struct Runner {
    device: usize,
    /// Given to it and not begun.
    given: VecDeque<usize>,
    busy: bool,
    last: u64,
}

struct State<'a> {
    trace: &'a Trace,
    speedup: f64,
    rules: Rules,
    free: Vec<u64>,
    runners: Vec<Option<Runner>>,
    /// The models' places by name.
    by_name: Vec<usize>,
    pending: VecDeque<usize>,
    loading: usize,
    clock: Clock<Happens>,
    run: Run,
    begun: usize,
}

pub(super) fn run(
    trace: &Trace,
    scenario: &Scenario,
    rules: Rules,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<Run> {
    let mut clock = Clock::new();
    for (index, request) in trace.requests.iter().enumerate() {
        clock.at(request.arrives(scenario.speedup), Happens::Arrival(index));
    }
    let mut by_name: Vec<usize> = (0..trace.models.len()).collect();
    by_name.sort_by(|a, b| trace.models[*a].name.cmp(&trace.models[*b].name));
    let mut state = State {
        trace,
        speedup: scenario.speedup,
        rules,
        free: scenario.devices.clone(),
        runners: vec![None; trace.models.len()],
        by_name,
        pending: VecDeque::new(),
        loading: 0,
        clock,
        run: Run { waits: vec![0; trace.requests.len()], loads: 0 },
        begun: 0,
    };
    let mut told = 0;
    while let Some((now, happens)) = state.clock.next() {
        match happens {
            Happens::Arrival(index) => state.pending.push_back(index),
            Happens::Loaded(model) => {
                state.loading -= 1;
                state.next_of(model, now);
            }
            Happens::Answered(model) => state.next_of(model, now),
        }
        state.take_pending(now);
        if state.begun / super::TELL_EVERY != told {
            told = state.begun / super::TELL_EVERY;
            if !progress(state.begun) {
                return None;
            }
        }
    }
    Some(state.run)
}

impl State<'_> {
    /// A runner begins with the next request that it was given, or is idle.
    fn next_of(&mut self, model: usize, now: u64) {
        let Some(runner) = &mut self.runners[model] else { return };
        runner.last = now;
        let next = runner.given.pop_front();
        runner.busy = next.is_some();
        if let Some(index) = next {
            let request = self.trace.requests[index];
            self.run.waits[index] = now.saturating_sub(request.arrives(self.speedup));
            self.begun += 1;
            self.clock.at(now + request.exec_ms as u64, Happens::Answered(model));
        }
    }

    fn take_pending(&mut self, now: u64) {
        while !(self.rules.load_blocks && self.loading > 0) {
            let Some(&index) = self.pending.front() else { return };
            let model = self.trace.requests[index].model;
            if let Some(runner) = &mut self.runners[model] {
                runner.given.push_back(index);
                self.pending.pop_front();
                if !runner.busy {
                    self.next_of(model, now);
                }
                continue;
            }
            let bytes = self.trace.models[model].bytes;
            let loaded = self.runners.iter().flatten().count();
            let most = self.rules.models_per_device.saturating_mul(self.free.len());
            let most_free =
                (0..self.free.len()).max_by_key(|device| (self.free[*device], usize::MAX - *device));
            match most_free.filter(|device| loaded < most && self.free[*device] >= bytes) {
                Some(device) => {
                    self.free[device] -= bytes;
                    let given = VecDeque::from([index]);
                    self.pending.pop_front();
                    self.runners[model] = Some(Runner { device, given, busy: true, last: now });
                    self.loading += 1;
                    self.run.loads += 1;
                    self.clock.at(now + self.trace.models[model].load_ms, Happens::Loaded(model));
                }
                None => match self.who_goes(bytes) {
                    Some(gone) => self.unload(gone),
                    None => return,
                },
            }
        }
    }

    fn unload(&mut self, model: usize) {
        if let Some(runner) = self.runners[model].take() {
            self.free[runner.device] += self.trace.models[model].bytes;
        }
    }

    fn who_goes(&self, bytes: u64) -> Option<usize> {
        let idle = |model: &usize| self.runners[*model].as_ref().filter(|runner| !runner.busy);
        if self.rules.goes == Goes::FirstByName {
            return self.by_name.iter().copied().find(|model| idle(model).is_some());
        }
        let mut could_be_free = self.free.clone();
        for model in 0..self.runners.len() {
            if let Some(runner) = idle(&model) {
                could_be_free[runner.device] += self.trace.models[model].bytes;
            }
        }
        let enough = |runner: &&Runner| could_be_free[runner.device] >= bytes;
        let candidates = (0..self.runners.len()).filter(|model| idle(model).filter(enough).is_some());
        candidates.min_by_key(|model| idle(model).map_or(u64::MAX, |runner| runner.last))
    }
}
