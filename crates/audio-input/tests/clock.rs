//! One clock: what sounds at a second comes out at that second, whatever it lay in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::io::Cursor;

use audio_input::{Container, Decoder, PcmFormat, PcmIn};
use support::{hear, i16_wav};

const RATES: [u32; 10] = [4_000, 8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/// Two seconds of silence with a click of 2 ms at 0.5 s and at 1.5 s, as in the fixtures but lower: 1 kHz passes at every rate.
fn clicks(rate: u32) -> Vec<i16> {
    let mut samples = vec![0; 2 * rate as usize];
    for half_seconds in [1, 3] {
        for at in 0..rate / 500 {
            let sign = if (at * 2_000 / rate).is_multiple_of(2) { 1 } else { -1 };
            samples[(half_seconds * rate / 2 + at) as usize] = 20_000 * sign;
        }
    }
    samples
}

/// Where the clicks lie, in ms: the mean time of the energy around each.
#[track_caller]
fn check_clicks(what: &str, samples: &[f32]) {
    for second in [0.5, 1.5] {
        let middle = (second * 16_000.0) as usize;
        let near = middle - 480..middle + 480;
        let energy: f64 = samples[near.clone()].iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let moment: f64 = near.map(|at| f64::from(samples[at]).powi(2) * at as f64).sum();
        let at_ms = moment / energy / 16.0;
        // The click lasts 2 ms.
        let late_ms = at_ms - (second * 1000.0 + 1.0);
        assert!(energy > 1.0, "{what}: no click at {second} s");
        assert!(late_ms.abs() < 1.0, "{what}: the click at {second} s is {late_ms:.2} ms late");
    }
}

#[test]
fn a_click_stays_at_its_second_in_every_container() {
    let files: [(&str, Container, &[u8]); 8] = [
        ("flac", Container::Flac, include_bytes!("fixtures/click.flac")),
        ("mp3", Container::Mp3, include_bytes!("fixtures/click.mp3")),
        ("m4a", Container::Mp4, include_bytes!("fixtures/click.m4a")),
        ("aac", Container::Adts, include_bytes!("fixtures/click.aac")),
        ("opus", Container::Ogg, include_bytes!("fixtures/click.opus")),
        ("webm", Container::Matroska, include_bytes!("fixtures/click.webm")),
        ("vorbis", Container::Ogg, include_bytes!("fixtures/click.ogg")),
        ("wav", Container::Wav, &i16_wav(1, 44_100, &clicks(44_100))),
    ];
    for (name, container, file) in files {
        let decoder = Decoder::open(Cursor::new(file.to_vec()), None).unwrap();
        assert_eq!(decoder.info().container, container, "{name}");
        let heard = hear(file.to_vec()).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_clicks(name, &heard.samples);
        assert!(!heard.truncated && heard.damaged == 0, "{name}");
        // Where the container says how long it is, to the sample; ADTS and WebM end with what the encoder added.
        let beyond = heard.samples.len() as i64 - 32_000;
        let most = if matches!(name, "aac" | "webm") { 1_200 } else { 1 };
        assert!((0..=most).contains(&beyond), "{name}: {beyond} samples too many");
        if let Some(told) = decoder.info().samples {
            assert!(told.abs_diff(heard.samples.len() as u64) <= 1_200, "{name} says {told}");
        }
    }
}

#[test]
fn a_click_stays_at_its_second_at_every_rate() {
    for rate in RATES {
        let heard = hear(i16_wav(1, rate, &clicks(rate))).unwrap();
        assert_eq!(heard.samples.len(), 32_000, "{rate} Hz");
        check_clicks(&format!("{rate} Hz"), &heard.samples);
    }
}

#[test]
fn raw_pcm_is_taken_as_the_caller_says() {
    let bytes: Vec<u8> =
        clicks(48_000).iter().flat_map(|sample| [*sample, *sample]).flat_map(i16::to_le_bytes).collect();
    let raw = Some(PcmFormat { sample_rate: 48_000, channels: 2 });
    let mut decoder = Decoder::open(Cursor::new(bytes), raw).unwrap();
    assert_eq!((decoder.info().container, decoder.info().samples), (Container::Raw, Some(32_000)));
    let mut samples = Vec::new();
    while decoder.next_block(&mut samples).unwrap() {}
    assert_eq!((samples.len(), decoder.truncated()), (32_000, false));
    check_clicks("raw", &samples);
}

#[test]
fn channels_are_mixed_to_their_mean() {
    let stereo: Vec<i16> = (0..1000).flat_map(|_| [16_384, -8_192]).collect();
    let heard = hear(i16_wav(2, 16_000, &stereo)).unwrap();
    assert!(heard.samples.iter().all(|sample| *sample == 0.125), "{:?}", &heard.samples[..4]);
}

#[test]
fn a_live_signal_is_the_files_however_it_is_cut() {
    for rate in RATES {
        let (click, mut random) = (clicks(rate), fastrand::Rng::with_seed(3));
        let mut live = PcmIn::new(PcmFormat { sample_rate: rate, channels: 1 }).unwrap();
        let (mut samples, mut rest) = (Vec::new(), &click[..]);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(0..=rest.len().min(2_000)));
            live.push_i16(piece, &mut samples);
            rest = after;
        }
        live.flush(&mut samples);
        assert_eq!(samples, hear(i16_wav(1, rate, &click)).unwrap().samples, "{rate} Hz");
    }
}

#[test]
fn a_live_signal_is_at_most_a_few_milliseconds_behind() {
    for rate in RATES {
        let mut live = PcmIn::new(PcmFormat { sample_rate: rate, channels: 1 }).unwrap();
        let (mut samples, mut given) = (Vec::new(), 0);
        for _ in 0..50 {
            live.push_i16(&vec![0; rate as usize / 50], &mut samples);
            given += 320;
        }
        // A chunk and half a filter of the slowest rate.
        let behind = given - samples.len();
        let most_ms = 160.max(620_000 / rate);
        assert!(behind <= 16 * most_ms as usize, "{rate} Hz: {behind} samples");
    }
}

#[test]
fn a_frame_may_be_cut_between_its_channels() {
    let mut live = PcmIn::new(PcmFormat { sample_rate: 16_000, channels: 2 }).unwrap();
    let mut samples = Vec::new();
    live.push_f32(&[0.5], &mut samples).unwrap();
    live.push_f32(&[0.25, 0.125], &mut samples).unwrap();
    live.push_f32(&[0.125], &mut samples).unwrap();
    assert_eq!(samples, [0.375, 0.125]);
}
