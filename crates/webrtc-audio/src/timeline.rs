//! Packets on one clock: which are played when, and what stands in for those that are missing. Pure.
//!
//! Sample 0 is the beginning of the first packet, and sample `n` is what sounded `n` / 16,000 s after it, whatever was lost, came late,
//! came twice or was never sent because nobody spoke (DTX). RTP's timestamps say where a packet belongs. They are believed as long as they
//! do not run ahead of the time that really passed: who sends faster than real time is not played faster.
//!
//! A buffer for conversations trades words for delay. This one waits longer, because a word that was dropped is worse here than
//! one that comes some tenths of a second later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::SAMPLE_RATE;

/// Opus' timestamps count in samples of 48 kHz (RFC 7587, section 4.1).
const TICKS: i32 = 3;
/// How long a packet that is ahead waits for those before it: more than networks reorder, less than a listener notices.
const REORDER: Duration = Duration::from_millis(100);
/// Packets that wait: a second of the usual 20 ms.
const MOST_HELD: usize = 50;
/// How far timestamps may be ahead of the time that passed, in samples: after a network has stalled, packets come all at once.
const LEAD: u64 = 5 * SAMPLE_RATE as u64;
/// A timestamp further back than this, in samples, of a packet that is no older than others, begins a new count.
const BACK: i64 = SAMPLE_RATE as i64;
/// How late a packet may come before silence stands in for it: the sender's last word was that nobody speaks ...
const PAUSE: u64 = samples(100);
/// ... or it was not, and the network may have stalled.
const STALL: u64 = samples(1_000);
/// Silence is given out in steps of this many samples, as speech is looked for.
const STEP: u64 = samples(32);
/// Of a gap so much is given out at once, in samples.
const MOST_AT_ONCE: u64 = SAMPLE_RATE as u64;
/// Gaps up to this many samples may be concealed: six of the usual packets. Longer ones are silence.
const CONCEALED: u64 = samples(120);
/// A packet of at most so many bytes holds no audio: Opus says so that it stops sending (RFC 6716, section 2.1.9).
const NO_AUDIO: usize = 2;

const fn samples(ms: u64) -> u64 {
    ms * SAMPLE_RATE as u64 / 1000
}

/// A packet as it came.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) source: u32,
    pub(crate) number: u16,
    pub(crate) timestamp: u32,
    /// How much it holds, in samples of 16 kHz; above 0.
    pub(crate) length: u64,
    pub(crate) payload: Arc<[u8]>,
}

/// What comes next on the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A packet, without so many of its first samples: their time has passed.
    Packet { payload: Arc<[u8]>, length: u64, skip: u64 },
    /// So many samples were lost before the packet `next`, which may know something of them.
    Lost { length: u64, next: Arc<[u8]>, next_length: u64 },
    /// So many samples of silence.
    Silence(u64),
}

impl Piece {
    /// How far the clock goes on, in samples.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Packet { length, skip, .. } => length - skip,
            Self::Lost { length, .. } | Self::Silence(length) => *length,
        }
    }
}

#[derive(Debug)]
struct Held {
    /// Its first sample.
    at: u64,
    length: u64,
    payload: Arc<[u8]>,
    came: Instant,
}

/// The newest packet: numbers and timestamps are told from it.
#[derive(Debug, Clone, Copy)]
struct Newest {
    source: u32,
    number: u16,
    /// The number, counted on beyond 65,535.
    count: i64,
    timestamp: u32,
    at: u64,
}

/// How far the clock may have come: so many samples at that time.
#[derive(Debug, Clone, Copy)]
struct Passed {
    samples: u64,
    at: Instant,
}

impl Passed {
    fn by(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let passed = passed * u128::from(SAMPLE_RATE) / 1_000_000_000;
        self.samples.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn when(&self, samples: u64) -> Instant {
        let ahead = samples.saturating_sub(self.samples);
        // A nanosecond more, so that the samples have passed by then.
        let nanos = ahead.saturating_mul(1_000_000_000) / u64::from(SAMPLE_RATE) + 1;
        self.at + Duration::from_nanos(nanos)
    }
}

/// The clock of a signal.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Samples given out.
    next: u64,
    /// The packet that follows what was given out.
    next_count: i64,
    newest: Option<Newest>,
    passed: Option<Passed>,
    held: BTreeMap<i64, Held>,
    /// The last packet given out said that nobody speaks.
    paused: bool,
    /// Packets that came too late, twice or out of all order.
    pub(crate) dropped: u64,
}

impl Timeline {
    /// Samples given out so far.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// Takes a packet.
    pub(crate) fn push(&mut self, packet: Packet, now: Instant) {
        let Packet { source, number, timestamp, length, payload } = packet;
        let Some(newest) = self.newest else {
            self.newest = Some(Newest { source, number, count: 0, timestamp, at: self.next });
            self.passed = Some(Passed { samples: self.next + length, at: now });
            self.next_count = 0;
            self.held.insert(0, Held { at: self.next, length, payload, came: now });
            return;
        };
        // Both are differences modulo their width, which may be negative.
        let (ahead, ticks) = (
            number.wrapping_sub(newest.number).cast_signed(),
            timestamp.wrapping_sub(newest.timestamp).cast_signed(),
        );
        let is_other = source != newest.source;
        let count = if is_other { newest.count + 1 } else { newest.count + i64::from(ahead) };
        let at = i64::try_from(newest.at).unwrap_or(i64::MAX).saturating_add(i64::from(ticks / TICKS));
        if count <= newest.count {
            self.older(count, at, newest, Held { at: 0, length, payload, came: now });
            return;
        }
        let passed = self.passed.map_or(self.next, |passed| passed.by(now));
        let end = self.held.last_key_value().map_or(self.next, |(_, last)| last.at + last.length);
        let goes_back = at.saturating_add(BACK) < i64::try_from(self.next).unwrap_or(i64::MAX);
        let at = match u64::try_from(at) {
            Ok(at) if !is_other && !goes_back && at <= passed.saturating_add(LEAD) => at,
            // A new count: it goes on where the clock is.
            _ => end.max(passed),
        };
        self.newest = Some(Newest { source, number, count, timestamp, at });
        if at > passed.saturating_add(LEAD) {
            self.dropped += 1;
            return;
        }
        if passed > at + length {
            self.passed = Some(Passed { samples: at + length, at: now });
        }
        self.held.insert(count, Held { at, length, payload, came: now });
    }

    /// Takes a packet that was sent before the newest.
    fn older(&mut self, count: i64, at: i64, newest: Newest, held: Held) {
        let is_wanted = u64::try_from(at).is_ok_and(|at| at + held.length > self.next && at <= newest.at)
            && count >= self.next_count
            && !self.held.contains_key(&count);
        match u64::try_from(at) {
            Ok(at) if is_wanted => {
                self.held.insert(count, Held { at, ..held });
            }
            _ => self.dropped += 1,
        }
    }

    /// What comes next, if that can be told yet.
    pub(crate) fn pull(&mut self, now: Instant) -> Option<Piece> {
        loop {
            let Some((&count, first)) = self.held.first_key_value() else { return self.silence(now) };
            let in_order = count == self.next_count;
            let is_ripe = in_order || now >= first.came + REORDER || self.held.len() > MOST_HELD;
            if !is_ripe {
                return None;
            }
            if first.at > self.next {
                let missing = first.at - self.next;
                let lost = !in_order && missing <= CONCEALED;
                let piece = match lost {
                    true => Piece::Lost {
                        length: missing,
                        next: Arc::clone(&first.payload),
                        next_length: first.length,
                    },
                    false => Piece::Silence(missing.min(MOST_AT_ONCE)),
                };
                self.next += piece.length();
                return Some(piece);
            }
            let (count, first) = self.held.pop_first()?;
            self.next_count = count + 1;
            self.paused = first.payload.len() <= NO_AUDIO;
            let skip = self.next - first.at;
            if skip >= first.length {
                self.dropped += 1;
                continue;
            }
            let piece = Piece::Packet { payload: first.payload, length: first.length, skip };
            self.next += piece.length();
            return Some(piece);
        }
    }

    /// When [`Self::pull`] may give something without another packet.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.held.first_key_value() {
            Some((&count, first)) if count != self.next_count => Some(first.came + REORDER),
            Some((_, first)) => Some(first.came),
            None => Some(self.passed?.when(self.next + self.patience() + STEP)),
        }
    }

    /// Where nothing comes, time goes on.
    fn silence(&mut self, now: Instant) -> Option<Piece> {
        let passed = self.passed?.by(now).saturating_sub(self.patience());
        let length = passed.saturating_sub(self.next) / STEP * STEP;
        if length == 0 {
            return None;
        }
        let piece = Piece::Silence(length.min(MOST_AT_ONCE));
        self.next += piece.length();
        Some(piece)
    }

    fn patience(&self) -> u64 {
        if self.paused { PAUSE } else { STALL }
    }
}

#[cfg(test)]
mod tests;
