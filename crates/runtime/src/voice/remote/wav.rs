//! Samples as a WAV file, which every server reads.

use voice_processing::audio_input::SAMPLE_RATE;

/// Appends 16 kHz mono as 16-bit PCM.
pub(super) fn write(samples: &[f32], out: &mut Vec<u8>) {
    let bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    out.extend(b"RIFF");
    out.extend(bytes.saturating_add(36).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend(SAMPLE_RATE.to_le_bytes());
    out.extend((SAMPLE_RATE * 2).to_le_bytes());
    out.extend(b"\x02\0\x10\0data");
    out.extend(bytes.to_le_bytes());
    // Beyond full scale `as` gives the loudest number that there is.
    out.extend(samples.iter().flat_map(|sample| ((sample * 32_768.0).round() as i16).to_le_bytes()));
}
