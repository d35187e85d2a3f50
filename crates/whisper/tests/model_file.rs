//! What damaged files get.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Cursor;
use std::path::Path;

use whisper::model::ModelFile;
use whisper::{Whisper, WhisperError};

fn name(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16 + 1).to_le_bytes().to_vec();
    bytes.extend(text.bytes().chain([0]));
    bytes
}

fn array(text: &str, shape: &[u32], kind: u8, announced: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = name(text);
    bytes.push(shape.len() as u8);
    shape.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes.push(kind);
    bytes.extend(announced.to_le_bytes());
    bytes.extend(data);
    bytes
}

fn file(version: u32, spec: &str, arrays: &[Vec<u8>], aliases: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend(name(spec));
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((arrays.len() as u32).to_le_bytes());
    arrays.iter().for_each(|array| bytes.extend(array));
    bytes.extend((aliases.len() as u32).to_le_bytes());
    aliases.iter().for_each(|(alias, of)| bytes.extend(name(alias).into_iter().chain(name(of))));
    bytes
}

fn read(bytes: &[u8]) -> Result<ModelFile<Cursor<&[u8]>>, WhisperError> {
    ModelFile::read(Cursor::new(bytes))
}

fn refused(bytes: &[u8], expected: &str) {
    let error = read(bytes).err().unwrap().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn arrays_are_found_by_their_names_and_their_other_names() {
    let weights = array("a/weight", &[2, 3], 4, 12, &[7; 12]);
    let bytes =
        file(6, "WhisperSpec", &[weights, array("heads", &[], 2, 2, &[6, 0])], &[("b/weight", "a/weight")]);
    let mut file = read(&bytes).unwrap();
    assert_eq!((file.spec.as_str(), file.revision), ("WhisperSpec", 3));
    assert_eq!(file.find("b/weight").unwrap().shape, [2, 3]);
    assert_eq!(file.bytes("b/weight").unwrap(), [7; 12]);
    assert_eq!(file.bytes("heads").unwrap(), [6, 0]);
    assert!(file.find("c").unwrap_err().to_string().contains("c is missing"));
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let whole = file(6, "WhisperSpec", &[array("a", &[4], 0, 16, &[0; 16])], &[("b", "a")]);
    assert!(read(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(matches!(read(&whole[..length]), Err(WhisperError::Corrupt { .. })), "{length} bytes");
    }
}

#[test]
fn what_contradicts_itself_is_refused_with_its_place() {
    refused(&file(5, "WhisperSpec", &[], &[]), "version of the binary is 5");
    refused(&file(6, "S", &[array("a", &[4], 0, 12, &[0; 12])], &[]), "12 bytes are announced for 4 numbers");
    refused(&file(6, "S", &[array("a", &[1], 9, 1, &[0])], &[]), "unknown kind 9");
    refused(&file(6, "S", &[array("a", &[u32::MAX; 4], 0, 16, &[0; 16])], &[]), "16 bytes are announced");
    refused(&file(6, "S", &[array("a", &[1; 5], 1, 1, &[0])], &[]), "5 dimensions");
    refused(&file(6, "S", &[], &[("b", "a")]), "which is missing");
    let twice = array("a", &[1], 1, 1, &[0]);
    refused(&file(6, "S", &[twice.clone(), twice], &[]), "a comes twice");
}

#[test]
fn a_model_of_something_else_is_named_and_so_is_a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let load = || Whisper::load(folder.path(), 1).err().unwrap();
    let missing = load();
    assert_eq!(missing.code(), "UAT_MODEL_NOT_FOUND");
    std::fs::write(folder.path().join("model.bin"), file(6, "TransformerSpec", &[], &[])).unwrap();
    assert!(load().to_string().contains("spec is TransformerSpec"), "{}", load());
    std::fs::write(folder.path().join("model.bin"), file(6, "WhisperSpec", &[], &[])).unwrap();
    assert!(load().to_string().contains("encoder/conv1/weight is missing"), "{}", load());
    assert!(Path::new(folder.path()).exists());
}
