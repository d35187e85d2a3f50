//! The UDP socket of all browsers, and the task that owns it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::webrtc_audio::{Datagram, Happened, PeerId, Peers};
use runtime::{RuntimeError, WebRtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::speaker::Speaker;
use crate::error::ApiError;
use crate::traffic::Traffic;

/// Requests that wait for the task; more wait for a place.
const WAITING: usize = 64;
/// The longest datagram: of Ethernet, and then some.
const DATAGRAM: usize = 2_048;
/// Datagrams that are taken before requests get their turn.
const AT_ONCE: usize = 64;
/// How often is looked whether a key was revoked.
const LOOK: Duration = Duration::from_millis(250);
/// A socket that fails is asked again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// What is asked of the task.
enum Ask {
    Offer { offer: String, speaker: Box<Speaker>, reply: oneshot::Sender<Result<String, ApiError>> },
    Close { id: String, caller: Option<Arc<str>>, reply: oneshot::Sender<bool> },
}

/// The way to the task.
pub(crate) struct Port {
    asks: mpsc::Sender<Ask>,
    news: Arc<Notify>,
}

impl Port {
    /// Opens the socket; the future is the task, which ends when `shutdown` is cancelled.
    ///
    /// # Errors
    /// The address is taken or not of this machine.
    pub(crate) async fn open(
        config: &WebRtcConfig,
        traffic: Arc<Traffic>,
        shutdown: CancellationToken,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("voice.webrtc.udp: cannot listen on {}: {error}", config.udp),
            )
        };
        let socket = UdpSocket::bind(config.udp).await.map_err(named)?;
        let bound = socket.local_addr()?;
        let peers = Peers::new(config.options(bound)).map_err(io::Error::other)?;
        let (asks, asked) = mpsc::channel(WAITING);
        let news = Arc::new(Notify::new());
        let task = Task {
            socket,
            is_ipv6: bound.is_ipv6(),
            peers,
            speakers: HashMap::new(),
            by_id: HashMap::new(),
            news: Arc::clone(&news),
            traffic,
        };
        Ok((Self { asks, news }, task.run(asked, shutdown)))
    }

    /// Tells the task that something has come of a speaker.
    pub(super) fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    /// Takes an offer; the answer.
    pub(super) async fn offer(&self, offer: String, speaker: Speaker) -> Result<String, ApiError> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Offer { offer, speaker: Box::new(speaker), reply };
        // Either fails where the server is about to end.
        self.asks.send(ask).await.map_err(|_| RuntimeError::Closed)?;
        answer.await.map_err(|_| RuntimeError::Closed)?
    }

    /// Ends a session of this caller. Whether there was one.
    pub(super) async fn close(&self, id: &str, caller: Option<Arc<str>>) -> bool {
        let (reply, answer) = oneshot::channel();
        let asked = self.asks.send(Ask::Close { id: id.to_owned(), caller, reply }).await;
        asked.is_ok() && answer.await.unwrap_or(false)
    }
}

/// A speaker, counted for as long as there is one.
struct Counted {
    speaker: Speaker,
    traffic: Arc<Traffic>,
}

impl Counted {
    fn new(speaker: Speaker, traffic: &Arc<Traffic>) -> Self {
        traffic.speaker_came();
        Self { speaker, traffic: Arc::clone(traffic) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.traffic.speaker_left();
    }
}

struct Task {
    socket: UdpSocket,
    is_ipv6: bool,
    peers: Peers,
    speakers: HashMap<PeerId, Counted>,
    by_id: HashMap<Arc<str>, PeerId>,
    news: Arc<Notify>,
    traffic: Arc<Traffic>,
}

impl Task {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>, shutdown: CancellationToken) {
        let mut buffer = vec![0; DATAGRAM];
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.peers.due().map(tokio::time::Instant::from_std);
            let news = Arc::clone(&self.news);
            tokio::select! {
                () = shutdown.cancelled() => break,
                ask = asks.recv() => match ask {
                    Some(ask) => self.answer(ask),
                    None => break,
                },
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.receive(length, from, &mut buffer),
                    Err(error) => {
                        tracing::debug!(%error, "the UDP socket of WebRTC failed");
                        sleep(PAUSE).await;
                    }
                },
                () = until(due) => self.peers.tick(Instant::now()),
                () = news.notified() => self.tell(),
                _ = look.tick(), if !self.speakers.is_empty() => self.end_revoked(),
            }
            self.settle();
        }
        // Who speaks is told that the server ends.
        let now = Instant::now();
        for peer in self.by_id.values() {
            self.peers.close(*peer, now);
        }
        self.settle();
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Offer { offer, speaker, reply } => {
                // Who asked and has gone will not connect, and is forgotten.
                let _ = reply.send(self.take(&offer, *speaker));
            }
            Ask::Close { id, caller, reply } => {
                let peer = self.by_id.get(id.as_str()).copied();
                let is_theirs = |peer: &PeerId| {
                    self.speakers.get(peer).is_some_and(|counted| counted.speaker.is_of(caller.as_ref()))
                };
                let peer = peer.filter(is_theirs);
                if let Some(peer) = peer {
                    self.close(peer);
                }
                // Who has gone does not want to know.
                let _ = reply.send(peer.is_some());
            }
        }
    }

    fn take(&mut self, offer: &str, mut speaker: Speaker) -> Result<String, ApiError> {
        let now = Instant::now();
        let accepted = self.peers.offer(offer, now)?;
        self.peers.tell(accepted.peer, speaker.created(), now);
        self.by_id.insert(Arc::clone(speaker.id()), accepted.peer);
        self.speakers.insert(accepted.peer, Counted::new(speaker, &self.traffic));
        Ok(accepted.answer)
    }

    /// Takes a datagram, and those that wait behind it.
    fn receive(&mut self, length: usize, from: SocketAddr, buffer: &mut [u8]) {
        let (mut length, mut from) = (length, from);
        for left in (0..AT_ONCE).rev() {
            let sender = SocketAddr::new(from.ip().to_canonical(), from.port());
            self.peers.receive(sender, &buffer[..length], Instant::now());
            if left == 0 {
                return;
            }
            // Whatever is wrong with the socket is seen when it is waited for.
            let Ok(next) = self.socket.try_recv_from(buffer) else { return };
            (length, from) = next;
        }
    }

    /// Tells what threads have heard meanwhile.
    fn tell(&mut self) {
        let now = Instant::now();
        for (peer, counted) in &mut self.speakers {
            for event in counted.speaker.events() {
                self.peers.tell(*peer, event, now);
            }
        }
    }

    /// Carries out what has happened, until nothing more comes of it.
    fn settle(&mut self) {
        let now = Instant::now();
        while let Some(happened) = self.peers.happened() {
            self.carry_out(happened, now);
        }
    }

    fn carry_out(&mut self, happened: Happened, now: Instant) {
        match happened {
            Happened::Send(datagram) => self.send(&datagram),
            Happened::Connected(peer) => tracing::debug!(?peer, "a browser speaks"),
            Happened::Heard { peer, samples, .. } => {
                let Some(counted) = self.speakers.get_mut(&peer) else { return };
                let heard = counted.speaker.hear(&samples);
                for event in counted.speaker.events() {
                    self.peers.tell(peer, event, now);
                }
                if let Err(last) = heard {
                    self.peers.tell(peer, last, now);
                    self.close(peer);
                }
            }
            Happened::Ended { peer, why } => {
                tracing::debug!(?peer, %why, "a browser is not heard any more");
                self.forget(peer);
            }
        }
    }

    /// What does not fit into the socket is lost, as on any network.
    fn send(&self, datagram: &Datagram) {
        let to = match datagram.to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => SocketAddr::new(ip.to_ipv6_mapped().into(), datagram.to.port()),
            _ => datagram.to,
        };
        if let Err(error) = self.socket.try_send_to(&datagram.bytes, to) {
            tracing::debug!(%error, "a datagram was not sent");
        }
    }

    fn end_revoked(&mut self) {
        let now = Instant::now();
        let revoked = self.speakers.iter_mut().filter(|(_, counted)| counted.speaker.is_revoked());
        let revoked: Vec<_> = revoked
            .map(|(peer, counted)| {
                (*peer, counted.speaker.failure("UAT_UNAUTHORIZED", &RuntimeError::KeyRevoked.to_string()))
            })
            .collect();
        for (peer, last) in revoked {
            self.peers.tell(peer, last, now);
            self.close(peer);
        }
    }

    fn close(&mut self, peer: PeerId) {
        self.peers.close(peer, Instant::now());
        self.forget(peer);
    }

    fn forget(&mut self, peer: PeerId) {
        if let Some(counted) = self.speakers.remove(&peer) {
            self.by_id.remove(counted.speaker.id());
        }
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
