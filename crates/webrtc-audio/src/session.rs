//! One peer: its connection, its clock, and what it is to be told.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::media::{MediaKind, Mid};
use str0m::net::{Receive, Transmit};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig, RtcError};

use crate::offer::Offer;
use crate::opus::Opus;
use crate::timeline::{Packet, Timeline};
use crate::{Ended, OfferError};

/// Messages that wait for a data channel: some minutes of what is told of speech.
const MOST_WAITING: usize = 256;
/// And their bytes.
const MOST_WAITING_BYTES: usize = 256 << 10;

/// How long a peer may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect_within: Duration,
    pub(crate) gone_after: Duration,
}

/// What has come of a peer since it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) send: Vec<Transmit>,
    pub(crate) samples: Vec<f32>,
    pub(crate) connected: bool,
}

pub(crate) struct Session {
    rtc: Rtc,
    opus: Opus,
    timeline: Timeline,
    /// The track that is heard: the first.
    audio: Option<Mid>,
    channel: Option<ChannelId>,
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    connected: bool,
    /// When the peer last showed that it is there; before it is connected, when it began.
    alive: Instant,
    patience: Patience,
}

impl Session {
    /// Takes an offer. Gives the answer, too, and the name by which the peer's datagrams ask for the session.
    pub(crate) fn begin(
        config: RtcConfig,
        candidates: &[Candidate],
        offer: &Offer,
        patience: Patience,
        now: Instant,
    ) -> Result<(Self, String, String), OfferError> {
        let refused = |reason: String| OfferError::Refused { reason: reason.chars().take(200).collect() };
        let make = || -> Result<(Rtc, String, String), String> {
            let parsed = SdpOffer::from_sdp_string(&offer.text).map_err(|error| error.to_string())?;
            let mut rtc = config.build(now);
            for candidate in candidates {
                rtc.add_local_candidate(candidate.clone());
            }
            let answer = rtc.sdp_api().accept_offer(parsed).map_err(|error| error.to_string())?;
            let name = rtc.direct_api().local_ice_credentials().ufrag;
            Ok((rtc, answer.to_sdp_string(), name))
        };
        // A bug in reading what others wrote must not end the process.
        let made = catch_unwind(AssertUnwindSafe(make));
        let (rtc, answer, name) = made
            .unwrap_or_else(|_| Err("it makes no sense in a way that nobody foresaw".to_owned()))
            .map_err(refused)?;
        let opus = Opus::new().ok_or_else(|| refused("there is no memory for a decoder".to_owned()))?;
        let session = Self {
            rtc,
            opus,
            timeline: Timeline::default(),
            audio: None,
            channel: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            connected: false,
            alive: now,
            patience,
        };
        Ok((session, answer, name))
    }

    /// Whether a datagram is of this peer.
    pub(crate) fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.accepts(input)
    }

    /// Takes a datagram that [`Self::accepts`]; `proves` says that only the peer can have sent it.
    pub(crate) fn receive(&mut self, receive: Receive<'_>, proves: bool, now: Instant) -> Result<(), Ended> {
        if proves && self.connected {
            self.alive = now;
        }
        // What makes no sense is dropped: anybody can send such a thing in another's name.
        guarded(|| Ok(self.rtc.handle_input(Input::Receive(now, receive)))).map(drop)
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Ended> {
        guarded(|| self.rtc.handle_input(Input::Timeout(now)).map_err(broken))
    }

    /// Has something told.
    pub(crate) fn tell(&mut self, message: String) -> Result<(), Ended> {
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
        if self.waiting.len() > MOST_WAITING || self.waiting_bytes > MOST_WAITING_BYTES {
            return Err(Ended::Unread { waiting: self.waiting.len() });
        }
        Ok(())
    }

    /// Says goodbye; what is to be sent comes with [`Self::drive`].
    pub(crate) fn close(&mut self) {
        // Who cannot be told will see it by itself.
        let _ = guarded(|| self.rtc.close().map_err(broken));
    }

    /// What has come of the peer, and when it has to be looked at again.
    pub(crate) fn drive(&mut self, news: &mut News, now: Instant) -> Result<Instant, Ended> {
        let due = guarded(|| self.poll(news, now))?;
        while let Some(piece) = self.timeline.pull(now) {
            self.opus.play(&piece, &mut news.samples);
        }
        let (limit, why) = match self.connected {
            true => {
                let after = self.patience.gone_after;
                (self.alive + after, Ended::Vanished { after })
            }
            false => {
                let within = self.patience.connect_within;
                (self.alive + within, Ended::NeverConnected { within })
            }
        };
        if now >= limit {
            return Err(why);
        }
        let due = self.timeline.due().map_or(due, |heard| heard.min(due));
        Ok(due.min(limit))
    }

    /// How many samples were given so far.
    pub(crate) fn position(&self) -> u64 {
        self.timeline.position()
    }

    fn poll(&mut self, news: &mut News, now: Instant) -> Result<Instant, Ended> {
        loop {
            match self.rtc.poll_output().map_err(broken)? {
                Output::Transmit(transmit) => news.send.push(transmit),
                Output::Event(event) => self.happened(event, news, now)?,
                Output::Timeout(_) if !self.rtc.is_alive() => return Err(Ended::Left),
                // After each message there may be more to send.
                Output::Timeout(due) if !self.say()? => return Ok(due),
                Output::Timeout(_) => {}
            }
        }
    }

    fn happened(&mut self, event: Event, news: &mut News, now: Instant) -> Result<(), Ended> {
        match event {
            Event::Connected => {
                (self.connected, self.alive) = (true, now);
                news.connected = true;
            }
            Event::MediaAdded(media) if media.kind == MediaKind::Audio => {
                self.audio.get_or_insert(media.mid);
            }
            Event::RtpPacket(packet) => {
                self.alive = now;
                self.hear(&packet, now);
            }
            Event::ChannelOpen(channel, _) => {
                self.channel.get_or_insert(channel);
            }
            Event::ChannelClose(channel) => {
                self.channel.take_if(|open| *open == channel);
            }
            Event::Closed => return Err(Ended::Left),
            _ => {}
        }
        Ok(())
    }

    fn hear(&mut self, packet: &RtpPacket, now: Instant) {
        let header = &packet.header;
        let track = self.rtc.direct_api().stream_rx(&header.ssrc).map(|stream| stream.mid());
        if track.is_none() || track != self.audio {
            return;
        }
        // What is no Opus is as good as lost.
        let Some(length) = Opus::length(&packet.payload) else { return };
        let packet = Packet {
            source: *header.ssrc,
            number: header.sequence_number,
            timestamp: header.timestamp,
            length,
            payload: packet.payload.clone(),
        };
        self.timeline.push(packet, now);
    }

    /// Says the next that waits, if it can be.
    fn say(&mut self) -> Result<bool, Ended> {
        let (Some(id), Some(message)) = (self.channel, self.waiting.front()) else { return Ok(false) };
        let Some(mut channel) = self.rtc.channel(id) else { return Ok(false) };
        let said = channel.write(false, message.as_bytes()).map_err(broken)?;
        if said {
            self.waiting_bytes -= message.len();
            self.waiting.pop_front();
        }
        Ok(said)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("connected", &self.connected).finish_non_exhaustive()
    }
}

fn broken(error: RtcError) -> Ended {
    Ended::Broken { reason: error.to_string().chars().take(200).collect() }
}

/// A bug in what reads other people's bytes ends their session, and not the process.
fn guarded<T>(act: impl FnOnce() -> Result<T, Ended>) -> Result<T, Ended> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
        Err(Ended::Broken { reason: "a message was not understood in a way that nobody foresaw".to_owned() })
    })
}
