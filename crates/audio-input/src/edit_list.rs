//! What of an MP4 file's audio is to be heard: encoders of AAC put a frame or two in front, and say so in the edit list.
//!
//! By hand because symphonia 0.6 reads edit lists and drops them. The boxes: ISO/IEC 14496-12, 8.6.6.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// The part of the audio's media that is played, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Played {
    /// Where in the media it begins.
    pub(crate) from_s: f64,
    /// How long it is, where that is told.
    pub(crate) lasts_s: Option<f64>,
}

/// Boxes inside boxes, and beside each other: more than any file has, few enough to be read at once.
const MOST_BOXES: usize = 10_000;
/// `moov`, `trak`, `mdia` or `edts`: what lies deeper holds no times.
const DEEPEST: u8 = 3;

#[derive(Default)]
struct Track {
    is_audio: bool,
    timescale: u32,
    edit: Option<(u64, u64)>,
}

/// The first audio track's edit; nothing of it where the file has none, or is damaged: whoever decodes it says so.
pub(crate) fn played(file: &mut (impl Read + Seek)) -> io::Result<Played> {
    let mut movie_timescale = 0;
    let mut tracks = Vec::new();
    let end = file.seek(SeekFrom::End(0))?;
    let walked = walk(file, 0..end, 0, &mut 0, &mut movie_timescale, &mut tracks);
    // A box that lies about its length ends the walk; what was found before it counts.
    if let Err(error) = walked
        && error.kind() != io::ErrorKind::UnexpectedEof
    {
        return Err(error);
    }
    let Some(Track { timescale, edit: Some((duration, from)), .. }) =
        tracks.iter().find(|track| track.is_audio)
    else {
        return Ok(Played::default());
    };
    let seconds = |ticks: u64, scale: u32| (scale > 0).then(|| ticks as f64 / f64::from(scale));
    Ok(Played {
        from_s: seconds(*from, *timescale).unwrap_or_default(),
        lasts_s: seconds(*duration, movie_timescale).filter(|lasts| *lasts > 0.0),
    })
}

fn walk(
    file: &mut (impl Read + Seek),
    within: Range<u64>,
    depth: u8,
    boxes: &mut usize,
    movie_timescale: &mut u32,
    tracks: &mut Vec<Track>,
) -> io::Result<()> {
    let Range { start: mut at, end } = within;
    while at < end && *boxes < MOST_BOXES {
        *boxes += 1;
        file.seek(SeekFrom::Start(at))?;
        let (length, kind) = (u64::from(number(file)?), bytes::<4>(file)?);
        let (length, header) = match length {
            0 => (end - at, 8),
            1 => (u64::from_be_bytes(bytes(file)?), 16),
            length => (length, 8),
        };
        let next = at.saturating_add(length);
        if length < header || next > end {
            return Ok(());
        }
        let content = at + header;
        match &kind {
            b"trak" => tracks.push(Track::default()),
            b"mvhd" => *movie_timescale = timescale(file)?,
            b"mdhd" | b"hdlr" | b"elst" => {
                if let Some(track) = tracks.last_mut() {
                    of_track(file, kind, track)?;
                }
            }
            _ => {}
        }
        if depth < DEEPEST && matches!(&kind, b"moov" | b"trak" | b"mdia" | b"edts") {
            walk(file, content..next, depth + 1, boxes, movie_timescale, tracks)?;
        }
        at = next;
    }
    Ok(())
}

fn of_track(file: &mut impl Read, kind: [u8; 4], track: &mut Track) -> io::Result<()> {
    match &kind {
        b"mdhd" => track.timescale = timescale(file)?,
        b"hdlr" => track.is_audio = bytes::<12>(file)?.ends_with(b"soun"),
        _ => {
            let [version, ..] = bytes::<4>(file)?;
            let edits = number(file)?;
            for _ in 0..edits.min(MOST_BOXES as u32) {
                let (duration, from) = if version == 1 {
                    (u64::from_be_bytes(bytes(file)?), i64::from_be_bytes(bytes(file)?))
                } else {
                    let duration = u64::from(number(file)?);
                    (duration, i64::from(i32::from_be_bytes(bytes(file)?)))
                };
                bytes::<4>(file)?;
                // A negative place is a pause before the first one.
                if let Ok(from) = u64::try_from(from) {
                    track.edit = Some((duration, from));
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Of `mvhd` and `mdhd`, which begin alike.
fn timescale(file: &mut impl Read) -> io::Result<u32> {
    let [version, ..] = bytes::<4>(file)?;
    if version == 1 {
        bytes::<16>(file)?;
    } else {
        bytes::<8>(file)?;
    }
    number(file)
}

fn number(file: &mut impl Read) -> io::Result<u32> {
    bytes(file).map(u32::from_be_bytes)
}

fn bytes<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
