//! What a file is, told by its first bytes. Pure.
//!
//! By hand because symphonia's own search looks for an MPEG frame anywhere in the first megabyte, and finds one in noise.

/// A container that is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// RIFF WAVE.
    Wav,
    /// Native FLAC.
    Flac,
    /// MPEG audio frames, with or without ID3 tags.
    Mp3,
    /// AAC frames with ADTS headers.
    Adts,
    /// ISO base media: mp4, m4a, mov.
    Mp4,
    /// Ogg, with Opus, Vorbis or FLAC.
    Ogg,
    /// Matroska and WebM.
    Matroska,
    /// None: raw 16-bit little-endian PCM, as the caller said.
    Raw,
}

impl Container {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Adts => "aac",
            Self::Mp4 => "mp4",
            Self::Ogg => "ogg",
            Self::Matroska => "matroska",
            Self::Raw => "raw PCM",
        }
    }

    /// What `start`, the first [`LOOKED_AT`] bytes or all there are, belongs to.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Self::Matroska),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            [b'I', b'D', b'3', 2..=4, _, _, a, b, c, d, ..]
                if [a, b, c, d].iter().all(|&&byte| byte < 0x80) =>
            {
                Some(Self::Mp3)
            }
            _ if two_frames(start, mpeg_frame) => Some(Self::Mp3),
            _ if two_frames(start, adts_frame) => Some(Self::Adts),
            _ => None,
        }
    }
}

/// Enough for the longest MPEG or ADTS frame and the header after it.
pub(crate) const LOOKED_AT: usize = 8192 + 8;

/// What has to stay the same from frame to frame, and the frame's length in bytes.
type Frame = (u32, usize);

/// Whether a frame's header stands at the start, and another of its kind where it ends: 11 bits alone are in any noise.
fn two_frames(start: &[u8], frame: impl Fn(u32, &[u8]) -> Option<Frame>) -> bool {
    let at = |offset: usize| {
        let bytes = start.get(offset..)?;
        frame(u32::from_be_bytes(*bytes.first_chunk()?), bytes)
    };
    let Some((kind, length)) = at(0) else { return false };
    // A file of a single frame is one too.
    at(length).map_or(start.len() == length, |(next, _)| next == kind)
}

/// Kilobits per second of layer III, MPEG 1, then MPEG 2 and 2.5.
const BITRATES: [[usize; 14]; 2] = [
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

fn mpeg_frame(header: u32, _: &[u8]) -> Option<Frame> {
    let field = |shift: u32, bits: u32| (header >> shift & ((1 << bits) - 1)) as usize;
    let (version, layer, bitrate, rate, padding) =
        (field(19, 2), field(17, 2), field(12, 4), field(10, 2), field(9, 1));
    // Version 1 is reserved, layer 1 is layer III.
    if field(21, 11) != 0x7ff || version == 1 || layer != 1 || rate == 3 {
        return None;
    }
    let kbps = BITRATES[usize::from(version != 3)].get(bitrate.checked_sub(1)?)?;
    let hz = [44_100, 48_000, 32_000][rate] >> [2, 0, 1, 0][version];
    let samples_per_bit = if version == 3 { 144_000 } else { 72_000 };
    // Version, layer and rate stay.
    Some((header & 0xfffe_0c00, samples_per_bit * kbps / hz + padding))
}

fn adts_frame(header: u32, bytes: &[u8]) -> Option<Frame> {
    // The sync word, and layer 0.
    if header & 0xfff6_0000 != 0xfff0_0000 {
        return None;
    }
    let &[_, _, _, a, b, c, ..] = bytes else { return None };
    let length = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
    // Version, profile and rate stay; 7 bytes are the header itself.
    (length > 7).then_some((header & 0xffff_fc00, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mpeg_header_is_not_enough() {
        // MPEG 1 layer III, 128 kbit/s at 44.1 kHz: 417 bytes.
        let header = [0xff, 0xfb, 0x90, 0x00];
        let mut file = [0_u8; 1000];
        file[..4].copy_from_slice(&header);
        assert_eq!(Container::of(&file), None);
        file[417..421].copy_from_slice(&header);
        assert_eq!(Container::of(&file), Some(Container::Mp3));
        assert_eq!(Container::of(&file[..417]), Some(Container::Mp3));
    }

    #[test]
    fn short_files_are_no_container() {
        for length in 0..12 {
            assert_eq!(Container::of(&b"RIFF....WAVE"[..length]), None);
        }
    }
}
