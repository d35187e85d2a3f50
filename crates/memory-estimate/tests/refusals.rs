//! What is refused, and in which words.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Cursor;

use memory_estimate::{EstimateError, KvType, ModelHeader, Options, Parallel, estimate};
use testkit::model_file::{ModelFile, Recipe, model};

fn gguf(bytes: &[u8]) -> EstimateError {
    ModelHeader::read_gguf(Cursor::new(bytes)).unwrap_err()
}

fn check_option(change: impl FnOnce(&mut Options), words: &str) {
    let header = ModelHeader::read_gguf(model("qwen3-0.6b").unwrap().open()).unwrap();
    let mut options = Options::default();
    change(&mut options);
    let error = estimate(&header, &options).unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn options_that_make_no_sense_are_named() {
    check_option(
        |options| options.context_tokens = Some(0),
        "context_tokens: expected 1 to 4294967296, got 0",
    );
    check_option(|options| options.context_tokens = Some(1 << 33), "context_tokens");
    check_option(|options| options.batch_tokens = 0, "batch_tokens");
    check_option(
        |options| options.parallel = Parallel::Own { rows: 0 },
        "parallel: expected 1 to 256, got 0",
    );
    check_option(|options| options.parallel = Parallel::Shared { rows: 257 }, "parallel");
    check_option(|options| options.devices = vec![f64::NAN], "devices: expected parts that are not negative");
    check_option(|options| options.devices = vec![1.0, -1.0], "devices");
    check_option(|options| options.devices = vec![0.0, 0.0], "devices");
    check_option(|options| options.devices = vec![1.0; 16], "devices: expected at most 15");
    check_option(
        |options| {
            options.flash_attention = false;
            options.kv_type_v = KvType::Q8_0;
        },
        "kv_type_v: llama.cpp quantizes values with flash attention only",
    );
}

#[test]
fn a_context_beyond_what_the_model_was_trained_on_is_allowed_and_noted() {
    let header = ModelHeader::read_gguf(model("qwen3-0.6b").unwrap().open()).unwrap();
    let notes = |tokens| {
        estimate(&header, &Options { context_tokens: Some(tokens), ..Options::default() }).unwrap().notes
    };
    assert!(notes(40_960).is_empty());
    assert!(notes(50_000).concat().contains("more than the 40960 that the model was trained on"));
}

#[test]
fn a_file_cut_anywhere_is_corrupt_and_says_where() {
    let whole = model("mamba-130m").unwrap().header();
    for length in [0, 3, 4, 8, 23, 24, 60, 1000, whole.len() / 2, whole.len() - 1, whole.len()] {
        let error = gguf(&whole[..length]);
        assert_eq!(error.code(), "UAT_INVALID_INPUT", "{length}: {error}");
        assert!(error.offset().is_some_and(|offset| offset <= length as u64), "{length}: {error}");
    }
}

#[test]
fn diffusion_models_are_refused_by_name() {
    for (architecture, name) in [
        ("flux", "FLUX"),
        ("sdxl", "Stable Diffusion XL"),
        ("wan", "Wan"),
        ("sd3", "Stable Diffusion 3"),
        ("hunyuan", "HunyuanVideo"),
        ("sd1", "Stable Diffusion 1"),
    ] {
        let file = ModelFile::new(architecture, Recipe::F16, 300).tensor("img_in.weight", &[64, 64]);
        let error = ModelHeader::read_gguf(file.open()).unwrap_err();
        assert_eq!(error.code(), "UAT_UNSUPPORTED");
        assert!(
            error.to_string().starts_with(&format!("a diffusion model ({name}) cannot be estimated")),
            "{error}"
        );
    }
}

#[test]
fn a_header_that_says_too_little_is_refused() {
    let check = |file: ModelFile, words: &str| {
        let error = ModelHeader::read_gguf(file.open()).unwrap_err();
        assert_eq!(error.code(), "UAT_UNSUPPORTED");
        assert!(error.to_string().contains(words), "{error}");
    };
    let file = || ModelFile::new("newcomer", Recipe::F16, 300).tensor("token_embd.weight", &[64, 300]);
    check(file(), "does not say block_count");
    check(file().number("block_count", 2), "does not say embedding_length");
    check(file().entry("general.type", 8, &text("adapter")), "it is no model");
}

#[test]
fn an_unknown_architecture_is_estimated_by_its_tensors_and_noted() {
    let file = ModelFile::new("newcomer", Recipe::F16, 300)
        .number("block_count", 1)
        .number("embedding_length", 64)
        .number("context_length", 512)
        .number("attention.head_count", 4)
        .tensor("token_embd.weight", &[64, 300])
        .tensor("blk.0.attn_q.weight", &[64, 64])
        .tensor("blk.0.attn_k.weight", &[64, 64])
        .tensor("blk.0.attn_v.weight", &[64, 64])
        .tensor("blk.0.attn_output.weight", &[64, 64])
        .tensor("blk.0.ffn_up.weight", &[64, 256])
        .tensor("blk.0.ffn_down.weight", &[256, 64]);
    let header = ModelHeader::read_gguf(file.open()).unwrap();
    let estimate = estimate(&header, &Options::default()).unwrap();
    assert_eq!(estimate.host.cache, 2 * 64 * 512 * 2);
    assert!(estimate.notes.concat().contains("\"newcomer\" was not compared with llama.cpp"));
}

#[test]
fn numbers_that_no_model_has_overflow_by_name() {
    let check = |file: ModelFile, what: &str| {
        let error = ModelHeader::read_gguf(file.open()).unwrap_err();
        assert!(matches!(&error, EstimateError::Overflow { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    let file = || {
        ModelFile::new("llama", Recipe::F16, 300)
            .number("embedding_length", 64)
            .tensor("output_norm.weight", &[64])
    };
    check(file().number("block_count", u32::MAX), "the layers");
    let file = || file().number("block_count", 2);
    check(file().number("attention.head_count", u32::MAX), "a layer's heads");
    check(file().number("vocab_size", u32::MAX), "the vocabulary");
    check(file().number("ssm.inner_size", u32::MAX), "the recurrent state");
}

#[test]
fn a_projector_of_images_is_estimated() {
    let file = ModelFile::new("clip", Recipe::F16, 300)
        .number("vision.embedding_length", 1152)
        .number("vision.feed_forward_length", 4304)
        .number("vision.attention.head_count", 16)
        .number("vision.image_size", 896)
        .number("vision.patch_size", 14)
        .tensor("v.blk.0.attn_q.weight", &[1152, 1152]);
    let header = ModelHeader::read_gguf(file.open()).unwrap();
    let estimate = estimate(&header, &Options { devices: vec![1.0], ..Options::default() }).unwrap();
    assert_eq!((estimate.host.total(), estimate.devices[0].weights), (0, 1152 * 1152 * 2));
    // 4096 patches that look at each other with 16 heads: a GiB.
    assert!((1 << 30..3 << 29).contains(&estimate.devices[0].compute), "{estimate:?}");
}

fn text(text: &str) -> Vec<u8> {
    testkit::GgufFile::string(text)
}
