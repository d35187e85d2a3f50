//! A file, read block by block.

use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use crate::codec::{Codec, Decoded};
use crate::container::{Container, LOOKED_AT};
use crate::edit_list::{Played, played};
use crate::resample::{Resampler, check_rate};
use crate::source::{Place, Source};
use crate::{AudioError, PcmFormat, PcmIn, SAMPLE_RATE};

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// What the samples lie in.
    pub container: Container,
    /// How they are coded, in symphonia's short name.
    pub codec: &'static str,
    /// How many samples will come at 16 kHz, where the file tells; it may be wrong.
    pub samples: Option<u64>,
}

/// Reads a file's audio as 16 kHz mono samples.
///
/// A file that ends early, or of which parts are damaged, gives what it holds: its text is better than none. [`Self::truncated`] and
/// [`Self::damaged_packets`] say so afterwards.
pub struct Decoder {
    info: Info,
    reading: Reading,
    place: Place,
    length: u64,
    given: u64,
    truncated: bool,
    damaged: u64,
    ended: bool,
}

enum Reading {
    Raw { source: Box<dyn Read + Send + Sync>, pcm: PcmIn, bytes: Vec<u8>, samples: Vec<i16>, frame: usize },
    Packets(Box<Packets>),
}

struct Packets {
    format: Box<dyn FormatReader>,
    track: u32,
    codec: Codec,
    /// Made when the first packet says the rate.
    resampler: Option<(u32, Resampler)>,
    mono: Vec<f32>,
    /// Frames decoded so far, and how many the file says there are.
    frames: u64,
    declared: Option<u64>,
    /// Frames that belong to the encoder, still to be left out.
    skip: u64,
    /// What of the media is played, in seconds; known as frames once the rate is.
    played: Played,
    /// Frames that may still be given.
    most: u64,
}

/// Raw PCM is read in pieces of so many bytes.
const RAW_PIECE: usize = 32 << 10;

impl Decoder {
    /// Opens a file, of which nothing but headers is read. `raw` says how samples lie where no container is recognised:
    /// then the file is 16-bit little-endian PCM.
    ///
    /// # Errors
    /// [`AudioError`]: what the file is instead of audio that can be decoded, or that it cannot be read.
    pub fn open(
        source: impl Read + Seek + Send + Sync + 'static,
        raw: Option<PcmFormat>,
    ) -> Result<Self, AudioError> {
        let io = |source| AudioError::Io { offset: 0, source };
        let mut source = Source::new(source).map_err(io)?;
        let (place, length) = (source.place(), source.length());
        let start = source.start(LOOKED_AT).map_err(io)?;
        if start.is_empty() {
            return Err(AudioError::Empty { found: "no bytes" });
        }
        let (info, reading) = match (Container::of(&start), raw) {
            (Some(container), _) => {
                let packets = Packets::open(source, container, &place)?;
                let info = Info { container, codec: packets.codec.name(), samples: packets.expected() };
                (info, Reading::Packets(Box::new(packets)))
            }
            (None, Some(format)) => {
                let pcm = PcmIn::new(format)?;
                let frame = 2 * usize::from(format.channels);
                let samples = length / frame as u64 * u64::from(SAMPLE_RATE) / u64::from(format.sample_rate);
                let info = Info { container: Container::Raw, codec: "pcm_s16le", samples: Some(samples) };
                let source = Box::new(source);
                (info, Reading::Raw { source, pcm, bytes: Vec::new(), samples: Vec::new(), frame })
            }
            (None, None) => {
                let begins =
                    start.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
                return Err(AudioError::Unrecognised { begins });
            }
        };
        Ok(Self { info, reading, place, length, given: 0, truncated: false, damaged: 0, ended: false })
    }

    /// What the file says of itself.
    pub fn info(&self) -> Info {
        self.info
    }

    /// How much has been read, 0 to 1: of the duration where the file tells it, else of the bytes.
    pub fn progress(&self) -> f64 {
        let (done, all) = match self.info.samples {
            _ if self.ended => (1, 1),
            Some(samples) => (self.given, samples),
            None => (self.place.get(), self.length),
        };
        (done as f64 / all.max(1) as f64).min(1.0)
    }

    /// How many samples have been given so far.
    pub fn samples(&self) -> u64 {
        self.given
    }

    /// Whether the file ends before it says it does. Told when [`Self::next_block`] has given everything.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// How many packets so far made no sense; silence stands in their place.
    pub fn damaged_packets(&self) -> u64 {
        self.damaged
    }

    /// Appends the next samples to `out`, seldom more than 100 ms. `false`: there are no more, and none were appended.
    ///
    /// # Errors
    /// [`AudioError::Empty`] where there are no samples in all, [`AudioError::Sample`] where one is not finite,
    /// [`AudioError::Damaged`] where nothing can be made of the file, [`AudioError::Io`] where it cannot be read.
    pub fn next_block(&mut self, out: &mut Vec<f32>) -> Result<bool, AudioError> {
        let before = out.len();
        while !self.ended && out.len() == before {
            match &mut self.reading {
                Reading::Raw { source, pcm, bytes, samples, frame } => {
                    bytes.clear();
                    let read = source.by_ref().take(RAW_PIECE as u64).read_to_end(bytes);
                    read.map_err(|source| AudioError::Io { offset: self.place.get(), source })?;
                    samples.clear();
                    samples.extend(bytes.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)));
                    pcm.push_i16(samples, out);
                    if bytes.len() < RAW_PIECE {
                        self.ended = true;
                        self.truncated = !self.length.is_multiple_of(*frame as u64);
                        pcm.flush(out);
                    }
                }
                Reading::Packets(packets) => {
                    let step = packets.step(self.info.container, &self.place, out)?;
                    self.damaged += u64::from(step == Step::Damaged);
                    if let Step::End { truncated } = step {
                        (self.ended, self.truncated) = (true, truncated);
                        packets.flush(out);
                    }
                }
            }
        }
        let more = (out.len() - before) as u64;
        self.given += more;
        if self.ended && self.given == 0 {
            return Err(match self.damaged {
                0 => AudioError::Empty { found: "a header without samples" },
                packets => AudioError::Damaged {
                    container: self.info.container.name(),
                    offset: self.place.get(),
                    reason: format!("none of {packets} packets could be decoded"),
                },
            });
        }
        Ok(more > 0)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Decoded,
    Damaged,
    End { truncated: bool },
}

/// Runs symphonia. Its readers are fuzzed, but they are a hundred thousand lines that read other people's bytes: should
/// one of them panic, the file is damaged and the process lives.
fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Error::DecodeError("the reader stumbled over it")))
}

impl Packets {
    fn open<S>(mut source: Source<S>, container: Container, place: &Place) -> Result<Self, AudioError>
    where
        S: Read + Seek + Send + Sync + 'static,
    {
        let name = container.name();
        let io = |source| AudioError::Io { offset: place.get(), source };
        let mut cut = Played::default();
        if container == Container::Mp4 {
            cut = played(&mut source).map_err(io)?;
            source.rewind().map_err(io)?;
        }
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let probe = symphonia::default::get_probe();
        let (options, metadata) = (FormatOptions::default(), MetadataOptions::default());
        let format = guarded(|| probe.probe(&Hint::new(), stream, options, metadata));
        let format = format.map_err(|error| failure(name, place, error))?;
        let track = format.default_track(TrackType::Audio);
        let params = track.and_then(|track| Some((track, track.codec_params.as_ref()?.audio()?)));
        let Some((track, params)) = params else {
            return Err(AudioError::Unsupported {
                container: name,
                feature: "no audio track that is known".to_owned(),
            });
        };
        if let Some(rate) = params.sample_rate {
            check_rate(rate)?;
        }
        let (codec, mut skip) = Codec::new(name, params)?;
        let opus = matches!(codec, Codec::Opus { .. });
        let declared = track.num_frames.map(|frames| if opus { frames / 3 } else { frames });
        if container == Container::Adts {
            // It cannot say what the encoder added; a frame is what every encoder of AAC-LC adds at least.
            skip = 1024;
        }
        let track = track.id;
        Ok(Self {
            format,
            track,
            codec,
            resampler: None,
            mono: Vec::new(),
            frames: 0,
            declared,
            skip,
            played: cut,
            most: u64::MAX,
        })
    }

    /// How many samples at 16 kHz the file says it has.
    fn expected(&self) -> Option<u64> {
        if let Some(lasts_s) = self.played.lasts_s {
            return Some((lasts_s * f64::from(SAMPLE_RATE)) as u64);
        }
        let track = self.format.tracks().iter().find(|track| track.id == self.track)?;
        let rate = match self.codec {
            Codec::Opus { .. } => SAMPLE_RATE,
            Codec::Symphonia { .. } => track.codec_params.as_ref()?.audio()?.sample_rate?,
        };
        Some((self.declared? as f64 * f64::from(SAMPLE_RATE) / f64::from(rate)) as u64)
    }

    /// Decodes the next packet.
    fn step(&mut self, container: Container, place: &Place, out: &mut Vec<f32>) -> Result<Step, AudioError> {
        let packet = match guarded(|| self.format.next_packet()) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(Step::End { truncated: self.ends_early(container) }),
            Err(error) if place.failed() || self.frames == 0 && !is_end(&error) => {
                return Err(failure(container.name(), place, error));
            }
            // What came before it is given.
            Err(_) => return Ok(Step::End { truncated: true }),
        };
        if packet.track_id != self.track || self.most == 0 {
            return Ok(Step::Decoded);
        }
        let (codec, frames, mono) = (&mut self.codec, self.frames, &mut self.mono);
        let decoded = guarded(|| Ok(codec.decode(&packet, container.name(), frames, mono)));
        let step = match decoded {
            Ok(Ok(Decoded::Samples(rate))) => {
                self.at_rate(rate, container)?;
                Step::Decoded
            }
            Ok(Err(error)) => return Err(error),
            // As much silence as the last packet had samples keeps the clock.
            Ok(Ok(Decoded::Damaged)) | Err(_) => {
                self.mono.fill(0.0);
                Step::Damaged
            }
        };
        self.frames += self.mono.len() as u64;
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.mono.len());
        self.skip -= skipped as u64;
        let rest = &self.mono[skipped..];
        let rest = &rest[..usize::try_from(self.most).unwrap_or(usize::MAX).min(rest.len())];
        self.most -= rest.len() as u64;
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.push(rest, out);
        }
        Ok(step)
    }

    /// Makes what depends on the rate, at the first packet.
    fn at_rate(&mut self, rate: u32, container: Container) -> Result<(), AudioError> {
        match &self.resampler {
            Some((before, _)) if *before == rate => {}
            Some((before, _)) => {
                let feature = format!("a sample rate that changes from {before} to {rate} Hz");
                return Err(AudioError::Unsupported { container: container.name(), feature });
            }
            None => {
                self.resampler = Some((rate, Resampler::new(rate)?));
                let frames = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
                self.skip += frames(self.played.from_s);
                self.most = self.played.lasts_s.map_or(u64::MAX, frames);
            }
        }
        Ok(())
    }

    /// Whether there are fewer frames than the file says.
    fn ends_early(&self, container: Container) -> bool {
        // Containers of compressed audio count what an encoder added in one way or another: two frames of the longest codec.
        let slack = if matches!(container, Container::Wav | Container::Flac) { 0 } else { 4096 };
        // A writer that does not know yet how long it will be writes the greatest length.
        const UNKNOWN: u64 = u32::MAX as u64 / 64;
        let declared = self.declared.filter(|declared| container != Container::Wav || *declared < UNKNOWN);
        declared.is_some_and(|declared| self.frames.saturating_add(slack) < declared)
    }

    fn flush(&mut self, out: &mut Vec<f32>) {
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.flush(out);
        }
    }
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}

fn failure(container: &'static str, place: &Place, error: Error) -> AudioError {
    let offset = place.get();
    match error {
        Error::IoError(source) if place.failed() => AudioError::Io { offset, source },
        Error::Unsupported(feature) => AudioError::Unsupported { container, feature: feature.to_owned() },
        error if is_end(&error) => {
            AudioError::Damaged { container, offset, reason: "it ends within its header".to_owned() }
        }
        error => AudioError::Damaged { container, offset, reason: error.to_string() },
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("info", &self.info)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}
