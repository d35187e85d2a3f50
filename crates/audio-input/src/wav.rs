//! The header of a WAV file: <http://soundfile.sapp.org/doc/WaveFormat/>. Pure.

use crate::PcmFormat;

/// How a sample of a WAV file lies, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WavSample {
    /// A 16-bit integer.
    I16,
    /// A 32-bit float, which is format 3.
    F32,
}

/// What stands before `length` bytes of interleaved samples. More than the field can say is said as the most that it can: readers then
/// read to the end.
pub fn wav_header(sample: WavSample, format: PcmFormat, length: usize) -> [u8; 44] {
    let (code, width): (u16, u16) = match sample {
        WavSample::I16 => (1, 2),
        WavSample::F32 => (3, 4),
    };
    let PcmFormat { sample_rate, channels } = format;
    let frame = width.saturating_mul(channels);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut header = [0; 44];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&length.saturating_add(36).to_le_bytes());
    put(b"WAVEfmt \x10\0\0\0");
    put(&code.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&sample_rate.to_le_bytes());
    put(&sample_rate.saturating_mul(frame.into()).to_le_bytes());
    put(&frame.to_le_bytes());
    put(&(8 * width).to_le_bytes());
    put(b"data");
    put(&length.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{Container, Decoder};

    #[test]
    fn what_stands_behind_it_is_read_as_what_it_says() {
        let stereo = PcmFormat { sample_rate: 16_000, channels: 2 };
        let samples: Vec<u8> =
            [0.25_f32, 0.75, -0.5, -0.5].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let wav = [&wav_header(WavSample::F32, stereo, samples.len())[..], &samples].concat();
        let mut decoder = Decoder::open(Cursor::new(wav), None).unwrap();
        assert_eq!(decoder.info().container, Container::Wav);
        let mut mono = Vec::new();
        while decoder.next_block(&mut mono).unwrap() {}
        assert_eq!(mono, [0.5, -0.5]);
    }
}
