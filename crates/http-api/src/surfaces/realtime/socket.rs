//! The conversation: messages in, events out, one at a time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use runtime::voice_processing::VoiceError;
use runtime::voice_processing::live::{LiveStream, LiveVoice};
use runtime::{Key, RuntimeError, Voices};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::super::may_use;
use super::outbox::Outbox;
use super::settings::{Invalid, MODEL, Problem, Settings};
use super::told::Told;

/// A message of a client; of 16-bit audio at 24 kHz a minute, in base64.
const LONGEST_MESSAGE: usize = 4 << 20;
/// So many samples are heard before others get their turn.
const PIECE: usize = 24_000;
/// Events that wait for a client that reads slowly; then nothing more of it is read.
const AHEAD: usize = 64;
/// A client that shows no sign of life for two of these is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A client that takes nothing for this long is gone.
const STALLED: Duration = Duration::from_secs(60);
/// How long a client has to hear why it ends.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often is looked whether a signal that came too fast was caught up with.
const LOOK: Duration = Duration::from_millis(20);

/// A client and its speech, before anything was said.
pub(super) struct Conversation {
    pub(super) voices: Arc<Voices>,
    pub(super) live: Arc<LiveVoice>,
    pub(super) settings: Settings,
    pub(super) caller: Option<Arc<Key>>,
    pub(super) id: Arc<str>,
    pub(super) draining: CancellationToken,
}

/// Why a conversation ends.
enum End {
    /// The client left, or is gone.
    Gone,
    /// We close.
    Close(CloseCode, &'static str),
}

/// Why what a client says is not done.
enum Undone {
    /// It makes no sense; the conversation goes on, as after the next.
    Refused(Problem),
    /// What hears it fails.
    Failed(VoiceError),
    Ended(End),
}

impl From<VoiceError> for Undone {
    fn from(error: VoiceError) -> Self {
        Self::Failed(error)
    }
}

impl From<Invalid> for Undone {
    fn from(invalid: Invalid) -> Self {
        Problem::from(invalid).into()
    }
}

impl From<Problem> for Undone {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<End> for Undone {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A conversation under way.
struct Talk {
    with: Conversation,
    socket: Socket,
    told: Told,
    outbox: Arc<Outbox>,
    stream: Option<LiveStream>,
    /// Samples of the signal that is heard now.
    samples: u64,
    /// The signal was ended, and is heard to its end before anything else is read.
    finishing: bool,
}

impl Conversation {
    /// Until the client leaves, the key is revoked or the server ends. What is done for it ends with it.
    pub(super) async fn hold(self, socket: Upgraded) {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(socket), Role::Server, Some(config)).await;
        let told = Told::new(&self.id);
        let mut talk = Talk {
            with: self,
            socket,
            told,
            outbox: Arc::default(),
            stream: None,
            samples: 0,
            finishing: false,
        };
        let Err(End::Close(code, reason)) = talk.run().await else { return };
        // Who does not take it is gone anyway.
        let _ = timeout(GOODBYE, talk.close(CloseFrame { code, reason: reason.into() })).await;
    }
}

impl Talk {
    async fn run(&mut self) -> Result<(), End> {
        let session = json!({ "session": self.with.settings.json(&self.with.id) });
        let created = self.told.event("session.created", session);
        self.say(created).await?;
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alive = Instant::now();
        let (draining, caller) = (self.with.draining.clone(), self.with.caller.clone());
        loop {
            self.tell().await?;
            let outbox = Arc::clone(&self.outbox);
            let reads = self.reads();
            tokio::select! {
                () = draining.cancelled() => return Err(End::Close(CloseCode::Away, "the server ends")),
                () = revoked(caller.as_ref()) => return Err(End::Close(CloseCode::Policy, "the key was revoked")),
                () = outbox.news().notified() => {}
                () = tokio::time::sleep(LOOK), if !reads => {}
                now = heartbeat.tick() => {
                    if reads && now.duration_since(alive) > 2 * HEARTBEAT {
                        return Err(End::Gone);
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
                message = self.socket.next(), if reads => {
                    alive = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await?,
                        Some(Ok(Message::Binary(_))) => {
                            let problem = Problem {
                                code: "invalid_event",
                                message: "expected events as text in JSON, got binary data".to_owned(),
                                param: None,
                            };
                            self.refuse(&problem, &Value::Null).await?;
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        Some(Err(tokio_tungstenite::tungstenite::Error::Capacity(_))) => {
                            return Err(End::Close(CloseCode::Size, "expected messages of at most 4 MiB"));
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
                    }
                }
            }
        }
    }

    /// Says why, and takes what the client still sends: a socket that is closed over it would be reset, and the reason lost.
    async fn close(&mut self, frame: CloseFrame) {
        if self.socket.close(Some(frame)).await.is_ok() {
            loop {
                match self.socket.next().await {
                    Some(Ok(_)) => {}
                    // What cannot be read as messages is still read.
                    Some(Err(_)) => break,
                    None => return,
                }
            }
        }
        let mut bytes = [0; 8 << 10];
        while matches!(self.socket.get_mut().read(&mut bytes).await, Ok(1..)) {}
    }

    /// Whether the client is listened to: not while it is too far ahead of what was heard or told.
    fn reads(&self) -> bool {
        !self.finishing && self.outbox.len() < AHEAD && self.stream.as_ref().is_none_or(LiveStream::has_room)
    }

    /// Tells what has come of the signal, and lets go of one that was heard to its end.
    async fn tell(&mut self) -> Result<(), End> {
        loop {
            // Before the events are looked at: what comes after the last one is none.
            let done = self.finishing && self.stream.as_ref().is_none_or(LiveStream::is_done);
            let event = self.outbox.take();
            if let Some(event) = event {
                for event in self.told.of(event) {
                    self.say(event).await?;
                }
                continue;
            }
            if done {
                self.stop();
            }
            return Ok(());
        }
    }

    /// What a client says.
    async fn hear(&mut self, text: &str) -> Result<(), End> {
        let event: Value = match serde_json::from_str(text) {
            Ok(event) => event,
            Err(error) => {
                let message = format!("expected an event in JSON: {error}");
                let problem = Problem { code: "invalid_event", message, param: None };
                return self.refuse(&problem, &Value::Null).await;
            }
        };
        match self.act(&event).await {
            Ok(()) => Ok(()),
            Err(Undone::Refused(problem)) => self.refuse(&problem, &event["event_id"]).await,
            Err(Undone::Failed(error)) => {
                let error = RuntimeError::from(error);
                let failure = self.told.failure(error.code(), &error.to_string());
                self.say(failure).await
            }
            Err(Undone::Ended(end)) => Err(end),
        }
    }

    async fn act(&mut self, event: &Value) -> Result<(), Undone> {
        match event["type"].as_str() {
            Some("input_audio_buffer.append") => self.append(&event["audio"]).await,
            Some("input_audio_buffer.commit") => self.commit(),
            Some("input_audio_buffer.clear") => {
                self.stop();
                let cleared = self.told.event("input_audio_buffer.cleared", json!({}));
                Ok(self.say(cleared).await?)
            }
            Some("session.update") => self.update(&event["session"]).await,
            _ => {
                let expected = "session.update, input_audio_buffer.append, .commit or .clear";
                Err(Invalid::new("type", expected, &event["type"]).into())
            }
        }
    }

    async fn append(&mut self, audio: &Value) -> Result<(), Undone> {
        let bytes = audio.as_str().and_then(|audio| STANDARD.decode(audio).ok());
        let Some(bytes) = bytes.filter(|bytes| bytes.len() % 2 == 0) else {
            let got =
                audio.as_str().map_or(audio.clone(), |text| format!("{} characters", text.len()).into());
            return Err(Invalid::new("audio", "16-bit little-endian samples in base64", &got).into());
        };
        let samples: Vec<i16> =
            bytes.as_chunks::<2>().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
        self.samples += samples.len() as u64;
        for piece in samples.chunks(PIECE) {
            match &self.stream {
                Some(stream) => stream.write_i16(piece)?,
                None => {
                    let stream = self.begin()?;
                    self.stream.insert(stream).write_i16(piece)?;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn begin(&self) -> Result<LiveStream, VoiceError> {
        let outbox = Arc::clone(&self.outbox);
        let settings = &self.with.settings;
        self.with.live.stream(settings.format(), settings.options(), move |event| outbox.put(event))
    }

    /// What was said up to here is a turn, whether or not somebody is silent.
    fn commit(&mut self) -> Result<(), Undone> {
        let nothing = || Problem {
            code: "input_audio_buffer_commit_empty",
            message: "expected audio before input_audio_buffer.commit, got none".to_owned(),
            param: None,
        };
        let stream = self.stream.as_ref().ok_or_else(nothing)?;
        self.finishing = true;
        Ok(stream.end()?)
    }

    async fn update(&mut self, session: &Value) -> Result<(), Undone> {
        if self.stream.is_some() {
            let message =
                "expected session.update before audio, or after input_audio_buffer.commit or .clear"
                    .to_owned();
            return Err(Problem { code: "session_in_use", message, param: None }.into());
        }
        let mut next = self.with.settings.updated(session)?;
        next.model = self.with.voices.model(Some(&next.model)).to_owned();
        let unknown = |error: RuntimeError| Problem {
            code: "model_not_found",
            message: error.to_string(),
            param: Some(MODEL.to_owned()),
        };
        may_use(self.with.caller.as_ref(), &next.model).map_err(unknown)?;
        let live = self.with.voices.live(Some(&next.model)).await.map_err(unknown)?;
        // Options that the model does not know are refused now, and not with the first sound.
        live.stream(next.format(), next.options(), |_| ()).map_err(|error| Problem {
            code: "invalid_value",
            message: error.to_string(),
            param: error.option().map(str::to_owned),
        })?;
        (self.with.live, self.with.settings) = (live, next);
        let session = json!({ "session": self.with.settings.json(&self.with.id) });
        let updated = self.told.event("session.updated", session);
        Ok(self.say(updated).await?)
    }

    /// Lets go of the signal: what comes next is another, on the same clock.
    fn stop(&mut self) {
        self.stream = None;
        self.finishing = false;
        // Threads may still be about to tell of it.
        self.outbox = Arc::default();
        let rate = u64::from(self.with.settings.format().sample_rate);
        self.told.offset_ms += std::mem::take(&mut self.samples) * 1000 / rate;
    }

    async fn refuse(&mut self, problem: &Problem, client_event: &Value) -> Result<(), End> {
        let event = self.told.problem(problem, client_event);
        self.say(event).await
    }

    async fn say(&mut self, event: Value) -> Result<(), End> {
        self.send(Message::text(event.to_string())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(STALLED, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

async fn revoked(key: Option<&Arc<Key>>) {
    match key {
        Some(key) => key.revoked().await,
        None => std::future::pending().await,
    }
}
