//! The UDP socket of all browsers that speak, and the task that owns it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use webrtc_audio::{Datagram, Ended, Happened, OfferError, PeerId, Peers};

use crate::config::WebRtcConfig;

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

/// One that speaks: where its sound goes, and what it is told on its data channel. Dropped when it is not heard any more.
pub trait Speaker: Send + 'static {
    /// By which its session can be ended.
    fn id(&self) -> &Arc<str>;

    /// What it is told first, if anything.
    fn greeting(&mut self) -> Option<String>;

    /// Hears 16 kHz mono.
    ///
    /// # Errors
    /// Nobody can follow any more: what it is told last.
    fn hear(&mut self, samples: &[f32]) -> Result<(), String>;

    /// What has come of what was heard and was not told yet.
    fn events(&mut self) -> Vec<String>;

    /// Looked at four times a second: what it is told last, where it is to be heard no longer.
    fn dismissal(&mut self) -> Option<String>;

    /// Its session ended by itself.
    fn ended(&mut self, why: &Ended);
}

/// Why an offer is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// What is wrong with it, or that there is no room.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The port is about to end.
    #[error("nobody is heard any more: this ends")]
    Closed,
}

/// What is asked of the task.
enum Ask<S> {
    Offer { offer: String, speaker: Box<S>, reply: oneshot::Sender<Result<String, OfferError>> },
    Close { id: String, is_allowed: Box<dyn FnOnce(&S) -> bool + Send>, reply: oneshot::Sender<bool> },
}

/// The way to the task.
pub struct Port<S> {
    asks: mpsc::Sender<Ask<S>>,
    news: Arc<Notify>,
}

impl<S: Speaker> Port<S> {
    /// Opens the socket; the future is the task, which ends when `shutdown` is cancelled.
    ///
    /// # Errors
    /// The address is taken or not of this machine.
    pub async fn open(
        config: &WebRtcConfig,
        shutdown: CancellationToken,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<S>)> {
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
        };
        Ok((Self { asks, news }, task.run(asked, shutdown)))
    }

    /// Tells the task that something has come of a speaker.
    pub fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    /// Takes an offer; the answer.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn offer(&self, offer: String, speaker: S) -> Result<String, PortError> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Offer { offer, speaker: Box::new(speaker), reply };
        self.asks.send(ask).await.map_err(|_| PortError::Closed)?;
        Ok(answer.await.map_err(|_| PortError::Closed)??)
    }

    /// Ends a session, where whoever asks may. Whether there was such a one.
    pub async fn close(&self, id: &str, is_allowed: impl FnOnce(&S) -> bool + Send + 'static) -> bool {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Close { id: id.to_owned(), is_allowed: Box::new(is_allowed), reply };
        self.asks.send(ask).await.is_ok() && answer.await.unwrap_or(false)
    }
}

struct Task<S> {
    socket: UdpSocket,
    is_ipv6: bool,
    peers: Peers,
    speakers: HashMap<PeerId, S>,
    by_id: HashMap<Arc<str>, PeerId>,
    news: Arc<Notify>,
}

impl<S: Speaker> Task<S> {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask<S>>, shutdown: CancellationToken) {
        let mut buffer = vec![0; DATAGRAM];
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.peers.due().map(tokio::time::Instant::from_std);
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
                () = self.news.notified() => self.tell(),
                _ = look.tick(), if !self.speakers.is_empty() => self.dismiss(),
            }
            self.settle();
        }
        // Who speaks hears that this ends.
        let now = Instant::now();
        for peer in self.by_id.values() {
            self.peers.close(*peer, now);
        }
        self.settle();
    }

    fn answer(&mut self, ask: Ask<S>) {
        match ask {
            Ask::Offer { offer, speaker, reply } => {
                // Who asked and has gone will not connect, and is forgotten.
                let _ = reply.send(self.take(&offer, *speaker));
            }
            Ask::Close { id, is_allowed, reply } => {
                let peer = self.by_id.get(id.as_str()).copied();
                let peer = peer.filter(|peer| self.speakers.get(peer).is_some_and(is_allowed));
                if let Some(peer) = peer {
                    self.close(peer);
                }
                // Who has gone does not want to know.
                let _ = reply.send(peer.is_some());
            }
        }
    }

    fn take(&mut self, offer: &str, mut speaker: S) -> Result<String, OfferError> {
        let now = Instant::now();
        let accepted = self.peers.offer(offer, now)?;
        if let Some(greeting) = speaker.greeting() {
            self.peers.tell(accepted.peer, greeting, now);
        }
        self.by_id.insert(Arc::clone(speaker.id()), accepted.peer);
        self.speakers.insert(accepted.peer, speaker);
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
        for (peer, speaker) in &mut self.speakers {
            for event in speaker.events() {
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
                let Some(speaker) = self.speakers.get_mut(&peer) else { return };
                let heard = speaker.hear(&samples);
                for event in speaker.events() {
                    self.peers.tell(peer, event, now);
                }
                if let Err(last) = heard {
                    self.say_last(peer, last);
                }
            }
            Happened::Ended { peer, why } => {
                tracing::debug!(?peer, %why, "a browser is not heard any more");
                if let Some(mut speaker) = self.forget(peer) {
                    speaker.ended(&why);
                }
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

    fn dismiss(&mut self) {
        let dismissed = |(peer, speaker): (&PeerId, &mut S)| Some((*peer, speaker.dismissal()?));
        let dismissed: Vec<_> = self.speakers.iter_mut().filter_map(dismissed).collect();
        for (peer, last) in dismissed {
            self.say_last(peer, last);
        }
    }

    fn say_last(&mut self, peer: PeerId, last: String) {
        self.peers.tell(peer, last, Instant::now());
        self.close(peer);
    }

    fn close(&mut self, peer: PeerId) {
        self.peers.close(peer, Instant::now());
        self.forget(peer);
    }

    fn forget(&mut self, peer: PeerId) -> Option<S> {
        let speaker = self.speakers.remove(&peer)?;
        self.by_id.remove(speaker.id());
        Some(speaker)
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
