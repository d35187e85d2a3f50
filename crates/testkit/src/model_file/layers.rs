//! The tensors that layers of each kind have, by llama.cpp's names.

use super::ModelFile;

/// Attention whose heads have their own keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) embedding: u64,
    pub(super) heads: u64,
    pub(super) heads_kv: u64,
    pub(super) length: u64,
}

impl Heads {
    fn query(self) -> u64 {
        self.heads * self.length
    }

    fn key(self) -> u64 {
        self.heads_kv * self.length
    }
}

/// A stack of experts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Experts {
    pub(super) embedding: u64,
    pub(super) count: u64,
    pub(super) width: u64,
}

impl ModelFile {
    pub(super) fn in_layer(self, layer: u32, name: &str, dimensions: &[u64]) -> Self {
        self.tensor(&format!("blk.{layer}.{name}"), dimensions)
    }

    /// The embeddings and the last norm; the output too, unless it is the embeddings again.
    pub(super) fn ends(self, embedding: u64, tokens: u64, is_tied: bool) -> Self {
        let file =
            self.tensor("token_embd.weight", &[embedding, tokens]).tensor("output_norm.weight", &[embedding]);
        if is_tied { file } else { file.tensor("output.weight", &[embedding, tokens]) }
    }

    pub(super) fn attention(self, layer: u32, heads: Heads) -> Self {
        let embedding = heads.embedding;
        self.in_layer(layer, "attn_norm.weight", &[embedding])
            .in_layer(layer, "attn_q.weight", &[embedding, heads.query()])
            .in_layer(layer, "attn_k.weight", &[embedding, heads.key()])
            .in_layer(layer, "attn_v.weight", &[embedding, heads.key()])
            .in_layer(layer, "attn_output.weight", &[heads.query(), embedding])
    }

    pub(super) fn query_bias(self, layer: u32, heads: Heads) -> Self {
        self.in_layer(layer, "attn_q.bias", &[heads.query()])
            .in_layer(layer, "attn_k.bias", &[heads.key()])
            .in_layer(layer, "attn_v.bias", &[heads.key()])
    }

    pub(super) fn query_norm(self, layer: u32, length: u64) -> Self {
        self.in_layer(layer, "attn_q_norm.weight", &[length]).in_layer(layer, "attn_k_norm.weight", &[length])
    }

    pub(super) fn gated(self, layer: u32, embedding: u64, width: u64) -> Self {
        self.in_layer(layer, "ffn_norm.weight", &[embedding])
            .in_layer(layer, "ffn_gate.weight", &[embedding, width])
            .in_layer(layer, "ffn_up.weight", &[embedding, width])
            .in_layer(layer, "ffn_down.weight", &[width, embedding])
    }

    pub(super) fn experts(self, layer: u32, experts: Experts) -> Self {
        let Experts { embedding, count, width } = experts;
        self.in_layer(layer, "ffn_gate_inp.weight", &[embedding, count])
            .in_layer(layer, "ffn_gate_exps.weight", &[embedding, width, count])
            .in_layer(layer, "ffn_down_exps.weight", &[width, embedding, count])
            .in_layer(layer, "ffn_up_exps.weight", &[embedding, width, count])
    }

    pub(super) fn shared_expert(self, layer: u32, embedding: u64, width: u64) -> Self {
        self.in_layer(layer, "ffn_gate_shexp.weight", &[embedding, width])
            .in_layer(layer, "ffn_up_shexp.weight", &[embedding, width])
            .in_layer(layer, "ffn_down_shexp.weight", &[width, embedding])
    }

    pub(super) fn norm(self, layer: u32, name: &str, size: u64) -> Self {
        self.in_layer(layer, &format!("{name}.weight"), &[size])
    }

    /// A layer of the first Mamba.
    pub(super) fn mamba(self, layer: u32, embedding: u64, inner: u64, state: u64, rank: u64) -> Self {
        self.norm(layer, "attn_norm", embedding)
            .in_layer(layer, "ssm_in.weight", &[embedding, 2 * inner])
            .in_layer(layer, "ssm_conv1d.weight", &[4, inner])
            .in_layer(layer, "ssm_conv1d.bias", &[inner])
            .in_layer(layer, "ssm_x.weight", &[inner, rank + 2 * state])
            .in_layer(layer, "ssm_dt.weight", &[rank, inner])
            .in_layer(layer, "ssm_dt.bias", &[inner])
            .in_layer(layer, "ssm_a", &[state, inner])
            .in_layer(layer, "ssm_d", &[inner])
            .in_layer(layer, "ssm_out.weight", &[inner, embedding])
    }

    /// What the second Mamba has beside a norm, which a layer may share with attention.
    pub(super) fn mamba2(
        self,
        layer: u32,
        embedding: u64,
        inner: u64,
        state: u64,
        heads: u64,
        groups: u64,
    ) -> Self {
        let wide = inner + 2 * groups * state;
        self.in_layer(layer, "ssm_in.weight", &[embedding, inner + wide + heads])
            .in_layer(layer, "ssm_conv1d.weight", &[4, wide])
            .in_layer(layer, "ssm_conv1d.bias", &[wide])
            .in_layer(layer, "ssm_dt.bias", &[heads])
            .in_layer(layer, "ssm_a", &[1, heads])
            .in_layer(layer, "ssm_d", &[1, heads])
            .in_layer(layer, "ssm_norm.weight", &[inner / groups, groups])
            .in_layer(layer, "ssm_out.weight", &[inner, embedding])
    }
}
