//! `uat listen`

mod microphone;
mod shown;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use runtime::voice_processing::live::{LiveOptions, LiveStream, LiveVoice};
use runtime::voice_processing::{PcmFormat, VoiceError};
use runtime::{RuntimeError, VoiceConfig, open_voice};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{ConfigArgs, block_on};
use crate::failure::Failure;
use crate::signals::Signals;
use microphone::Microphone;
use shown::Shown;

/// Samples come on standard input.
const STDIN: &str = "-";
/// What is asked of a microphone: what speech is heard in.
const MICROPHONE: PcmFormat = PcmFormat { sample_rate: 16_000, channels: 1 };
/// Bytes at most between two looks at signals: some hundred milliseconds.
const PIECE: usize = 1 << 13;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The microphone; - hears 16-bit little-endian PCM on standard input, as --pcm-rate and --pcm-channels say it comes.
    #[arg(value_name = "-", value_parser = [STDIN])]
    source: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Which microphone, by its name among those of the recorder (`arecord -L`, `pactl list sources short`).
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    device: Option<String>,
    /// The language as a code such as `de`; else the model finds out, if it knows several.
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// The model; else what [voice] says.
    #[arg(long)]
    model: Option<String>,
    /// A silence of so many ms ends what is written down as one.
    #[arg(long, value_name = "MS", default_value_t = LiveOptions::default().endpoint_silence_ms, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    silence: u32,
    /// Samples a second of what comes on standard input.
    #[arg(long, value_name = "HZ", default_value_t = MICROPHONE.sample_rate, requires = "source")]
    pcm_rate: u32,
    /// Its channels, interleaved.
    #[arg(long, value_name = "N", default_value_t = MICROPHONE.channels, requires = "source")]
    pcm_channels: u16,
    /// Print events, a JSON document in each line: speech_started, partial, final, speech_stopped, error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load()?.config.voice;
    let model = args.model.clone().unwrap_or_else(|| config.model.clone());
    block_on(async {
        let mut signals = Signals::listen()?;
        let loading = tokio::task::spawn_blocking(move || load(&config, &model));
        let voice = tokio::select! {
            voice = loading => voice.map_err(|error| Failure::new("UAT_INTERNAL", format!("loading ended early: {error}")))??,
            _ = signals.next() => return Err(Failure::Interrupted),
        };
        listen(&args, &Arc::new(voice), &mut signals).await
    })
}

fn load(config: &VoiceConfig, model: &str) -> Result<LiveVoice, Failure> {
    let voice = open_voice(config, model)?;
    Ok(voice.live().map_err(RuntimeError::from)?)
}

async fn listen(args: &Args, voice: &Arc<LiveVoice>, signals: &mut Signals) -> Result<(), Failure> {
    let format = match args.source {
        Some(_) => PcmFormat { sample_rate: args.pcm_rate, channels: args.pcm_channels },
        None => MICROPHONE,
    };
    let options = LiveOptions {
        language: args.language.clone(),
        endpoint_silence_ms: args.silence,
        ..LiveOptions::default()
    };
    let (shown, broken) = Shown::listener(args.json);
    let stream = voice.stream(format, options, shown).map_err(RuntimeError::from)?;
    let stream = Arc::new(stream);
    if args.source.is_some() {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        hear(&stream, &mut tokio::fs::File::from_std(stdin), signals, &broken).await?;
    } else {
        let mut microphone = Microphone::open(args.device.as_deref(), MICROPHONE)?;
        shown::note(&format!("Listening by {}; Ctrl-C ends it.", microphone.recorder()));
        if hear(&stream, microphone.sound(), signals, &broken).await? {
            microphone.ended().await?;
        }
    }
    stream.end().map_err(RuntimeError::from)?;
    let last = Arc::clone(&stream);
    tokio::select! {
        ended = tokio::task::spawn_blocking(move || last.wait_until_done()) => {
            ended.map_err(|error| Failure::new("UAT_INTERNAL", format!("the last text ended early: {error}")))?;
        }
        // Whoever says it a second time does not want the last text either.
        _ = signals.next() => {
            stream.cancel();
            return Err(Failure::Interrupted);
        }
    }
    broken.check()
}

/// Until the sound ends, or somebody ends it; says whether it ended by itself.
async fn hear(
    stream: &Arc<LiveStream>,
    sound: &mut (impl AsyncRead + Unpin),
    signals: &mut Signals,
    broken: &shown::Broken,
) -> Result<bool, Failure> {
    let mut bytes = vec![0; PIECE];
    // A sample may come in two halves.
    let mut kept = 0;
    loop {
        let read = tokio::select! {
            read = sound.read(&mut bytes[kept..]) => read?,
            _ = signals.next() => return Ok(false),
        };
        if read == 0 {
            return Ok(true);
        }
        let (samples, half) = bytes[..kept + read].as_chunks::<2>();
        let samples: Vec<i16> = samples.iter().copied().map(i16::from_le_bytes).collect();
        kept = half.len();
        if let [byte] = *half {
            bytes[0] = byte;
        }
        heard(stream.write_i16(&samples))?;
        broken.check()?;
        if !stream.has_room() {
            let waiting = Arc::clone(stream);
            tokio::select! {
                _ = tokio::task::spawn_blocking(move || waiting.wait_for_room()) => {}
                _ = signals.next() => return Ok(false),
            }
        }
    }
}

fn heard(result: Result<(), VoiceError>) -> Result<(), Failure> {
    Ok(result.map_err(RuntimeError::from)?)
}
