//! A thread that tells the disk to keep what was written, at most once a second, and never while somebody waits.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// From a write until the disk is told.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// See the module. Dropping it tells the disk once more, and ends the thread.
#[derive(Debug)]
pub(crate) struct Syncing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    file: Arc<File>,
    is_dirty: bool,
    is_closed: bool,
}

impl Syncing {
    pub(crate) fn start(file: Arc<File>) -> io::Result<Self> {
        let state = Mutex::new(State { file, is_dirty: false, is_closed: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("uat-fsync".to_owned()).spawn(move || run(&of_thread))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Something was written.
    pub(crate) fn soon(&self) {
        let mut state = self.shared.state.lock();
        if !std::mem::replace(&mut state.is_dirty, true) {
            self.shared.changed.notify_one();
        }
    }

    /// From now on it is this file, which is on the disk as it is.
    pub(crate) fn follow(&self, file: Arc<File>) {
        self.shared.state.lock().file = file;
    }
}

fn run(shared: &Shared) {
    let mut state = shared.state.lock();
    let mut has_failed = false;
    loop {
        while !state.is_dirty && !state.is_closed {
            shared.changed.wait(&mut state);
        }
        if !state.is_closed {
            shared.changed.wait_for(&mut state, AT_MOST_EVERY);
        }
        let (is_dirty, is_closed) = (std::mem::take(&mut state.is_dirty), state.is_closed);
        let file = Arc::clone(&state.file);
        if is_dirty {
            parking_lot::MutexGuard::unlocked(&mut state, || match file.sync_data() {
                Ok(()) => has_failed = false,
                Err(error) if !std::mem::replace(&mut has_failed, true) => {
                    tracing::warn!(%error, "the disk does not keep the journal of budgets; a loss of power may lose what was spent");
                }
                Err(_) => {}
            });
        }
        if is_closed {
            return;
        }
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.shared.state.lock().is_closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panics only by a bug, which the hook has reported.
            let _ = thread.join();
        }
    }
}
