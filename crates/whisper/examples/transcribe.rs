//! `transcribe MODEL_FOLDER FILE.wav... [--threads 2] [--beam 5] [--repeat 1] [--margin 2000] [--least 10000] [--words]
//! [--language de] [--prompt TEXT] [--no-fallback]`: prints a line of JSON for each file of 16 kHz mono, with the times that it took. `--repeat` transcribes that often.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use whisper::{Options, Whisper};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let (mut threads, mut repeat) = (2, 1);
    let mut paths = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--threads" => threads = value()?.parse()?,
            "--beam" => options.beam_size = value()?.parse()?,
            "--repeat" => repeat = value()?.parse()?,
            "--margin" => options.margin_ms = value()?.parse()?,
            "--least" => options.least_ms = value()?.parse()?,
            "--language" => options.language = Some(value()?),
            "--prompt" => options.initial_prompt = Some(value()?),
            "--words" => options.words = true,
            "--no-fallback" => options.temperatures = vec![0.0],
            _ => paths.push(argument),
        }
    }
    let (folder, files) = paths.split_first().ok_or("expected the folder of a model")?;
    let from = Instant::now();
    let whisper = Whisper::load(Path::new(folder), threads)?;
    println!("{}", json!({ "load_ms": from.elapsed().as_secs_f64() * 1e3 }));
    for file in files {
        let samples = read(file)?;
        let mut took = Vec::new();
        let mut last = None;
        for _ in 0..repeat {
            let from = Instant::now();
            last = Some(whisper.transcribe(&samples, &options, &AtomicBool::new(false))?);
            took.push(from.elapsed().as_secs_f64());
        }
        let Some(transcript) = last else { continue };
        let segments: Vec<_> = transcript.segments.iter().map(|segment| {
            let words: Vec<_> = segment.words.iter().map(|word| json!({
                "text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms, "probability": word.probability,
            })).collect();
            json!({
                "start_ms": segment.start_ms, "end_ms": segment.end_ms, "text": segment.text, "words": words,
                "avg_logprob": segment.avg_logprob, "no_speech_prob": segment.no_speech_prob,
                "compression_ratio": segment.compression_ratio, "temperature": segment.temperature,
            })
        }).collect();
        let spent = transcript.spent;
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        println!(
            "{}",
            json!({
                "file": file, "audio_s": samples.len() as f64 / 16e3, "took_s": took, "language": transcript.language,
                "features_ms": ms(spent.features), "encoder_ms": ms(spent.encoder), "decoder_ms": ms(spent.decoder),
                "words_ms": ms(spent.words), "text": transcript.text(), "segments": segments,
            })
        );
    }
    Ok(())
}

fn read(file: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut reader = hound::WavReader::open(file)?;
    let spec = reader.spec();
    if spec.sample_rate != 16_000 || spec.channels != 1 || spec.bits_per_sample != 16 {
        return Err(format!("{file} is {spec:?}, expected 16 bits of 16 kHz mono").into());
    }
    Ok(reader
        .samples::<i16>()
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .map(|sample| f32::from(*sample) / 32_768.0)
        .collect())
}
