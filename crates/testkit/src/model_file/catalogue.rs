//! The models themselves: numbers from their makers' `config.json`, tensors as llama.cpp's converter names them.

use super::layers::{Experts, Heads};
use super::{ModelFile, Recipe};

/// Writes a model down.
pub type Make = fn() -> ModelFile;

/// Every model here, by name.
pub fn catalogue() -> Vec<(&'static str, Make)> {
    vec![
        ("smollm2-135m", smollm2),
        ("llama-3.2-1b", llama_1b),
        ("llama-3.2-1b-q4_0", llama_1b_q4_0),
        ("llama-3.1-8b", llama_8b),
        ("qwen2.5-7b", qwen2),
        ("qwen3-0.6b", qwen3),
        ("qwen3-30b-a3b", qwen3moe),
        ("gemma-2-2b", gemma2),
        ("gemma-3-270m", gemma3_270m),
        ("gemma-3-4b", gemma3_4b),
        ("phi-3-mini", phi3),
        ("mixtral-8x7b", mixtral),
        ("deepseek-v2-lite", deepseek2),
        ("gpt-oss-20b", gpt_oss),
        ("command-r-35b", command_r),
        ("falcon-7b", falcon),
        ("mamba-130m", mamba),
        ("mamba2-130m", mamba2),
        ("falcon-h1-0.5b", falcon_h1),
        ("lfm2-350m", lfm2),
        ("jamba-v0.1", jamba),
        ("qwen3-next-80b-a3b", qwen3next),
    ]
}

/// The model of that name.
pub fn model(name: &str) -> Option<ModelFile> {
    catalogue().into_iter().find(|(known, _)| *known == name).map(|(_, make)| make())
}

/// The numbers that every transformer has.
struct Shape {
    layers: u32,
    context: u32,
    heads: Heads,
    width: u64,
}

const fn heads(embedding: u64, heads: u64, heads_kv: u64, length: u64) -> Heads {
    Heads { embedding, heads, heads_kv, length }
}

fn begin(architecture: &'static str, recipe: Recipe, tokens: u32, shape: &Shape) -> ModelFile {
    let Heads { embedding, heads, heads_kv, length } = shape.heads;
    ModelFile::new(architecture, recipe, tokens)
        .number("block_count", shape.layers)
        .number("context_length", shape.context)
        .number("embedding_length", embedding as u32)
        .number("feed_forward_length", shape.width as u32)
        .number("attention.head_count", heads as u32)
        .number("attention.head_count_kv", heads_kv as u32)
        .number("attention.key_length", length as u32)
        .number("attention.value_length", length as u32)
        .number("rope.dimension_count", length as u32)
        .fraction("attention.layer_norm_rms_epsilon", 1e-5)
}

fn layers(file: ModelFile, count: u32, add: impl Fn(ModelFile, u32) -> ModelFile) -> ModelFile {
    (0..count).fold(file, add)
}

/// Attention and a gated network, as the first Llama had them.
fn dense(
    architecture: &'static str,
    recipe: Recipe,
    tokens: u32,
    shape: &Shape,
    is_tied: bool,
    more: impl Fn(ModelFile, u32) -> ModelFile,
) -> ModelFile {
    let file = begin(architecture, recipe, tokens, shape).ends(shape.heads.embedding, tokens.into(), is_tied);
    layers(file, shape.layers, |file, layer| {
        let file = file.attention(layer, shape.heads).gated(layer, shape.heads.embedding, shape.width);
        more(file, layer)
    })
}

fn plain(file: ModelFile, _: u32) -> ModelFile {
    file
}

fn smollm2() -> ModelFile {
    let shape = Shape { layers: 30, context: 8192, heads: heads(576, 9, 3, 64), width: 1536 };
    dense("llama", Recipe::Q8, 49_152, &shape, true, plain)
}

const LLAMA_1B: Shape = Shape { layers: 16, context: 131_072, heads: heads(2048, 32, 8, 64), width: 8192 };

fn llama_1b() -> ModelFile {
    dense("llama", Recipe::Q4KM, 128_256, &LLAMA_1B, true, plain).tensor("rope_freqs.weight", &[32])
}

fn llama_1b_q4_0() -> ModelFile {
    dense("llama", Recipe::Q4, 128_256, &LLAMA_1B, true, plain).tensor("rope_freqs.weight", &[32])
}

fn llama_8b() -> ModelFile {
    let shape = Shape { layers: 32, context: 131_072, heads: heads(4096, 32, 8, 128), width: 14_336 };
    dense("llama", Recipe::Q4KM, 128_256, &shape, false, plain).tensor("rope_freqs.weight", &[64])
}

fn qwen2() -> ModelFile {
    let shape = Shape { layers: 28, context: 32_768, heads: heads(3584, 28, 4, 128), width: 18_944 };
    dense("qwen2", Recipe::Q4KM, 152_064, &shape, false, |file, layer| file.query_bias(layer, shape.heads))
}

fn qwen3() -> ModelFile {
    let shape = Shape { layers: 28, context: 40_960, heads: heads(1024, 16, 8, 128), width: 3072 };
    dense("qwen3", Recipe::Q8, 151_936, &shape, true, |file, layer| file.query_norm(layer, 128))
}

fn qwen3moe() -> ModelFile {
    let shape = Shape { layers: 48, context: 40_960, heads: heads(2048, 32, 4, 128), width: 6144 };
    let file = begin("qwen3moe", Recipe::Q4KM, 151_936, &shape)
        .number("expert_count", 128)
        .number("expert_used_count", 8)
        .number("expert_feed_forward_length", 768)
        .ends(2048, 151_936, false);
    layers(file, 48, |file, layer| {
        file.attention(layer, shape.heads)
            .query_norm(layer, 128)
            .norm(layer, "ffn_norm", 2048)
            .experts(layer, Experts { embedding: 2048, count: 128, width: 768 })
    })
}

fn gemma2() -> ModelFile {
    let shape = Shape { layers: 26, context: 8192, heads: heads(2304, 8, 4, 256), width: 9216 };
    dense("gemma2", Recipe::Q4KM, 256_000, &shape, true, |file, layer| {
        file.norm(layer, "post_attention_norm", 2304).norm(layer, "post_ffw_norm", 2304)
    })
    .number("attention.sliding_window", 4096)
    .fraction("attn_logit_softcapping", 50.0)
    .fraction("final_logit_softcapping", 30.0)
}

fn gemma3(shape: &Shape, recipe: Recipe, tokens: u32, window: u32) -> ModelFile {
    let embedding = shape.heads.embedding;
    dense("gemma3", recipe, tokens, shape, true, |file, layer| {
        file.query_norm(layer, 256).norm(layer, "post_attention_norm", embedding).norm(
            layer,
            "post_ffw_norm",
            embedding,
        )
    })
    .number("attention.sliding_window", window)
}

fn gemma3_270m() -> ModelFile {
    let shape = Shape { layers: 18, context: 32_768, heads: heads(640, 4, 1, 256), width: 2048 };
    gemma3(&shape, Recipe::Q8, 262_144, 512)
}

fn gemma3_4b() -> ModelFile {
    let shape = Shape { layers: 34, context: 131_072, heads: heads(2560, 8, 4, 256), width: 10_240 };
    gemma3(&shape, Recipe::Q4KM, 262_208, 1024)
}

fn phi3() -> ModelFile {
    let shape = Shape { layers: 32, context: 4096, heads: heads(3072, 32, 32, 96), width: 8192 };
    let file = begin("phi3", Recipe::Q4KM, 32_064, &shape).ends(3072, 32_064, false);
    layers(file, 32, |file, layer| {
        file.norm(layer, "attn_norm", 3072)
            .in_layer(layer, "attn_qkv.weight", &[3072, 9216])
            .in_layer(layer, "attn_output.weight", &[3072, 3072])
            .norm(layer, "ffn_norm", 3072)
            .in_layer(layer, "ffn_up.weight", &[3072, 16_384])
            .in_layer(layer, "ffn_down.weight", &[8192, 3072])
    })
}

fn mixtral() -> ModelFile {
    let shape = Shape { layers: 32, context: 32_768, heads: heads(4096, 32, 8, 128), width: 14_336 };
    let file = begin("llama", Recipe::Q4KM, 32_000, &shape)
        .number("expert_count", 8)
        .number("expert_used_count", 2)
        .ends(4096, 32_000, false);
    layers(file, 32, |file, layer| {
        file.attention(layer, shape.heads)
            .norm(layer, "ffn_norm", 4096)
            .experts(layer, Experts { embedding: 4096, count: 8, width: 14_336 })
    })
}

fn deepseek2() -> ModelFile {
    let file = ModelFile::new("deepseek2", Recipe::Q4KM, 102_400)
        .number("block_count", 27)
        .number("context_length", 163_840)
        .number("embedding_length", 2048)
        .number("feed_forward_length", 10_944)
        .number("attention.head_count", 16)
        .number("attention.head_count_kv", 1)
        .number("attention.key_length", 576)
        .number("attention.value_length", 512)
        .number("attention.key_length_mla", 192)
        .number("attention.value_length_mla", 128)
        .number("attention.kv_lora_rank", 512)
        .number("rope.dimension_count", 64)
        .fraction("attention.layer_norm_rms_epsilon", 1e-6)
        .number("leading_dense_block_count", 1)
        .number("expert_count", 64)
        .number("expert_used_count", 6)
        .number("expert_shared_count", 2)
        .number("expert_feed_forward_length", 1408)
        .fraction("expert_weights_scale", 1.0)
        .ends(2048, 102_400, false);
    layers(file, 27, |file, layer| {
        let file = file
            .norm(layer, "attn_norm", 2048)
            .in_layer(layer, "attn_q.weight", &[2048, 16 * 192])
            .in_layer(layer, "attn_kv_a_mqa.weight", &[2048, 576])
            .norm(layer, "attn_kv_a_norm", 512)
            .in_layer(layer, "attn_k_b.weight", &[128, 512, 16])
            .in_layer(layer, "attn_v_b.weight", &[512, 128, 16])
            .in_layer(layer, "attn_output.weight", &[2048, 2048]);
        if layer == 0 {
            return file.gated(layer, 2048, 10_944);
        }
        file.norm(layer, "ffn_norm", 2048)
            .experts(layer, Experts { embedding: 2048, count: 64, width: 1408 })
            .shared_expert(layer, 2048, 2 * 1408)
    })
}

fn gpt_oss() -> ModelFile {
    let shape = Shape { layers: 24, context: 131_072, heads: heads(2880, 64, 8, 64), width: 2880 };
    let file = begin("gpt-oss", Recipe::Mxfp4, 201_088, &shape)
        .number("attention.sliding_window", 128)
        .number("expert_count", 32)
        .number("expert_used_count", 4)
        .number("expert_feed_forward_length", 2880)
        .ends(2880, 201_088, false);
    layers(file, 24, |file, layer| {
        file.attention(layer, shape.heads)
            .query_bias(layer, shape.heads)
            .in_layer(layer, "attn_output.bias", &[2880])
            .norm(layer, "attn_sinks", 64)
            .norm(layer, "post_attention_norm", 2880)
            .experts(layer, Experts { embedding: 2880, count: 32, width: 2880 })
            .in_layer(layer, "ffn_gate_inp.bias", &[32])
            .tensor_of(&format!("blk.{layer}.ffn_gate_exps.bias"), &[2880, 32], 0)
            .tensor_of(&format!("blk.{layer}.ffn_up_exps.bias"), &[2880, 32], 0)
            .tensor_of(&format!("blk.{layer}.ffn_down_exps.bias"), &[2880, 32], 0)
    })
}

fn command_r() -> ModelFile {
    let shape = Shape { layers: 40, context: 131_072, heads: heads(8192, 64, 64, 128), width: 22_528 };
    let file = begin("command-r", Recipe::Q4KM, 256_000, &shape)
        .fraction("attention.layer_norm_epsilon", 1e-5)
        .fraction("logit_scale", 0.0625)
        .ends(8192, 256_000, true);
    layers(file, 40, |file, layer| {
        file.attention(layer, shape.heads)
            .in_layer(layer, "ffn_gate.weight", &[8192, 22_528])
            .in_layer(layer, "ffn_up.weight", &[8192, 22_528])
            .in_layer(layer, "ffn_down.weight", &[22_528, 8192])
    })
}

fn falcon() -> ModelFile {
    let shape = Shape { layers: 32, context: 2048, heads: heads(4544, 71, 1, 64), width: 18_176 };
    let file = begin("falcon", Recipe::Q8, 65_024, &shape)
        .fraction("attention.layer_norm_epsilon", 1e-5)
        .ends(4544, 65_024, false)
        .tensor("output_norm.bias", &[4544]);
    layers(file, 32, |file, layer| {
        file.norm(layer, "attn_norm", 4544)
            .in_layer(layer, "attn_norm.bias", &[4544])
            .in_layer(layer, "attn_qkv.weight", &[4544, 4544 + 128])
            .in_layer(layer, "attn_output.weight", &[4544, 4544])
            .in_layer(layer, "ffn_up.weight", &[4544, 18_176])
            .in_layer(layer, "ffn_down.weight", &[18_176, 4544])
    })
}

fn state(file: ModelFile, inner: u32, state: u32, rank: u32, groups: u32) -> ModelFile {
    file.number("ssm.conv_kernel", 4)
        .number("ssm.inner_size", inner)
        .number("ssm.state_size", state)
        .number("ssm.time_step_rank", rank)
        .number("ssm.group_count", groups)
}

fn recurrent(architecture: &'static str) -> ModelFile {
    ModelFile::new(architecture, Recipe::F16, 50_280)
        .number("block_count", 24)
        .number("context_length", 1_048_576)
        .number("embedding_length", 768)
        .number("feed_forward_length", 0)
        .number("attention.head_count", 0)
        .fraction("attention.layer_norm_rms_epsilon", 1e-5)
        .ends(768, 50_280, true)
}

fn mamba() -> ModelFile {
    let file = state(recurrent("mamba"), 1536, 16, 48, 0);
    layers(file, 24, |file, layer| file.mamba(layer, 768, 1536, 16, 48))
}

fn mamba2() -> ModelFile {
    let file = state(recurrent("mamba2"), 1536, 128, 24, 1);
    layers(file, 24, |file, layer| file.norm(layer, "attn_norm", 768).mamba2(layer, 768, 1536, 128, 24, 1))
}

fn falcon_h1() -> ModelFile {
    let shape = Shape { layers: 36, context: 16_384, heads: heads(1024, 8, 2, 64), width: 2048 };
    let file = state(begin("falcon-h1", Recipe::Q8, 32_784, &shape), 1536, 128, 24, 1);
    layers(file.ends(1024, 32_784, false), 36, |file, layer| {
        file.attention(layer, shape.heads)
            .mamba2(layer, 1024, 1536, 128, 24, 1)
            .in_layer(layer, "ffn_norm", &[1024])
            .in_layer(layer, "ffn_gate.weight", &[1024, 2048])
            .in_layer(layer, "ffn_up.weight", &[1024, 2048])
            .in_layer(layer, "ffn_down.weight", &[2048, 1024])
    })
}

fn lfm2() -> ModelFile {
    const HEADS_KV: [u32; 16] = [0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 8, 0, 8, 0, 8, 0];
    let file = ModelFile::new("lfm2", Recipe::Q8, 65_536)
        .number("block_count", 16)
        .number("context_length", 128_000)
        .number("embedding_length", 1024)
        .number("feed_forward_length", 4608)
        .number("attention.head_count", 16)
        .numbers("attention.head_count_kv", &HEADS_KV)
        .number("shortconv.l_cache", 3)
        .fraction("attention.layer_norm_rms_epsilon", 1e-5)
        .tensor("token_embd.weight", &[1024, 65_536])
        .tensor("token_embd_norm.weight", &[1024]);
    layers(file, 16, |file, layer| {
        let file = if HEADS_KV[layer as usize] > 0 {
            file.attention(layer, heads(1024, 16, 8, 64)).query_norm(layer, 64)
        } else {
            file.norm(layer, "attn_norm", 1024)
                .in_layer(layer, "shortconv.conv.weight", &[3, 1024])
                .in_layer(layer, "shortconv.in_proj.weight", &[1024, 3072])
                .in_layer(layer, "shortconv.out_proj.weight", &[1024, 1024])
        };
        file.gated(layer, 1024, 4608)
    })
}

fn jamba() -> ModelFile {
    let has_attention = |layer: u32| layer % 8 == 4;
    let heads_kv: Vec<u32> = (0..32).map(|layer| if has_attention(layer) { 8 } else { 0 }).collect();
    let file = ModelFile::new("jamba", Recipe::Q4KM, 65_536)
        .number("block_count", 32)
        .number("context_length", 262_144)
        .number("embedding_length", 4096)
        .number("feed_forward_length", 14_336)
        .number("attention.head_count", 32)
        .numbers("attention.head_count_kv", &heads_kv)
        .number("expert_count", 16)
        .number("expert_used_count", 2)
        .fraction("attention.layer_norm_rms_epsilon", 1e-6)
        .ends(4096, 65_536, false);
    layers(state(file, 8192, 16, 256, 0), 32, |file, layer| {
        let file = if has_attention(layer) {
            file.attention(layer, heads(4096, 32, 8, 128))
        } else {
            file.mamba(layer, 4096, 8192, 16, 256)
                .norm(layer, "ssm_dt_norm", 256)
                .norm(layer, "ssm_b_norm", 16)
                .norm(layer, "ssm_c_norm", 16)
        };
        if layer % 2 == 0 {
            return file.gated(layer, 4096, 14_336);
        }
        file.norm(layer, "ffn_norm", 4096)
            .experts(layer, Experts { embedding: 4096, count: 16, width: 14_336 })
    })
}

fn qwen3next() -> ModelFile {
    let shape = Shape { layers: 48, context: 262_144, heads: heads(2048, 16, 2, 256), width: 5120 };
    let file = begin("qwen3next", Recipe::Q4KM, 151_936, &shape)
        .number("expert_count", 512)
        .number("expert_used_count", 10)
        .number("expert_feed_forward_length", 512)
        .number("expert_shared_feed_forward_length", 512)
        .ends(2048, 151_936, false);
    layers(state(file, 4096, 128, 32, 16), 48, |file, layer| {
        let file = file.norm(layer, "attn_norm", 2048).norm(layer, "post_attention_norm", 2048);
        let file = if layer % 4 == 3 {
            file.in_layer(layer, "attn_q.weight", &[2048, 2 * 4096])
                .in_layer(layer, "attn_k.weight", &[2048, 512])
                .in_layer(layer, "attn_v.weight", &[2048, 512])
                .in_layer(layer, "attn_output.weight", &[4096, 2048])
                .query_norm(layer, 256)
        } else {
            file.in_layer(layer, "attn_qkv.weight", &[2048, 8192])
                .in_layer(layer, "attn_gate.weight", &[2048, 4096])
                .in_layer(layer, "ssm_conv1d.weight", &[4, 8192])
                .in_layer(layer, "ssm_dt.bias", &[32])
                .in_layer(layer, "ssm_a", &[32])
                .in_layer(layer, "ssm_ba.weight", &[2048, 64])
                .norm(layer, "ssm_norm", 128)
                .in_layer(layer, "ssm_out.weight", &[4096, 2048])
        };
        file.experts(layer, Experts { embedding: 2048, count: 512, width: 512 })
            .in_layer(layer, "ffn_gate_inp_shexp.weight", &[2048])
            .shared_expert(layer, 2048, 512)
    })
}
