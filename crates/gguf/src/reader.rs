//! Reads forward within bounds.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use crate::GgufError;
use crate::header::MAX_HEADER_BYTES;

/// Holds many names of a vocabulary at a time, and most of a header without one.
const BUFFER_BYTES: usize = 64 << 10;

/// Knows where it stands and how much is left.
pub(crate) struct Reader<R> {
    source: BufReader<R>,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub(crate) fn new(mut source: R) -> Result<Self, GgufError> {
        let measure = |source: &mut R| {
            let length = source.seek(SeekFrom::End(0))?;
            source.rewind()?;
            Ok(length)
        };
        let length = measure(&mut source).map_err(|source| GgufError::Io { offset: 0, source })?;
        Ok(Self { source: BufReader::with_capacity(BUFFER_BYTES, source), position: 0, length })
    }

    /// In bytes from the start.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Of the source, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// An error at this place.
    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> GgufError {
        GgufError::Corrupt { offset: self.position, reason: reason.into() }
    }

    /// An error unless `count` bytes are left.
    fn require(&self, count: u64) -> Result<(), GgufError> {
        match self.position.checked_add(count) {
            Some(end) if end <= self.length.min(MAX_HEADER_BYTES) => Ok(()),
            Some(end) if end <= self.length => {
                Err(self.corrupt(format!("its header is longer than {MAX_HEADER_BYTES} bytes")))
            }
            _ => Err(self.corrupt(format!(
                "it ends inside its header: {count} bytes are announced here, and the file has {}",
                self.length
            ))),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), GgufError> {
        let offset = self.position;
        self.source.read_exact(bytes).map_err(|source| GgufError::Io { offset, source })?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.require(N as u64)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// The next `count` bytes: allocated only once they are known to be there.
    pub(crate) fn take(&mut self, count: u64) -> Result<Vec<u8>, GgufError> {
        self.require(count)?;
        // At most MAX_HEADER_BYTES.
        let mut bytes = vec![0; count as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A name of at most `limit` bytes.
    pub(crate) fn name(&mut self, what: &str, limit: u64) -> Result<String, GgufError> {
        let length = self.u64()?;
        if length > limit {
            return Err(self
                .corrupt(format!("the name of a {what} has {length} bytes, at most {limit} are possible")));
        }
        let bytes = self.take(length)?;
        String::from_utf8(bytes).map_err(|_| self.corrupt(format!("the name of a {what} is not UTF-8")))
    }

    /// Reads over `count` texts with their lengths in front. Vocabularies have hundreds of thousands of them, most of which
    /// lie inside the buffer as a whole: those cost a hop each.
    pub(crate) fn skip_texts(&mut self, count: u64) -> Result<(), GgufError> {
        let mut left = count;
        while left > 0 {
            let offset = self.position;
            let buffer = self.source.fill_buf().map_err(|source| GgufError::Io { offset, source })?;
            let mut hopped = 0;
            while left > 0 {
                let Some(end) = text_end(buffer, hopped) else { break };
                hopped = end;
                left -= 1;
            }
            self.source.consume(hopped);
            self.position += hopped as u64;
            // The one that reaches beyond the buffer, or beyond the file.
            if left > 0 {
                let bytes = self.u64()?;
                self.skip(bytes)?;
                left -= 1;
            }
        }
        Ok(())
    }

    pub(crate) fn skip(&mut self, count: u64) -> Result<(), GgufError> {
        self.require(count)?;
        let offset = self.position;
        // Short hops stay inside the buffer. `require` keeps the count far below i64::MAX.
        self.source.seek_relative(count as i64).map_err(|source| GgufError::Io { offset, source })?;
        self.position += count;
        Ok(())
    }
}

/// Where the text ends that begins at `start` with its length, if the buffer holds all of it.
fn text_end(buffer: &[u8], start: usize) -> Option<usize> {
    let length = buffer.get(start..)?.first_chunk::<8>()?;
    let bytes = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    (start + 8).checked_add(bytes).filter(|end| *end <= buffer.len())
}
