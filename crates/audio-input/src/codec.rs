//! From a packet to mono samples at the codec's rate.

use opusic_c::{Channels, Decoder as OpusDecoder, SampleRate};
use symphonia::core::codecs::audio::well_known as id;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;

use crate::{AudioError, SAMPLE_RATE};

/// More channels than any recording of speech has; beyond it is a header's lie.
pub(crate) const MOST_CHANNELS: usize = 32;

/// The longest Opus packet is 120 ms.
const OPUS_PACKET: usize = SAMPLE_RATE as usize * 120 / 1000;

/// Opus' headers count in samples of 48 kHz.
const OPUS_CLOCK: usize = 3;

pub(crate) enum Codec {
    Symphonia { decoder: Box<dyn AudioDecoder>, name: &'static str, lossy: bool, planes: Vec<Vec<f32>> },
    Opus { decoder: OpusDecoder, gain: f32 },
}

/// What became of a packet.
pub(crate) enum Decoded {
    /// So many samples a second.
    Samples(u32),
    /// Nothing that could be made sense of.
    Damaged,
}

impl Codec {
    /// The decoder of a track, and how many of its first samples are the encoder's.
    pub(crate) fn new(
        container: &'static str,
        params: &AudioCodecParameters,
    ) -> Result<(Self, u64), AudioError> {
        let unsupported = |feature: String| AudioError::Unsupported { container, feature };
        if params.codec == id::CODEC_ID_OPUS {
            return opus(params.extra_data.as_deref().unwrap_or_default()).map_err(unsupported);
        }
        if let Some(channels) = &params.channels
            && !(1..=MOST_CHANNELS).contains(&channels.count())
        {
            return Err(AudioError::Field {
                field: "channels",
                expected: "1 to 32",
                found: channels.count().to_string(),
            });
        }
        let codecs = symphonia::default::get_codecs();
        let known = codecs.get_audio_decoder(params.codec);
        let name = known.map(|known| known.codec.info.short_name);
        let Some(name) = name else {
            return Err(unsupported(format!("the codec {}", codec_name(params.codec))));
        };
        let decoder = codecs.make_audio_decoder(params, &AudioDecoderOptions::default());
        let decoder = decoder.map_err(|error| unsupported(format!("the codec {name} ({error})")))?;
        let lossy = matches!(params.codec, id::CODEC_ID_MP3 | id::CODEC_ID_AAC | id::CODEC_ID_VORBIS);
        Ok((Self::Symphonia { decoder, name, lossy, planes: Vec::new() }, 0))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Symphonia { name, .. } => name,
            Self::Opus { .. } => "opus",
        }
    }

    /// Decodes a packet into `mono`, where one that is damaged leaves as many samples as the last one had; `frame` is how many frames
    /// came before it.
    pub(crate) fn decode(
        &mut self,
        packet: &Packet,
        container: &'static str,
        frame: u64,
        mono: &mut Vec<f32>,
    ) -> Result<Decoded, AudioError> {
        match self {
            Self::Opus { decoder, gain } => {
                let before = mono.len();
                mono.resize(OPUS_PACKET, 0.0);
                let Ok(length) = decoder.decode_float_to_slice(&packet.data, mono, false) else {
                    mono.truncate(before);
                    return Ok(Decoded::Damaged);
                };
                let cut = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX) / OPUS_CLOCK;
                mono.truncate(length.saturating_sub(cut));
                mono.iter_mut().for_each(|sample| *sample *= *gain);
                Ok(if mono.iter().all(|sample| sample.is_finite()) {
                    Decoded::Samples(SAMPLE_RATE)
                } else {
                    Decoded::Damaged
                })
            }
            Self::Symphonia { decoder, lossy, planes, .. } => {
                let buffer = match decoder.decode(packet) {
                    Ok(buffer) => buffer,
                    Err(Error::Unsupported(feature)) => {
                        return Err(AudioError::Unsupported { container, feature: feature.to_owned() });
                    }
                    Err(_) => return Ok(Decoded::Damaged),
                };
                let rate = buffer.spec().rate();
                buffer.copy_to_vecs_planar(planes);
                for (channel, plane) in planes.iter().enumerate() {
                    let Some(at) = plane.iter().position(|sample| !sample.is_finite()) else { continue };
                    if *lossy {
                        return Ok(Decoded::Damaged);
                    }
                    return Err(AudioError::Sample { index: frame + at as u64, channel, value: plane[at] });
                }
                mono.clear();
                mix(planes, mono);
                Ok(Decoded::Samples(rate))
            }
        }
    }
}

/// The mean of the channels, which never clips.
fn mix(planes: &[Vec<f32>], mono: &mut Vec<f32>) {
    let Some((first, others)) = planes.split_first() else { return };
    mono.extend_from_slice(first);
    if others.is_empty() {
        return;
    }
    for plane in others {
        for (sum, sample) in mono.iter_mut().zip(plane) {
            *sum += sample;
        }
    }
    let scale = 1.0 / planes.len() as f32;
    mono.iter_mut().for_each(|sum| *sum *= scale);
}

/// Of `OpusHead`, RFC 7845 section 5.1.
fn opus(head: &[u8]) -> Result<(Codec, u64), String> {
    let &[
        b'O',
        b'p',
        b'u',
        b's',
        b'H',
        b'e',
        b'a',
        b'd',
        _,
        channels,
        skip_low,
        skip_high,
        _,
        _,
        _,
        _,
        low,
        high,
        family,
        ..,
    ] = head
    else {
        return Err("Opus without its header".to_owned());
    };
    // Other families are several streams side by side.
    if family != 0 || channels > 2 {
        return Err(format!("{channels} channels of Opus (mapping family {family})"));
    }
    // Stereo is mixed by the decoder.
    let decoder = OpusDecoder::new(Channels::Mono, SampleRate::Hz16000);
    let decoder = decoder.map_err(|error| format!("Opus ({error:?})"))?;
    // In dB, with 8 bits behind the point.
    let gain = 10_f32.powf(f32::from(i16::from_le_bytes([low, high])) / 256.0 / 20.0);
    let skip = u64::from(u16::from_le_bytes([skip_low, skip_high])) / OPUS_CLOCK as u64;
    Ok((Codec::Opus { decoder, gain }, skip))
}

/// What people call a codec that is not decoded.
fn codec_name(codec: AudioCodecId) -> String {
    let name = match codec {
        id::CODEC_ID_ALAC => "ALAC",
        id::CODEC_ID_AC3 => "AC-3",
        id::CODEC_ID_EAC3 => "E-AC-3",
        id::CODEC_ID_DCA => "DTS",
        id::CODEC_ID_SPEEX => "Speex",
        id::CODEC_ID_WMA => "WMA",
        id::CODEC_ID_MP1 => "MPEG layer I",
        id::CODEC_ID_MP2 => "MPEG layer II",
        id::CODEC_ID_ADPCM_MS | id::CODEC_ID_ADPCM_IMA_WAV => "ADPCM",
        id::CODEC_ID_WAVPACK => "WavPack",
        _ => return format!("number {codec}"),
    };
    name.to_owned()
}
