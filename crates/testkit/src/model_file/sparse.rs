//! A file that is mostly a hole, in memory.

use std::io::{self, Read, Seek, SeekFrom};

/// Some bytes and then zeros, as many as it claims.
#[derive(Debug, Clone)]
pub struct SparseFile {
    bytes: Vec<u8>,
    length: u64,
    position: u64,
}

impl SparseFile {
    /// `bytes`, and `hole` zeros behind them.
    pub fn new(bytes: Vec<u8>, hole: u64) -> Self {
        Self { length: bytes.len() as u64 + hole, bytes, position: 0 }
    }
}

impl Read for SparseFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.position.min(self.length)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let start = usize::try_from(self.position).unwrap_or(usize::MAX).min(self.bytes.len());
        let known = count.min(self.bytes.len() - start);
        buffer[..known].copy_from_slice(&self.bytes[start..start + known]);
        buffer[known..count].fill(0);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for SparseFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
