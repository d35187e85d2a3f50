//! What the tests share: WAV files in memory, and a file read to its end.

use std::io::Cursor;

use audio_input::{AudioError, Decoder};

/// What a file gave, and what was said of it.
pub(crate) struct Heard {
    pub(crate) samples: Vec<f32>,
    pub(crate) truncated: bool,
    pub(crate) damaged: u64,
}

pub(crate) fn hear(file: Vec<u8>) -> Result<Heard, AudioError> {
    let mut decoder = Decoder::open(Cursor::new(file), None)?;
    let mut samples = Vec::new();
    while decoder.next_block(&mut samples)? {}
    assert_eq!(decoder.samples(), samples.len() as u64);
    assert!((decoder.progress() - 1.0).abs() < 1e-9);
    Ok(Heard { samples, truncated: decoder.truncated(), damaged: decoder.damaged_packets() })
}

/// A WAV file with its `fmt ` chunk as told: format (1: integers, 3: floats), channels, rate, bits.
pub(crate) fn wav((format, channels, rate, bits): (u16, u16, u32, u16), data: &[u8]) -> Vec<u8> {
    let frame = channels.wrapping_mul(bits / 8);
    let length = u32::try_from(data.len()).unwrap();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(format.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    file.extend(frame.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

pub(crate) fn i16_wav(channels: u16, rate: u32, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    wav((1, channels, rate, 16), &data)
}
