//! Recordings of one program: its own models, of which the one that writes down is loaded when words are first wanted.

use std::sync::Arc;

use model_store::StoreError;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use voice_processing::live::LiveVoice;
use voice_processing::silero_vad::SileroVad;
use voice_processing::{Parts, Transcriber, Voice};

use super::{AT_ONCE, RemoteTranscriber, WhisperFiles, open_vad};
use crate::errors::RuntimeError;

/// Who writes down what is said.
#[derive(Debug)]
pub enum Words {
    /// A model of this machine.
    Local {
        /// One of `uat models list`.
        model: String,
        /// Threads that compute; none: as many as the machine has cores.
        threads: Option<usize>,
    },
    /// Somebody else.
    Remote(Arc<RemoteTranscriber>),
}

/// What hears recordings. Several are heard at a time; who comes later waits for a [place](Self::place).
pub struct VoiceService {
    vad: SileroVad,
    words: Lazy,
    live: Mutex<Option<Arc<LiveVoice>>>,
    places: Arc<Semaphore>,
}

/// A transcriber that may have to be loaded.
enum Lazy {
    Ready(Arc<dyn Transcriber>),
    Local { model: String, threads: usize, loaded: Mutex<Option<Arc<dyn Transcriber>>> },
}

impl VoiceService {
    /// Loads the network that finds speech, and the model that transcribes if it is on this machine: who looks for speech alone
    /// needs none. Blocks for some tenths of a second.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND` for a name that nobody knows, and where `vad_model` was not pulled; `UAT_CORRUPT_VALUE`, `UAT_STORAGE`.
    pub fn open(vad_model: &str, words: Words) -> Result<Self, RuntimeError> {
        let words = match words {
            Words::Remote(remote) => Lazy::Ready(remote),
            Words::Local { model, threads } => {
                let cores = || std::thread::available_parallelism().map_or(1, usize::from);
                let threads = threads.unwrap_or_else(cores);
                let loaded = match WhisperFiles::find(&model) {
                    Ok(files) => Some(files.load(threads)?),
                    Err(RuntimeError::Store(StoreError::NotPulled { .. })) => None,
                    Err(error) => return Err(error),
                };
                Lazy::Local { model, threads, loaded: Mutex::new(loaded) }
            }
        };
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { vad: open_vad(vad_model)?, words, live: Mutex::default(), places })
    }

    /// Waits until one fewer is heard. Who drops the place gives it to the next.
    ///
    /// # Errors
    /// `UAT_CLOSED`, which does not happen as long as this lives.
    pub fn place(&self) -> impl Future<Output = Result<OwnedSemaphorePermit, RuntimeError>> + Send + use<> {
        let places = Arc::clone(&self.places);
        async move { places.acquire_owned().await.map_err(|_| RuntimeError::Closed) }
    }

    /// What hears a recording, with a transcriber where `words` are wanted. Blocks while that is loaded.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND` with the command that pulls it; `UAT_CORRUPT_VALUE`, `UAT_STORAGE`.
    pub fn voice(&self, words: bool) -> Result<Voice, RuntimeError> {
        let words = if words { Some(self.words.get()?) } else { None };
        Ok(Voice::new(Parts { vad: self.vad.clone(), words }))
    }

    /// What hears live signals. Blocks while a transcriber is loaded.
    ///
    /// # Errors
    /// Those of [`Self::voice`]; `UAT_INTERNAL` where the system gives no thread.
    pub fn live(&self) -> Result<Arc<LiveVoice>, RuntimeError> {
        let mut live = self.live.lock();
        if let Some(live) = &*live {
            return Ok(Arc::clone(live));
        }
        let voice = Arc::new(self.voice(true)?.live()?);
        *live = Some(Arc::clone(&voice));
        Ok(voice)
    }
}

impl Lazy {
    fn get(&self) -> Result<Arc<dyn Transcriber>, RuntimeError> {
        match self {
            Self::Ready(words) => Ok(Arc::clone(words)),
            Self::Local { model, threads, loaded } => {
                // Held while it is loaded, so that nobody loads it twice.
                let mut loaded = loaded.lock();
                if let Some(words) = &*loaded {
                    return Ok(Arc::clone(words));
                }
                let words = WhisperFiles::find(model)?.load(*threads)?;
                *loaded = Some(Arc::clone(&words));
                Ok(words)
            }
        }
    }
}

impl std::fmt::Debug for VoiceService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VoiceService").finish_non_exhaustive()
    }
}
