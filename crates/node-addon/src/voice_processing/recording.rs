//! What is heard: a file, or bytes that JavaScript had.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use napi::bindgen_prelude::{Either, Uint8Array};
use runtime::voice_processing::audio_input::{AudioError, WavSample, wav_header};
use runtime::voice_processing::{PcmFormat, VoiceError};

use super::{SampleFormat, raw};

/// Something to hear.
pub(super) enum Recording {
    File(String),
    Bytes(Headed),
}

impl Recording {
    /// Copies bytes; samples get the header of a WAV file, so that none are taken for a container's.
    pub(super) fn copied(audio: Either<String, Uint8Array>, format: &SampleFormat) -> Self {
        match audio {
            Either::A(path) => Self::File(path),
            Either::B(bytes) => {
                let bytes = bytes.to_vec();
                let header = format.samples.as_deref().map(|kind| {
                    let sample = if kind == "f32" { WavSample::F32 } else { WavSample::I16 };
                    let lies = raw(format).unwrap_or(PcmFormat { sample_rate: 0, channels: 1 });
                    wav_header(sample, lies, bytes.len()).to_vec()
                });
                Self::Bytes(Headed { header: header.unwrap_or_default(), bytes: Cursor::new(bytes), at: 0 })
            }
        }
    }

    /// Opens it.
    pub(super) fn heard<T>(
        self,
        hear: impl FnOnce(Source) -> Result<T, VoiceError>,
    ) -> Result<T, VoiceError> {
        let source = match self {
            Self::File(path) => {
                Source::File(File::open(path).map_err(|source| AudioError::Io { offset: 0, source })?)
            }
            Self::Bytes(bytes) => Source::Bytes(bytes),
        };
        hear(source)
    }
}

/// What a decoder reads.
pub(super) enum Source {
    File(File),
    Bytes(Headed),
}

/// Bytes after a header, as if they were one file.
pub(super) struct Headed {
    header: Vec<u8>,
    bytes: Cursor<Vec<u8>>,
    at: u64,
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(out),
            Self::Bytes(bytes) => bytes.read(out),
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Bytes(bytes) => bytes.seek(to),
        }
    }
}

impl Read for Headed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let header_length = self.header.len() as u64;
        let read = if self.at < header_length {
            (&self.header[self.at as usize..]).read(out)?
        } else {
            self.bytes.set_position(self.at - header_length);
            self.bytes.read(out)?
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Headed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = (self.header.len() + self.bytes.get_ref().len()) as u64;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => length.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
