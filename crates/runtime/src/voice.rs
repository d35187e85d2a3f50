//! The models that hear recordings.

mod port;
mod remote;
mod service;
mod told;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fast_llm_coordinator::CoordinatorError;
use model_store::{CatalogueEntry, ModelStore, Purpose};
use tokio::sync::{Mutex, Semaphore};
use voice_processing::live::LiveVoice;
use voice_processing::silero_vad::SileroVad;
use voice_processing::whisper::Whisper;
use voice_processing::{Parts, Transcriber, Voice, VoiceError};

use crate::blocking;
use crate::config::VoiceConfig;
use crate::errors::RuntimeError;

pub use port::{Port, PortError, Speaker};
pub use remote::RemoteTranscriber;
use remote::refused;
pub use service::{VoiceService, Words};
pub use told::{event_json, segment_json};

/// Finds speech.
const VAD_MODEL: &str = "silero-vad-6";

/// What OpenAI's clients ask for when they ask for whatever there is.
const ANY: &str = "whisper-1";

/// Recordings that are heard at the same time: they share the model's threads, and each holds an utterance, which is some MiB.
const AT_ONCE: usize = 4;

/// Loads a model that transcribes, or finds the server of the configuration that does, and loads the one that finds speech. Blocks for
/// some tenths of a second.
///
/// # Errors
/// `UAT_MODEL_NOT_FOUND` for another name, with those that there are, and where one was not pulled, with the command that pulls it;
/// `UAT_CORRUPT_VALUE`, `UAT_STORAGE`; `UAT_CONFIG` where a server's key is not there.
pub fn open_voice(config: &VoiceConfig, model: &str) -> Result<Voice, RuntimeError> {
    let words: Arc<dyn Transcriber> = match &config.base_url {
        Some(url) => Arc::new(remote(url, config.api_key_env.as_deref(), model)?),
        None => WhisperFiles::find(model)?.load(config.thread_count())?,
    };
    Ok(Voice::new(Parts { vad: open_vad(VAD_MODEL)?, words: Some(words) }))
}

fn remote(base_url: &str, key: Option<&str>, model: &str) -> Result<RemoteTranscriber, RuntimeError> {
    let read = |variable: &str| {
        std::env::var(variable).map_err(|_| {
            let missing = format!("the environment variable {variable} (voice.api_key_env) is not set");
            refused("UAT_CONFIG", &missing)
        })
    };
    RemoteTranscriber::new(base_url, key.map(read).transpose()?, model.to_owned())
}

/// Loads a network that finds speech: one of `uat models list`, or the path of its file.
fn open_vad(name: &str) -> Result<SileroVad, RuntimeError> {
    let mut known = ModelStore::catalogue().iter().filter(|entry| entry.purpose == Purpose::VoiceActivity);
    if !name.contains('/') && known.clone().all(|entry| entry.name != name) {
        let nearest = known.by_ref().map(|entry| entry.name.into()).collect();
        return Err(CoordinatorError::ModelNotFound { model: name.to_owned(), nearest }.into());
    }
    Ok(SileroVad::load(&ModelStore::open()?.resolve(name)?).map_err(VoiceError::from)?)
}

/// The files of a model that transcribes.
struct WhisperFiles {
    model: PathBuf,
    tokenizer: PathBuf,
}

impl WhisperFiles {
    fn find(name: &str) -> Result<Self, RuntimeError> {
        let Some(&[tokenizer]) = transcribes().find(|entry| entry.name == name).map(|entry| entry.needs)
        else {
            let nearest = transcribes().map(|entry| entry.name.into()).collect();
            return Err(CoordinatorError::ModelNotFound { model: name.to_owned(), nearest }.into());
        };
        let store = ModelStore::open()?;
        Ok(Self { model: store.resolve(name)?, tokenizer: store.resolve(tokenizer)? })
    }

    fn load(&self, threads: usize) -> Result<Arc<dyn Transcriber>, RuntimeError> {
        let words = Whisper::load_files(&self.model, &self.tokenizer, threads).map_err(VoiceError::from)?;
        Ok(Arc::new(words))
    }
}

fn transcribes() -> impl Iterator<Item = &'static CatalogueEntry> {
    ModelStore::catalogue().iter().filter(|entry| entry.purpose == Purpose::Transcription)
}

/// Stops what blocks a thread when nobody waits for it any more.
#[derive(Debug, Default)]
pub struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// Set when it should stop.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A model, for recordings and, once one was asked for, for live signals.
struct Loaded {
    voice: Arc<Voice>,
    live: Option<Arc<LiveVoice>>,
}

/// Models that are loaded when they are first asked for, and stay; of a server's only the configuration's.
pub struct Voices {
    config: VoiceConfig,
    loaded: Mutex<HashMap<String, Loaded>>,
    places: Arc<Semaphore>,
}

impl Voices {
    pub(crate) fn new(config: VoiceConfig) -> Arc<Self> {
        Arc::new(Self { config, loaded: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// What is meant by a model's name: `whisper-1` and none are the configuration's.
    pub fn model<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        asked.filter(|name| *name != ANY).unwrap_or(&self.config.model)
    }

    /// Does something with a model on a thread that may block; told to stop when nobody waits for it any more.
    ///
    /// # Errors
    /// Those of [`open_voice`] and of `act`; `UAT_CLOSED`.
    pub async fn run<T: Send + 'static>(
        &self,
        model: Option<&str>,
        act: impl FnOnce(&Voice, &AtomicBool) -> Result<T, VoiceError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let voice = self.voice(self.model(model)).await?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| RuntimeError::Closed)?;
        let stop = StopOnDrop::default();
        let stopped = stop.flag();
        Ok(blocking(move || {
            // Its thread is busy until it has ended, whoever waits for it.
            let _place = place;
            act(&voice, &stopped)
        })
        .await??)
    }

    /// A model for live signals.
    ///
    /// # Errors
    /// Those of [`open_voice`].
    pub async fn live(&self, model: Option<&str>) -> Result<Arc<LiveVoice>, RuntimeError> {
        self.with(self.model(model), |loaded| match &loaded.live {
            Some(live) => Ok(Arc::clone(live)),
            None => Ok(Arc::clone(loaded.live.insert(Arc::new(loaded.voice.live()?)))),
        })
        .await
    }

    async fn voice(&self, model: &str) -> Result<Arc<Voice>, RuntimeError> {
        self.with(model, |loaded| Ok(Arc::clone(&loaded.voice))).await
    }

    /// Who asks while a model is loaded waits for it.
    async fn with<T>(
        &self,
        model: &str,
        take: impl FnOnce(&mut Loaded) -> Result<T, RuntimeError>,
    ) -> Result<T, RuntimeError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(loaded) = loaded.get_mut(model) {
            return take(loaded);
        }
        let (name, config) = (model.to_owned(), self.config.clone());
        let voice = Arc::new(blocking(move || open_voice(&config, &name)).await??);
        let mut opened = Loaded { voice, live: None };
        // A server may take any name: only the configuration's is kept.
        if self.config.base_url.is_some() && model != self.config.model {
            return take(&mut opened);
        }
        take(loaded.entry(model.to_owned()).or_insert(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_does_not_transcribe_is_not_found_and_those_that_do_are_named() {
        let error = open_voice(&VoiceConfig::default(), "smollm2-135m").unwrap_err();
        assert_eq!((error.code(), error.param()), ("UAT_MODEL_NOT_FOUND", Some("model")));
        assert!(error.to_string().contains("whisper-tiny.en"), "{error}");
    }

    #[test]
    fn openais_name_means_the_model_of_the_configuration() {
        let voices = Voices::new(VoiceConfig { model: "whisper-base".to_owned(), ..VoiceConfig::default() });
        let names = [None, Some("whisper-1"), Some("whisper-tiny.en")].map(|name| voices.model(name));
        assert_eq!(names, ["whisper-base", "whisper-base", "whisper-tiny.en"]);
    }
}
