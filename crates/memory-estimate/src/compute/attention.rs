//! Attention: `build_qkv`, `build_attn` and `build_attn_mha` of llama.cpp's `src/llama-graph.cpp`.

use super::graph::Id;
use super::sketch::{CacheInputs, Sketch};
use crate::model::Layer;

/// Queries, keys and values of a batch.
pub(super) struct Looked {
    pub(super) queries: Id,
    pub(super) keys: Option<Id>,
    pub(super) values: Option<Id>,
    /// What is multiplied with the result.
    pub(super) gate: Option<Id>,
    /// Whether values are a part of something wider, and have to be copied before they can be laid down transposed.
    pub(super) is_fused: bool,
}

impl Sketch<'_> {
    pub(super) fn attention(&mut self, layer: &Layer, state: Id) -> Id {
        if layer.has("attn_kv_a_mqa.weight") {
            return self.latent(layer, state);
        }
        let looked = self.look(layer, state);
        let gate = looked.gate;
        let inputs = self.inputs_of(layer);
        let mut attended = self.attend(layer, &inputs, looked);
        if let Some(gate) = gate {
            let shape = self.graph.tensor(attended).shape;
            let whole = self.graph.fresh(shape, &[gate]);
            let open = self.change(whole);
            attended = self.sum(attended, open);
        }
        self.project(layer, attended)
    }

    /// What leads back from heads to the state.
    pub(super) fn project(&mut self, layer: &Layer, attended: Id) -> Id {
        let mut out = attended;
        if layer.has("attn_sub_norm.weight") {
            out = self.norm(layer, "attn_sub_norm", out);
        }
        out = self.product(layer.rows("attn_output.weight").unwrap_or(self.model.width), out);
        if layer.has("attn_output.bias") {
            out = self.change(out);
        }
        out
    }

    fn look(&mut self, layer: &Layer, state: Id) -> Looked {
        let tokens = self.tokens;
        let heads = |count: u64, length: u64| [length, count, tokens, 1];
        let (of_queries, of_keys, of_values) = (
            heads(layer.heads, layer.key),
            heads(layer.heads_kv, layer.key),
            heads(layer.heads_kv, layer.value),
        );
        let is_fused = layer.has("attn_qkv.weight");
        let mut gate = None;
        let (mut queries, mut keys, values);
        if is_fused {
            let mut all = self.product(layer.rows("attn_qkv.weight").unwrap_or(0), state);
            if layer.has("attn_qkv.bias") {
                all = self.change(all);
            }
            queries = self.shaped(all, of_queries);
            keys = Some(self.shaped(all, of_keys));
            values = Some(self.shaped(all, of_values));
        } else {
            let wide = layer.rows("attn_q.weight").unwrap_or(layer.key * layer.heads);
            let all = self.part(layer, "attn_q", wide, state);
            let is_gated = wide == 2 * layer.key * layer.heads;
            let whole = if is_gated { [2 * layer.key, layer.heads, tokens, 1] } else { of_queries };
            queries = self.shaped(all, whole);
            if is_gated {
                queries = self.shaped(all, of_queries);
                gate = Some(self.shaped(all, of_queries));
            }
            let has_keys = layer.has("attn_k.weight") && layer.has_cache;
            keys = has_keys.then(|| {
                let keys = self.part(layer, "attn_k", layer.key * layer.heads_kv, state);
                self.shaped(keys, of_keys)
            });
            values = (has_keys && layer.has("attn_v.weight")).then(|| {
                let values = self.part(layer, "attn_v", layer.value * layer.heads_kv, state);
                self.shaped(values, of_values)
            });
        }
        if layer.has("attn_q_norm.weight") {
            queries = self.norm(layer, "attn_q_norm", queries);
        }
        if layer.has("attn_k_norm.weight") {
            keys = keys.map(|keys| self.norm(layer, "attn_k_norm", keys));
        }
        if self.turns_by_position() {
            queries = self.turn_by_position(queries);
            keys = keys.map(|keys| self.turn_by_position(keys));
        }
        if ["gemma", "gemma2", "gemma3", "phi2", "phi3"].contains(&self.model.facts.architecture.as_str()) {
            queries = self.change(queries);
        }
        Looked { queries, keys, values, gate, is_fused }
    }

    fn part(&mut self, layer: &Layer, name: &str, rows: u64, state: Id) -> Id {
        let part = self.product(rows, state);
        if layer.has(&format!("{name}.bias")) { self.change(part) } else { part }
    }

    /// Whether heads are turned by where their token stands. Those that add the position to the state are not.
    fn turns_by_position(&self) -> bool {
        let architecture = self.model.facts.architecture.as_str();
        !self.model.ends.contains_key("position_embd.weight")
            && !["jamba", "bloom", "mpt", "nemotron_h", "nemotron_h_moe", "granitehybrid"]
                .contains(&architecture)
    }

    pub(super) fn turn_by_position(&mut self, heads: Id) -> Id {
        let shape = self.graph.tensor(heads).shape;
        self.graph.in_place(shape, &[heads, self.positions])
    }

    /// Lays keys and values down, and looks at all that lie there.
    pub(super) fn attend(&mut self, layer: &Layer, inputs: &CacheInputs, looked: Looked) -> Id {
        let Looked { mut queries, mut keys, mut values, is_fused, .. } = looked;
        if let Some(matrix) = inputs.turn_keys {
            queries = self.turn_by_matrix(matrix, queries, is_fused);
            keys = keys.map(|keys| self.turn_by_matrix(matrix, keys, is_fused));
        }
        if let Some(matrix) = inputs.turn_values {
            values = values.map(|values| self.turn_by_matrix(matrix, values, is_fused));
        }
        self.graph.expand(queries);
        // With a window keys come before values, without one behind.
        let order = if self.model.window > 0 { [keys, values] } else { [values, keys] };
        order.into_iter().flatten().for_each(|id| self.graph.expand(id));
        if let Some(keys) = keys {
            let rows = self.shaped(keys, [layer.key * layer.heads_kv, self.tokens, 1, 1]);
            let stored = self.graph.store(self.weights, &[rows, inputs.keys]);
            self.graph.expand(stored);
        }
        if let Some(values) = values {
            let stored = self.store_values(layer, inputs, values, is_fused && inputs.turn_values.is_none());
            self.graph.expand(stored);
        }
        let attended = self.mix(layer, inputs, queries, layer.value);
        let attended = match inputs.turn_values {
            Some(matrix) => self.turn_by_matrix(matrix, attended, false),
            None => attended,
        };
        self.graph.expand(attended);
        attended
    }

    fn store_values(&mut self, layer: &Layer, inputs: &CacheInputs, values: Id, is_fused: bool) -> Id {
        let (row, tokens) = (layer.value * layer.heads_kv, self.tokens);
        if self.options.flash_attention {
            let rows = self.shaped(values, [row, tokens, 1, 1]);
            return self.graph.store(self.weights, &[rows, inputs.values]);
        }
        let rows = if is_fused {
            self.graph.fresh([row, tokens, 1, 1], &[values])
        } else {
            self.shaped(values, [row, tokens, 1, 1])
        };
        let widest = crate::cache::widest_value(self.model);
        let rows = if row < widest { self.graph.fresh([widest, tokens, 1, 1], &[rows]) } else { rows };
        let each = self.shaped(rows, [1, widest.saturating_mul(tokens), 1, 1]);
        self.graph.store(self.weights, &[each, inputs.values])
    }

    /// Scores of all cells, and the values by their scores; `length` is that of a value.
    pub(super) fn mix(&mut self, layer: &Layer, inputs: &CacheInputs, queries: Id, length: u64) -> Id {
        let streams = self.layout.streams.max(1);
        let (tokens, each, heads) = (self.tokens, self.tokens / streams, layer.heads);
        let [key, ..] = self.graph.tensor(queries).shape;
        let looked = self.shaped(queries, [key, heads, each, streams]);
        let looked = self.shaped(looked, [key, each, heads, streams]);
        if self.options.flash_attention {
            let sources = [looked, self.weights, inputs.mask];
            let mixed = self.graph.fresh([length, heads, each, streams], &sources);
            return self.compressed_back(layer, mixed, length);
        }
        let cells = self.layout.cells_of(layer);
        let mut scores = self.graph.fresh([cells, each, heads, streams], &[self.weights, looked]);
        if self.model.facts.scales("attn_logit_softcapping") {
            for _ in 0..3 {
                scores = self.change(scores);
            }
        }
        let shape = self.graph.tensor(scores).shape;
        let weights = self.graph.in_place(shape, &[scores, inputs.mask]);
        let mut mixed = if self.model.is_latent() {
            // Values are a part of the keys, and lie the wrong way round.
            let turned = self.graph.fresh_of([cells, length, 1, streams], self.key_width(), &[self.weights]);
            self.graph.fresh([length, each, heads, streams], &[turned, weights])
        } else {
            self.graph.fresh([length, each, heads, streams], &[self.weights, weights])
        };
        let mut row = length;
        if let Some(value) = self.latent_value(layer) {
            row = value;
            mixed = self.graph.fresh([row, each, heads, streams], &[self.weights, mixed]);
        }
        let mixed = self.shaped(mixed, [row, heads, each, streams]);
        self.graph.fresh([row * heads, tokens, 1, 1], &[mixed])
    }

    fn compressed_back(&mut self, layer: &Layer, mixed: Id, length: u64) -> Id {
        let streams = self.layout.streams.max(1);
        let (each, heads) = (self.tokens / streams, layer.heads);
        let Some(value) = self.latent_value(layer) else {
            return self.shaped(mixed, [length * heads, self.tokens, 1, 1]);
        };
        let by_head = self.shaped(mixed, [length, each, heads, streams]);
        let back = self.graph.fresh([value, each, heads, streams], &[self.weights, by_head]);
        let by_token = self.shaped(back, [value, heads, each, streams]);
        let whole = self.graph.fresh([value, heads, each, streams], &[by_token]);
        self.shaped(whole, [value * heads, self.tokens, 1, 1])
    }

    /// Bytes of a number of the keys, as they lie in the cache.
    fn key_width(&self) -> u64 {
        self.options.kv_type_k.row_bytes(32).map_or(4, |bytes| bytes.div_ceil(32))
    }

    fn turn_by_matrix(&mut self, matrix: Id, heads: Id, is_part: bool) -> Id {
        let shape = self.graph.tensor(heads).shape;
        let [size, ..] = self.graph.tensor(matrix).shape;
        let rows = shape.iter().fold(1u64, |all, size| all.saturating_mul(*size)) / size.max(1);
        let rows = [size, rows, 1, 1];
        let flat = if is_part { self.graph.fresh(rows, &[heads]) } else { self.shaped(heads, rows) };
        let turned = self.graph.fresh(rows, &[matrix, flat]);
        self.shaped(turned, shape)
    }
}
