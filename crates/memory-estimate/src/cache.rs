//! What a context keeps of each token, or in place of all tokens: keys and values, and states of fixed size.
//!
//! llama.cpp's `llama_kv_cache`, `llama_kv_cache_iswa` and `llama_memory_recurrent`.

use crate::compute::HOST_ALIGNMENT;
use crate::model::{Layer, Model};
use crate::options::{Options, Parallel};

/// Cells come in so many: llama.cpp's `GGML_PAD(n_ctx, 256)`.
const CELLS: u64 = 256;

/// How a context is laid out. Counts are in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Cells of layers that look back over everything, of one stream.
    pub(crate) cells: u64,
    /// Cells of layers that look back over a window.
    pub(crate) sliding_cells: u64,
    /// Conversations.
    pub(crate) rows: u64,
    /// Parts of the cache that conversations do not share.
    pub(crate) streams: u64,
    /// Tokens that are computed at a time.
    pub(crate) batch: u64,
}

impl Layout {
    pub(crate) fn new(model: &Model, options: &Options) -> Self {
        let asked = options.context_tokens.unwrap_or(model.trained).clamp(1, 1 << 32);
        let batch = options.batch_tokens.min(asked);
        let rows = u64::from(options.parallel.rows());
        let (streams, cells) = match options.parallel {
            Parallel::Shared { .. } => (1, asked.next_multiple_of(CELLS)),
            Parallel::Own { .. } => {
                (rows, (asked.next_multiple_of(CELLS) / rows).max(1).next_multiple_of(CELLS))
            }
        };
        // A shared window holds that of each conversation, and a batch beside it.
        let windows = if streams == 1 { rows } else { 1 };
        let window = model.window.saturating_mul(windows).saturating_add(batch);
        let sliding_cells =
            if options.full_windows { cells } else { cells.min(window).next_multiple_of(CELLS) };
        Self { cells, sliding_cells, rows, streams, batch }
    }

    /// Cells that a layer sees.
    pub(crate) fn cells_of(&self, layer: &Layer) -> u64 {
        if layer.slides { self.sliding_cells } else { self.cells }
    }
}

/// Bytes that a context keeps for each layer.
pub(crate) fn per_layer(model: &Model, options: &Options, layout: &Layout) -> Vec<u64> {
    let widest = widest_value(model);
    let states = State::of(model).map(|state| state.bytes(layout.rows)).unwrap_or(0);
    let has_indexer = model.facts.number("attention.indexer.key_length").unwrap_or(0);
    let bytes = |layer: &Layer| {
        let mut bytes = 0u64;
        if layer.has_cache && !model.is_encoder() {
            let cells = layout.cells_of(layer).saturating_mul(layout.streams);
            let mut add = |kind: crate::KvType, numbers: u64| {
                let row = kind.row_bytes(numbers).unwrap_or(u64::MAX);
                bytes = bytes.saturating_add(padded(row.saturating_mul(cells)));
            };
            add(options.kv_type_k, layer.key * layer.heads_kv);
            if !model.is_latent() {
                // Without flash attention values lie transposed, and all layers have the rows of the widest.
                let own = layer.value * layer.heads_kv;
                add(options.kv_type_v, if options.flash_attention { own } else { widest });
            }
            if has_indexer > 0 && layer.weights.keys().any(|name| name.starts_with("indexer.")) {
                add(options.kv_type_k, has_indexer.min(1 << 16));
            }
        }
        if layer.is_recurrent() { bytes.saturating_add(states) } else { bytes }
    };
    model.layers.iter().map(bytes).collect()
}

/// Numbers of a token's values in the layer that has the most.
pub(crate) fn widest_value(model: &Model) -> u64 {
    model.layers.iter().map(|layer| layer.value * layer.heads_kv).max().unwrap_or(0)
}

/// What a recurrent layer keeps of a conversation, in numbers of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The last inputs of a convolution, or of a shift: `n_embd_r`.
    pub(crate) inputs: u64,
    /// The state itself: `n_embd_s`.
    pub(crate) state: u64,
}

impl State {
    /// `None` where nothing says how large it is.
    pub(crate) fn of(model: &Model) -> Option<Self> {
        let number = |key: &str| model.facts.number(key).filter(|value| *value > 0);
        let width = model.width;
        if let Some(head) = number("wkv.head_size") {
            return Some(Self {
                inputs: number("token_shift_count").unwrap_or(2) * width,
                state: width * head,
            });
        }
        if let Some(taps) = number("shortconv.l_cache") {
            return Some(Self { inputs: width * (taps - 1), state: 0 });
        }
        let heads = model.layers.iter().map(|layer| layer.heads).max().unwrap_or(0);
        let taps = number("ssm.conv_kernel").unwrap_or(4) - 1;
        if let Some(head) = number("kda.head_dim") {
            return Some(Self { inputs: 3 * taps * heads * head, state: head * head * heads });
        }
        if model.facts.architecture == "minimax-01" {
            let head = model.layers.first().map_or(0, |layer| layer.key);
            return Some(Self { inputs: 0, state: head * head * heads });
        }
        let (inner, state) = (number("ssm.inner_size")?, number("ssm.state_size")?);
        let groups = model.facts.number("ssm.group_count").unwrap_or(0);
        Some(Self { inputs: taps * (inner + 2 * groups * state), state: state * inner })
    }

    fn bytes(self, rows: u64) -> u64 {
        let part = |numbers: u64| padded(numbers.saturating_mul(4).saturating_mul(rows));
        part(self.inputs).saturating_add(part(self.state))
    }
}

fn padded(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(HOST_ALIGNMENT).unwrap_or(u64::MAX)
}
