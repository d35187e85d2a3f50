//! A live signal for JavaScript. A thread of its own hears what is written, in order, and waits where texts are too far behind; what
//! comes of it is kept until JavaScript asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use napi::Env;
use napi::bindgen_prelude::{Either, Float32Array, Int16Array, PromiseRaw};
use napi_derive::napi;
use parking_lot::Mutex;
use runtime::voice_processing::VoiceError;
use runtime::voice_processing::live::{LiveOptions, LiveStream, LiveVoice};
use runtime::{RuntimeError, VoiceService};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::pcm;
use super::unread::{LiveTold, Unread};
use crate::error::Crossing;

/// Pieces that may be written before the first of them was heard.
const PIECES: usize = 64;

/// How a live signal is heard.
#[napi(object, object_to_js = false)]
pub struct SignalOptions {
    /// Samples a second.
    pub sample_rate: u32,
    /// Interleaved.
    pub channels: u32,
    /// A code such as `de`.
    pub language: Option<String>,
    /// How long after one partial text the next is begun, in ms.
    pub partial_every_ms: Option<u32>,
    /// A silence of this length ends a turn, in ms.
    pub endpoint_silence_ms: Option<u32>,
}

impl SignalOptions {
    fn live(self) -> LiveOptions {
        let defaults = LiveOptions::default();
        LiveOptions {
            language: self.language,
            partial_every_ms: self.partial_every_ms.unwrap_or(defaults.partial_every_ms),
            endpoint_silence_ms: self.endpoint_silence_ms.unwrap_or(defaults.endpoint_silence_ms),
            ..defaults
        }
    }
}

enum Samples {
    I16(Vec<i16>),
    F32(Vec<f32>),
}

impl Samples {
    fn len(&self) -> usize {
        match self {
            Self::I16(samples) => samples.len(),
            Self::F32(samples) => samples.len(),
        }
    }
}

struct Piece {
    samples: Samples,
    /// Told when it was heard and there is room for more.
    heard: oneshot::Sender<Result<(), Crossing>>,
}

/// A live signal.
#[napi]
pub struct LiveSignal {
    /// `None` once the signal has ended.
    pieces: Mutex<Option<mpsc::Sender<Piece>>>,
    stream: Arc<LiveStream>,
    unread: Arc<Unread>,
    /// Samples of all channels that were written and not heard.
    waiting: Arc<AtomicU64>,
    /// In a second, of all channels.
    samples_a_second: u64,
    left: CancellationToken,
}

#[napi]
impl LiveSignal {
    /// Hears samples, which are copied. Resolves when there is room for more.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn write<'env>(
        &self,
        env: &'env Env,
        samples: Either<Int16Array, Float32Array>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let samples = match samples {
            Either::A(samples) => Samples::I16(samples.to_vec()),
            Either::B(samples) => Samples::F32(samples.to_vec()),
        };
        let (heard, answer) = oneshot::channel();
        let length = samples.len() as u64;
        let sent = match &*self.pieces.lock() {
            Some(pieces) => pieces.try_send(Piece { samples, heard }),
            None => return Err(Crossing::signal_ended().into()),
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = sent {
            return Err(Crossing::overwritten(PIECES).into());
        }
        self.waiting.fetch_add(length, Ordering::Relaxed);
        let unread = Arc::clone(&self.unread);
        env.spawn_future(async move {
            // Nobody answers where the signal was left meanwhile.
            let ended = || unread.why_ended().unwrap_or_else(Crossing::signal_ended);
            answer.await.unwrap_or_else(|_| Err(ended())).map_err(napi::Error::from)
        })
    }

    /// The signal has ended: what is left of it is still told.
    #[napi(catch_unwind)]
    pub fn end(&self) -> napi::Result<()> {
        match self.pieces.lock().take() {
            Some(_) => Ok(()),
            None => Err(Crossing::signal_ended().into()),
        }
    }

    /// How far texts are behind what was written, in ms of it.
    #[napi(getter, catch_unwind)]
    pub fn buffered_ms(&self) -> f64 {
        let waiting = self.waiting.load(Ordering::Relaxed) * 1000 / self.samples_a_second;
        (waiting + self.stream.behind_ms()) as f64
    }

    /// What came of the signal since the last call, at least one event; null when all was told.
    #[napi(catch_unwind, ts_return_type = "Promise<LiveTold[] | null>")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Option<Vec<LiveTold>>>> {
        let unread = Arc::clone(&self.unread);
        env.spawn_future(async move { Ok(unread.next().await?) })
    }

    /// Nobody wants to know any more. Idempotent.
    #[napi(catch_unwind)]
    pub fn leave(&self) {
        self.left.cancel();
    }
}

impl Drop for LiveSignal {
    fn drop(&mut self) {
        self.left.cancel();
    }
}

/// What hears a signal: it blocks its thread until the signal has ended or was left.
pub(super) struct Hearing {
    stream: Arc<LiveStream>,
    pieces: mpsc::Receiver<Piece>,
    unread: Arc<Unread>,
    waiting: Arc<AtomicU64>,
    left: CancellationToken,
}

/// A signal begins. Blocks while models are loaded.
pub(super) fn begin(
    service: &VoiceService,
    options: SignalOptions,
) -> Result<(LiveSignal, Hearing), RuntimeError> {
    let format = pcm(options.sample_rate, options.channels);
    let samples_a_second = u64::from(format.sample_rate) * u64::from(format.channels);
    let voice: Arc<LiveVoice> = service.live()?;
    let unread = Arc::new(Unread::default());
    let told = Arc::clone(&unread);
    let stream = Arc::new(voice.stream(format, options.live(), move |event| told.push(event))?);
    let (sender, pieces) = mpsc::channel(PIECES);
    let (waiting, left) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let signal = LiveSignal {
        pieces: Mutex::new(Some(sender)),
        stream: Arc::clone(&stream),
        unread: Arc::clone(&unread),
        waiting: Arc::clone(&waiting),
        samples_a_second: samples_a_second.max(1),
        left: left.clone(),
    };
    Ok((signal, Hearing { stream, pieces, unread, waiting, left }))
}

impl Hearing {
    /// Ends it where somebody leaves, and says why. Runs beside [`Self::hear`].
    pub(super) fn ends<W>(&self, why: W) -> impl Future<Output = ()> + Send + use<W>
    where
        W: Future<Output = Crossing> + Send,
    {
        let (stream, unread, left) = (Arc::clone(&self.stream), Arc::clone(&self.unread), self.left.clone());
        async move {
            let reason = tokio::select! {
                reason = why => Some(reason),
                () = left.cancelled() => None,
                () = unread.ended() => return,
            };
            left.cancel();
            unread.end(reason);
            stream.cancel();
        }
    }

    /// Until the end. Blocks.
    pub(super) fn hear(mut self, runtime: &Handle) {
        let done = loop {
            let piece = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.left.cancelled() => Err(()),
                    piece = self.pieces.recv() => Ok(piece),
                }
            });
            let Ok(piece) = piece else { return };
            let Some(Piece { samples, heard }) = piece else { break self.stream.end() };
            let written = match &samples {
                Samples::I16(samples) => self.stream.write_i16(samples),
                Samples::F32(samples) => self.stream.write_f32(samples),
            };
            self.waiting.fetch_sub(samples.len() as u64, Ordering::Relaxed);
            if written.is_ok() {
                self.stream.wait_for_room();
                let left = runtime.block_on(async {
                    tokio::select! {
                        () = self.left.cancelled() => true,
                        () = self.unread.has_room() => false,
                    }
                });
                if left {
                    return;
                }
            }
            // Who wrote it may have stopped waiting. What it wrote wrong is its own business; the signal goes on.
            drop(heard.send(written.map_err(crossing)));
        };
        self.stream.wait_until_done();
        self.unread.end(done.err().map(crossing));
    }
}

fn crossing(error: VoiceError) -> Crossing {
    RuntimeError::from(error).into()
}
