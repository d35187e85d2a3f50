//! Headers that are sound, and headers that are not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use std::io::Cursor;

use gguf::{GgufError, Header, Pieces, Value};
use proptest::prelude::*;
use testkit::{GgufFile, GgufTensor};

fn read(bytes: &[u8]) -> Result<Header, GgufError> {
    Header::read(Cursor::new(bytes))
}

/// Checks that the content is refused with these words, and with a place inside the file.
fn check_refused(bytes: &[u8], words: &str) {
    let error = read(bytes).unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert!(error.to_string().contains(words), "{error}");
    let GgufError::Corrupt { offset, .. } = error else { panic!("{error}") };
    assert!(offset <= bytes.len() as u64, "{offset}");
}

#[test]
fn a_whole_file_says_what_it_is() {
    let header = read(&GgufFile::llama().bytes()).unwrap();
    assert_eq!(
        (header.architecture(), header.name(), header.size_label()),
        (Some("llama"), Some("A small model"), Some("1K"))
    );
    assert_eq!((header.context_length(), header.embedding_length()), (Some(2048), Some(64)));
    assert_eq!((header.block_count(), header.head_count()), (Some(2), Some(vec![4])));
    assert_eq!(header.head_count_kv(), Some(vec![2, 1]), "a list gives one number per layer");
    assert_eq!((header.pooling_type(), header.tokenizer()), (None, Some("gpt2")));
    assert_eq!((header.quantization(), header.chat_template()), ("Q4_1", Some("{{ messages }}")));
    assert_eq!(header.metadata["tokenizer.ggml.tokens"], Value::Unkept { length: 3 });
}

#[test]
fn tensors_are_summed_up_by_type() {
    let header = read(&GgufFile::llama().bytes()).unwrap();
    let tensors = &header.tensors;
    assert_eq!((tensors.count, tensors.elements, tensors.bytes), (3, 64 * 4 + 64 + 64, 4 * 40 + 256 + 256));
    let totals: Vec<_> =
        tensors.by_type.iter().map(|total| (total.kind.name(), total.count, total.bytes)).collect();
    assert_eq!(totals, [("Q4_1", 1, 160), ("F32", 2, 512)]);
    assert_eq!(header.data_start % header.alignment, 0);
}

#[test]
fn without_a_file_type_the_largest_type_names_the_quantization() {
    let file = GgufFile::llama().without("general.file_type");
    assert_eq!(read(&file.bytes()).unwrap().quantization(), "F32");
}

#[test]
fn a_file_that_lacks_its_last_byte_is_truncated() {
    let file = GgufFile::llama().bytes();
    check_refused(&file[..file.len() - 1], "it is truncated");
    check_refused(&file[..file.len() - 1], &file.len().to_string());
}

#[test]
fn another_format_version_or_byte_order_is_named() {
    check_refused(
        b"PK\x03\x04 a zip file",
        "expected the letters GGUF at its beginning, got \"PK\\x03\\x04\"",
    );
    check_refused(b"", "ends inside its header");
    check_refused(b"GGUF\x01\0\0\0", "version 1 is not known");
    check_refused(b"GGUF\0\0\0\x03", "big-endian");
}

#[test]
fn a_part_of_a_split_model_is_refused_by_name() {
    let error = read(&GgufFile::llama().value("split.count", 2, &[3, 0]).bytes()).unwrap_err();
    assert!(matches!(error, GgufError::Split { count: 3 }), "{error}");
    assert!(error.to_string().contains("llama-gguf-split --merge"), "{error}");
    read(&GgufFile::llama().value("split.count", 2, &[1, 0]).bytes()).unwrap();
}

#[test]
fn metadata_that_do_not_fit_are_named() {
    let check = |file: GgufFile, words| check_refused(&file.bytes(), words);
    let file = GgufFile::llama;
    check(file().integer("general.alignment", 48), "expected a power of two");
    check(file().text("general.alignment", "64"), "expected a power of two");
    check(file().text("general.name", "again"), "\"general.name\" occurs twice");
    check(file().value("x", 13, &[]), "value type 13 is not known");
    check(file().list("x", 9, 1, &[]), "a list of lists");
    check(file().list("x", 12, u64::MAX, &[]), "too long");
    check(file().list("x", 8, u64::MAX, &[]), "ends inside its header");
    check(file().value("x", 8, &u64::MAX.to_le_bytes()), "ends inside its header");
    check(file().integer(&"k".repeat(65_536), 1), "at most 65535");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let check = |change: fn(&mut GgufTensor), words| {
        let mut file = GgufFile::llama();
        change(&mut file.tensors[0]);
        check_refused(&file.bytes(), words);
    };
    check(|tensor| tensor.kind = 4, "unknown type 4");
    check(|tensor| tensor.dimensions = vec![63, 4], "rows of 63 elements, expected a multiple of 32");
    check(|tensor| tensor.dimensions = vec![1; 5], "5 dimensions");
    check(|tensor| tensor.dimensions = vec![1 << 40; 2], "overflows");
    check(|tensor| (tensor.kind, tensor.dimensions) = (0, vec![1 << 62]), "overflows");
    check(|tensor| tensor.offset = 8, "not a multiple of 32");
    check(|tensor| tensor.offset = u64::MAX - 31, "overflows");
    check(|tensor| tensor.name = "n".repeat(64), "at most 63");
}

#[test]
fn huge_counts_end_at_once() {
    let with = |at: usize| {
        let mut file = GgufFile::llama().bytes();
        file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        file
    };
    // The data after the table are zeros: tensors without a name, until the file ends.
    check_refused(&with(8), "ends inside its header");
    check_refused(&with(16), "at most 4096");
}

#[test]
fn a_text_that_is_too_long_or_not_utf8_is_counted_and_not_kept() {
    let file = GgufFile::llama().text("long", &"x".repeat(300 << 10)).value(
        "bytes",
        8,
        &[1, 0, 0, 0, 0, 0, 0, 0, 0xFF],
    );
    let header = read(&file.bytes()).unwrap();
    assert_eq!(header.metadata["long"], Value::Unkept { length: 300 << 10 });
    assert_eq!(header.metadata["bytes"], Value::Unkept { length: 1 });
}

#[test]
fn a_source_that_fails_is_no_corrupt_file() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is on fire"))
        }
    }
    impl std::io::Seek for Broken {
        fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
            Ok(1000)
        }
    }
    let error = Header::read(Broken).unwrap_err();
    assert_eq!(error.code(), "UAT_STORAGE");
    assert!(error.to_string().contains("the disk is on fire"), "{error}");
}

proptest! {
    #[test]
    fn every_proper_prefix_is_refused(cut in 0usize..2000) {
        let file = GgufFile::llama().bytes();
        let cut = cut % file.len();
        prop_assert!(read(&file[..cut]).is_err());
    }
}

#[test]
fn each_tensor_is_shown_on_the_way() {
    let mut seen = Vec::new();
    let bytes = GgufFile::llama().bytes();
    let header = Header::read_tensors(Cursor::new(&bytes), Pieces::Whole, |tensor| {
        seen.push((tensor.name.clone(), tensor.dimensions, tensor.bytes));
    });
    assert_eq!(header.unwrap().tensors.count, 3);
    assert_eq!(seen[0], ("token_embd.weight".to_owned(), [64, 4, 1, 1], 160));
    assert_eq!(seen[2].0, "blk.1.attn_norm.weight");
}

#[test]
fn a_part_of_a_split_model_is_read_where_that_is_wanted() {
    let bytes = GgufFile::llama().value("split.count", 2, &[3, 0]).bytes();
    let header = Header::read_tensors(Cursor::new(&bytes), Pieces::AnyPart, |_| {}).unwrap();
    assert_eq!(header.metadata["split.count"], Value::Unsigned(3));
}

#[test]
fn truths_of_layers_are_kept_as_numbers() {
    let file = GgufFile::llama().list("llama.attention.sliding_window_pattern", 7, 3, &[1, 0, 1]);
    let header = read(&file.bytes()).unwrap();
    assert_eq!(
        header.of_architecture("attention.sliding_window_pattern"),
        Some(&Value::Integers(vec![1, 0, 1]))
    );
}
