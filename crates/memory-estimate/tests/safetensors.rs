//! Models in safetensors files.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;

use memory_estimate::{EstimateError, ModelHeader, Options, estimate, open};

const CONFIG: &str = r#"{"model_type": "qwen3", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1000, "max_position_embeddings": 4096}"#;

/// Tensors of a small model: name, shape as its makers write it.
fn tensors() -> Vec<(String, Vec<u64>)> {
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![1000, 64]),
        ("lm_head.weight".to_owned(), vec![1000, 64]),
        ("model.norm.weight".to_owned(), vec![64]),
    ];
    for layer in 0..2 {
        let part =
            |name: &str, shape: &[u64]| (format!("model.layers.{layer}.{name}.weight"), shape.to_vec());
        all.extend([
            part("input_layernorm", &[64]),
            part("self_attn.q_proj", &[128, 64]),
            part("self_attn.k_proj", &[64, 64]),
            part("self_attn.v_proj", &[64, 64]),
            part("self_attn.o_proj", &[64, 128]),
            part("post_attention_layernorm", &[64]),
            part("mlp.gate_proj", &[128, 64]),
            part("mlp.up_proj", &[128, 64]),
            part("mlp.down_proj", &[64, 128]),
        ]);
    }
    all
}

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn sound(tensors: &[(String, Vec<u64>)]) -> Vec<u8> {
    let mut header = r#"{"__metadata__": {"format": "pt"}"#.to_owned();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<u64>() * 2;
        write!(
            header,
            ", {name:?}: {{\"dtype\": \"BF16\", \"shape\": {shape:?}, \"data_offsets\": [{start}, {end}]}}"
        )
        .unwrap();
    }
    file(&format!("{header}}}"), end as usize)
}

fn read(bytes: &[u8]) -> Result<ModelHeader, EstimateError> {
    ModelHeader::read_safetensors([Cursor::new(bytes)], Some(CONFIG))
}

/// Checks that a header is refused with these words at this place of the file.
fn check_refused(bytes: &[u8], offset: u64, words: &str) {
    let error = read(bytes).unwrap_err();
    assert_eq!((error.code(), error.offset()), ("UAT_INVALID_INPUT", Some(offset)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_folder_is_estimated_and_so_are_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let tensors = tensors();
    fs::write(path("config.json"), CONFIG).unwrap();
    fs::write(path("model.safetensors"), sound(&tensors)).unwrap();
    let options = Options::default();
    let whole = estimate(&open(folder.path()).unwrap(), &options).unwrap();
    let bytes: u64 = tensors.iter().map(|(_, shape)| shape.iter().product::<u64>() * 2).sum();
    assert_eq!(whole.host.weights, bytes);
    assert_eq!(whole.host.cache, 2 * 2 * 64 * 4096 * 2);
    assert_eq!(estimate(&open(&path("model.safetensors")).unwrap(), &options).unwrap(), whole);

    let (first, second) = tensors.split_at(7);
    fs::write(path("model-1.safetensors"), sound(first)).unwrap();
    fs::write(path("model-2.safetensors"), sound(second)).unwrap();
    let map: serde_json::Map<String, serde_json::Value> =
        [(first, "model-1.safetensors"), (second, "model-2.safetensors")]
            .into_iter()
            .flat_map(|(part, file)| part.iter().map(move |(name, _)| (name.clone(), file.into())))
            .collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    fs::write(path("model.safetensors.index.json"), index).unwrap();
    fs::remove_file(path("model.safetensors")).unwrap();
    assert_eq!(estimate(&open(folder.path()).unwrap(), &options).unwrap(), whole);
    fs::remove_file(path("model-2.safetensors")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("model-2.safetensors is missing"), "{error}");
}

#[test]
fn a_list_of_shards_leads_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, r#"{"weight_map": {"a": "../../etc/passwd"}}"#).unwrap();
    let error = open(&index).unwrap_err();
    assert!(error.to_string().contains("no name of a file beside it"), "{error}");
}

#[test]
fn lengths_that_do_not_fit_are_refused_at_their_place() {
    check_refused(b"", 0, "expected a length of 8 bytes");
    check_refused(&1000u64.to_le_bytes(), 0, "its header has 1000 bytes, the file only 8");
    check_refused(&u64::MAX.to_le_bytes(), 0, "at most 100000000 are read");
    check_refused(&file("{\"a\": }", 0), 8 + 6, "its header is not sound");
    check_refused(&file("[]", 0), 8, "not sound");
}

#[test]
fn tensors_that_do_not_fit_are_refused_at_their_place() {
    let entry = |kind: &str, shape: &str, start: u64, end: u64| {
        format!("{{\"dtype\": \"{kind}\", \"shape\": {shape}, \"data_offsets\": [{start}, {end}]}}")
    };
    let check = |entries: &[String], data: usize, at: u64, words: &str| {
        let names = ["a", "b"];
        let parts: Vec<String> =
            entries.iter().zip(names).map(|(entry, name)| format!("\"{name}\": {entry}")).collect();
        let header = format!("{{{}}}", parts.join(", "));
        let start = 8 + header.len() as u64;
        check_refused(&file(&header, data), start + at, words);
    };
    check(&[entry("F32", "[4]", 0, 16)], 12, 0, "lies at 0 to 16 of the data, which has 12");
    check(&[entry("F32", "[4]", 16, 0)], 16, 16, "lies at 16 to 0");
    check(&[entry("F32", "[4]", 0, 16)], 20, 16, "4 bytes of the data belong to no tensor");
    check(&[entry("F32", "[4]", 4, 20)], 20, 4, "a gap of 4 bytes");
    check(&[entry("F32", "[5]", 0, 16)], 16, 0, "does not fit");
    check(&[entry("Q9", "[4]", 0, 16)], 16, 0, "unknown type \"Q9\"");
    check(&[entry("F32", "[4]", 0, 16), entry("F32", "[4]", 8, 24)], 24, 8, "overlaps");
    check(&[entry("F32", "[4294967296, 4294967296, 4294967296]", 0, 16)], 16, 0, "does not fit");
    let twice = format!("{{\"a\": {0}, \"a\": {0}}}", entry("F32", "[0]", 0, 0));
    assert!(read(&file(&twice, 0)).unwrap_err().to_string().contains("occurs twice"));
}

#[test]
fn what_is_no_language_model_is_refused_by_name() {
    let names = [("model.diffusion_model.input_blocks.0.0.weight".to_owned(), vec![4, 4])];
    let error = read(&sound(&names)).unwrap_err();
    assert!(error.to_string().contains("a diffusion model (Stable Diffusion)"), "{error}");
    let alone = ModelHeader::read_safetensors([Cursor::new(sound(&tensors()))], None).unwrap_err();
    assert!(alone.to_string().contains("config.json"), "{alone}");
}

#[test]
fn tensors_without_a_byte_may_have_any_shape_and_overflow_nothing() {
    let mut header = sound(&tensors());
    header.drain(..8);
    let length = tensors().iter().map(|(_, shape)| shape.iter().product::<u64>() * 2).sum::<u64>();
    let text = String::from_utf8_lossy(&header[..header.len() - length as usize]).into_owned();
    let empty = |name: &str| {
        format!(
            r#", "{name}": {{"dtype": "BF16", "shape": [18446744073709551615, 0, 4], "data_offsets": [{length}, {length}]}}"#
        )
    };
    let text = text.replace("lm_head.weight", "other.weight");
    let text = format!(
        "{}{}{}}}",
        text.trim_end_matches('}').to_owned() + "}",
        empty("lm_head.weight"),
        empty("x.lm_head.weight")
    );
    // Whether it is refused or not: it is answered.
    let _ = read(&file(&text, length as usize)).map(|header| estimate(&header, &Options::default()));
}
