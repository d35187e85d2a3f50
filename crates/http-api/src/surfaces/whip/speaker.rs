//! A browser that speaks: its sound goes where it is heard, and what comes of that becomes what it is told.

use std::sync::Arc;

use runtime::voice_processing::live::{LiveStream, LiveVoice};
use runtime::voice_processing::{PcmFormat, VoiceError};
use runtime::webrtc_audio::SAMPLE_RATE;
use runtime::{Key, RuntimeError};
use serde_json::json;
use tokio::sync::Notify;

use super::super::realtime::{Outbox, Settings, Told};

/// One browser. Dropping it ends what is done for it.
pub(super) struct Speaker {
    id: Arc<str>,
    caller: Option<Arc<Key>>,
    settings: Settings,
    told: Told,
    outbox: Arc<Outbox>,
    stream: LiveStream,
}

impl Speaker {
    /// `news` tells that something has come of any speaker.
    ///
    /// # Errors
    /// Those of [`LiveVoice::stream`].
    pub(super) fn new(
        id: Arc<str>,
        caller: Option<Arc<Key>>,
        settings: Settings,
        news: Arc<Notify>,
        live: &Arc<LiveVoice>,
    ) -> Result<Self, VoiceError> {
        let outbox = Arc::new(Outbox::with(news));
        let events = Arc::clone(&outbox);
        let format = PcmFormat { sample_rate: SAMPLE_RATE, channels: 1 };
        let stream = live.stream(format, settings.options(), move |event| events.put(event))?;
        Ok(Self { told: Told::new(&id), id, caller, settings, outbox, stream })
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether a caller made the session; where no keys are asked for, everybody did.
    pub(super) fn is_of(&self, caller: Option<&Arc<str>>) -> bool {
        self.caller.as_ref().map(|key| key.name()) == caller
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.caller.as_ref().is_some_and(|key| key.is_revoked())
    }

    /// What is told first.
    pub(super) fn created(&mut self) -> String {
        let format = json!({ "type": "audio/opus", "rate": 48_000 });
        let session = json!({ "session": self.settings.json_of(&self.id, &format) });
        self.told.event("session.created", session).to_string()
    }

    /// Hears 16 kHz mono. Where nobody can follow any more, that is what is told last.
    pub(super) fn hear(&mut self, samples: &[f32]) -> Result<(), String> {
        self.stream.write_f32(samples).map_err(|error| {
            let error = RuntimeError::from(error);
            self.failure(error.code(), &error.to_string())
        })
    }

    /// That something went wrong, in the words of an event.
    pub(super) fn failure(&mut self, code: &str, message: &str) -> String {
        self.told.failure(code, message).to_string()
    }

    /// What has come of what was heard.
    pub(super) fn events(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(event) = self.outbox.take() {
            said.extend(self.told.of(event).iter().map(ToString::to_string));
        }
        said
    }
}
