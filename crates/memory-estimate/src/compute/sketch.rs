//! The operations of a batch, from tokens to scores.

use super::graph::{Graph, HOST, Id, Shape};
use crate::cache::{Layout, widest_value};
use crate::model::{Layer, Model};
use crate::options::Options;

/// Bytes of the numbers in inputs.
pub(super) const I32: u64 = 4;
const I64: u64 = 8;
const F16: u64 = 2;
const F32: u64 = 4;

/// What layers of one kind of cache look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheInputs {
    /// Where keys go.
    pub(super) keys: Id,
    /// Where values go.
    pub(super) values: Id,
    /// Who sees whom.
    pub(super) mask: Id,
    /// Turns keys and values before they are quantized.
    pub(super) turn_keys: Option<Id>,
    pub(super) turn_values: Option<Id>,
}

/// A batch that is being noted.
pub(super) struct Sketch<'a> {
    pub(super) graph: Graph,
    pub(super) model: &'a Model,
    pub(super) options: &'a Options,
    pub(super) layout: &'a Layout,
    places: &'a [usize],
    /// Tokens of the batch: a multiple of the conversations.
    pub(super) tokens: u64,
    /// Tokens whose scores are wanted.
    outputs: u64,
    /// Stands for all weights and caches.
    pub(super) weights: Id,
    pub(super) positions: Id,
    full: CacheInputs,
    sliding: CacheInputs,
    /// Which state belongs to which conversation.
    pub(super) states: Id,
}

/// Tokens of a batch: the last round is filled up so that each conversation has as many.
fn tokens_of(layout: &Layout) -> u64 {
    layout.cells.saturating_mul(layout.streams).min(layout.batch).next_multiple_of(layout.rows.max(1))
}

impl<'a> Sketch<'a> {
    pub(super) fn new(
        model: &'a Model,
        options: &'a Options,
        layout: &'a Layout,
        places: &'a [usize],
    ) -> Self {
        let mut graph = Graph::default();
        let tokens = tokens_of(layout);
        let outputs = layout.batch.min(tokens);
        let weights = graph.external();
        let positions = graph.input([tokens, 1, 1, 1], I32);
        let full = cache_inputs(&mut graph, model, options, layout, false);
        let sliding =
            if model.window > 0 { cache_inputs(&mut graph, model, options, layout, true) } else { full };
        let states = graph.input([layout.rows, 1, 1, 1], I32);
        Self {
            graph,
            model,
            options,
            layout,
            places,
            tokens,
            outputs,
            weights,
            positions,
            full,
            sliding,
            states,
        }
    }

    /// All operations, in their order.
    pub(super) fn graph(mut self) -> Graph {
        let mut state = self.embed();
        let out_ids = self.graph.input([self.outputs, 1, 1, 1], I32);
        let last = self.model.layers.len().saturating_sub(1);
        for (index, layer) in self.model.layers.iter().enumerate() {
            self.graph.place = self.places.get(index).copied().unwrap_or(HOST);
            // Where all tokens go through the last layer, scores are picked behind it.
            let picks = (index == last && !self.picks_late()).then_some(out_ids);
            state = self.layer(layer, state, picks);
        }
        self.graph.place = self.places.last().copied().unwrap_or(HOST);
        let picks_behind_norm = self.picks_late() && self.model.facts.architecture != "gpt-oss";
        if self.picks_late() && !picks_behind_norm {
            state = self.pick(state, Some(out_ids));
        }
        state = self.norm_of_ends("output_norm", state);
        if picks_behind_norm {
            state = self.pick(state, Some(out_ids));
        }
        self.graph.keep(state);
        let mut scores = self.product(self.model.vocabulary, state);
        if self.model.ends.contains_key("output.bias") {
            scores = self.change(scores);
        }
        if self.model.facts.scales("logit_scale") {
            scores = self.change(scores);
        }
        if self.model.facts.scales("final_logit_softcapping") {
            for _ in 0..3 {
                scores = self.change(scores);
            }
        }
        self.graph.keep(scores);
        self.graph.expand(scores);
        self.graph
    }

    /// Architectures whose states of all tokens are wanted by the heads that predict further ones.
    fn picks_late(&self) -> bool {
        ["qwen3next", "qwen35", "qwen35moe", "gpt-oss"].contains(&self.model.facts.architecture.as_str())
    }

    /// Tokens become states. llama.cpp notes how images and mixed batches would enter too, and what they leave is never
    /// overwritten.
    fn embed(&mut self) -> Id {
        let (width, tokens) = (self.model.width, self.tokens);
        let shape = [width, tokens, 1, 1];
        self.graph.place = HOST;
        let ids = self.graph.input([tokens, 1, 1, 1], I32);
        let embedded = self.graph.fresh(shape, &[self.weights, ids]);
        let vectors = self.graph.input(shape, F32);
        self.graph.expand(embedded);
        self.graph.expand(vectors);
        const WITHOUT_MIXED: [&str; 6] =
            ["cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"];
        if !WITHOUT_MIXED.contains(&self.model.facts.architecture.as_str()) {
            let ids = self.graph.input([tokens, 1, 1, 1], I32);
            let slots = self.graph.input([tokens, 1, 1, 1], I64);
            let vectors = self.graph.input(shape, F32);
            let rows = self.graph.fresh(shape, &[self.weights, ids]);
            let into = self.graph.fresh(shape, &[vectors]);
            let mixed = self.graph.store(into, &[rows, slots]);
            self.graph.expand(mixed);
        }
        self.graph.place = self.places.first().copied().unwrap_or(HOST);
        let scaled = ["gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "minicpm", "granite", "granitemoe"];
        let is_scaled = scaled.contains(&self.model.facts.architecture.as_str())
            || self.model.facts.scales("embedding_scale");
        let scaled = if is_scaled { self.change(embedded) } else { embedded };
        self.graph.expand(scaled);
        scaled
    }

    fn layer(&mut self, layer: &Layer, state: Id, picks: Option<Id>) -> Id {
        let normed = self.norm(layer, "attn_norm", state);
        let mixed = match (layer.attends(), layer.is_recurrent()) {
            (true, true) => {
                let attended = self.attention(layer, normed);
                let again = self.norm(layer, "attn_norm", state);
                let recalled = self.recurrent(layer, again);
                Some(self.sum(attended, recalled))
            }
            (true, false) => Some(self.attention(layer, normed)),
            (false, true) => Some(self.recurrent(layer, normed)),
            // A layer that is only a network.
            (false, false) => None,
        };
        let Some(mixed) = mixed else {
            let fed = self.feed_forward(layer, normed);
            let fed = self.pick(fed, picks);
            let state = self.pick(state, picks);
            return self.sum(fed, state);
        };
        let mut mixed = self.pick(mixed, picks);
        let state = self.pick(state, picks);
        let has_ffn_norm = layer.has("ffn_norm.weight") || layer.has("ffn_norm");
        let has_post_norm = layer.has("post_attention_norm.weight");
        let has_network = layer.weights.keys().any(|name| name.starts_with("ffn_"));
        if has_network && !has_ffn_norm && !has_post_norm {
            // Attention and network look at the same state: Falcon, Command R, GPT-J, Phi-2.
            let beside = self.pick(normed, picks);
            let fed = self.feed_forward(layer, beside);
            let sum = self.sum(fed, state);
            return self.sum(sum, mixed);
        }
        if has_ffn_norm && has_post_norm {
            mixed = self.norm(layer, "post_attention_norm", mixed);
        }
        let attended = self.sum(mixed, state);
        if !has_network {
            return attended;
        }
        let norm = if has_ffn_norm { "ffn_norm" } else { "post_attention_norm" };
        let normed = self.norm(layer, norm, attended);
        let mut fed = self.feed_forward(layer, normed);
        if layer.has("post_ffw_norm.weight") {
            fed = self.norm(layer, "post_ffw_norm", fed);
        }
        self.sum(fed, attended)
    }

    fn pick(&mut self, state: Id, picks: Option<Id>) -> Id {
        match picks {
            Some(ids) => self.graph.fresh([self.model.width, self.outputs, 1, 1], &[state, ids]),
            None => state,
        }
    }

    fn norm_of_ends(&mut self, name: &str, state: Id) -> Id {
        let has_bias = self.model.ends.contains_key(&format!("{name}.bias"));
        self.norm_with(state, true, has_bias)
    }

    /// A norm with its factors and its bias.
    pub(super) fn norm(&mut self, layer: &Layer, name: &str, state: Id) -> Id {
        let has_factor = layer.has(&format!("{name}.weight")) || layer.has(name);
        let has_bias = layer.has(&format!("{name}.bias"));
        self.norm_with(state, has_factor, has_bias)
    }

    fn norm_with(&mut self, state: Id, has_factor: bool, has_bias: bool) -> Id {
        // Layer norms subtract the mean, which needs memory of its own.
        let centres = self.model.facts.known.contains_key("attention.layer_norm_epsilon");
        let shape = self.graph.tensor(state).shape;
        let mut normed =
            if centres { self.graph.fresh(shape, &[state]) } else { self.graph.in_place(shape, &[state]) };
        for _ in 0..usize::from(has_factor) + usize::from(has_bias) {
            normed = self.change(normed);
        }
        normed
    }

    /// A product of a matrix of so many rows with a state.
    pub(super) fn product(&mut self, rows: u64, state: Id) -> Id {
        let [_, columns, third, fourth] = self.graph.tensor(state).shape;
        self.graph.fresh([rows, columns, third, fourth], &[self.weights, state])
    }

    /// An operation with numbers of the file, or with one number, that may be done in place.
    pub(super) fn change(&mut self, state: Id) -> Id {
        let shape = self.graph.tensor(state).shape;
        self.graph.in_place(shape, &[state, self.weights])
    }

    pub(super) fn sum(&mut self, left: Id, right: Id) -> Id {
        let shape = self.graph.tensor(left).shape;
        self.graph.in_place(shape, &[left, right])
    }

    pub(super) fn shaped(&mut self, of: Id, shape: Shape) -> Id {
        self.graph.view(of, shape)
    }

    pub(super) fn inputs_of(&self, layer: &Layer) -> CacheInputs {
        if layer.slides { self.sliding } else { self.full }
    }
}

fn cache_inputs(
    graph: &mut Graph,
    model: &Model,
    options: &Options,
    layout: &Layout,
    slides: bool,
) -> CacheInputs {
    let tokens = tokens_of(layout);
    let cells = if slides { layout.sliding_cells } else { layout.cells };
    let keys = graph.input([tokens, 1, 1, 1], I64);
    // Transposed values go to a place for each number.
    let each = if options.flash_attention { 1 } else { widest_value(model).max(1) };
    let values = graph.input([tokens.saturating_mul(each), 1, 1, 1], I64);
    let width = if options.flash_attention { F16 } else { F32 };
    let mask = graph.input([cells, tokens / layout.streams.max(1), 1, layout.streams], width);
    let layers = model.layers.iter().filter(|layer| layer.has_cache && layer.slides == slides);
    let mut lengths: Vec<(u64, u64)> = layers.map(|layer| (layer.key, layer.value)).collect();
    lengths.dedup();
    // llama.cpp turns only what has the same length in all layers, in multiples of 64.
    let turn = |length: u64, is_quantized: bool, largest: bool| {
        if lengths.len() != 1 || !is_quantized || length == 0 || !length.is_multiple_of(64) {
            return None;
        }
        let mut size = 64;
        while largest && length.is_multiple_of(2 * size) {
            size *= 2;
        }
        Some(size)
    };
    let (key, value) = lengths.first().copied().unwrap_or_default();
    let turn_keys = turn(key, options.kv_type_k.is_quantized(), true);
    let turn_values = turn(value, options.kv_type_v.is_quantized(), false);
    let mut matrix = |size: u64| graph.input([size, size, 1, 1], F32);
    CacheInputs {
        keys,
        values,
        mask,
        turn_keys: turn_keys.map(&mut matrix),
        turn_values: turn_values.map(&mut matrix),
    }
}
