//! The architectures that this version of llama.cpp can run: what a file names is looked up before anything is loaded.

/// Whether llama.cpp knows `name`, the file's `general.architecture`.
pub fn is_known_architecture(name: &str) -> bool {
    ARCHITECTURES.binary_search(&name).is_ok()
}

/// `LLM_ARCH_NAMES` of the llama.cpp that is built in (`src/llama-arch.cpp`), sorted; without `clip`, which it cannot load.
#[rustfmt::skip]
const ARCHITECTURES: &[&str] = &[
    "afmoe", "apertus", "arcee", "arctic", "arwkv7", "baichuan", "bailingmoe", "bailingmoe2", "bailingmoe3",
    "bert", "bitnet", "bloom", "chameleon", "chatglm", "clef", "codeshell", "cogvlm", "cohere2",
    "cohere2moe", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr", "deepseek32",
    "deepseek4", "dflash", "dots1", "dots3note", "dream", "eagle3", "ernie4_5", "ernie4_5-moe", "eurobert",
    "exaone", "exaone-moe", "exaone4", "falcon", "falcon-h1", "gemma", "gemma-embedding", "gemma2",
    "gemma3", "gemma3n", "gemma4", "gemma4-assistant", "glm-dsa", "glm4", "glm4moe", "glm5-next", "gpt-oss",
    "gpt2", "gptj", "gptneox", "granite", "granite_swa", "granitehybrid", "granitemoe", "graniteswitch",
    "grok", "grovemoe", "hrm_text", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "hy_v3", "hy_v4",
    "internlm2", "jais", "jais2", "jamba", "jina-bert-v2", "jina-bert-v3", "kimi-k3", "kimi-linear",
    "laguna", "lfm2", "lfm2moe", "llada", "llada-moe", "llama", "llama-embed", "llama4", "maincoder",
    "mamba", "mamba2", "maple", "mellum", "mimo2", "minicpm", "minicpm3", "minimax-01", "minimax-m2",
    "minimax-m3", "mistral3", "mistral4", "modern-bert", "mpt", "muse-glimmer", "nanbeige", "nemotron",
    "nemotron_h", "nemotron_h_moe", "neo-bert", "nomic-bert", "nomic-bert-moe", "olmo", "olmo2", "olmoe",
    "openelm", "orion", "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "plamo2",
    "plamo3", "plm", "pockettts", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen35", "qwen35moe",
    "qwen3moe", "qwen3next", "qwen3tts", "qwen3vl", "qwen3vlmoe", "qwen4exp", "refact", "rnd1", "rwkv6",
    "rwkv6qwen2", "rwkv7", "seed_oss", "smallthinker", "smollm3", "spark2_5", "stablelm", "starcoder",
    "starcoder2", "step35", "t5", "t5encoder", "talkie", "wavtokenizer-dec", "xverse",
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_name_is_known_exactly_as_written() {
        assert!(ARCHITECTURES.is_sorted());
        assert!(is_known_architecture("llama") && is_known_architecture("gpt-oss"));
        assert!(
            !is_known_architecture("Llama") && !is_known_architecture("") && !is_known_architecture("clip")
        );
    }

    /// Where Cargo unpacks llama.cpp's source; nowhere if the registry is elsewhere, and then there is nothing to compare.
    fn source() -> Option<PathBuf> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
        let registries = std::fs::read_dir(home.join("registry/src")).ok()?.flatten();
        let file = "llama-cpp-sys-2-0.1.161/llama.cpp/src/llama-arch.cpp";
        registries.map(|registry| registry.path().join(file)).find(|path| path.is_file())
    }

    #[test]
    fn the_list_is_that_of_the_built_in_llama_cpp() {
        let Some(source) = source() else { return };
        let text = std::fs::read_to_string(source).expect("is readable");
        let (_, table) = text.split_once("LLM_ARCH_NAMES = {").expect("the table begins");
        let (table, _) = table.split_once("};").expect("the table ends");
        let mut names: Vec<&str> = table.lines().filter_map(|line| line.split('"').nth(1)).collect();
        names.retain(|name| !matches!(*name, "clip" | "(unknown)"));
        names.sort_unstable();
        assert_eq!(names, ARCHITECTURES);
    }
}
