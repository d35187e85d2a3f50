//! Layers that keep a state of fixed size: Mamba and its second version, short convolutions. `build_rs` of llama.cpp's
//! `src/llama-graph.cpp`, `src/models/mamba-base.cpp` and `src/models/lfm2.cpp`.

use super::graph::Id;
use super::sketch::Sketch;
use crate::cache::State;
use crate::model::Layer;

/// Vectors of the inner width that a layer keeps at a time whose operations we do not know: RWKV's, for which it is somewhat
/// too much.
const UNKNOWN_VECTORS: usize = 12;

impl Sketch<'_> {
    pub(super) fn recurrent(&mut self, layer: &Layer, state: Id) -> Id {
        if layer.has("shortconv.in_proj.weight") {
            self.short_convolution(state)
        } else if layer.has("ssm_x.weight") {
            self.mamba(layer, state)
        } else if layer.has("ssm_in.weight") && layer.has("ssm_d") {
            self.mamba2(layer, state)
        } else if layer.has("attn_gate.weight") {
            self.delta(layer, state)
        } else {
            self.unknown(state)
        }
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.model.facts.number(key).unwrap_or(0)
    }

    /// What was kept of each conversation. Returns as many rows.
    pub(super) fn recall(&mut self, numbers: u64) -> Id {
        let rows = self.layout.rows;
        let cleared = self.graph.store(self.weights, &[]);
        self.graph.expand(cleared);
        let all = self.graph.fresh([numbers, rows, 1, 1], &[self.weights, self.states]);
        let own = self.shaped(all, [numbers, rows, 1, 1]);
        self.graph.expand(own);
        let others = self.shaped(all, [numbers, 0, 1, 1]);
        let stored = self.graph.store(self.weights, &[others]);
        self.graph.expand(stored);
        own
    }

    /// The same where an operation reads its states straight from the cache; only those of others are copied.
    pub(super) fn recall_others(&mut self, numbers: u64, reads: Id) {
        let cleared = self.graph.store(self.weights, &[]);
        self.graph.expand(cleared);
        let others = self.layout.rows.saturating_sub(1);
        let ids = self.shaped(self.states, [others, 1, 1, 1]);
        let all = self.graph.fresh([numbers, others, 1, 1], &[self.weights, ids]);
        self.graph.expand(reads);
        let none = self.shaped(all, [numbers, 0, 1, 1]);
        let stored = self.graph.store(self.weights, &[none]);
        self.graph.expand(stored);
    }

    /// Writes a part of a result into the cache.
    pub(super) fn remember(&mut self, of: Id, numbers: u64) {
        let kept = self.shaped(of, [numbers, self.layout.rows, 1, 1]);
        let stored = self.graph.store(self.weights, &[kept]);
        self.graph.expand(stored);
    }

    /// Puts what was kept in front of new inputs, and keeps the last of them.
    pub(super) fn convolution_input(&mut self, channels: u64, taps: u64, inputs: Id) -> Id {
        let (rows, each) = (self.layout.rows, self.tokens / self.layout.rows.max(1));
        let kept = taps.saturating_sub(1);
        let before = self.recall(State::of(self.model).map_or(0, |state| state.inputs));
        let before = self.shaped(before, [kept, channels, rows, 1]);
        let turned = self.shaped(inputs, [each, channels, rows, 1]);
        let all = self.graph.fresh([kept + each, channels, rows, 1], &[before, turned]);
        self.remember(all, kept * channels);
        all
    }

    fn by_row(&self, numbers: u64) -> [u64; 4] {
        [numbers, self.tokens / self.layout.rows.max(1), self.layout.rows, 1]
    }

    fn mamba(&mut self, layer: &Layer, state: Id) -> Id {
        let (inner, size) = (self.number("ssm.inner_size"), self.number("ssm.state_size"));
        let (rank, taps) = (self.number("ssm.time_step_rank"), self.number("ssm.conv_kernel"));
        let width = self.model.width;
        let by_row = self.by_row(width);
        let state = self.shaped(state, by_row);
        let both = self.product(2 * inner, state);
        let (of_inner, of_rank) = (self.by_row(inner), self.by_row(rank));
        let (inputs, gate) = (self.shaped(both, of_inner), self.shaped(both, of_inner));
        let inputs = self.convolution_input(inner, taps, inputs);
        let convolved = self.graph.fresh(of_inner, &[inputs, self.weights]);
        let convolved = self.change(convolved);
        let convolved = self.change(convolved);
        let steps = self.product(rank + 2 * size, convolved);
        let mut parts =
            [of_rank, self.by_row(size), self.by_row(size)].map(|shape| self.shaped(steps, shape));
        if layer.has("ssm_dt_norm.weight") || self.number("ssm.dt_b_c_rms") == 1 {
            for (part, name) in parts.iter_mut().zip(["ssm_dt_norm", "ssm_b_norm", "ssm_c_norm"]) {
                *part = self.norm(layer, name, *part);
            }
        } else {
            parts[0] = self.graph.fresh(of_rank, &[parts[0]]);
        }
        let step = self.product(inner, parts[0]);
        let step = self.change(step);
        let scanned = self.shaped(convolved, [1, inner, of_inner[1], of_inner[2]]);
        let length = inner * (self.tokens + size * self.layout.rows);
        let sources = [self.weights, scanned, step, parts[1], parts[2], self.states];
        let scan = self.graph.fresh([length, 1, 1, 1], &sources);
        self.recall_others(size * inner, scan);
        self.remember(scan, size * inner);
        let seen = self.shaped(scan, of_inner);
        self.close(layer, of_inner, convolved, gate, seen, None)
    }

    fn mamba2(&mut self, layer: &Layer, state: Id) -> Id {
        let (inner, size) = (self.number("ssm.inner_size"), self.number("ssm.state_size"));
        let (heads, taps) = (self.number("ssm.time_step_rank").max(1), self.number("ssm.conv_kernel"));
        let groups = self.number("ssm.group_count");
        let wide = inner + 2 * groups * size;
        let (rows, each) = (self.layout.rows, self.tokens / self.layout.rows.max(1));
        let by_head = [inner / heads, heads, each, rows];
        let all = self.product(inner + wide + heads, state);
        let all = self.shaped(all, [inner + wide + heads, each, rows, 1]);
        let gate = self.shaped(all, by_head);
        let inputs = self.shaped(all, [wide, each, rows, 1]);
        let step = self.shaped(all, [heads, each, rows, 1]);
        let inputs = self.convolution_input(wide, taps, inputs);
        let convolved = self.graph.fresh([wide, each, rows, 1], &[inputs, self.weights]);
        let convolved = self.change(convolved);
        let convolved = self.change(convolved);
        let scanned = self.shaped(convolved, by_head);
        let (before, after) = (
            self.shaped(convolved, [size, groups, each, rows]),
            self.shaped(convolved, [size, groups, each, rows]),
        );
        let step = self.graph.fresh([heads, each, rows, 1], &[step]);
        let step = self.change(step);
        let length = inner * (self.tokens + size * rows);
        let sources = [self.weights, scanned, step, before, after, self.states];
        let scan = self.graph.fresh([length, 1, 1, 1], &sources);
        self.recall_others(size * inner, scan);
        self.remember(scan, size * inner);
        let seen = self.shaped(scan, by_head);
        let norm = layer.has("ssm_norm.weight").then(|| [inner / groups.max(1), groups.max(1), each, rows]);
        self.close(layer, by_head, scanned, gate, seen, norm)
    }

    /// What was scanned, with what went past it, behind its gate.
    fn close(
        &mut self,
        layer: &Layer,
        shape: [u64; 4],
        past: Id,
        gate: Id,
        seen: Id,
        norm: Option<[u64; 4]>,
    ) -> Id {
        let past = self.graph.in_place(shape, &[past, self.weights]);
        let sum = self.graph.in_place(shape, &[seen, past]);
        let gate = self.graph.fresh(shape, &[gate]);
        let mut out = self.graph.fresh(shape, &[gate, sum]);
        if let Some(by_group) = norm {
            out = self.shaped(out, by_group);
            out = self.norm(layer, "ssm_norm", out);
        }
        let inner = self.number("ssm.inner_size");
        let by_row = self.by_row(inner);
        let by_row = if norm.is_some() { [inner, self.tokens, 1, 1] } else { by_row };
        let out = if self.graph.tensor(out).shape == by_row { out } else { self.shaped(out, by_row) };
        let out = self.product(self.model.width, out);
        self.shaped(out, [self.model.width, self.tokens, 1, 1])
    }

    fn short_convolution(&mut self, state: Id) -> Id {
        let (width, taps) = (self.model.width, self.number("shortconv.l_cache"));
        let by_row = self.by_row(width);
        let state = self.shaped(state, by_row);
        let all = self.product(3 * width, state);
        let [before, after, inputs] = [(); 3].map(|()| self.shaped(all, by_row));
        let gated = self.graph.in_place(by_row, &[before, inputs]);
        let inputs = self.convolution_input(width, taps, gated);
        let convolved = self.graph.fresh(by_row, &[inputs, self.weights]);
        let gated = self.graph.in_place(by_row, &[after, convolved]);
        let out = self.product(width, gated);
        self.shaped(out, [width, self.tokens, 1, 1])
    }

    fn unknown(&mut self, state: Id) -> Id {
        let numbers = State::of(self.model).map_or(0, |state| state.inputs.max(state.state));
        let kept = self.recall(numbers);
        let inner = self.number("ssm.inner_size").max(self.model.width);
        let mut sources = vec![kept];
        sources.extend((0..UNKNOWN_VECTORS).map(|_| self.product(inner, state)));
        let mixed = self.graph.fresh([inner, self.tokens, 1, 1], &sources);
        self.remember(mixed, numbers);
        self.product(self.model.width, mixed)
    }
}
