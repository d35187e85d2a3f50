//! A model's `config.json` and the tensors beside it, in GGUF's words.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::EstimateError;
use crate::facts::{Fact, Facts};
use crate::model::Weight;
use crate::safetensors::Table;

/// `model_type`, and llama.cpp's name of the architecture where it is another.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("cohere", "command-r"),
    ("deepseek_v2", "deepseek2"),
    ("deepseek_v3", "deepseek2"),
    ("falcon_h1", "falcon-h1"),
    ("gemma3_text", "gemma3"),
    ("gpt_oss", "gpt-oss"),
    ("mistral", "llama"),
    ("mixtral", "llama"),
    ("qwen2_moe", "qwen2moe"),
    ("qwen3_moe", "qwen3moe"),
    ("qwen3_next", "qwen3next"),
];

/// GGUF's key, and the makers' words for it.
const NUMBERS: &[(&str, &[&str])] = &[
    ("block_count", &["num_hidden_layers", "n_layer", "n_layers"]),
    ("embedding_length", &["hidden_size", "n_embd", "d_model"]),
    ("feed_forward_length", &["intermediate_size", "ffn_hidden_size", "n_inner"]),
    ("context_length", &["max_position_embeddings", "n_positions", "max_seq_len"]),
    ("vocab_size", &["vocab_size"]),
    ("attention.head_count", &["num_attention_heads", "n_head"]),
    ("attention.head_count_kv", &["num_key_value_heads", "num_kv_heads"]),
    ("attention.key_length", &["head_dim"]),
    ("attention.value_length", &["head_dim"]),
    ("attention.sliding_window", &["sliding_window"]),
    ("attention.kv_lora_rank", &["kv_lora_rank"]),
    ("attention.shared_kv_layers", &["num_kv_shared_layers"]),
    ("expert_count", &["num_local_experts", "num_experts", "n_routed_experts"]),
    ("expert_used_count", &["num_experts_per_tok"]),
    ("ssm.conv_kernel", &["conv_kernel", "mamba_d_conv", "linear_conv_kernel_dim"]),
    ("ssm.inner_size", &["mamba_d_ssm"]),
    ("ssm.state_size", &["state_size", "mamba_d_state", "linear_key_head_dim"]),
    ("ssm.time_step_rank", &["time_step_rank", "mamba_dt_rank", "mamba_n_heads", "linear_num_value_heads"]),
    ("ssm.group_count", &["n_groups", "mamba_n_groups", "linear_num_key_heads"]),
    ("shortconv.l_cache", &["conv_L_cache"]),
];

const FRACTIONS: &[&str] = &["final_logit_softcapping", "attn_logit_softcapping", "logit_scale"];

/// # Errors
/// [`EstimateError::Corrupt`] where the text is no JSON object.
pub(crate) fn facts(text: &str) -> Result<Facts, EstimateError> {
    let whole: Map<String, Value> = serde_json::from_str(text).map_err(|error| EstimateError::Corrupt {
        offset: 0,
        reason: format!("config.json is not sound: {error}"),
    })?;
    // What looks at pictures too keeps the numbers of its language model apart.
    let config = whole.get("text_config").and_then(Value::as_object).unwrap_or(&whole);
    let kind = config.get("model_type").or_else(|| whole.get("model_type")).and_then(Value::as_str);
    let kind = kind.unwrap_or_default();
    let renamed = ARCHITECTURES.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name);
    let architecture = renamed.unwrap_or(kind).to_owned();
    let number = |name: &str| config.get(name).and_then(Value::as_u64);
    let mut known = BTreeMap::new();
    for (key, names) in NUMBERS {
        if let Some(value) = names.iter().find_map(|name| number(name)) {
            known.insert((*key).to_owned(), Fact::Number(value));
        }
    }
    for key in FRACTIONS {
        if let Some(value) = config.get(*key).and_then(Value::as_f64) {
            known.insert((*key).to_owned(), Fact::Fraction(value));
        }
    }
    let mut put = |key: &str, value: Option<u64>| {
        if let Some(value) = value {
            known.insert(key.to_owned(), Fact::Number(value));
        }
    };
    if let (Some(rank), Some(turned)) = (number("kv_lora_rank"), number("qk_rope_head_dim")) {
        put("attention.key_length", rank.checked_add(turned));
        put("attention.value_length", Some(rank));
        put(
            "attention.key_length_mla",
            number("qk_nope_head_dim").and_then(|plain| plain.checked_add(turned)),
        );
        put("attention.value_length_mla", number("v_head_dim"));
        put("attention.head_count_kv", Some(1));
        put("rope.dimension_count", Some(turned));
    }
    if let Some(heads) = number("linear_num_value_heads") {
        put("ssm.inner_size", number("linear_value_head_dim").and_then(|length| length.checked_mul(heads)));
    } else if number("mamba_d_ssm").is_none()
        && (number("state_size").is_some() || number("mamba_d_state").is_some())
    {
        let expand = number("expand").or_else(|| number("mamba_expand")).unwrap_or(2);
        put("ssm.inner_size", number("hidden_size").and_then(|width| width.checked_mul(expand)));
    }
    if let Some(types) = config.get("layer_types").and_then(Value::as_array) {
        let of = |kind: &str| types.iter().map(|value| u64::from(value == kind)).collect::<Vec<_>>();
        let slides = of("sliding_attention");
        if slides.contains(&1) {
            known.insert("attention.sliding_window_pattern".to_owned(), Fact::PerLayer(slides));
        }
    }
    Ok(Facts { architecture, known })
}

/// All files' tensors by GGUF's names; what has no such name keeps its own, within its layer.
pub(crate) fn tensors(tables: &[Table]) -> BTreeMap<String, Weight> {
    let has_pre_norm = tables
        .iter()
        .flat_map(|table| table.tensors.keys())
        .any(|name| name.contains("pre_feedforward_layernorm"));
    let mut all: BTreeMap<String, Weight> = BTreeMap::new();
    for (name, tensor) in tables.iter().flat_map(|table| &table.tensors) {
        let mut shape = [1; 4];
        for (size, given) in shape.iter_mut().zip(tensor.shape.iter().rev()) {
            *size = *given;
        }
        let kind = if tensor.kind == "BF16" { "BF16" } else { "F16" };
        let weight = Weight { shape, kind, bytes: tensor.bytes };
        let name = renamed(name, has_pre_norm);
        match all.get_mut(&name) {
            // Experts are many tensors here and one there.
            Some(known) => {
                known.bytes = known.bytes.saturating_add(weight.bytes);
                known.shape[2] = known.shape[2].saturating_add(1);
            }
            None => {
                all.insert(name, weight);
            }
        }
    }
    all
}

/// Endings of the makers' names and GGUF's, of what a layer has.
const PARTS: &[(&str, &str)] = &[
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.out_proj", "attn_output"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attention.query_key_value", "attn_qkv"),
    ("self_attention.dense", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.q_layernorm", "attn_q_norm"),
    ("self_attn.k_layernorm", "attn_k_norm"),
    ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"),
    ("self_attn.kv_a_layernorm", "attn_kv_a_norm"),
    ("self_attn.kv_b_proj", "attn_kv_b"),
    ("self_attn.q_a_proj", "attn_q_a"),
    ("self_attn.q_a_layernorm", "attn_q_a_norm"),
    ("self_attn.q_b_proj", "attn_q_b"),
    ("input_layernorm", "attn_norm"),
    ("operator_norm", "attn_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("ffn_norm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.dense_h_to_4h", "ffn_up"),
    ("mlp.dense_4h_to_h", "ffn_down"),
    ("feed_forward.w1", "ffn_gate"),
    ("feed_forward.w3", "ffn_up"),
    ("feed_forward.w2", "ffn_down"),
    ("feed_forward.gate_proj", "ffn_gate"),
    ("feed_forward.up_proj", "ffn_up"),
    ("feed_forward.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.router", "ffn_gate_inp"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
    ("feed_forward.router", "ffn_gate_inp"),
    // Before the experts, whose names theirs end like.
    ("shared_experts.gate_proj", "ffn_gate_shexp"),
    ("shared_experts.up_proj", "ffn_up_shexp"),
    ("shared_experts.down_proj", "ffn_down_shexp"),
    ("experts.gate_proj", "ffn_gate_exps"),
    ("experts.up_proj", "ffn_up_exps"),
    ("experts.down_proj", "ffn_down_exps"),
    ("experts.w1", "ffn_gate_exps"),
    ("experts.w3", "ffn_up_exps"),
    ("experts.w2", "ffn_down_exps"),
    ("shared_expert.gate_proj", "ffn_gate_shexp"),
    ("shared_expert.up_proj", "ffn_up_shexp"),
    ("shared_expert.down_proj", "ffn_down_shexp"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("linear_attn.in_proj_qkvz", "attn_gate"),
    ("linear_attn.in_proj_ba", "ssm_ba"),
    ("linear_attn.conv1d", "ssm_conv1d"),
    ("linear_attn.norm", "ssm_norm"),
    ("linear_attn.out_proj", "ssm_out"),
    ("conv.in_proj", "shortconv.in_proj"),
    ("conv.out_proj", "shortconv.out_proj"),
    ("conv.conv", "shortconv.conv"),
    ("mixer.in_proj", "ssm_in"),
    ("mixer.conv1d", "ssm_conv1d"),
    ("mixer.x_proj", "ssm_x"),
    ("mixer.dt_proj", "ssm_dt"),
    ("mixer.out_proj", "ssm_out"),
    ("mixer.norm", "ssm_norm"),
    ("mamba.in_proj", "ssm_in"),
    ("mamba.conv1d", "ssm_conv1d"),
    ("mamba.x_proj", "ssm_x"),
    ("mamba.dt_proj", "ssm_dt"),
    ("mamba.out_proj", "ssm_out"),
    ("mamba.norm", "ssm_norm"),
];

fn renamed(name: &str, has_pre_norm: bool) -> String {
    let (bare, ending) = match name.rsplit_once('.') {
        Some((bare, ending @ ("weight" | "bias"))) => (bare, ending),
        _ => (name, ""),
    };
    let dotted = |name: &str| if ending.is_empty() { name.to_owned() } else { format!("{name}.{ending}") };
    let layers = ["layers.", "h.", "blocks."].iter().find_map(|word| {
        let at = bare
            .find(&format!(".{word}"))
            .map(|at| at + 1)
            .or_else(|| bare.starts_with(word).then_some(0))?;
        let (number, rest) = bare[at + word.len()..].split_once('.')?;
        Some((number.parse::<u32>().ok()?, rest))
    });
    let Some((layer, rest)) = layers else {
        let last = bare.rsplit('.').next().unwrap_or(bare);
        return match last {
            "embed_tokens" | "wte" | "word_embeddings" | "embeddings" => dotted("token_embd"),
            "lm_head" => dotted("output"),
            "norm" | "ln_f" | "norm_f" | "final_layernorm" => dotted("output_norm"),
            "embedding_norm" => dotted("token_embd_norm"),
            _ => dotted(bare),
        };
    };
    // Experts are numbered.
    let flat: Vec<&str> = rest.split('.').filter(|word| word.parse::<u32>().is_err()).collect();
    let flat = flat.join(".");
    let post = if has_pre_norm { "post_attention_norm" } else { "ffn_norm" };
    let part = match flat.as_str() {
        "post_attention_layernorm" | "pre_ff_layernorm" => Some(post),
        "mixer.A_log" | "mamba.A_log" | "linear_attn.A_log" => Some("ssm_a"),
        "mixer.D" | "mamba.D" => Some("ssm_d"),
        // The norm in front of a layer of Mamba.
        "norm" => Some("attn_norm"),
        _ => PARTS.iter().find(|(end, _)| flat.ends_with(end)).map(|(_, part)| *part),
    };
    format!("blk.{layer}.{}", dotted(part.unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ggufs() {
        let check = |name, expected| assert_eq!(renamed(name, false), expected);
        check("model.embed_tokens.weight", "token_embd.weight");
        check("lm_head.weight", "output.weight");
        check("model.norm.weight", "output_norm.weight");
        check("model.layers.3.self_attn.q_proj.bias", "blk.3.attn_q.bias");
        check("model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight");
        check("model.layers.12.mlp.experts.7.down_proj.weight", "blk.12.ffn_down_exps.weight");
        check("model.layers.0.block_sparse_moe.experts.1.w1.weight", "blk.0.ffn_gate_exps.weight");
        check("backbone.layers.5.mixer.A_log", "blk.5.ssm_a");
        check("transformer.h.1.self_attention.dense.weight", "blk.1.attn_output.weight");
        check("model.layers.1.mlp.experts.7.up_proj.weight", "blk.1.ffn_up_exps.weight");
        check("model.layers.1.mlp.shared_experts.up_proj.weight", "blk.1.ffn_up_shexp.weight");
        check("model.layers.1.something.new", "blk.1.something.new");
        assert_eq!(
            renamed("model.layers.0.post_attention_layernorm.weight", true),
            "blk.0.post_attention_norm.weight"
        );
    }

    #[test]
    fn numbers_become_ggufs_and_a_language_models_are_looked_for_inside() {
        let facts = facts(
            r#"{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 640,
            "num_hidden_layers": 18, "head_dim": 256, "layer_types": ["sliding_attention", "full_attention"]}}"#,
        )
        .expect("is sound");
        assert_eq!(facts.architecture, "gemma3");
        assert_eq!(
            (facts.number("block_count"), facts.number("attention.key_length")),
            (Some(18), Some(256))
        );
        assert_eq!(facts.per_layer("attention.sliding_window_pattern"), Some([1, 0].as_slice()));
        let latent = super::facts(
            r#"{"model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128, "v_head_dim": 128}"#,
        )
        .expect("is sound");
        assert_eq!(latent.number("attention.key_length"), Some(576));
        assert_eq!(latent.number("attention.key_length_mla"), Some(192));
    }
}
