//! What bad input gets: an error that names the place, or what there is to hear; never a panic, never much memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use audio_input::{AudioError, PcmFormat, PcmIn};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use support::{hear, i16_wav, wav};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a reader may take: its buffers, and tables of a few thousand packets.
const MOST_MB: f32 = 48.0;

const FIXTURES: [&[u8]; 7] = [
    include_bytes!("fixtures/click.flac"),
    include_bytes!("fixtures/click.mp3"),
    include_bytes!("fixtures/click.m4a"),
    include_bytes!("fixtures/click.aac"),
    include_bytes!("fixtures/click.opus"),
    include_bytes!("fixtures/click.webm"),
    include_bytes!("fixtures/click.ogg"),
];

fn refused(file: Vec<u8>) -> AudioError {
    match hear(file) {
        Err(error) => error,
        Ok(heard) => panic!("{} samples of what is no audio", heard.samples.len()),
    }
}

#[test]
fn nothing_is_refused_as_empty() {
    assert!(matches!(refused(Vec::new()), AudioError::Empty { .. }));
}

#[test]
fn a_header_without_samples_is_refused_as_empty() {
    let error = refused(i16_wav(1, 16_000, &[]));
    assert_eq!(error.code(), "UAT_AUDIO_FORMAT", "{error}");
    assert!(matches!(error, AudioError::Empty { .. }), "{error}");
}

#[test]
fn noise_is_no_mp3() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..20 {
        let mut noise = vec![0; 100_000];
        random.fill(&mut noise);
        let error = refused(noise);
        assert!(matches!(error, AudioError::Unrecognised { .. }), "{error}");
        assert!(error.to_string().contains("raw 16-bit PCM"), "{error}");
    }
}

#[test]
fn noise_behind_a_tag_is_no_mp3() {
    let mut noise = vec![0; 100_000];
    fastrand::Rng::with_seed(6).fill(&mut noise);
    let mut file = b"ID3\x04\0\0\0\0\0\0".to_vec();
    file.extend(noise);
    assert_eq!(refused(file).code(), "UAT_AUDIO_FORMAT");
}

#[test]
fn a_rate_of_0_hz_and_absurd_channels_are_refused() {
    let data = [0; 6000];
    for head in
        [(1, 1, 0, 16), (1, 0, 16_000, 16), (1, 3000, 16_000, 16), (1, 1, u32::MAX, 16), (1, 1, 16_000, 0)]
    {
        let error = refused(wav(head, &data));
        assert!(matches!(error.code(), "UAT_INVALID_INPUT" | "UAT_AUDIO_FORMAT"), "{head:?}: {error}");
    }
    let error = PcmIn::new(PcmFormat { sample_rate: 0, channels: 1 }).unwrap_err();
    assert!(error.to_string().starts_with("sample rate"), "{error}");
    let error = PcmIn::new(PcmFormat { sample_rate: 16_000, channels: 0 }).unwrap_err();
    assert!(error.to_string().starts_with("channels"), "{error}");
}

#[test]
fn a_sample_that_is_not_finite_is_named_by_its_place() {
    let mut samples = vec![0.25_f32; 20_000];
    samples[2 * 7_001 + 1] = f32::NAN;
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let error = refused(wav((3, 2, 16_000, 32), &data));
    assert!(matches!(error, AudioError::Sample { index: 7_001, channel: 1, .. }), "{error}");
    assert_eq!(error.code(), "UAT_INVALID_INPUT");

    let mut live = PcmIn::new(PcmFormat { sample_rate: 48_000, channels: 2 }).unwrap();
    let mut out = Vec::new();
    live.push_f32(&[0.0; 7], &mut out).unwrap();
    let error = live.push_f32(&[0.0, 0.0, f32::INFINITY], &mut out).unwrap_err();
    assert!(matches!(error, AudioError::Sample { index: 4, channel: 1, .. }), "{error}");
}

#[test]
fn a_codec_that_is_not_decoded_is_named() {
    let error = refused(include_bytes!("fixtures/alac.m4a").to_vec());
    assert!(matches!(error, AudioError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("ALAC"), "{error}");
}

#[test]
fn a_file_that_ends_early_gives_what_it_holds_and_says_so() {
    let whole = i16_wav(1, 16_000, &[1000; 16_000]);
    let heard = hear(whole[..whole.len() / 2].to_vec()).unwrap();
    assert!(heard.truncated && (7_000..8_000).contains(&heard.samples.len()), "{}", heard.samples.len());
    assert_eq!(heard.damaged, 0);
    // Vorbis is not among them: its fixture is one page, of which all is lost with its end.
    for fixture in [0, 1, 4] {
        let file = FIXTURES[fixture];
        let heard =
            hear(file[..file.len() * 3 / 5].to_vec()).unwrap_or_else(|error| panic!("{fixture}: {error}"));
        assert!((8_000..31_000).contains(&heard.samples.len()), "{fixture}: {}", heard.samples.len());
    }
}

#[test]
fn a_header_that_promises_terabytes_takes_no_memory() {
    MEMORY.reset_peak_usage();
    let mut file = i16_wav(1, 16_000, &[1000; 8_000]);
    // As programs write that do not know yet how long it will be.
    file[4..8].copy_from_slice(&0xffff_ffff_u32.to_le_bytes());
    file[40..44].copy_from_slice(&0xffff_ff00_u32.to_le_bytes());
    assert_eq!(hear(file).unwrap().samples.len(), 8_000);
    // FLAC's header says 2^36 samples.
    let mut file = FIXTURES[0].to_vec();
    file[21] |= 0x0f;
    file[22..26].fill(0xff);
    let heard = hear(file).unwrap();
    assert!(heard.truncated && heard.samples.len() >= 31_000);
    let peak = MEMORY.peak_usage_as_mb();
    assert!(peak < MOST_MB, "{peak} MB");
}

/// Reads it to its end: that is all that is asked.
fn survive(file: Vec<u8>) -> Result<(), TestCaseError> {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage_as_mb();
    if let Ok(heard) = hear(file) {
        prop_assert!(heard.samples.iter().all(|sample| sample.is_finite()));
    }
    let peak = MEMORY.peak_usage_as_mb() - before;
    prop_assert!(peak < MOST_MB, "{peak} MB");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_survived(bytes: Vec<u8>, magic in 0_usize..8) {
        let magics: [&[u8]; 8] =
            [b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", &[0x1a, 0x45, 0xdf, 0xa3], b"\0\0\0\x10ftyp", b"ID3\x03\0\0\0\0\0\0", &[0xff, 0xfb]];
        survive([magics[magic], &bytes].concat())?;
    }

    #[test]
    fn damaged_files_are_survived(
        fixture in 0..FIXTURES.len(),
        damage in prop::collection::vec((0.0_f64..1.0, any::<u8>()), 1..20),
        in_header: bool,
        cut in 0.1_f64..1.0,
    ) {
        let mut file = FIXTURES[fixture].to_vec();
        let reach = if in_header { file.len().min(600) } else { file.len() };
        for (at, byte) in damage {
            file[(at * reach as f64) as usize] = byte;
        }
        file.truncate((cut * file.len() as f64) as usize);
        survive(file)?;
    }
}
