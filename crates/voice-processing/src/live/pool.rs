//! Live signals among threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use audio_input::PcmFormat;
use parking_lot::{Condvar, Mutex};
use silero_vad::SileroVad;

use super::{Live, LiveEvent, LiveOptions, TaskKind};
use crate::{Ask, Transcriber, VoiceError};

/// How far a stream's texts may be behind before whoever feeds it should wait, in ms.
const ROOM: u64 = 5_000;
/// How far they may be behind at all: who does not wait is refused.
const MOST_BEHIND: u64 = 60_000;
/// So many samples at a time are heard between two looks at how far behind a stream is: some seconds.
const PIECE: usize = 1 << 16;

/// Who is told what comes of a stream. Must not write to the stream.
type Tell = Box<dyn FnMut(LiveEvent) + Send>;

/// Streams that wait for a thread. Each stands at most once in each line.
#[derive(Default)]
struct Lines {
    /// Stretches that have ended: somebody waits for them.
    last: VecDeque<Weak<Inner>>,
    /// Texts that somebody may look at meanwhile.
    meanwhile: VecDeque<Weak<Inner>>,
    closed: bool,
}

struct Shared {
    lines: Mutex<Lines>,
    more: Condvar,
    words: Arc<dyn Transcriber>,
}

/// Hears live signals, on threads of its own that end with it.
pub struct LiveVoice {
    vad: SileroVad,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl LiveVoice {
    /// With models that are loaded. One thread is enough for a transcriber that has threads of its own.
    ///
    /// # Errors
    /// [`VoiceError::Thread`] where the system gives no thread.
    pub fn new(vad: SileroVad, words: Arc<dyn Transcriber>, threads: usize) -> Result<Self, VoiceError> {
        let shared = Arc::new(Shared { lines: Mutex::default(), more: Condvar::new(), words });
        let mut voice = Self { vad, shared, threads: Vec::new() };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&voice.shared);
            let thread = std::thread::Builder::new().name(format!("voice-{index}"));
            let thread = thread.spawn(move || shared.write_down()).map_err(VoiceError::Thread)?;
            voice.threads.push(thread);
        }
        Ok(voice)
    }

    /// A signal begins. `tell` is called with what comes of it, in order, by whoever writes to the stream and by threads of ours; it should
    /// be quick, and must not write to the stream.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for a format or options that cannot be.
    pub fn stream(
        self: &Arc<Self>,
        format: PcmFormat,
        options: LiveOptions,
        tell: impl FnMut(LiveEvent) + Send + 'static,
    ) -> Result<LiveStream, VoiceError> {
        let ask = Ask { language: options.language.clone(), beam_size: options.beam_size, ..Ask::default() };
        self.shared.words.check(&ask)?;
        let live = Mutex::new(Live::new(&self.vad, format, options)?);
        let (tell, room) = (Mutex::new(Box::new(tell) as Tell), Condvar::new());
        let inner = Arc::new(Inner { live, tell, room, shared: Arc::clone(&self.shared) });
        Ok(LiveStream { inner, _voice: Arc::clone(self) })
    }
}

impl Drop for LiveVoice {
    fn drop(&mut self) {
        self.shared.lines.lock().closed = true;
        self.shared.more.notify_all();
        // Whoever drops the last stream may be told of it by one of them.
        let own = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != own) {
            // One that panicked has nothing left to do.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for LiveVoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveVoice").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Shared {
    /// What each thread does until the end.
    fn write_down(&self) {
        while let Some(stream) = self.next() {
            let Some(stream) = stream.upgrade() else { continue };
            let Some(task) = stream.live.lock().next_task() else { continue };
            let transcribe = || self.words.transcribe(&task.samples, &task.ask, &task.cancel);
            // A thread that ended would leave every stream waiting.
            let text = catch_unwind(AssertUnwindSafe(transcribe)).unwrap_or_else(|_| {
                let message = "the transcriber panicked".to_owned();
                Err(VoiceError::Transcriber { code: "UAT_INTERNAL", message, retryable: false })
            });
            stream.live.lock().told(task.id, text);
            stream.deliver();
            stream.enqueue();
        }
    }

    fn next(&self) -> Option<Weak<Inner>> {
        let mut lines = self.lines.lock();
        loop {
            if lines.closed {
                return None;
            }
            let first = lines.last.pop_front();
            if let Some(stream) = first.or_else(|| lines.meanwhile.pop_front()) {
                return Some(stream);
            }
            self.more.wait(&mut lines);
        }
    }
}

struct Inner {
    live: Mutex<Live>,
    /// Held while events are told, so that they are told in order.
    tell: Mutex<Tell>,
    room: Condvar,
    shared: Arc<Shared>,
}

impl Inner {
    fn deliver(&self) {
        let mut tell = self.tell.lock();
        loop {
            let event = self.live.lock().next_event();
            let Some(event) = event else { break };
            tell(event);
        }
        drop(tell);
        self.room.notify_all();
    }

    fn enqueue(self: &Arc<Self>) {
        let Some(wants) = self.live.lock().wants() else { return };
        let mut lines = self.shared.lines.lock();
        let line = if wants == TaskKind::Final { &mut lines.last } else { &mut lines.meanwhile };
        let stream = Arc::downgrade(self);
        if !line.iter().any(|waiting| waiting.ptr_eq(&stream)) {
            line.push_back(stream);
            self.shared.more.notify_one();
        }
    }
}

/// A live signal. Dropping it ends what is done for it.
pub struct LiveStream {
    inner: Arc<Inner>,
    /// Its threads are needed for as long as there is a stream.
    _voice: Arc<LiveVoice>,
}

impl LiveStream {
    /// Hears 16-bit samples, channels interleaved; of any number. Does not wait: see [`Self::wait_for_room`].
    ///
    /// # Errors
    /// [`VoiceError::Behind`] where nobody waited for far too long.
    pub fn write_i16(&self, pcm: &[i16]) -> Result<(), VoiceError> {
        pcm.chunks(PIECE).try_for_each(|piece| self.hear(|live| live.push_i16(piece)))
    }

    /// Hears samples of full scale -1 to 1.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for one that is not finite; [`VoiceError::Behind`].
    pub fn write_f32(&self, pcm: &[f32]) -> Result<(), VoiceError> {
        pcm.chunks(PIECE).try_for_each(|piece| self.hear(|live| live.push_f32(piece)))
    }

    /// The signal has ended; what is left of it is still told. Once is enough, twice changes nothing.
    ///
    /// # Errors
    /// Those of the detector of speech.
    pub fn end(&self) -> Result<(), VoiceError> {
        self.inner.live.lock().end()?;
        self.inner.deliver();
        self.inner.enqueue();
        Ok(())
    }

    /// Nobody wants to know any more: what is done for it ends, and so do [`Self::wait_for_room`] and [`Self::wait_until_done`].
    pub fn cancel(&self) {
        self.inner.live.lock().cancel();
        self.inner.room.notify_all();
    }

    /// How far texts are behind the signal, in ms of it.
    pub fn behind_ms(&self) -> u64 {
        self.inner.live.lock().behind_ms()
    }

    /// Whether there is room for more of a signal that comes faster than it can be written down.
    pub fn has_room(&self) -> bool {
        self.behind_ms() < ROOM
    }

    /// Waits for room. Blocks.
    pub fn wait_for_room(&self) {
        let mut live = self.inner.live.lock();
        while live.behind_ms() >= ROOM {
            self.inner.room.wait(&mut live);
        }
    }

    /// Whether all was told of a signal that has ended.
    pub fn is_done(&self) -> bool {
        let is_done = self.inner.live.lock().is_done();
        // The last event may be on its way.
        is_done && self.inner.tell.try_lock().is_some()
    }

    /// Waits until all was told of a signal that has ended. Blocks.
    pub fn wait_until_done(&self) {
        let mut live = self.inner.live.lock();
        while !live.is_done() {
            self.inner.room.wait(&mut live);
        }
        drop(live);
        // The last event may be on its way.
        drop(self.inner.tell.lock());
    }

    fn hear(&self, push: impl FnOnce(&mut Live) -> Result<(), VoiceError>) -> Result<(), VoiceError> {
        {
            let mut live = self.inner.live.lock();
            let behind_ms = live.behind_ms();
            if behind_ms >= MOST_BEHIND {
                return Err(VoiceError::Behind { behind_ms });
            }
            push(&mut live)?;
        }
        self.inner.deliver();
        self.inner.enqueue();
        Ok(())
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl std::fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveStream").field("behind_ms", &self.behind_ms()).finish_non_exhaustive()
    }
}
