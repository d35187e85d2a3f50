//! What follows attention: a network, or some of many experts. `build_ffn` and `build_moe_ffn` of llama.cpp's
//! `src/llama-graph.cpp`.

use super::graph::Id;
use super::sketch::{I32, Sketch};
use crate::model::Layer;

impl Sketch<'_> {
    pub(super) fn feed_forward(&mut self, layer: &Layer, state: Id) -> Id {
        if !layer.has("ffn_gate_inp.weight") {
            return self.network(layer, "", state);
        }
        let chosen = self.experts(layer, state);
        if !layer.has("ffn_up_shexp.weight") {
            // Some have a network beside their experts.
            if layer.has("ffn_up.weight") {
                let beside = self.network(layer, "", state);
                return self.sum(chosen, beside);
            }
            return chosen;
        }
        let mut shared = self.network(layer, "_shexp", state);
        if layer.has("ffn_gate_inp_shexp.weight") {
            let [_, columns, ..] = self.graph.tensor(state).shape;
            let open = self.graph.fresh([1, columns, 1, 1], &[self.weights, state]);
            let open = self.change(open);
            shared = self.sum(shared, open);
        }
        self.sum(chosen, shared)
    }

    fn network(&mut self, layer: &Layer, suffix: &str, state: Id) -> Id {
        let name = |part: &str, end: &str| format!("ffn_{part}{suffix}.{end}");
        let with_bias = |sketch: &mut Self, part: &str, rows: u64, state: Id| {
            let result = sketch.product(rows, state);
            if layer.has(&name(part, "bias")) { sketch.change(result) } else { result }
        };
        let inner = layer.rows(&name("up", "weight")).unwrap_or(0);
        let up = with_bias(self, "up", inner, state);
        let activated = if layer.has(&name("gate", "weight")) {
            let gate = with_bias(self, "gate", inner, state);
            let shape = self.graph.tensor(gate).shape;
            self.graph.fresh(shape, &[gate, up])
        } else {
            let down = layer.weights.get(&name("down", "weight")).map_or(inner, |weight| weight.shape[0]);
            if inner == 2 * down {
                // Gate and network lie in one matrix.
                let [_, columns, third, fourth] = self.graph.tensor(up).shape;
                self.graph.fresh([down, columns, third, fourth], &[up])
            } else {
                self.change(up)
            }
        };
        with_bias(self, "down", self.model.width, activated)
    }

    /// Each token goes through the experts that suit it best.
    fn experts(&mut self, layer: &Layer, state: Id) -> Id {
        let [width, tokens, ..] = self.graph.tensor(state).shape;
        let count = layer.rows("ffn_gate_inp.weight").unwrap_or(0);
        let used = self.model.facts.number("expert_used_count").unwrap_or(1).clamp(1, count.max(1));
        let weights = self.weights;
        let has_bias = |part: &str| layer.has(&format!("ffn_{part}.bias"));
        let mut scores = self.product(count, state);
        if has_bias("gate_inp") {
            scores = self.change(scores);
        }
        // gpt-oss weighs only those that it has chosen.
        let weighs_late = self.model.facts.architecture == "gpt-oss";
        if !weighs_late {
            scores = self.change(scores);
        }
        let mut order = scores;
        if layer.has("exp_probs_b.bias") {
            order = self.change(order);
        }
        let sorted = self.graph.fresh_of([count, tokens, 1, 1], I32, &[order]);
        let chosen = self.shaped(sorted, [used, tokens, 1, 1]);
        let each = self.shaped(scores, [1, count, tokens, 1]);
        let mut share = self.graph.fresh([1, used, tokens, 1], &[each, chosen]);
        if weighs_late {
            share = self.shaped(share, [used, tokens, 1, 1]);
            share = self.change(share);
            share = self.shaped(share, [1, used, tokens, 1]);
        } else if self.sums_to_one() {
            let flat = self.shaped(share, [used, tokens, 1, 1]);
            let sum = self.graph.fresh([1, tokens, 1, 1], &[flat]);
            let sum = self.change(sum);
            let divided = self.graph.in_place([used, tokens, 1, 1], &[flat, sum]);
            share = self.shaped(divided, [1, used, tokens, 1]);
        }
        if self.model.facts.scales("expert_weights_scale") {
            share = self.change(share);
        }
        self.graph.expand(share);

        let state = self.shaped(state, [width, 1, tokens, 1]);
        let with_bias = |sketch: &mut Self, part: &str, rows: u64, state: Id| {
            let result = sketch.graph.fresh([rows, used, tokens, 1], &[weights, state, chosen]);
            if layer.has(&format!("ffn_{part}.bias")) {
                sketch.graph.in_place([rows, used, tokens, 1], &[result, weights, chosen])
            } else {
                result
            }
        };
        let inner = layer.weights.get("ffn_down_exps.weight").map_or(0, |weight| weight.shape[0]);
        let activated = if layer.has("ffn_gate_up_exps.weight") {
            let both = with_bias(self, "gate_up_exps", 2 * inner, state);
            let gate = self.shaped(both, [inner, used, tokens, 1]);
            let up = self.shaped(both, [inner, used, tokens, 1]);
            self.graph.fresh([inner, used, tokens, 1], &[gate, up])
        } else {
            let up = with_bias(self, "up_exps", inner, state);
            if layer.has("ffn_gate_exps.weight") {
                let gate = with_bias(self, "gate_exps", inner, state);
                self.graph.fresh([inner, used, tokens, 1], &[gate, up])
            } else {
                self.change(up)
            }
        };
        let down = with_bias(self, "down_exps", width, activated);
        let weighed = self.graph.in_place([width, used, tokens, 1], &[down, share]);
        self.graph.expand(weighed);
        let views: Vec<Id> = (0..used.min(count).min(256))
            .map(|_| {
                let view = self.shaped(weighed, [width, tokens, 1, 1]);
                self.graph.expand(view);
                view
            })
            .collect();
        let Some((first, others)) = views.split_first() else { return weighed };
        let mut sum = *first;
        for other in others {
            sum = self.sum(sum, *other);
            self.graph.expand(sum);
        }
        if others.is_empty() { self.graph.fresh([width, tokens, 1, 1], &[sum]) } else { sum }
    }

    /// Whether the shares of the chosen experts are made to sum up to one.
    fn sums_to_one(&self) -> bool {
        match self.model.facts.architecture.as_str() {
            "deepseek2" | "deepseek" | "jamba" | "qwen2moe" | "olmoe" => {
                self.model.facts.number("expert_weights_norm") == Some(1)
            }
            _ => true,
        }
    }
}
