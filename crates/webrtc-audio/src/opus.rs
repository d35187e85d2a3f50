//! From pieces of a [`Timeline`](crate::timeline::Timeline) to samples: Opus, decoded to 16 kHz directly.

use opusic_c::{Channels, Decoder, SampleRate, utils};

use crate::SAMPLE_RATE;
use crate::timeline::Piece;

/// The longest packet, in samples: 120 ms.
const LONGEST: usize = SAMPLE_RATE as usize * 120 / 1000;
/// What is lost is concealed in multiples of 2.5 ms.
const GRAIN: u64 = SAMPLE_RATE as u64 / 400;

/// A decoder, with what it remembers.
pub(crate) struct Opus {
    decoder: Decoder,
    frame: Vec<f32>,
}

impl Opus {
    /// `None` where there is no memory for one.
    pub(crate) fn new() -> Option<Self> {
        // Stereo is mixed by the decoder.
        let decoder = Decoder::new(Channels::Mono, SampleRate::Hz16000).ok()?;
        Some(Self { decoder, frame: vec![0.0; LONGEST] })
    }

    /// How many samples a packet holds, if it is one.
    pub(crate) fn length(payload: &[u8]) -> Option<u64> {
        if payload.is_empty() {
            return None;
        }
        let length = utils::get_nb_samples(payload, SampleRate::Hz16000).ok()?;
        (1..=LONGEST).contains(&length).then_some(length as u64)
    }

    /// Appends a piece to `out`: as many samples as it has, whatever it holds.
    pub(crate) fn play(&mut self, piece: &Piece, out: &mut Vec<f32>) {
        let whole = out.len() + usize::try_from(piece.length()).unwrap_or(0);
        match piece {
            Piece::Silence(_) => {}
            Piece::Packet { payload, length, skip } => self.decode(payload, *length, *skip, false, out),
            Piece::Lost { length, next, next_length } => {
                // The packet after the gap may hold the last of what was lost once more, at a lower quality.
                let again = if next_length <= length { *next_length } else { 0 };
                let guessed = (length - again) / GRAIN * GRAIN;
                if guessed > 0 {
                    self.decode(&[], guessed, 0, false, out);
                }
                out.resize(whole - usize::try_from(again).unwrap_or(0), 0.0);
                if again > 0 {
                    self.decode(next, again, 0, true, out);
                }
            }
        }
        // Silence stands in for what could not be decoded, too.
        out.resize(whole, 0.0);
    }

    fn decode(&mut self, payload: &[u8], length: u64, skip: u64, again: bool, out: &mut Vec<f32>) {
        let (Ok(length), Ok(skip)) = (usize::try_from(length), usize::try_from(skip)) else { return };
        let Some(frame) = self.frame.get_mut(..length) else { return };
        let Ok(decoded) = self.decoder.decode_float_to_slice(payload, frame, again) else { return };
        let Some(heard) = frame.get(skip..decoded) else { return };
        if heard.iter().all(|sample| sample.is_finite()) {
            out.extend_from_slice(heard);
        }
    }
}

impl std::fmt::Debug for Opus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opus").finish_non_exhaustive()
    }
}
