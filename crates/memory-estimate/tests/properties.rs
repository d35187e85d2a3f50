//! What holds for every model and all options.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::LazyLock;

use memory_estimate::{KvType, ModelHeader, Options, Parallel, estimate};
use proptest::prelude::*;
use testkit::model_file::{ModelFile, Recipe, catalogue};

static MODELS: LazyLock<Vec<ModelHeader>> = LazyLock::new(|| {
    catalogue().into_iter().map(|(_, make)| ModelHeader::read_gguf(make().open()).unwrap()).collect()
});

fn kv_type() -> impl Strategy<Value = KvType> {
    prop::sample::select(vec![KvType::F32, KvType::F16, KvType::Bf16, KvType::Q8_0, KvType::Q4_0])
}

fn parallel() -> impl Strategy<Value = Parallel> {
    (1u32..=64, any::<bool>())
        .prop_map(|(rows, shared)| if shared { Parallel::Shared { rows } } else { Parallel::Own { rows } })
}

fn options() -> impl Strategy<Value = Options> {
    let devices = prop::collection::vec(0.1f64..10.0, 0..4);
    (
        1u64..200_000,
        kv_type(),
        kv_type(),
        1u64..4096,
        any::<bool>(),
        prop::option::of(0u32..60),
        parallel(),
        devices,
        any::<bool>(),
    )
        .prop_map(|(context, k, v, batch, flash, layers, parallel, devices, pipelined)| Options {
            context_tokens: Some(context),
            kv_type_k: k,
            kv_type_v: if flash { v } else { KvType::F16 },
            batch_tokens: batch,
            flash_attention: flash,
            full_windows: !pipelined,
            gpu_layers: layers,
            parallel,
            devices,
            pipelined,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_is_that_of_the_parts(index in 0usize..22, options in options()) {
        let estimate = estimate(&MODELS[index % MODELS.len()], &options).unwrap();
        prop_assert_eq!(estimate.devices.len(), options.devices.len());
        let parts = [estimate.host].into_iter().chain(estimate.devices.iter().copied());
        let sum: u64 = parts.map(|part| part.weights + part.cache + part.compute).sum();
        prop_assert_eq!(estimate.total(), sum);
    }

    /// Of buffers nothing like it holds, in llama.cpp neither: tensors are laid into the smallest hole that they fit, and
    /// those of a longer context may fit better.
    #[test]
    fn more_context_never_takes_less_cache(index in 0usize..22, options in options(), more in 1u64..100_000) {
        let model = &MODELS[index % MODELS.len()];
        let longer = Options { context_tokens: options.context_tokens.map(|tokens| tokens + more), ..options.clone() };
        let (shorter, longer) = (estimate(model, &options).unwrap().sum(), estimate(model, &longer).unwrap().sum());
        prop_assert!(longer.cache >= shorter.cache);
        prop_assert_eq!(longer.weights, shorter.weights);
    }

    #[test]
    fn where_a_model_lies_changes_its_cache_by_nothing(index in 0usize..22, options in options()) {
        let model = &MODELS[index % MODELS.len()];
        let alone = Options { devices: Vec::new(), ..options.clone() };
        prop_assert_eq!(estimate(model, &options).unwrap().sum().cache, estimate(model, &alone).unwrap().sum().cache);
    }

    #[test]
    fn whatever_a_header_says_there_is_an_answer_or_a_reason(
        architecture in prop::sample::select(vec!["llama", "gemma3", "deepseek2", "mamba", "jamba", "qwen3next", "lfm2", "x"]),
        numbers in prop::collection::vec((0usize..KEYS.len(), any::<u32>(), 0u32..33), 0..20),
        tensors in prop::collection::btree_map(0usize..TENSORS.len(), (1u64..4096, 1u64..4096), 0..12),
        options in options(),
    ) {
        let file = ModelFile::new(architecture, Recipe::F16, 10).number("block_count", 2).number("embedding_length", 64);
        let mut seen = vec!["block_count", "embedding_length"];
        let file = numbers.into_iter().fold(file, |file, (key, value, shift)| {
            if seen.contains(&KEYS[key]) {
                return file;
            }
            seen.push(KEYS[key]);
            file.number(KEYS[key], value.checked_shr(shift).unwrap_or(0))
        });
        let file = tensors.into_iter().fold(file.tensor("output_norm.weight", &[64]), |file, (name, (row, rows))| {
            file.tensor(&format!("blk.{}.{}", name % 2, TENSORS[name]), &[row, rows])
        });
        if let Ok(header) = ModelHeader::read_gguf(file.open())
            && let Ok(estimate) = estimate(&header, &options)
        {
            prop_assert!(estimate.total() < 1 << 57);
        }
    }
}

const KEYS: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_mla",
    "attention.value_length_mla",
    "attention.kv_lora_rank",
    "rope.dimension_count",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "expert_count",
    "expert_used_count",
    "ssm.conv_kernel",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.time_step_rank",
    "ssm.group_count",
    "kda.head_dim",
    "wkv.head_size",
    "shortconv.l_cache",
    "context_length",
    "vocab_size",
    "nextn_predict_layers",
    "attention.indexer.key_length",
    "feed_forward_length",
];

const TENSORS: &[&str] = &[
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_output.weight",
    "attn_qkv.weight",
    "attn_gate.weight",
    "attn_kv_a_mqa.weight",
    "attn_q_a.weight",
    "ffn_up.weight",
    "ffn_gate.weight",
    "ffn_down.weight",
    "ffn_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_up_exps.weight",
    "ffn_down_exps.weight",
    "ssm_in.weight",
    "ssm_x.weight",
    "ssm_d",
    "ssm_norm.weight",
    "shortconv.in_proj.weight",
    "time_mix_key.weight",
    "ffn_up_shexp.weight",
    "indexer.proj.weight",
    "attn_q_norm.weight",
    "post_attention_norm.weight",
];
