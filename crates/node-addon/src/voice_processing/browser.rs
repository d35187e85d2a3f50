//! A browser that speaks over WebRTC. What comes of it is told to JavaScript, and to the browser on its data channel.

use std::collections::VecDeque;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use parking_lot::Mutex;
use runtime::voice_processing::live::{LiveEvent, LiveOptions, LiveStream};
use runtime::voice_processing::{PcmFormat, VoiceError};
use runtime::webrtc_audio::{Ended, SAMPLE_RATE, check_offer};
use runtime::{
    ConfigSource, Port, RuntimeError, Speaker, UatConfig, VoiceService, WebRtcConfig, event_json,
    process_environment,
};
use serde_json::json;
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blocking;
use super::unread::{LiveTold, Unread};
use crate::error::Crossing;

/// What the server's configuration calls `[voice.webrtc]` is read from the environment here.
const SETTINGS: &str = "UAT__VOICE__WEBRTC__";

/// All browsers of a service.
#[derive(Clone)]
pub(super) struct Browsers {
    port: Arc<OnceCell<Arc<Port<Browser>>>>,
    calls: TaskTracker,
    closing: CancellationToken,
}

/// A browser that is heard.
#[napi]
pub struct BrowserSession {
    answer: String,
    id: Arc<str>,
    unread: Arc<Unread>,
    port: Arc<Port<Browser>>,
}

#[napi]
impl BrowserSession {
    /// What the browser is to be told: SDP.
    #[napi(getter, catch_unwind)]
    pub fn answer_sdp(&self) -> String {
        self.answer.clone()
    }

    /// Tells it apart from others.
    #[napi(getter, catch_unwind)]
    pub fn session_id(&self) -> String {
        self.id.to_string()
    }

    /// What came of it since the last call, at least one event; null when all was told.
    #[napi(catch_unwind, ts_return_type = "Promise<LiveTold[] | null>")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Option<Vec<LiveTold>>>> {
        let unread = Arc::clone(&self.unread);
        env.spawn_future(async move { Ok(unread.next().await?) })
    }

    /// It is not heard any more. Idempotent.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let (port, id) = (Arc::clone(&self.port), Arc::clone(&self.id));
        env.spawn_future(async move {
            // Where it has ended by itself there is nothing to end.
            let _ = port.close(&id, |_| true).await;
            Ok(())
        })
    }
}

impl Browsers {
    pub(super) fn new(calls: TaskTracker, closing: CancellationToken) -> Self {
        Self { port: Arc::default(), calls, closing }
    }

    /// Takes an offer. Loads models first.
    pub(super) async fn accept(
        self,
        service: Arc<VoiceService>,
        id: String,
        offer: String,
        language: Option<String>,
    ) -> Result<BrowserSession, Crossing> {
        // Before a model is loaded for it.
        let has_channel = check_offer(&offer).map_err(Crossing::from)?;
        let port = Arc::clone(self.port.get_or_try_init(|| self.open()).await?);
        let unread = Arc::new(Unread::default());
        let (outbox, id) = (Arc::default(), Arc::<str>::from(id));
        let told = Told {
            unread: Arc::clone(&unread),
            outbox: Arc::clone(&outbox),
            news: has_channel.then(|| port.news()),
        };
        let stream = blocking(move || told.hears(&service, language)).await?.map_err(Crossing::from)?;
        let browser = Browser {
            id: Arc::clone(&id),
            stream: Some(stream),
            unread: Arc::clone(&unread),
            outbox,
            calls: self.calls.clone(),
            closing: self.closing.clone(),
        };
        let answer = port.offer(offer, browser).await.map_err(Crossing::from)?;
        Ok(BrowserSession { answer, id, unread, port })
    }

    /// Opens the socket of all browsers.
    async fn open(&self) -> Result<Arc<Port<Browser>>, Crossing> {
        let config = settings().map_err(Crossing::from)?;
        let opened = Port::open(&config, self.closing.clone()).await;
        let (port, task) = opened.map_err(|error| Crossing::no_port(&error))?;
        self.calls.spawn(task);
        Ok(Arc::new(port))
    }
}

fn settings() -> Result<WebRtcConfig, RuntimeError> {
    let environment = process_environment().filter(|(name, _)| name.starts_with(SETTINGS));
    let loaded = UatConfig::load(ConfigSource::Json("{}".to_owned()), environment)?;
    Ok(loaded.config.voice.webrtc)
}

/// One that speaks, as the port knows it.
struct Browser {
    id: Arc<str>,
    /// `None` once it has ended by itself: then it is heard to its end elsewhere.
    stream: Option<LiveStream>,
    unread: Arc<Unread>,
    /// For its data channel.
    outbox: Arc<Mutex<VecDeque<String>>>,
    calls: TaskTracker,
    closing: CancellationToken,
}

impl Browser {
    fn fail(&self, code: &'static str, message: String) {
        self.unread.push_over(LiveEvent::Failed { code, message });
    }
}

/// Whoever hears of a browser's speech.
struct Told {
    unread: Arc<Unread>,
    outbox: Arc<Mutex<VecDeque<String>>>,
    /// Where the browser has a data channel: tells that there is something for it.
    news: Option<Arc<Notify>>,
}

impl Told {
    /// Begins to hear. Blocks while models are loaded.
    fn hears(self, service: &VoiceService, language: Option<String>) -> Result<LiveStream, RuntimeError> {
        let format = PcmFormat { sample_rate: SAMPLE_RATE, channels: 1 };
        let options = LiveOptions { language, ..LiveOptions::default() };
        Ok(service.live()?.stream(format, options, move |event| self.tell(event))?)
    }

    fn tell(&self, event: LiveEvent) {
        if let Some(news) = &self.news {
            self.outbox.lock().extend(event_json(&event).map(|event| event.to_string()));
            news.notify_one();
        }
        self.unread.push_over(event);
    }
}

impl Speaker for Browser {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn greeting(&mut self) -> Option<String> {
        None
    }

    fn hear(&mut self, samples: &[f32]) -> Result<(), String> {
        let Some(stream) = &self.stream else { return Ok(()) };
        stream.write_f32(samples).map_err(|error: VoiceError| {
            let error = RuntimeError::from(error);
            self.fail(error.code(), error.to_string());
            json!({ "type": "error", "code": error.code(), "message": error.to_string() }).to_string()
        })
    }

    fn events(&mut self) -> Vec<String> {
        self.outbox.lock().drain(..).collect()
    }

    fn dismissal(&mut self) -> Option<String> {
        None
    }

    fn ended(&mut self, why: &Ended) {
        match why {
            Ended::Left => {}
            Ended::Vanished { .. } | Ended::NeverConnected { .. } => {
                self.fail("UAT_TIMEOUT", why.to_string())
            }
            _ => self.fail("UAT_UPSTREAM", why.to_string()),
        }
        // What it said last is written down all the same.
        if let Some(stream) = self.stream.take()
            && stream.end().is_ok()
        {
            let (unread, closing) = (Arc::clone(&self.unread), self.closing.clone());
            let stream = Arc::new(stream);
            let waiting = Arc::clone(&stream);
            let done = self.calls.spawn_blocking(move || waiting.wait_until_done());
            self.calls.spawn(async move {
                tokio::select! {
                    // A thread that ended early has told what it had to tell.
                    _ = done => unread.end(None),
                    () = closing.cancelled() => {
                        stream.cancel();
                        unread.end(Some(Crossing::closed("VoiceProcessingService")));
                    }
                }
            });
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.stream.is_some() {
            let is_closing = self.closing.is_cancelled();
            self.unread.end(is_closing.then(|| Crossing::closed("VoiceProcessingService")));
        }
    }
}
