//! `hear MODEL_FOLDER SILERO.onnx FILE...`: prints a line for each recording: the milliseconds of speech, a tab, and what was said.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use voice_processing::{Parts, ProcessOptions, Voice, silero_vad, whisper};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [folder, vad, files @ ..] = paths.as_slice() else {
        return Err("expected the folder of a model, Silero's network and recordings".into());
    };
    let voice = Voice::new(Parts {
        vad: silero_vad::SileroVad::load(Path::new(vad))?,
        words: Some(Arc::new(whisper::Whisper::load(Path::new(folder), 2)?)),
    });
    for file in files {
        let options = ProcessOptions::default();
        let said = voice.process(File::open(file)?, &options, &mut |_| (), &AtomicBool::new(false))?;
        println!("{}\t{}", said.speech_ms, said.text);
    }
    Ok(())
}
