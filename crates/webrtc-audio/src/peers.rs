//! All peers at one port: whose datagram is whose, who has to be looked at when, and how many there may be.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, RtcConfig, crypto};

use crate::session::{News, Patience, Session};
use crate::{CannotStart, Ended, OfferError, offer};

/// Addresses from which a peer is heard: its networks, each with its NAT.
const MOST_ADDRESSES: usize = 8;
/// What of a peer's messages str0m keeps until they are acknowledged, in bytes.
const CHANNEL_BUFFER: usize = 256 << 10;
/// Nobody is looked at more often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// How peers are heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where browsers find us: the addresses of the socket as they see them, at least one.
    pub addresses: Vec<SocketAddr>,
    /// So many peers at a time.
    pub sessions: usize,
    /// Who has not connected within this is forgotten.
    pub connect_within: Duration,
    /// Of whom nothing came for this long is gone.
    pub gone_after: Duration,
}

impl Options {
    /// The usual limits: 64 sessions, 15 s to connect, and as long without a sign of life. Browsers show one every few seconds.
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        let quarter = Duration::from_secs(15);
        Self { addresses, sessions: 64, connect_within: quarter, gone_after: quarter }
    }
}

/// A peer, of these [`Peers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

/// An offer that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The new peer.
    pub peer: PeerId,
    /// What the browser is told: SDP.
    pub answer: String,
    /// Whether the browser offers a data channel: what is told needs one.
    pub has_channel: bool,
}

/// What is to be sent from the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// What has come of peers.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// Something is to be sent.
    Send(Datagram),
    /// A peer is there.
    Connected(PeerId),
    /// A peer was heard.
    Heard {
        /// Who.
        peer: PeerId,
        /// The number of the first sample, counted from the first packet.
        at: u64,
        /// 16 kHz mono.
        samples: Vec<f32>,
    },
    /// A session ended by itself.
    Ended {
        /// Whose.
        peer: PeerId,
        /// Why.
        why: Ended,
    },
}

#[derive(Debug)]
struct Entry {
    session: Session,
    /// The name by which its datagrams ask for it (ICE's `ufrag`).
    name: String,
    addresses: VecDeque<SocketAddr>,
    due: Instant,
}

/// The peers at one port.
#[derive(Debug)]
pub struct Peers {
    options: Options,
    config: RtcConfig,
    candidates: Vec<Candidate>,
    entries: HashMap<PeerId, Entry>,
    by_name: HashMap<String, PeerId>,
    by_address: HashMap<SocketAddr, PeerId>,
    due: BTreeSet<(Instant, PeerId)>,
    happened: VecDeque<Happened>,
    next: u64,
    strangers: u64,
}

impl Peers {
    /// Nobody yet.
    ///
    /// # Errors
    /// An address at which nobody can be found, or none; no certificate can be made.
    pub fn new(options: Options) -> Result<Self, CannotStart> {
        let candidates = options.addresses.iter().map(|address| {
            Candidate::host(*address, Protocol::Udp)
                .map_err(|error| CannotStart { reason: format!("{address}: {error}") })
        });
        let candidates: Vec<Candidate> = candidates.collect::<Result<_, _>>()?;
        if candidates.is_empty() {
            return Err(CannotStart { reason: "expected an address to be found at, got none".to_owned() });
        }
        let provider = crypto::from_feature_flags();
        // One for all: making one takes milliseconds.
        let certificate = provider.dtls_provider.generate_certificate();
        let certificate =
            certificate.ok_or_else(|| CannotStart { reason: "no certificate can be made".to_owned() })?;
        let config = RtcConfig::new()
            .set_crypto_provider(std::sync::Arc::new(provider))
            .set_dtls_cert(certificate)
            .set_ice_lite(true)
            .clear_codecs()
            .enable_opus(true, false)
            .set_rtp_mode(true)
            .set_sctp_max_buffered_amount(CHANNEL_BUFFER);
        Ok(Self {
            options,
            config,
            candidates,
            entries: HashMap::new(),
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            due: BTreeSet::new(),
            happened: VecDeque::new(),
            next: 0,
            strangers: 0,
        })
    }

    /// Takes an SDP offer.
    ///
    /// # Errors
    /// What is wrong with it, or that there is no room.
    pub fn offer(&mut self, sdp: &str, now: Instant) -> Result<Accepted, OfferError> {
        let offer = offer::check(sdp)?;
        let most = self.options.sessions;
        if self.entries.len() >= most {
            return Err(OfferError::Full { most });
        }
        let Options { connect_within, gone_after, .. } = self.options;
        let patience = Patience { connect_within, gone_after };
        let (session, answer, name) =
            Session::begin(self.config.clone(), &self.candidates, &offer, patience, now)?;
        let peer = PeerId(self.next);
        self.next += 1;
        self.by_name.insert(name.clone(), peer);
        self.due.insert((now, peer));
        self.entries.insert(peer, Entry { session, name, addresses: VecDeque::new(), due: now });
        self.drive(peer, now);
        match self.happened.back() {
            Some(Happened::Ended { peer: ended, why }) if *ended == peer => {
                let reason = why.to_string();
                self.happened.pop_back();
                Err(OfferError::Refused { reason })
            }
            _ => Ok(Accepted { peer, answer, has_channel: offer.has_channel }),
        }
    }

    /// Takes a datagram of the socket.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let at = self.options.addresses.iter().find(|address| address.is_ipv4() == from.is_ipv4());
        // A bug in reading what others wrote must not end the process.
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            at.and_then(|at| Receive::new(Protocol::Udp, from, *at, bytes).ok())
        }));
        let (Ok(Some(receive)), Some((peer, is_request))) = (parsed, self.whose(from, bytes)) else {
            self.strangers += 1;
            return;
        };
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        let input = Input::Receive(now, receive);
        if !entry.session.accepts(&input) {
            self.strangers += 1;
            return;
        }
        let Input::Receive(_, receive) = input else { return };
        if let Err(why) = entry.session.receive(receive, is_request, now) {
            return self.end(peer, why);
        }
        if is_request {
            self.remember(peer, from);
        }
        self.drive(peer, now);
    }

    /// Whose a datagram is, and whether it is a request that names its session. Others are known by where they come from.
    fn whose(&self, from: SocketAddr, bytes: &[u8]) -> Option<(PeerId, bool)> {
        // STUN begins with two zero bits (RFC 7983).
        if bytes.first().is_none_or(|first| *first >= 4) {
            return self.by_address.get(&from).map(|peer| (*peer, false));
        }
        let named = catch_unwind(AssertUnwindSafe(|| {
            let message = StunMessage::parse(bytes).ok()?;
            let (name, _) = message.split_username().filter(|_| message.is_binding_request())?;
            self.by_name.get(name).copied()
        }));
        named.ok().flatten().map(|peer| (peer, true))
    }

    fn remember(&mut self, peer: PeerId, from: SocketAddr) {
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        if self.by_address.insert(from, peer) == Some(peer) {
            return;
        }
        entry.addresses.push_back(from);
        if entry.addresses.len() > MOST_ADDRESSES
            && let Some(oldest) = entry.addresses.pop_front()
            && self.by_address.get(&oldest) == Some(&peer)
        {
            self.by_address.remove(&oldest);
        }
    }

    /// Lets time pass: to be called at [`Self::due`].
    pub fn tick(&mut self, now: Instant) {
        while let Some(&(due, peer)) = self.due.first()
            && due <= now
        {
            let ticked = match self.entries.get_mut(&peer) {
                Some(entry) => entry.session.tick(now),
                None => Ok(()),
            };
            match ticked {
                Ok(()) => self.drive(peer, now),
                Err(why) => self.end(peer, why),
            }
        }
    }

    /// When somebody has to be looked at.
    pub fn due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Tells a peer something, as text on its data channel; in order, once the channel is open. Nothing happens to a peer that is not there any more.
    pub fn tell(&mut self, peer: PeerId, message: String, now: Instant) {
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        match entry.session.tell(message) {
            Ok(()) => self.drive(peer, now),
            Err(why) => self.end(peer, why),
        }
    }

    /// Ends a session, and says goodbye. Nothing more happens to it. Whether there was one.
    pub fn close(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(mut entry) = self.remove(peer) else { return false };
        entry.session.close();
        let mut news = News::default();
        // It ends either way.
        let _ = entry.session.drive(&mut news, now);
        self.send(news.send);
        true
    }

    /// What has happened next. To be asked after each call until there is nothing more.
    pub fn happened(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// How many peers there are, connected or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Datagrams so far that were nobody's.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    fn drive(&mut self, peer: PeerId, now: Instant) {
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        let at = entry.session.position();
        let mut news = News::default();
        let driven = entry.session.drive(&mut news, now);
        let due = driven.as_ref().map_or(now, |due| (*due).max(now + SHORTEST_PAUSE));
        self.due.remove(&(entry.due, peer));
        self.due.insert((due, peer));
        entry.due = due;
        self.send(news.send);
        if news.connected {
            self.happened.push_back(Happened::Connected(peer));
        }
        if !news.samples.is_empty() {
            self.happened.push_back(Happened::Heard { peer, at, samples: news.samples });
        }
        if let Err(why) = driven {
            self.end(peer, why);
        }
    }

    fn send(&mut self, transmits: Vec<str0m::net::Transmit>) {
        let datagrams = transmits.into_iter().map(|transmit| {
            Happened::Send(Datagram { to: transmit.destination, bytes: transmit.contents.into() })
        });
        self.happened.extend(datagrams);
    }

    fn end(&mut self, peer: PeerId, why: Ended) {
        if self.remove(peer).is_some() {
            self.happened.push_back(Happened::Ended { peer, why });
        }
    }

    fn remove(&mut self, peer: PeerId) -> Option<Entry> {
        let entry = self.entries.remove(&peer)?;
        self.by_name.remove(&entry.name);
        self.due.remove(&(entry.due, peer));
        for address in &entry.addresses {
            if self.by_address.get(address) == Some(&peer) {
                self.by_address.remove(address);
            }
        }
        Some(entry)
    }
}
