//! Multi-head latent attention: keys and values of a token are one short vector, and heads are made of it. `deepseek2` and
//! its relatives in llama.cpp's `src/models`.

use super::attention::Looked;
use super::graph::Id;
use super::sketch::Sketch;
use crate::model::Layer;

impl Sketch<'_> {
    /// Numbers of a value of a head, where they are made of the short vector after all is looked at.
    pub(super) fn latent_value(&self, layer: &Layer) -> Option<u64> {
        let is_latent = self.model.is_latent() && layer.has("attn_kv_a_mqa.weight");
        is_latent.then(|| self.model.facts.number("attention.value_length_mla")).flatten()
    }

    pub(super) fn latent(&mut self, layer: &Layer, state: Id) -> Id {
        let (tokens, heads) = (self.tokens, layer.heads);
        let number = |key: &str| self.model.facts.number(key).unwrap_or(0);
        let turned = number("rope.dimension_count");
        let rank = number("attention.kv_lora_rank");
        let is_latent = self.model.is_latent();
        let key = if is_latent { number("attention.key_length_mla") } else { layer.key };
        let mut queries = state;
        if layer.has("attn_q_a.weight") {
            queries = self.product(layer.rows("attn_q_a.weight").unwrap_or(0), queries);
            queries = self.norm(layer, "attn_q_a_norm", queries);
        }
        queries = self.product(key * heads, queries);
        let queries = self.shaped(queries, [key, heads, tokens, 1]);
        let short = self.product(rank + turned, state);
        let compressed = self.shaped(short, [rank, tokens, 1, 1]);
        let by_position = self.shaped(short, [turned, 1, tokens, 1]);
        let by_position = self.turn_by_position(by_position);
        let compressed = self.norm(layer, "attn_kv_a_norm", compressed);
        let inputs = self.inputs_of(layer);
        if is_latent {
            let plain = self.shaped(queries, [key.saturating_sub(turned), heads, tokens, 1]);
            let turning = self.shaped(queries, [turned, heads, tokens, 1]);
            let turning = self.turn_by_position(turning);
            let plain = self.shaped(plain, [key.saturating_sub(turned), tokens, heads, 1]);
            let absorbed = self.graph.fresh([rank, tokens, heads, 1], &[self.weights, plain]);
            let absorbed = self.shaped(absorbed, [rank, heads, tokens, 1]);
            let queries = self.graph.fresh([rank + turned, heads, tokens, 1], &[absorbed, turning]);
            let values = self.shaped(compressed, [rank, 1, tokens, 1]);
            let keys = self.graph.fresh([rank + turned, 1, tokens, 1], &[values, by_position]);
            [queries, values, keys].into_iter().for_each(|id| self.graph.expand(id));
            let rows = self.shaped(keys, [rank + turned, tokens, 1, 1]);
            let stored = self.graph.store(self.weights, &[rows, inputs.keys]);
            self.graph.expand(stored);
            let mixed = self.mix(layer, &inputs, queries, rank);
            self.graph.expand(mixed);
            return self.project(layer, mixed);
        }
        let plain = key.saturating_sub(turned);
        let both = self.product((plain + layer.value) * heads, compressed);
        let keys = self.shaped(both, [plain, heads, tokens, 1]);
        let values = self.shaped(both, [layer.value, heads, tokens, 1]);
        let values = self.graph.fresh([layer.value, heads, tokens, 1], &[values]);
        let queries = self.turn_by_position(queries);
        let repeated = self.graph.fresh([turned, heads, tokens, 1], &[by_position]);
        let keys = self.graph.fresh([key, heads, tokens, 1], &[keys, repeated]);
        let looked = Looked { queries, keys: Some(keys), values: Some(values), gate: None, is_fused: false };
        let mixed = self.attend(layer, &inputs, looked);
        self.project(layer, mixed)
    }
}
