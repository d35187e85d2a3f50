//! What is read from, counting how far.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

/// A source of bytes whose length is known. Where reading stands can be asked while symphonia owns it.
pub(crate) struct Source<S> {
    inner: S,
    length: u64,
    at: Place,
}

/// Shared with a [`Source`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// The next byte.
    at: Arc<AtomicU64>,
    /// The source itself failed, which symphonia's errors do not always tell from a file that ends early.
    failed: Arc<AtomicBool>,
}

impl Place {
    pub(crate) fn get(&self) -> u64 {
        self.at.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl<S: Read + Seek> Source<S> {
    pub(crate) fn new(mut inner: S) -> io::Result<Self> {
        let length = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        Ok(Self { inner, length, at: Place::default() })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn place(&self) -> Place {
        self.at.clone()
    }

    /// Up to `most` bytes of the beginning; the next read begins there again.
    pub(crate) fn start(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        self.inner.by_ref().take(most as u64).read_to_end(&mut start)?;
        self.inner.seek(SeekFrom::Start(0))?;
        Ok(start)
    }
}

impl<S: Read> Read for Source<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer).inspect_err(|_| self.at.failed.store(true, Ordering::Relaxed))?;
        self.at.at.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<S: Seek> Seek for Source<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.inner.seek(to)?;
        self.at.at.store(at, Ordering::Relaxed);
        Ok(at)
    }
}

impl<S: Read + Seek + Send + Sync> MediaSource for Source<S> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}
