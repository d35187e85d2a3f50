//! The probabilities of a raw 16 kHz recording (32-bit floats, little-endian), one a line, and on standard error what a window
//! took: `cargo run --release -p silero-vad --example probabilities MODEL.onnx SAMPLES.f32 [TIMES]`.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use silero_vad::{SileroVad, WINDOW};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(model), Some(samples)) = (args.next(), args.next()) else {
        return Err("expected: MODEL.onnx SAMPLES.f32 [TIMES]".into());
    };
    let times: usize = args.next().map_or(Ok(1), |times| times.parse())?;
    let vad = SileroVad::load(model.as_ref())?;
    let bytes = std::fs::read(samples)?;
    let samples: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let mut probabilities = Vec::new();
    let mut best_us = f64::INFINITY;
    for _ in 0..times.max(1) {
        let begun = Instant::now();
        probabilities = vad.probabilities(&samples)?;
        let windows = samples.len().div_ceil(WINDOW).max(1) as f64;
        best_us = best_us.min(begun.elapsed().as_secs_f64() * 1e6 / windows);
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for probability in probabilities {
        writeln!(out, "{probability}")?;
    }
    writeln!(std::io::stderr(), "{{\"us_per_window\":{best_us:.2}}}")?;
    Ok(())
}
