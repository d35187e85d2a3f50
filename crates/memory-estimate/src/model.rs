//! A model as its header describes it: numbers, and what tensors there are.

use std::collections::BTreeMap;

use crate::EstimateError;
use crate::facts::Facts;
use crate::windows;

/// More layers than llama.cpp computes (`LLAMA_MAX_LAYERS` is 512).
const MOST_LAYERS: u64 = 1024;
/// Far above any width, vocabulary or count of experts, so that a product of two of them and a batch fits into 64 bits.
const MOST: u64 = 1 << 24;

/// A tensor of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weight {
    /// The row first.
    pub(crate) shape: [u64; 4],
    /// ggml's name of its type, for example `Q4_K`.
    pub(crate) kind: &'static str,
    /// Of its data.
    pub(crate) bytes: u64,
}

/// Tensors by name, without the layer's number in front.
pub(crate) type Weights = BTreeMap<String, Weight>;

/// A model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) facts: Facts,
    /// What belongs to no layer.
    pub(crate) ends: Weights,
    /// Layers that are computed.
    pub(crate) layers: Vec<Layer>,
    /// Numbers in the state between layers.
    pub(crate) width: u64,
    /// Tokens of the vocabulary.
    pub(crate) vocabulary: u64,
    /// Tokens that the model was trained on.
    pub(crate) trained: u64,
    /// Tokens that sliding layers look back; 0 where no layer slides.
    pub(crate) window: u64,
    /// Layers that predict further tokens. Their weights are not loaded.
    pub(crate) skipped: usize,
}

/// A layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub(crate) weights: Weights,
    pub(crate) heads: u64,
    pub(crate) heads_kv: u64,
    /// Numbers of a key.
    pub(crate) key: u64,
    /// Numbers of a value.
    pub(crate) value: u64,
    /// Whether it looks back over the window only.
    pub(crate) slides: bool,
    /// Whether it has keys and values of its own, rather than those of an earlier layer or none.
    pub(crate) has_cache: bool,
}

impl Layer {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    /// What a product with this matrix has per token, if it is there.
    pub(crate) fn rows(&self, name: &str) -> Option<u64> {
        self.weights.get(name).map(|weight| weight.shape[1])
    }

    /// Whether it keeps a state of fixed size from token to token.
    pub(crate) fn is_recurrent(&self) -> bool {
        self.weights
            .keys()
            .any(|name| ["ssm_", "shortconv.", "time_mix_"].iter().any(|start| name.starts_with(start)))
    }

    pub(crate) fn attends(&self) -> bool {
        let names = ["attn_q.", "attn_qkv.", "attn_kv_a_mqa.", "attn_q_b.", "attn_k."];
        let fused_by_recurrence =
            self.is_recurrent() && self.has("attn_gate.weight") && !self.has("attn_q.weight");
        !fused_by_recurrence
            && self.weights.keys().any(|name| names.iter().any(|start| name.starts_with(start)))
    }
}

impl Model {
    /// # Errors
    /// [`EstimateError::Unsupported`] where the numbers that decide about memory are not given, [`EstimateError::Overflow`]
    /// where they cannot be right.
    pub(crate) fn new(facts: Facts, tensors: BTreeMap<String, Weight>) -> Result<Self, EstimateError> {
        let missing = |key: &str| {
            EstimateError::unsupported(
                format!("a model of the architecture {:?}", facts.architecture),
                format!("its header does not say {key}"),
            )
        };
        let count = facts.number("block_count").ok_or_else(|| missing("block_count"))?;
        let width = facts.number("embedding_length").ok_or_else(|| missing("embedding_length"))?;
        let vocabulary = tensors.get("token_embd.weight").map(|weight| weight.shape[1]);
        let vocabulary = vocabulary.or_else(|| facts.number("vocab_size")).unwrap_or(0);
        let skipped = facts.number("nextn_predict_layers").unwrap_or(0).min(count.saturating_sub(1));
        let limit = |value: u64, most: u64, what| {
            if value > most { Err(EstimateError::Overflow { what }) } else { Ok(value) }
        };
        limit(count, MOST_LAYERS, "the layers")?;
        let mut layers = vec![Layer::default(); count as usize];
        let mut ends = Weights::new();
        for (name, weight) in tensors {
            let place = layer_of(&name).and_then(|(layer, rest)| Some((layers.get_mut(layer)?, rest)));
            match place {
                Some((layer, rest)) => layer.weights.insert(rest, weight),
                None => ends.insert(name, weight),
            };
        }
        layers.truncate((count - skipped) as usize);
        let window = windows::of(&facts, layers.len());
        let (own_from_start, mla) = (own_caches(&facts, count), facts.number("attention.key_length_mla"));
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.slides = window.as_ref().is_some_and(|window| window.slides.get(index) == Some(&true));
            let number = |key: &str| facts.of_layer(key, index);
            layer.heads = number("attention.head_count").unwrap_or(0);
            layer.heads_kv = number("attention.head_count_kv").unwrap_or(layer.heads);
            let even =
                facts.number("attention.head_count").filter(|heads| *heads > 0).map(|heads| width / heads);
            let length = |key: &str| {
                let own = if layer.slides { number(&format!("attention.{key}_swa")) } else { None };
                own.or_else(|| number(&format!("attention.{key}"))).or(even).unwrap_or(0)
            };
            (layer.key, layer.value) = (length("key_length"), length("value_length"));
            for value in [layer.heads, layer.heads_kv, layer.key, layer.value] {
                limit(value, 1 << 16, "a layer's heads")?;
            }
            layer.has_cache = layer.attends() && index < own_from_start;
            for weight in layer.weights.values() {
                let largest = weight.shape.iter().copied().max().unwrap_or(0);
                limit(largest, MOST, "a layer's weights")?;
            }
        }
        limit(width, 1 << 20, "the embedding")?;
        limit(vocabulary, MOST, "the vocabulary")?;
        for key in
            ["ssm.inner_size", "ssm.state_size", "ssm.group_count", "ssm.time_step_rank", "kda.head_dim"]
        {
            limit(facts.number(key).unwrap_or(0), 1 << 16, "the recurrent state")?;
        }
        for key in ["ssm.conv_kernel", "shortconv.l_cache", "wkv.head_size", "token_shift_count"] {
            limit(facts.number(key).unwrap_or(0), 1 << 12, "the recurrent state")?;
        }
        for key in ["attention.kv_lora_rank", "expert_used_count", "rope.dimension_count"] {
            limit(facts.number(key).unwrap_or(0), 1 << 16, "what a layer computes")?;
        }
        limit(mla.unwrap_or(0), 1 << 16, "a layer's heads")?;
        limit(facts.number("attention.value_length_mla").unwrap_or(0), 1 << 16, "a layer's heads")?;
        let trained = facts.number("context_length").unwrap_or(0);
        let window = window.map_or(0, |window| window.tokens);
        let skipped = skipped as usize;
        Ok(Self { ends, layers, width, vocabulary, trained, window, skipped, facts })
    }

    /// Whether keys are kept compressed, and values not at all: multi-head latent attention.
    pub(crate) fn is_latent(&self) -> bool {
        let given = |key: &str| self.facts.number(key).is_some_and(|value| value > 0);
        given("attention.key_length_mla") && given("attention.value_length_mla")
    }

    /// Whether it only makes vectors of whole texts, and keeps nothing between them.
    pub(crate) fn is_encoder(&self) -> bool {
        const ENCODERS: [&str; 14] = [
            "bert",
            "clef",
            "dream",
            "eurobert",
            "gemma-embedding",
            "jina-bert-v2",
            "jina-bert-v3",
            "llada",
            "llada-moe",
            "modern-bert",
            "neo-bert",
            "nomic-bert",
            "nomic-bert-moe",
            "rnd1",
        ];
        ENCODERS.contains(&self.facts.architecture.as_str())
    }
}

/// How many layers have keys and values of their own; those behind them use those of the last ones.
fn own_caches(facts: &Facts, layers: u64) -> usize {
    let shared = facts.number("attention.shared_kv_layers").unwrap_or(0);
    let own = match facts.architecture.as_str() {
        "gemma3n" => 20,
        "gemma4" => layers.saturating_sub(shared),
        _ => layers,
    };
    usize::try_from(own).unwrap_or(usize::MAX)
}

/// Splits `blk.7.attn_q.weight` into 7 and the rest.
fn layer_of(name: &str) -> Option<(usize, String)> {
    let (side, rest) = name.split_once("blk.")?;
    let (number, rest) = rest.split_once('.')?;
    Some((number.parse().ok()?, format!("{side}{rest}")))
}
