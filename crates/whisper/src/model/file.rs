//! CTranslate2's `model.bin`: a list of named arrays. The format is that of version 6 of the binary, as
//! [`model_spec.py`](https://github.com/OpenNMT/CTranslate2/blob/master/python/ctranslate2/specs/model_spec.py) writes it:
//! numbers are little-endian, names have their length (u16, with a final zero byte) in front.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use crate::WhisperError;

/// Of the binary format.
const VERSION: u32 = 6;
/// A Whisper large has fewer than 1,500 variables.
const MAX_VARIABLES: u32 = 10_000;
/// Weights of convolutions have three dimensions; one to spare.
const MAX_RANK: u8 = 4;
/// Numbers as CTranslate2 counts kinds of them: f32, i8, i16, i32, f16, bf16.
const ITEM_BYTES: [u64; 6] = [4, 1, 2, 4, 2, 2];

/// Where one array lies, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// The kind of its numbers: 0 f32, 1 i8, 2 i16, 3 i32, 4 f16, 5 bf16.
    pub kind: u8,
    /// In bytes from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// The index of a file, every length of which lies inside the file; the numbers themselves are read when they are asked for.
pub struct ModelFile<R> {
    source: R,
    position: u64,
    length: u64,
    variables: HashMap<String, Variable>,
    /// The name of what the weights are of, for example `WhisperSpec`.
    pub spec: String,
    /// Which edition of that.
    pub revision: u32,
}

impl<R: Read + Seek> ModelFile<R> {
    /// Reads names, shapes and places.
    ///
    /// # Errors
    /// [`WhisperError::Corrupt`] with the byte where the file stops making sense, or cannot be read any further;
    /// [`WhisperError::Unsupported`] for another version of the format.
    pub fn read(mut source: R) -> Result<Self, WhisperError> {
        let measure = |source: &mut R| {
            let length = source.seek(SeekFrom::End(0))?;
            source.rewind()?;
            Ok(length)
        };
        let length = measure(&mut source).map_err(unreadable(0))?;
        let (variables, spec) = (HashMap::new(), String::new());
        let mut file = Self { source, position: 0, length, variables, spec, revision: 0 };
        let version = file.u32()?;
        if version != VERSION {
            return Err(WhisperError::Unsupported { reason: format!("version of the binary is {version}") });
        }
        file.spec = file.name()?;
        file.revision = file.u32()?;
        let count = file.u32()?;
        if count > MAX_VARIABLES {
            return Err(file
                .corrupt(format!("{count} variables are announced, at most {MAX_VARIABLES} are possible")));
        }
        for _ in 0..count {
            let name = file.name()?;
            let variable = file.variable()?;
            if file.variables.insert(name.clone(), variable).is_some() {
                return Err(file.corrupt(format!("{name} comes twice")));
            }
        }
        file.aliases()?;
        Ok(file)
    }

    /// What is known of a variable.
    ///
    /// # Errors
    /// [`WhisperError::Unsupported`] where the file has none of that name.
    pub fn find(&self, name: &str) -> Result<&Variable, WhisperError> {
        let missing = || WhisperError::Unsupported { reason: format!("variable {name} is missing") };
        self.variables.get(name).ok_or_else(missing)
    }

    /// Whether there is one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The names of all variables, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// The bytes of a variable.
    ///
    /// # Errors
    /// As [`Self::find`], or [`WhisperError::Corrupt`] where the file cannot be read there.
    pub fn bytes(&mut self, name: &str) -> Result<Vec<u8>, WhisperError> {
        let Variable { offset, bytes, .. } = *self.find(name)?;
        self.source.seek(SeekFrom::Start(offset)).map_err(unreadable(offset))?;
        self.position = offset;
        self.take(bytes)
    }

    fn variable(&mut self) -> Result<Variable, WhisperError> {
        let [rank] = self.array()?;
        if rank > MAX_RANK {
            return Err(self.corrupt(format!("an array of {rank} dimensions is announced")));
        }
        let mut shape = Vec::with_capacity(usize::from(rank));
        let mut items = 1_u64;
        for _ in 0..rank {
            let size = self.u32()?;
            items = items.saturating_mul(u64::from(size));
            shape.push(size as usize);
        }
        let [kind] = self.array()?;
        let Some(item) = ITEM_BYTES.get(usize::from(kind)) else {
            return Err(self.corrupt(format!("numbers of the unknown kind {kind} are announced")));
        };
        let bytes = u64::from(self.u32()?);
        if items.saturating_mul(*item) != bytes {
            return Err(
                self.corrupt(format!("{bytes} bytes are announced for {items} numbers of {item} bytes"))
            );
        }
        let offset = self.position;
        self.require(bytes)?;
        self.position += bytes;
        self.source.seek(SeekFrom::Start(self.position)).map_err(unreadable(offset))?;
        Ok(Variable { shape, kind, offset, bytes })
    }

    /// Other names for variables: the output head is the table of embeddings.
    fn aliases(&mut self) -> Result<(), WhisperError> {
        let count = self.u32()?;
        if count > MAX_VARIABLES {
            return Err(
                self.corrupt(format!("{count} aliases are announced, at most {MAX_VARIABLES} are possible"))
            );
        }
        for _ in 0..count {
            let (alias, name) = (self.name()?, self.name()?);
            let Some(variable) = self.variables.get(&name).cloned() else {
                return Err(self.corrupt(format!("{alias} is another name of {name}, which is missing")));
            };
            self.variables.insert(alias, variable);
        }
        Ok(())
    }

    fn corrupt(&self, reason: String) -> WhisperError {
        WhisperError::Corrupt { offset: self.position, reason }
    }

    fn require(&self, count: u64) -> Result<(), WhisperError> {
        match self.position.checked_add(count) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(self.corrupt(format!("{count} bytes are announced, and the file has {}", self.length))),
        }
    }

    /// The next bytes, allocated only once they are known to be there.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, WhisperError> {
        self.require(count)?;
        let mut bytes = vec![0; count as usize];
        self.source.read_exact(&mut bytes).map_err(unreadable(self.position))?;
        self.position += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WhisperError> {
        self.require(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(unreadable(self.position))?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, WhisperError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<String, WhisperError> {
        let length = u16::from_le_bytes(self.array()?);
        let mut bytes = self.take(u64::from(length))?;
        if bytes.pop() != Some(0) {
            return Err(self.corrupt("a name does not end with a zero".to_owned()));
        }
        String::from_utf8(bytes).map_err(|_| self.corrupt("a name is not UTF-8".to_owned()))
    }
}

fn unreadable(offset: u64) -> impl FnOnce(std::io::Error) -> WhisperError {
    move |error| WhisperError::Corrupt { offset, reason: format!("it could not be read: {error}") }
}
