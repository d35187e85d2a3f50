//! How much was heard, told to JavaScript now and then.

use std::time::{Duration, Instant};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

/// Nobody sees more than that of a bar.
const APART: Duration = Duration::from_millis(100);

/// Does not keep the process alive: the call that waits does.
pub(super) struct Telling {
    function: Option<ThreadsafeFunction<f64, (), f64, Status, false, true>>,
    told: Option<Instant>,
}

impl Telling {
    pub(super) fn new(progress: Option<Function<'_, f64, ()>>) -> napi::Result<Self> {
        let function =
            progress.map(|progress| progress.build_threadsafe_function::<f64>().weak::<true>().build());
        Ok(Self { function: function.transpose()?, told: None })
    }

    pub(super) fn tell(&mut self, done: f64) {
        let Some(function) = &self.function else { return };
        if self.told.is_none_or(|told| told.elapsed() >= APART) {
            self.told = Some(Instant::now());
            // Fails only while the environment is being torn down, when nobody listens any more.
            function.call(done, ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}
