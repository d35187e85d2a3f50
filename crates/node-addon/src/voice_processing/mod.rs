//! `VoiceProcessingService` for JavaScript. Recordings are heard on threads that may block; the event loop only copies their bytes,
//! once, because JavaScript could change them meanwhile.

mod browser;
mod live;
mod recording;
mod results;
mod telling;
mod unread;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use napi::Env;
use napi::bindgen_prelude::{Either, Function, PromiseRaw, Uint8Array};
use napi_derive::napi;
use runtime::voice_processing::{DetectOptions, PcmFormat, ProcessOptions, VoiceError};
use runtime::{RemoteTranscriber, RuntimeError, StopOnDrop, VoiceService, Words};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::browser::{BrowserSession, Browsers};
use self::live::{LiveSignal, SignalOptions};
use self::recording::Recording;
use self::results::{Heard, Spoken};
use self::telling::Telling;
use crate::cancel::CancelHandle;
use crate::error::Crossing;

/// What JavaScript passes; the wrapper has filled in the defaults.
#[napi(object, object_to_js = false)]
pub struct NewVoice {
    /// The model that writes down what was said.
    pub model: String,
    /// Threads that compute; absent: as many as there are cores.
    pub threads: Option<u32>,
    /// The network that finds speech.
    pub vad_model: String,
    /// Who writes down instead.
    pub remote: Option<NewRemote>,
}

/// A server with OpenAI's `/v1/audio/transcriptions`.
#[napi(object, object_to_js = false)]
pub struct NewRemote {
    /// Its address.
    pub base_url: String,
    /// The key that it is asked with.
    pub api_key: Option<String>,
    /// The model that it is asked for.
    pub model: String,
}

/// How samples lie.
#[napi(object, object_to_js = false)]
pub struct SampleFormat {
    /// `i16` or `f32`, without a container; absent: a container, or else 16-bit little-endian PCM.
    pub samples: Option<String>,
    /// Per second; absent: what is in no container is refused.
    pub sample_rate: Option<u32>,
    /// Interleaved.
    pub channels: u32,
}

/// How a recording is heard.
#[napi(object, object_to_js = false)]
pub struct HearOptions {
    /// Only speech is written down.
    pub vad: bool,
    /// Words are wanted.
    pub transcribe: bool,
    /// A code such as `de`.
    pub language: Option<String>,
    /// Words get times.
    pub word_timestamps: bool,
    /// Texts that are followed side by side.
    pub beam_size: Option<u32>,
}

/// The service of the core.
#[napi]
pub struct VoiceProcessing {
    service: Arc<OnceLock<Arc<VoiceService>>>,
    closing: CancellationToken,
    calls: TaskTracker,
    browsers: Browsers,
}

#[napi]
impl VoiceProcessing {
    /// Loads nothing.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        let (closing, calls) = (CancellationToken::new(), TaskTracker::new());
        let browsers = Browsers::new(calls.clone(), closing.clone());
        Self { service: Arc::default(), closing, calls, browsers }
    }

    /// Loads the models that are on this machine; once.
    #[napi(catch_unwind)]
    pub fn initialize<'env>(&self, env: &'env Env, options: NewVoice) -> napi::Result<PromiseRaw<'env, ()>> {
        let service = Arc::clone(&self.service);
        let running = self.calls.token();
        env.spawn_future(async move {
            let _running = running;
            let opened = blocking(move || {
                let threads = options.threads.map(|threads| threads as usize);
                let words = match options.remote {
                    Some(NewRemote { base_url, api_key, model }) => {
                        Words::Remote(Arc::new(RemoteTranscriber::new(&base_url, api_key, model)?))
                    }
                    None => Words::Local { model: options.model, threads },
                };
                VoiceService::open(&options.vad_model, words)
            });
            let opened = Arc::new(opened.await?.map_err(Crossing::from)?);
            Ok(service.set(opened).map_err(|_| Crossing::internal("a voice service was opened twice"))?)
        })
    }

    /// What was said in `audio`, the path of a file or what would stand there. `progress` is called from the event loop, which that
    /// does not keep alive, at most ten times a second, with what was heard of it, 0 to 1.
    #[napi(catch_unwind)]
    pub fn process<'env>(
        &self,
        env: &'env Env,
        audio: Either<String, Uint8Array>,
        format: SampleFormat,
        options: HearOptions,
        cancel: Option<&CancelHandle>,
        progress: Option<Function<'_, f64, ()>>,
    ) -> napi::Result<PromiseRaw<'env, Heard>> {
        let recording = Recording::copied(audio, &format);
        let mut telling = Telling::new(progress)?;
        let transcribe = options.transcribe;
        let defaults = ProcessOptions::default();
        let options = ProcessOptions {
            vad: options.vad,
            transcribe,
            language: options.language,
            word_timestamps: options.word_timestamps,
            beam_size: options.beam_size.map_or(defaults.beam_size, |size| size as usize),
            pcm: raw(&format),
            ..defaults
        };
        let call = self.call(cancel)?;
        env.spawn_future(call.hear(move |service, cancel| {
            let voice = service.voice(transcribe)?;
            let mut tell = |done| telling.tell(done);
            Ok(recording.heard(|source| voice.process(source, &options, &mut tell, cancel))?.into())
        }))
    }

    /// Where somebody speaks in `audio`; speech begins at a probability of `threshold`.
    #[napi(catch_unwind)]
    pub fn detect<'env>(
        &self,
        env: &'env Env,
        audio: Either<String, Uint8Array>,
        format: SampleFormat,
        threshold: Option<f64>,
    ) -> napi::Result<PromiseRaw<'env, Spoken>> {
        let recording = Recording::copied(audio, &format);
        let mut options = DetectOptions { pcm: raw(&format), ..DetectOptions::default() };
        if let Some(threshold) = threshold {
            options.threshold = threshold as f32;
        }
        let call = self.call(None)?;
        env.spawn_future(call.hear(move |service, cancel| {
            let voice = service.voice(false)?;
            Ok(recording.heard(|source| voice.detect_speech(source, &options, &mut |_| (), cancel))?.into())
        }))
    }

    /// A browser's offer of WebRTC: it is heard from then on.
    #[napi(catch_unwind, ts_return_type = "Promise<BrowserSession>")]
    pub fn accept<'env>(
        &self,
        env: &'env Env,
        id: String,
        offer: String,
        language: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, BrowserSession>> {
        let Call { service, closing, cancelled, running } = self.call(None)?;
        let browsers = self.browsers.clone();
        env.spawn_future(async move {
            let _running = running;
            tokio::select! {
                session = browsers.accept(service, id, offer, language) => Ok(session?),
                why = ended(closing, cancelled) => Err(why.into()),
            }
        })
    }

    /// A live signal begins, once the models for it are loaded.
    #[napi(catch_unwind, ts_return_type = "Promise<LiveSignal>")]
    pub fn stream<'env>(
        &self,
        env: &'env Env,
        options: SignalOptions,
        cancel: Option<&CancelHandle>,
    ) -> napi::Result<PromiseRaw<'env, LiveSignal>> {
        let Call { service, closing, cancelled, running } = self.call(cancel)?;
        let calls = self.calls.clone();
        env.spawn_future(async move {
            let _running = running;
            let begun = blocking(move || live::begin(&service, options)).await?;
            let (signal, hearing) = begun.map_err(Crossing::from)?;
            let runtime = tokio::runtime::Handle::current();
            calls.spawn(hearing.ends(ended(closing, cancelled)));
            calls.spawn_blocking(move || hearing.hear(&runtime));
            Ok(signal)
        })
    }

    /// Ends what is under way, and waits until it has ended.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        self.closing.cancel();
        self.calls.close();
        let calls = self.calls.clone();
        env.spawn_future(async move {
            calls.wait().await;
            Ok(())
        })
    }

    fn call(&self, cancel: Option<&CancelHandle>) -> Result<Call, Crossing> {
        let service =
            self.service.get().ok_or_else(|| Crossing::internal("a voice service was not opened"))?;
        Ok(Call {
            service: Arc::clone(service),
            closing: self.closing.clone(),
            cancelled: cancel.map(|handle| handle.token.clone()).unwrap_or_default(),
            running: self.calls.token(),
        })
    }
}

impl Drop for VoiceProcessing {
    /// The object was collected, or its environment (a worker thread, say) ends: nobody waits for its calls any more.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// One recording that is heard, and what can end that from outside.
struct Call {
    service: Arc<VoiceService>,
    closing: CancellationToken,
    cancelled: CancellationToken,
    running: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Call {
    /// Runs `act` on a thread that may block, when it is its turn. The thread has ended when this is over.
    async fn hear<T: Send + 'static>(
        self,
        act: impl FnOnce(&VoiceService, &AtomicBool) -> Result<T, RuntimeError> + Send + 'static,
    ) -> napi::Result<T> {
        let Self { service, closing, cancelled, running } = self;
        let _running = running;
        let ended = ended(closing, cancelled);
        tokio::pin!(ended);
        let place = tokio::select! {
            biased;
            ended = &mut ended => return Err(ended.into()),
            place = service.place() => place.map_err(Crossing::from)?,
        };
        // Should nobody wait any more, the thread ends, too.
        let stop = StopOnDrop::default();
        let flag = stop.flag();
        let work = blocking(move || {
            let _place = place;
            act(&service, &flag)
        });
        tokio::pin!(work);
        let (done, ended) = tokio::select! {
            done = &mut work => (done, None),
            ended = &mut ended => {
                drop(stop);
                (work.await, Some(ended))
            }
        };
        match (done?, ended) {
            // What is there although it is not wanted any more is given all the same.
            (Ok(value), _) => Ok(value),
            (Err(RuntimeError::Voice(VoiceError::Cancelled)), Some(ended)) => Err(ended.into()),
            (Err(error), _) => Err(Crossing::from(error).into()),
        }
    }
}

/// Why a call ends from outside.
async fn ended(closing: CancellationToken, cancelled: CancellationToken) -> Crossing {
    tokio::select! {
        biased;
        () = closing.cancelled() => Crossing::closed("VoiceProcessingService"),
        () = cancelled.cancelled() => Crossing::cancelled(),
    }
}

fn raw(format: &SampleFormat) -> Option<PcmFormat> {
    format.sample_rate.map(|sample_rate| pcm(sample_rate, format.channels))
}

/// More channels than there can be are refused as such by whoever hears them.
fn pcm(sample_rate: u32, channels: u32) -> PcmFormat {
    PcmFormat { sample_rate, channels: u16::try_from(channels).unwrap_or(u16::MAX) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Crossing> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Crossing::internal(&format!("a recording's thread ended early: {error}")))
}
