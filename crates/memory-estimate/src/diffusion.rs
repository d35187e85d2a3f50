//! Models that make images or films: what they take depends on the picture, not on tokens, so they are refused by name.

use crate::EstimateError;

/// `general.architecture` of GGUF files for ComfyUI and stable-diffusion.cpp, and what they are called.
const ARCHITECTURES: [(&str, &str); 16] = [
    ("auraflow", "AuraFlow"),
    ("chroma", "Chroma"),
    ("cosmos", "Cosmos"),
    ("flux", "FLUX"),
    ("flux2", "FLUX.2"),
    ("hidream", "HiDream"),
    ("hunyuan", "HunyuanVideo"),
    ("hyvid", "HunyuanVideo"),
    ("ltxv", "LTX-Video"),
    ("lumina2", "Lumina 2"),
    ("pixart", "PixArt"),
    ("qwen_image", "Qwen-Image"),
    ("sd1", "Stable Diffusion 1"),
    ("sd3", "Stable Diffusion 3"),
    ("sdxl", "Stable Diffusion XL"),
    ("wan", "Wan"),
];

/// Starts of tensors' names that only such models have, once what stands in front of all of them is gone.
const TENSORS: [(&str, &str); 9] = [
    ("double_blocks.", "FLUX or HunyuanVideo"),
    ("single_transformer_blocks.", "FLUX"),
    ("transformer_blocks.", "a diffusion transformer"),
    ("joint_blocks.", "Stable Diffusion 3"),
    ("input_blocks.", "Stable Diffusion"),
    ("output_blocks.", "Stable Diffusion"),
    ("down_blocks.", "Stable Diffusion"),
    ("first_stage_model.", "Stable Diffusion"),
    ("cap_embedder.", "Lumina 2"),
];

/// What stands in front of names in some files.
const PREFIXES: [&str; 3] = ["model.diffusion_model.", "diffusion_model.", "transformer."];

pub(crate) fn by_architecture(architecture: &str) -> Option<&'static str> {
    ARCHITECTURES.iter().find(|(known, _)| *known == architecture).map(|(_, name)| *name)
}

pub(crate) fn by_tensors<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    names.filter_map(by_tensor).next()
}

fn by_tensor(name: &str) -> Option<&'static str> {
    let bare = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    TENSORS.iter().find(|(start, _)| bare.starts_with(start)).map(|(_, model)| *model)
}

pub(crate) fn refused(what: &str) -> EstimateError {
    EstimateError::unsupported(
        format!("a diffusion model ({what})"),
        "what it takes depends on the picture it makes; ask for a lease of a size that you know",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_known_by_architecture_or_by_their_tensors() {
        assert_eq!(by_architecture("flux"), Some("FLUX"));
        assert_eq!(by_architecture("hunyuan-moe"), None, "a language model of the same house");
        let names = ["model.diffusion_model.input_blocks.0.0.weight"];
        assert_eq!(by_tensors(names.into_iter()), Some("Stable Diffusion"));
        assert_eq!(by_tensors(["model.layers.0.self_attn.q_proj.weight"].into_iter()), None);
        assert_eq!(by_tensors(["blk.0.attn_q.weight"].into_iter()), None);
    }
}
