//! Checks that a file is a complete GGUF before llama.cpp is given it: llama.cpp maps the file, and reading past the end
//! of a truncated one would kill the process with SIGBUS.
//!
//! By hand because llama.cpp's own reader (and its Rust binding) does not compare the tensors with the file's length, and
//! the complete readers in Rust (candle, gguf-rs) load what they read. The format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Everything is bounded by the length of the file, so that
//! no number inside it makes the check slow or large.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::EngineError;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number of tensors.
    pub tensors: u64,
    /// Number of metadata entries.
    pub entries: u64,
    /// Where the tensors' data begins, in bytes.
    pub data_start: u64,
}

/// llama.cpp's `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;
/// Arrays of arrays are not nested any deeper by any writer; llama.cpp refuses them altogether.
const MAX_NESTING: u32 = 2;
/// llama.cpp's `GGML_MAX_NAME` is 64 bytes; metadata keys may have 65,535.
const MAX_KEY_BYTES: u64 = 65_535;
/// The default of `general.alignment`, in bytes.
const DEFAULT_ALIGNMENT: u64 = 32;

/// Opens and checks a file. Reads the header only: some MiB, mostly the vocabulary.
///
/// # Errors
/// [`EngineError::CorruptModel`] says what does not fit, [`EngineError::Storage`] that it cannot be read at all.
pub fn check_file(path: &Path) -> Result<Header, EngineError> {
    let open = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        io::Result::Ok((file, length))
    };
    let (file, length) = open().map_err(|error| EngineError::Storage {
        message: format!("cannot read {}: {error}", path.display()),
    })?;
    check(BufReader::new(file), length)
        .map_err(|reason| EngineError::CorruptModel { path: path.to_owned(), reason })
}

/// Checks `length` bytes. The error says what does not fit.
pub fn check(source: impl Read + Seek, length: u64) -> Result<Header, String> {
    let mut reader = Reader { source, position: 0, length };
    if reader.bytes::<4>()? != *b"GGUF" {
        return Err("it does not begin with the letters GGUF".to_owned());
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("version {version} is not known, expected 2 or 3"));
    }
    let tensors = reader.u64()?;
    let entries = reader.u64()?;
    if tensors == 0 {
        return Err("it holds no tensors".to_owned());
    }

    let mut alignment = DEFAULT_ALIGNMENT;
    for _ in 0..entries {
        let key = reader.string(MAX_KEY_BYTES)?;
        let kind = reader.u32()?;
        if key == b"general.alignment" && kind == U32 {
            alignment = u64::from(reader.u32()?);
        } else {
            reader.skip_value(kind, 0)?;
        }
    }
    if !alignment.is_power_of_two() {
        return Err(format!("the alignment {alignment} is not a power of two"));
    }

    // Ends are relative to the start of the data, which is only known after the last tensor's description.
    let mut end = 0;
    for _ in 0..tensors {
        end = end.max(reader.tensor_end()?);
    }
    let data_start = reader.position.next_multiple_of(alignment);
    let needed = data_start.checked_add(end).ok_or("the tensors' sizes overflow")?;
    if needed > length {
        return Err(format!("it is truncated: its tensors need {needed} bytes, the file has {length}"));
    }
    Ok(Header { tensors, entries, data_start })
}

const U32: u32 = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Reads forward and knows how much is left.
struct Reader<R> {
    source: R,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Claims `count` bytes, so that no length inside the file leads beyond its end.
    fn claim(&mut self, count: u64) -> Result<(), String> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.length);
        self.position =
            end.ok_or_else(|| format!("it ends inside its header, after {} bytes", self.length))?;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn string(&mut self, limit: u64) -> Result<Vec<u8>, String> {
        let length = self.u64()?;
        if length > limit {
            return Err(format!("a name of {length} bytes is longer than {limit}"));
        }
        self.claim(length)?;
        let mut bytes = vec![0; length as usize];
        self.source.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> Result<(), String> {
        self.claim(count)?;
        // Short hops stay inside the buffer, which `BufReader` keeps for relative seeks only through `seek_relative`.
        if count <= 4096 {
            let skipped = io::copy(&mut self.source.by_ref().take(count), &mut io::sink());
            return skipped.map(|_| ()).map_err(|error| error.to_string());
        }
        self.source.seek(SeekFrom::Start(self.position)).map(|_| ()).map_err(|error| error.to_string())
    }

    fn skip_value(&mut self, kind: u32, depth: u32) -> Result<(), String> {
        match kind {
            STRING => {
                let length = self.u64()?;
                self.skip(length)
            }
            ARRAY if depth < MAX_NESTING => {
                let kind = self.u32()?;
                let count = self.u64()?;
                if let Some(size) = scalar_size(kind) {
                    return self.skip(count.checked_mul(size).ok_or("an array's size overflows")?);
                }
                for _ in 0..count {
                    self.skip_value(kind, depth + 1)?;
                }
                Ok(())
            }
            ARRAY => Err("arrays are nested too deeply".to_owned()),
            _ => self.skip(scalar_size(kind).ok_or_else(|| format!("value type {kind} is not known"))?),
        }
    }

    /// Reads one tensor's description; returns where its data ends, relative to the start of the data.
    fn tensor_end(&mut self) -> Result<u64, String> {
        let name = self.string(MAX_KEY_BYTES)?;
        let named = || String::from_utf8_lossy(&name).into_owned();
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(format!(
                "tensor {} has {dimensions} dimensions, at most {MAX_DIMENSIONS} are possible",
                named()
            ));
        }
        let mut elements: u64 = 1;
        for _ in 0..dimensions {
            let size = self.u64()?;
            elements = elements
                .checked_mul(size)
                .ok_or_else(|| format!("the size of tensor {} overflows", named()))?;
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        // A type that a newer ggml added: where it begins is checked all the same.
        let bytes = block(kind).map_or(0, |(elements_per_block, bytes_per_block)| {
            elements.div_ceil(elements_per_block).saturating_mul(bytes_per_block)
        });
        offset.checked_add(bytes).ok_or_else(|| format!("the end of tensor {} overflows", named()))
    }
}

/// Bytes of one metadata value of a fixed size, by `gguf_type`.
fn scalar_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Elements and bytes of one block, by `ggml_type`
/// (<https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py>, `GGML_QUANT_SIZES`).
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 => (1, 4),      // F32
        1 => (1, 2),      // F16
        2 => (32, 18),    // Q4_0
        3 => (32, 20),    // Q4_1
        6 => (32, 22),    // Q5_0
        7 => (32, 24),    // Q5_1
        8 => (32, 34),    // Q8_0
        9 => (32, 40),    // Q8_1
        10 => (256, 84),  // Q2_K
        11 => (256, 110), // Q3_K
        12 => (256, 144), // Q4_K
        13 => (256, 176), // Q5_K
        14 => (256, 210), // Q6_K
        15 => (256, 292), // Q8_K
        16 => (256, 66),  // IQ2_XXS
        17 => (256, 74),  // IQ2_XS
        18 => (256, 98),  // IQ3_XXS
        19 => (256, 50),  // IQ1_S
        20 => (32, 18),   // IQ4_NL
        21 => (256, 110), // IQ3_S
        22 => (256, 82),  // IQ2_S
        23 => (256, 136), // IQ4_XS
        24 => (1, 1),     // I8
        25 => (1, 2),     // I16
        26 => (1, 4),     // I32
        27 => (1, 8),     // I64
        28 => (1, 8),     // F64
        29 => (256, 56),  // IQ1_M
        30 => (1, 2),     // BF16
        34 => (256, 54),  // TQ1_0
        35 => (256, 66),  // TQ2_0
        39 => (32, 17),   // MXFP4
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// A GGUF file with one entry of each shape and two F32 tensors of 8 elements.
    fn sound() -> Vec<u8> {
        let mut file = Vec::new();
        let string = |file: &mut Vec<u8>, text: &str| {
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(text.as_bytes());
        };
        file.extend(b"GGUF");
        file.extend(3u32.to_le_bytes());
        file.extend(2u64.to_le_bytes());
        file.extend(3u64.to_le_bytes());
        string(&mut file, "general.architecture");
        file.extend(STRING.to_le_bytes());
        string(&mut file, "llama");
        string(&mut file, "general.alignment");
        file.extend(U32.to_le_bytes());
        file.extend(64u32.to_le_bytes());
        string(&mut file, "tokens");
        file.extend(ARRAY.to_le_bytes());
        file.extend(STRING.to_le_bytes());
        file.extend(2u64.to_le_bytes());
        string(&mut file, "a");
        string(&mut file, "b");
        for (name, offset) in [("one", 0u64), ("two", 64)] {
            string(&mut file, name);
            file.extend(1u32.to_le_bytes());
            file.extend(8u64.to_le_bytes());
            file.extend(0u32.to_le_bytes());
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(64) + 64 + 32, 0);
        file
    }

    fn check_bytes(bytes: &[u8]) -> Result<Header, String> {
        check(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn a_complete_file_passes() {
        let file = sound();
        let header = check_bytes(&file).expect("is sound");
        assert_eq!((header.tensors, header.entries), (2, 3));
        assert_eq!(header.data_start, file.len() as u64 - 96);
    }

    #[test]
    fn a_file_that_lacks_its_last_byte_is_truncated() {
        let file = sound();
        let error = check_bytes(&file[..file.len() - 1]).expect_err("is truncated");
        assert!(error.contains("truncated") && error.contains(&file.len().to_string()), "{error}");
    }

    #[test]
    fn another_format_is_named() {
        assert!(check_bytes(b"PK\x03\x04 a zip file").expect_err("no GGUF").contains("letters GGUF"));
        assert!(check_bytes(b"").expect_err("nothing").contains("ends inside its header"));
    }

    #[test]
    fn huge_counts_end_at_the_end_of_the_file() {
        let mut file = sound();
        file[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(check_bytes(&file).is_err());
        let mut file = sound();
        file[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(check_bytes(&file).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = check_file(Path::new("no/such/model.gguf")).expect_err("is missing");
        assert_eq!(error.code(), "UAT_STORAGE");
        assert!(error.to_string().contains("no/such/model.gguf"));
    }

    proptest! {
        #[test]
        fn every_proper_prefix_is_refused(cut in 0usize..400) {
            let file = sound();
            let cut = cut.min(file.len() - 1);
            prop_assert!(check_bytes(&file[..cut]).is_err());
        }

        #[test]
        fn changed_bytes_never_panic(changes in prop::collection::vec((0usize..400, any::<u8>()), 1..6)) {
            let mut file = sound();
            let length = file.len();
            for (at, byte) in changes {
                file[at % length] = byte;
            }
            let _ = check_bytes(&file);
        }
    }
}
