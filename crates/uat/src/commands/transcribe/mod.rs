//! `uat transcribe`

mod output;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use runtime::voice_processing::{PcmFormat, ProcessOptions, Voice, VoiceError, VoiceResult};
use runtime::{RuntimeError, VoiceConfig, open_voice};

use super::{ConfigArgs, cancellable};
use crate::failure::Failure;
use output::Format;

/// Audio of standard input.
const STDIN: &str = "-";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Recordings: wav, flac, mp3, m4a, aac, ogg, webm; - reads standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// text and json are for reading, srt and vtt are subtitles.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The language as a code such as `de`; else the model finds out, if it knows several.
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// The model; else what [voice] says.
    #[arg(long)]
    model: Option<String>,
    /// Say when each word was said: in JSON.
    #[arg(long)]
    words: bool,
    /// Texts that are followed side by side: 1 is fastest, more are seldom wrong.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=32))]
    beam: u8,
    /// Samples a second of audio that is in no container: 16-bit little-endian PCM.
    #[arg(long, value_name = "HZ")]
    pcm_rate: Option<u32>,
    /// Channels of such audio, interleaved.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "pcm_rate")]
    pcm_channels: u16,
    /// Write a file for each recording into this folder; recordings whose file is there already are left out.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A recording, and where what it says goes.
struct Job {
    source: PathBuf,
    to: Option<PathBuf>,
}

/// All that is the same for each recording.
struct Plan {
    jobs: Vec<Job>,
    options: ProcessOptions,
    format: Format,
    model: String,
    voice: VoiceConfig,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut jobs = jobs(&args)?;
    let config = args.config.load()?.config;
    jobs.retain(|job| !is_done(job));
    if jobs.is_empty() {
        return Ok(());
    }
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).map_err(|error| {
            Failure::new("UAT_STORAGE", format!("cannot make the folder {}: {error}", out.display()))
        })?;
    }
    let plan = Plan {
        jobs,
        options: ProcessOptions {
            language: args.language,
            word_timestamps: args.words,
            beam_size: args.beam.into(),
            pcm: args.pcm_rate.map(|sample_rate| PcmFormat { sample_rate, channels: args.pcm_channels }),
            ..ProcessOptions::default()
        },
        format: args.format,
        model: args.model.unwrap_or_else(|| config.voice.model.clone()),
        voice: config.voice,
    };
    cancellable("the transcription", move |cancel| transcribe_all(&plan, cancel))?
}

/// What is to be done, if each recording has a place of its own to go to.
fn jobs(args: &Args) -> Result<Vec<Job>, Failure> {
    let subtitles = matches!(args.format, Format::Srt | Format::Vtt);
    if args.out.is_none() && subtitles && args.files.len() > 1 {
        return Err(Failure::usage("subtitles of several recordings need a folder to go to: --out DIR"));
    }
    let mut taken = HashSet::new();
    let job = |source: &PathBuf| {
        let to = args.out.as_ref().map(|out| out.join(args.format.file_name(source)));
        if let Some(to) = to.as_ref().filter(|to| !taken.insert((*to).clone())) {
            let two = format!("two recordings would be written to {}: rename one", to.display());
            return Err(Failure::usage(two));
        }
        Ok(Job { source: source.clone(), to })
    };
    args.files.iter().map(job).collect()
}

/// Whether what a recording says was written already, after the recording was.
fn is_done(job: &Job) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(to) = &job.to else { return false };
    let done = match (changed(to), changed(&job.source)) {
        (Some(written), Some(recorded)) => written >= recorded,
        _ => false,
    };
    if done {
        note(&format!("{} is there already", to.display()));
    }
    done
}

fn transcribe_all(plan: &Plan, cancel: &AtomicBool) -> Result<(), Failure> {
    let voice = open_voice(&plan.voice, &plan.model)?;
    let mut failed = false;
    for job in &plan.jobs {
        if cancel.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        match transcribe(&voice, job, plan, cancel) {
            Ok(()) => {}
            // The others may be sound.
            Err(Failure::Failed { code, message, .. }) => {
                failed = true;
                note(&format!("error[{code}]: {}: {message}", job.source.display()));
            }
            Err(ended) => return Err(ended),
        }
    }
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

fn transcribe(voice: &Voice, job: &Job, plan: &Plan, cancel: &AtomicBool) -> Result<(), Failure> {
    let file = open(&job.source)?;
    let bar = bar(&job.source);
    let shown = bar.clone();
    let mut progress = |done: f64| {
        if let Some(bar) = &shown {
            bar.set_position((done * 1000.0) as u64);
        }
    };
    let heard = voice.process(file, &plan.options, &mut progress, cancel);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let result = match heard {
        Err(VoiceError::Cancelled) => return Err(Failure::Interrupted),
        heard => heard.map_err(RuntimeError::from)?,
    };
    warn_of_damage(&job.source, &result);
    let text = plan.format.text(&job.source, &result);
    match &job.to {
        Some(to) => output::write(to, &text),
        None => {
            let mut out = io::stdout().lock();
            if plan.jobs.len() > 1 && plan.format == Format::Text {
                writeln!(out, "==> {} <==", job.source.display())?;
            }
            Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
        }
    }
}

fn open(source: &Path) -> Result<File, Failure> {
    let unreadable = |error| {
        let code =
            if io::Error::kind(&error) == io::ErrorKind::NotFound { "UAT_NOT_FOUND" } else { "UAT_STORAGE" };
        Failure::new(code, format!("cannot read it: {error}"))
    };
    if source.as_os_str() != STDIN {
        let file = File::open(source).map_err(unreadable)?;
        return match file.metadata().map_err(unreadable)?.is_dir() {
            true => Err(Failure::new("UAT_INVALID_INPUT", "expected a recording, got a folder")),
            false => Ok(file),
        };
    }
    // Containers are read back and forth, and memory is for models.
    let mut file = tempfile::tempfile().map_err(unreadable)?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(unreadable)?;
    io::Seek::rewind(&mut file).map_err(unreadable)?;
    Ok(file)
}

fn bar(source: &Path) -> Option<ProgressBar> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(1000);
    // The template is a constant; were it wrong, the default style would show as much.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {percent} % {eta}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(source.display().to_string());
    Some(bar)
}

fn warn_of_damage(source: &Path, result: &VoiceResult) {
    let name = source.display();
    if result.truncated {
        note(&format!("{name} ends before it says it does; what it holds was heard"));
    }
    if result.damaged_packets > 0 {
        note(&format!("{name}: {} damaged packets were heard as silence", result.damaged_packets));
    }
}

/// With standard error gone there is nobody left to tell.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
