//! A browser in memory, and the network between it and us: lossy as seeded, on a clock that is moved by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opusic_c::{Application, Bitrate, Channels, Encoder, InbandFec, SampleRate};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use webrtc_audio::{Accepted, Ended, Happened, OfferError, Options, PeerId, Peers};

/// Where we are.
pub(crate) const SERVER: &str = "192.0.2.1:5000";
/// Time goes on in such steps.
const STEP: Duration = Duration::from_millis(5);
/// A packet's worth of 48 kHz.
pub(crate) const FRAME: usize = 960;

/// What a network does to datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Network {
    /// Of a hundred, so many are lost,
    pub(crate) lost: u8,
    /// come twice,
    pub(crate) twice: u8,
    /// or come later than those behind them.
    pub(crate) late: u8,
    /// Nothing gets through.
    pub(crate) down: bool,
}

/// A browser that speaks.
pub(crate) struct Browser {
    pub(crate) rtc: Rtc,
    pub(crate) address: SocketAddr,
    pub(crate) mid: Mid,
    pub(crate) messages: Vec<String>,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) connected: bool,
    number: u64,
    timestamp: u32,
}

impl Browser {
    /// With an offer of a microphone and, mostly, a data channel.
    pub(crate) fn new(address: &str, with_channel: bool, now: Instant) -> (Self, String, SdpPendingOffer) {
        let address: SocketAddr = address.parse().unwrap();
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(std::sync::Arc::new(str0m::crypto::from_feature_flags()))
            .set_rtp_mode(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        if with_channel {
            changes.add_channel("events".to_owned());
        }
        let (offer, pending) = changes.apply().unwrap();
        let browser = Self {
            rtc,
            address,
            mid,
            messages: Vec::new(),
            channel: None,
            connected: false,
            number: 40_000,
            timestamp: u32::MAX - 48_000,
        };
        (browser, offer.to_sdp_string(), pending)
    }

    /// Sends a packet of `ticks` of 48 kHz; `sends` or only lets its time pass, as DTX does.
    pub(crate) fn speak(&mut self, payload: &[u8], ticks: u32, sends: bool, now: Instant) {
        let timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(ticks);
        if sends {
            self.send(timestamp, payload, now);
        }
    }

    /// Sends a packet with any timestamp.
    pub(crate) fn send(&mut self, timestamp: u32, payload: &[u8], now: Instant) {
        self.number += 1;
        let params = self.rtc.codec_config().params();
        let pt = params.iter().find(|params| params.spec().codec == Codec::Opus).unwrap().pt();
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(self.mid, None).unwrap();
        stream.write_rtp(RtpWrite::new(pt, self.number.into(), timestamp, now, payload));
    }
}

/// A datagram on its way: to a browser, or to us.
struct OnItsWay {
    to: SocketAddr,
    from: SocketAddr,
    bytes: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) peers: Peers,
    pub(crate) browsers: Vec<Browser>,
    pub(crate) network: Network,
    pub(crate) random: fastrand::Rng,
    pub(crate) heard: BTreeMap<PeerId, Vec<f32>>,
    pub(crate) ended: Vec<(PeerId, Ended)>,
    on_their_way: BTreeMap<(Instant, u64), OnItsWay>,
    nat: Vec<(SocketAddr, SocketAddr)>,
    count: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(Options::new(vec![SERVER.parse().unwrap()]), seed)
    }

    pub(crate) fn with(options: Options, seed: u64) -> Self {
        Self {
            now: Instant::now(),
            peers: Peers::new(options).unwrap(),
            browsers: Vec::new(),
            network: Network::default(),
            random: fastrand::Rng::with_seed(seed),
            heard: BTreeMap::new(),
            ended: Vec::new(),
            on_their_way: BTreeMap::new(),
            nat: Vec::new(),
            count: 0,
        }
    }

    /// A browser comes.
    pub(crate) fn comes(&mut self, address: &str) -> Result<Accepted, OfferError> {
        let (mut browser, offer, pending) = Browser::new(address, true, self.now);
        let accepted = self.peers.offer(&offer, self.now)?;
        let answer = SdpAnswer::from_sdp_string(&accepted.answer).unwrap();
        browser.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.browsers.push(browser);
        Ok(accepted)
    }

    /// A browser comes, and is there.
    pub(crate) fn connects(&mut self, address: &str) -> PeerId {
        let accepted = self.comes(address).unwrap();
        let browser = self.browsers.len() - 1;
        for _ in 0..2_000 {
            self.step();
            let browser = &self.browsers[browser];
            if browser.connected && browser.channel.is_some() {
                return accepted.peer;
            }
        }
        panic!("the browser did not connect: {:?}", self.ended);
    }

    /// So much time passes.
    pub(crate) fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// The first browser says this, in packets of 20 ms, one every 20 ms; `sends` says which.
    pub(crate) fn says(&mut self, packets: &[Vec<u8>], sends: impl Fn(usize) -> bool) {
        for (index, packet) in packets.iter().enumerate() {
            let now = self.now;
            self.browsers[0].speak(packet, FRAME as u32, sends(index), now);
            self.passes(Duration::from_millis(20));
        }
    }

    pub(crate) fn step(&mut self) {
        self.now += STEP;
        let later = self.on_their_way.split_off(&(self.now, u64::MAX));
        for datagram in std::mem::replace(&mut self.on_their_way, later).into_values() {
            self.arrives(&datagram);
        }
        if self.peers.due().is_some_and(|due| due <= self.now) {
            self.peers.tick(self.now);
        }
        self.collect();
        for index in 0..self.browsers.len() {
            self.browsers[index].rtc.handle_input(Input::Timeout(self.now)).unwrap();
            self.poll(index);
        }
    }

    /// What a browser has to send leaves it, without time passing.
    pub(crate) fn step_browser(&mut self, index: usize) {
        self.browsers[index].rtc.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll(index);
    }

    /// A browser is seen at another address from now on.
    pub(crate) fn moves(&mut self, index: usize, address: &str) {
        let seen = address.parse().unwrap();
        self.nat.push((self.browsers[index].address, seen));
    }

    fn arrives(&mut self, datagram: &OnItsWay) {
        let OnItsWay { to, from, bytes } = datagram;
        if to.to_string() == SERVER {
            let seen = self.nat.iter().find(|(inside, _)| inside == from).map_or(*from, |(_, seen)| *seen);
            self.peers.receive(seen, bytes, self.now);
            return self.collect();
        }
        let to = self.nat.iter().find(|(_, seen)| seen == to).map_or(to, |(inside, _)| inside);
        let Some(index) = self.browsers.iter().position(|browser| browser.address == *to) else { return };
        let receive = Receive::new(Protocol::Udp, *from, *to, bytes).unwrap();
        self.browsers[index].rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
        self.poll(index);
    }

    fn collect(&mut self) {
        while let Some(happened) = self.peers.happened() {
            match happened {
                Happened::Send(datagram) => {
                    self.sends(datagram.to, SERVER.parse().unwrap(), datagram.bytes);
                }
                Happened::Heard { peer, at, samples } => {
                    let heard = self.heard.entry(peer).or_default();
                    assert_eq!(heard.len() as u64, at, "samples are counted");
                    heard.extend(samples);
                }
                Happened::Ended { peer, why } => self.ended.push((peer, why)),
                Happened::Connected(_) => {}
            }
        }
    }

    fn poll(&mut self, index: usize) {
        loop {
            let browser = &mut self.browsers[index];
            match browser.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let from = browser.address;
                    self.sends(transmit.destination, from, transmit.contents.to_vec());
                }
                Output::Event(Event::Connected) => browser.connected = true,
                Output::Event(Event::ChannelOpen(id, _)) => browser.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => {
                    browser.messages.push(String::from_utf8(data.data).unwrap());
                }
                Output::Event(_) => {}
            }
        }
    }

    fn sends(&mut self, to: SocketAddr, from: SocketAddr, bytes: Vec<u8>) {
        let Network { lost, twice, late, down } = self.network;
        if down || self.random.u8(0..100) < lost {
            return;
        }
        let copies = if self.random.u8(0..100) < twice { 2 } else { 1 };
        for _ in 0..copies {
            let delay = if self.random.u8(0..100) < late { 60 } else { 10 };
            self.count += 1;
            let at = self.now + Duration::from_millis(delay);
            self.on_their_way.insert((at, self.count), OnItsWay { to, from, bytes: bytes.clone() });
        }
    }
}

/// Speech-like sound: a tone of changing pitch that comes and goes, at 48 kHz.
pub(crate) fn sound(seconds: f64) -> Vec<f32> {
    let mut phase = 0.0_f64;
    (0..(seconds * 48_000.0) as usize)
        .map(|n| {
            let t = n as f64 / 48_000.0;
            phase += std::f64::consts::TAU * (220.0 + 180.0 * (t * 2.3).sin()) / 48_000.0;
            let loudness = (t * 5.1).sin().max(0.05);
            ((phase.sin() + 0.4 * (2.0 * phase).sin()) * loudness * 0.4) as f32
        })
        .collect()
}

/// As a browser encodes it: 20 ms packets of 32 kbit/s with redundancy.
pub(crate) fn encode(sound: &[f32], dtx: bool) -> Vec<Vec<u8>> {
    encode_with(sound, dtx, true)
}

/// The same with redundancy or without.
pub(crate) fn encode_with(sound: &[f32], dtx: bool, redundant: bool) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz48000, Application::Voip).unwrap();
    encoder.set_bitrate(Bitrate::Value(32_000)).unwrap();
    encoder.set_inband_fec(if redundant { InbandFec::Mode1 } else { InbandFec::Off }).unwrap();
    encoder.set_packet_loss(10).unwrap();
    encoder.set_dtx(dtx).unwrap();
    sound
        .chunks_exact(FRAME)
        .map(|frame| {
            let mut packet = vec![0; 1_500];
            let length = encoder.encode_float_to_slice(frame, &mut packet).unwrap();
            packet.truncate(length);
            packet
        })
        .collect()
}
