//! `live MODEL_FOLDER|- SILERO.onnx SIGNAL.pcm [--streams N] [--seconds S] [--threads N]`: plays 16-bit samples of 16 kHz at real time in frames of
//! 20 ms into so many streams, over and over, each beginning elsewhere. A line of JSON for each event of the first stream, with the ms of real
//! time since the beginning, and one with what it took at the end. `-` for a model: nothing is written down. `--simulated`: nobody waits for the time to
//! pass, and each text is there as much later, in time of the signal, as it kept each of the threads busy: whatever else the machine does.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::json;
use voice_processing::live::{Live, LiveEvent, LiveOptions, LiveStream, LiveVoice};
use voice_processing::{Ask, PcmFormat, Said, Segment, Transcriber, VoiceError, silero_vad, whisper};

/// 20 ms.
const FRAME: usize = 320;
const FRAME_MS: u64 = 20;

const FORMAT: PcmFormat = PcmFormat { sample_rate: 16_000, channels: 1 };

fn english() -> LiveOptions {
    LiveOptions { language: Some("en".to_owned()), ..LiveOptions::default() }
}

struct Nothing;

impl Transcriber for Nothing {
    fn transcribe(&self, _: &[f32], _: &Ask, _: &AtomicBool) -> Result<Said, VoiceError> {
        Ok(Said::default())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, vad, signal, flags @ ..] = args.as_slice() else {
        return Err("expected the folder of a model, Silero's network and samples".into());
    };
    let flag = |name: &str, otherwise: u64| -> Result<u64, Box<dyn Error>> {
        let at = flags.iter().position(|flag| flag == name);
        at.map_or(Ok(otherwise), |at| Ok(flags.get(at + 1).ok_or("a number is missing")?.parse()?))
    };
    let samples: Vec<i16> =
        std::fs::read(signal)?.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let frames: Vec<&[i16]> = samples.chunks_exact(FRAME).collect();
    let (streams, seconds) = (flag("--streams", 1)?, flag("--seconds", frames.len() as u64 / 50)?);
    let threads = usize::try_from(flag("--threads", 2)?)?;
    let words: Arc<dyn Transcriber> = match folder.as_str() {
        "-" => Arc::new(Nothing),
        folder => Arc::new(whisper::Whisper::load(Path::new(folder), threads)?),
    };
    let vad = silero_vad::SileroVad::load(Path::new(vad))?;
    if flags.iter().any(|flag| flag == "--simulated") {
        return simulate(&vad, &*words, &frames, threads);
    }
    let voice = Arc::new(LiveVoice::new(vad, words, 1)?);
    let begun = Instant::now();
    let mut all = Vec::new();
    for number in 0..streams {
        let tell = move |event: LiveEvent| {
            if number == 0 {
                show(begun.elapsed(), &event);
            }
        };
        all.push(voice.stream(FORMAT, english(), tell)?);
    }
    play(begun, &all, &frames, seconds)
}

/// A text that was written down, and when it is there, in ms of the signal.
type Text = (f64, u64, Result<Said, VoiceError>);

fn simulate(
    vad: &silero_vad::SileroVad,
    words: &dyn Transcriber,
    frames: &[&[i16]],
    threads: usize,
) -> Result<(), Box<dyn Error>> {
    let mut live = Live::new(vad, FORMAT, english())?;
    let (mut now_ms, mut behind_ms, mut out): (f64, u64, Option<Text>) = (0.0, 0, None);
    let cpu = processor_ms()?;
    let mut frames_left = frames.iter();
    while !live.is_done() {
        match frames_left.next() {
            Some(frame) => live.push_i16(frame)?,
            None => live.end()?,
        }
        now_ms += FRAME_MS as f64;
        // Texts that are there within this frame.
        loop {
            if let Some((_, id, said)) = out.take_if(|(at, ..)| *at <= now_ms) {
                live.told(id, said);
            }
            if out.is_some() {
                break;
            }
            let Some(task) = live.next_task() else { break };
            let before = busy_ms()?;
            let said = words.transcribe(&task.samples, &task.ask, &task.cancel);
            out = Some((now_ms + (busy_ms()? - before) / threads as f64, task.id, said));
        }
        while let Some(event) = live.next_event() {
            show(Duration::from_secs_f64(now_ms / 1e3), &event);
        }
        behind_ms = behind_ms.max(live.behind_ms());
    }
    let seconds = frames.len() as u64 * FRAME_MS / 1000;
    let took = json!({ "event": "end", "seconds": seconds, "behind_ms": behind_ms, "cpu_ms": processor_ms()? - cpu });
    println!("{took}");
    Ok(())
}

fn play(
    begun: Instant,
    streams: &[LiveStream],
    frames: &[&[i16]],
    seconds: u64,
) -> Result<(), Box<dyn Error>> {
    let (mut late, mut latest_ms, mut behind_ms, mut memory) = (0, 0.0, 0, Vec::new());
    let cpu = processor_ms()?;
    let ticks = seconds * 1000 / FRAME_MS;
    for tick in 0..ticks {
        // A frame is there when it has been spoken.
        let due = begun + Duration::from_millis((tick + 1) * FRAME_MS);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for (number, stream) in streams.iter().enumerate() {
            let offset = number * frames.len() / streams.len();
            stream.write_i16(frames[(usize::try_from(tick)? + offset) % frames.len()])?;
            behind_ms = behind_ms.max(stream.behind_ms());
        }
        let lateness = due.elapsed().as_secs_f64() * 1e3;
        latest_ms = lateness.max(latest_ms);
        late += u64::from(lateness >= FRAME_MS as f64);
        if tick % 1_500 == 1_499 {
            memory.push(resident_kb()?);
        }
    }
    streams.iter().try_for_each(LiveStream::end)?;
    streams.iter().for_each(LiveStream::wait_until_done);
    let cpu = processor_ms()? - cpu;
    let took = json!({
        "event": "end", "streams": streams.len(), "seconds": seconds, "late": late, "latest_ms": latest_ms, "behind_ms": behind_ms,
        "cpu_ms": cpu, "rss_kb": memory,
    });
    println!("{took}");
    Ok(())
}

fn show(now: Duration, event: &LiveEvent) {
    let mut line = match event {
        LiveEvent::SpeechStarted { at_ms } => json!({ "event": "started", "at_ms": at_ms }),
        LiveEvent::SpeechStopped { at_ms } => json!({ "event": "stopped", "at_ms": at_ms }),
        LiveEvent::Partial { start_ms, text, committed } => {
            json!({ "event": "partial", "start_ms": start_ms, "text": text, "committed": &text[..*committed] })
        }
        LiveEvent::Final(segment) => {
            let Segment { start_ms, end_ms, text, .. } = segment;
            json!({ "event": "final", "start_ms": start_ms, "end_ms": end_ms, "text": text })
        }
        LiveEvent::Failed { code, message } => json!({ "event": "failed", "code": code, "text": message }),
        LiveEvent::TurnDone => json!({ "event": "done" }),
    };
    line["now_ms"] = json!(now.as_secs_f64() * 1e3);
    println!("{line}");
    let _ = std::io::stdout().flush();
}

/// Of this process, in user and system mode (proc(5): fields 14 and 15 in hundredths of a second).
fn processor_ms() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat is not as it was")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? * 10)
}

/// Of all threads that there are now, to the ns (the kernel's Documentation/scheduler/sched-stats).
fn busy_ms() -> Result<f64, Box<dyn Error>> {
    let mut busy_ns = 0.0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        busy_ns += stat.split_whitespace().next().ok_or("no time in schedstat")?.parse::<f64>()?;
    }
    Ok(busy_ns / 1e6)
}

fn resident_kb() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}
