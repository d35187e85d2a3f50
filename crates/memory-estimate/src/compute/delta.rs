//! Gated delta networks, the linear attention of Qwen3-Next: `src/models/qwen3next.cpp` and `src/models/delta-net-base.cpp` of
//! llama.cpp, with the fused operation.

use super::graph::Id;
use super::sketch::Sketch;
use crate::model::Layer;

impl Sketch<'_> {
    pub(super) fn delta(&mut self, layer: &Layer, state: Id) -> Id {
        self.graph.expand(state);
        let (inner, size) = (self.number("ssm.inner_size"), self.number("ssm.state_size"));
        let (heads, groups) =
            (self.number("ssm.time_step_rank").max(1), self.number("ssm.group_count").max(1));
        let value = inner / heads;
        let wide = inner + 2 * groups * size;
        let (rows, each) = (self.layout.rows, self.tokens / self.layout.rows.max(1));

        let mixed = self.product(layer.rows("attn_qkv.weight").unwrap_or(wide), state);
        let mixed = self.shaped(mixed, [wide, each, rows, 1]);
        let gate = self.product(layer.rows("attn_gate.weight").unwrap_or(inner), state);
        let steps = self.product(2 * heads, state);
        let by_head = [heads, each, rows, 1];
        let grouped = [heads / groups, groups, each, rows];
        let (strength, decay) = (self.shaped(steps, grouped), self.shaped(steps, grouped));
        let strength = self.graph.fresh(grouped, &[strength]);
        let strength = self.change(strength);
        let mut decay = self.graph.fresh(by_head, &[decay]);
        for _ in 0..3 {
            decay = self.change(decay);
        }
        let strength = self.shaped(strength, [1, heads, each, rows]);
        let decay = self.shaped(decay, [1, heads, each, rows]);

        let inputs = self.convolution_input(wide, self.number("ssm.conv_kernel"), mixed);
        let kept = self.recall(size * inner);
        let kept = self.shaped(kept, [value, value, heads, rows]);
        let convolved = self.graph.fresh([wide, each, rows, 1], &[inputs, self.weights]);
        let convolved = self.change(convolved);
        let [queries, keys] = [(); 2].map(|()| self.delta_heads(convolved, size, groups, heads));
        let values = self.shaped(convolved, [value, heads, each, rows]);

        let result = [value * heads, self.tokens + value * rows, 1, 1];
        let result = self.graph.fresh(result, &[queries, keys, values, decay, strength, kept]);
        let seen = self.shaped(result, [value, heads, each, rows]);
        self.remember(result, size * inner);

        let shape = [value, heads, each, rows];
        let gate = self.shaped(gate, shape);
        let normed = self.norm(layer, "ssm_norm", seen);
        let open = self.change(gate);
        let out = self.graph.in_place(shape, &[normed, open]);
        let out = self.shaped(out, [value * heads, each, rows, 1]);
        let out = self.product(self.model.width, out);
        self.shaped(out, [self.model.width, self.tokens, 1, 1])
    }

    /// Normed queries or keys, one for each head.
    fn delta_heads(&mut self, convolved: Id, size: u64, groups: u64, heads: u64) -> Id {
        let (rows, each) = (self.layout.rows, self.tokens / self.layout.rows.max(1));
        let of_groups = self.shaped(convolved, [size, groups, each, rows]);
        let normed = self.graph.in_place([size, groups, each, rows], &[of_groups]);
        let scaled = self.change(normed);
        if groups == heads {
            return scaled;
        }
        let apart = self.shaped(scaled, [size, 1, groups, each * rows]);
        let repeated = self.graph.fresh([size, heads / groups, groups, each * rows], &[apart]);
        self.shaped(repeated, [size, heads, each, rows])
    }
}
