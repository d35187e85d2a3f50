//! A microphone, by a program that records.
//!
//! No library: those for sound link ALSA's, and then `uat` would not start on a machine without it. Every desktop has one of these programs.

use std::io;
use std::process::Stdio;

use runtime::voice_processing::PcmFormat;
use tokio::process::{Child, ChildStdout, Command};

use crate::failure::Failure;

/// Programs that write what a microphone hears to standard output, as 16-bit little-endian PCM.
const RECORDERS: [(&str, Arguments); 2] = [("arecord", arecord), ("parec", parec)];

type Arguments = fn(Option<&str>, PcmFormat) -> Vec<String>;

fn arecord(device: Option<&str>, format: PcmFormat) -> Vec<String> {
    let mut arguments = ["-q", "-t", "raw", "-f", "S16_LE"].map(str::to_owned).to_vec();
    arguments.extend([format!("-r{}", format.sample_rate), format!("-c{}", format.channels)]);
    arguments.extend(device.map(|device| format!("-D{device}")));
    arguments
}

fn parec(device: Option<&str>, format: PcmFormat) -> Vec<String> {
    let mut arguments = ["--raw", "--format=s16le", "--latency-msec=20"].map(str::to_owned).to_vec();
    arguments.extend([format!("--rate={}", format.sample_rate), format!("--channels={}", format.channels)]);
    arguments.extend(device.map(|device| format!("--device={device}")));
    arguments
}

/// A recorder that runs.
pub(super) struct Microphone {
    recorder: &'static str,
    child: Child,
    sound: ChildStdout,
}

impl Microphone {
    /// Starts the first recorder that is installed.
    pub(super) fn open(device: Option<&str>, format: PcmFormat) -> Result<Self, Failure> {
        for (recorder, arguments) in RECORDERS {
            let mut command = Command::new(recorder);
            command
                .args(arguments(device, format))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            match command.spawn() {
                Ok(mut child) => {
                    let sound = child
                        .stdout
                        .take()
                        .ok_or_else(|| Failure::new("UAT_INTERNAL", "a recorder without output"))?;
                    return Ok(Self { recorder, child, sound });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Failure::new("UAT_STORAGE", format!("cannot run {recorder}: {error}")));
                }
            }
        }
        let names = RECORDERS.map(|(name, _)| name).join(" and ");
        Err(Failure::new("UAT_NOT_FOUND", format!("nothing records here: looked for {names}")).hint(
            "apt install alsa-utils, or give the sound by standard input: uat listen - --pcm-rate 16000",
        ))
    }

    pub(super) fn recorder(&self) -> &'static str {
        self.recorder
    }

    pub(super) fn sound(&mut self) -> &mut ChildStdout {
        &mut self.sound
    }

    /// It ended by itself: where that was for want of a microphone, it has said so on standard error.
    pub(super) async fn ended(mut self) -> Result<(), Failure> {
        let status = self.child.wait().await?;
        if status.success() {
            return Ok(());
        }
        let ended = format!("{} ended: {status}", self.recorder);
        Err(Failure::new("UAT_UPSTREAM", ended).hint("another --device NAME; arecord -L lists them"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_is_told_the_format_and_the_device() {
        let format = PcmFormat { sample_rate: 16_000, channels: 1 };
        assert_eq!(arecord(Some("hw:1"), format).join(" "), "-q -t raw -f S16_LE -r16000 -c1 -Dhw:1");
        let told = parec(None, format).join(" ");
        assert_eq!(told, "--raw --format=s16le --latency-msec=20 --rate=16000 --channels=1");
    }
}
