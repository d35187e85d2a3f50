//! A browser that speaks: its sound goes where it is heard, and what comes of that becomes what it is told.

use std::sync::Arc;

use runtime::voice_processing::live::{LiveStream, LiveVoice};
use runtime::voice_processing::{PcmFormat, VoiceError};
use runtime::webrtc_audio::{Ended, SAMPLE_RATE};
use runtime::{Key, RuntimeError, Speaker};
use serde_json::json;
use tokio::sync::Notify;

use super::super::realtime::{Outbox, Settings, Told};
use crate::traffic::Traffic;

/// One browser. Dropping it ends what is done for it.
pub(crate) struct Browser {
    id: Arc<str>,
    caller: Option<Arc<Key>>,
    settings: Settings,
    told: Told,
    outbox: Arc<Outbox>,
    stream: LiveStream,
    traffic: Arc<Traffic>,
    /// From when on it was taken.
    counted: Option<Counted>,
}

impl Browser {
    /// `news` tells that something has come of any browser.
    ///
    /// # Errors
    /// Those of [`LiveVoice::stream`].
    pub(super) fn new(
        id: Arc<str>,
        caller: Option<Arc<Key>>,
        settings: Settings,
        live: &Arc<LiveVoice>,
        news: Arc<Notify>,
        traffic: Arc<Traffic>,
    ) -> Result<Self, VoiceError> {
        let outbox = Arc::new(Outbox::with(news));
        let events = Arc::clone(&outbox);
        let format = PcmFormat { sample_rate: SAMPLE_RATE, channels: 1 };
        let stream = live.stream(format, settings.options(), move |event| events.put(event))?;
        Ok(Self { told: Told::new(&id), id, caller, settings, outbox, stream, traffic, counted: None })
    }

    /// Whether a caller made the session; where no keys are asked for, everybody did.
    pub(super) fn is_of(&self, caller: Option<&Arc<str>>) -> bool {
        self.caller.as_ref().map(|key| key.name()) == caller
    }

    /// That something went wrong, in the words of an event.
    fn failure(&mut self, error: &RuntimeError) -> String {
        self.told.failure(error.code(), &error.to_string()).to_string()
    }
}

impl Speaker for Browser {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn greeting(&mut self) -> Option<String> {
        self.counted = Some(Counted::new(Arc::clone(&self.traffic)));
        let format = json!({ "type": "audio/opus", "rate": 48_000 });
        let session = json!({ "session": self.settings.json_of(&self.id, &format) });
        Some(self.told.event("session.created", session).to_string())
    }

    fn hear(&mut self, samples: &[f32]) -> Result<(), String> {
        self.stream.write_f32(samples).map_err(|error| self.failure(&error.into()))
    }

    fn events(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(event) = self.outbox.take() {
            said.extend(self.told.of(event).iter().map(ToString::to_string));
        }
        said
    }

    fn dismissal(&mut self) -> Option<String> {
        let is_revoked = self.caller.as_ref().is_some_and(|key| key.is_revoked());
        is_revoked.then(|| self.failure(&RuntimeError::KeyRevoked))
    }

    fn ended(&mut self, _why: &Ended) {}
}

/// A browser is counted for as long as it is heard.
struct Counted(Arc<Traffic>);

impl Counted {
    fn new(traffic: Arc<Traffic>) -> Self {
        traffic.speaker_came();
        Self(traffic)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.speaker_left();
    }
}
