//! The manager among threads: a driver is read, time passes, and those that wait are told.
//!
//! Calls return at once; what is waited for comes by a callback. Callbacks run on the thread of somebody who called, or on
//! the manager's own, one at a time and in the order of the decisions. They may call the manager, and must not wait for its answer.
//!
//! ```
//! use std::sync::mpsc;
//!
//! use gpu_driver::{Choice, FakeGpu, FakeMachine};
//! use vision_resource_manager::{Allocate, ManagerOptions, Process, ResourceManager};
//!
//! let machine = FakeMachine::new([FakeGpu { name: None, total: 24 << 30 }]);
//! let manager = ResourceManager::new(gpu_driver::open(Choice::Fake(machine))?, ManagerOptions::default())?;
//! let holder = manager.join(Process { pid: std::process::id(), started: None }, |decision| println!("{decision:?}"))?;
//! let (tell, told) = mpsc::sync_channel(1);
//! manager.allocate(holder, Allocate::new(4 << 30), move |granted| drop(tell.send(granted)))?;
//! let lease = told.recv()??.lease;
//! manager.release(holder, lease)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod pump;
mod readings;
mod request;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

pub use error::ManagerError;
use gpu_driver::{DeviceReading, Driver};
use pump::Pump;
use readings::Readings;
pub use request::{Allocate, Granted, Process, Started, Usage};
use told::{Answer, Delivery, Listener};

use crate::manager::LeaseRequest;
use crate::{
    Decision, DeviceIndex, Ended, Event, HolderId, LeaseId, LeaseView, Manager, Priority, RequestId,
    RestoredLease, Settings, WaitingView, WarmModel,
};

/// How a [`ResourceManager`] is made.
#[derive(Debug, Clone)]
pub struct ManagerOptions {
    /// How memory is given out.
    pub settings: Settings,
    /// How often the driver is read, in ms.
    pub poll_ms: u64,
    /// The number of the last lease that an earlier manager may have given out.
    pub last_lease: LeaseId,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        // Twice a second: a reading of eight GPUs costs a fraction of a millisecond.
        Self { settings: Settings::default(), poll_ms: 500, last_lease: 0 }
    }
}

/// See the module documentation.
pub struct ResourceManager {
    shared: Arc<Shared>,
    pump: Mutex<Option<Pump>>,
}

/// How many ended leases are remembered, to tell their holders why.
const REMEMBERED: usize = 1_024;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by whoever carries out what is in the outbox.
    delivering: Mutex<()>,
    began: Instant,
}

struct State {
    manager: Manager,
    readings: Readings,
    /// Why there is no GPU, where there is none.
    no_gpu: Option<String>,
    holders: BTreeMap<HolderId, Holder>,
    last_holder: HolderId,
    last_request: RequestId,
    answers: HashMap<RequestId, Answer>,
    ended: VecDeque<(LeaseId, Ended)>,
    outbox: VecDeque<Delivery>,
    decisions: Vec<Decision>,
    /// When the driver is to be read, where that is not at the next turn only.
    read_at: Option<u64>,
    /// Until when the thread means to sleep.
    sleeps_until: u64,
    closed: bool,
}

struct Holder {
    process: Process,
    listener: Listener,
}

impl ResourceManager {
    /// Reads the driver once and begins to watch it.
    ///
    /// # Errors
    /// [`ManagerError::Thread`]. Where there is no GPU, requests are told so.
    pub fn new(driver: Box<dyn Driver>, options: ManagerOptions) -> Result<Self, ManagerError> {
        let state = State {
            manager: Manager::continuing(options.settings, options.last_lease),
            readings: Readings::default(),
            no_gpu: None,
            holders: BTreeMap::new(),
            last_holder: 0,
            last_request: 0,
            answers: HashMap::new(),
            ended: VecDeque::new(),
            outbox: VecDeque::new(),
            decisions: Vec::new(),
            read_at: None,
            sleeps_until: 0,
            closed: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            delivering: Mutex::new(()),
            began: Instant::now(),
        });
        let pump = Pump::start(Arc::clone(&shared), driver, options.poll_ms)?;
        Ok(Self { shared, pump: Mutex::new(Some(pump)) })
    }

    /// Somebody that will hold memory: a process, or one of several in it. What the driver says that a process uses is theirs in
    /// the order in which they joined, as far as each has leased of a device; the last one has the rest. `listener` hears the decisions about its leases and models that it did not ask for:
    /// [`Decision::Preempt`], `Ended`, `Lost`, `Found`, `Overuse`, `Load` and `Unload`, with times of [`Self::now`]; [`Self::uuid`] says which device is meant.
    ///
    /// # Errors
    /// [`ManagerError::Closed`].
    pub fn join(
        &self,
        process: Process,
        listener: impl Fn(Decision) + Send + Sync + 'static,
    ) -> Result<HolderId, ManagerError> {
        let mut state = self.shared.open()?;
        state.last_holder += 1;
        let holder = state.last_holder;
        state.holders.insert(holder, Holder { process, listener: Arc::new(listener) });
        Ok(holder)
    }

    /// A process is gone: what it held is free, what it waited for is forgotten.
    pub fn leave(&self, holder: HolderId) {
        self.shared.change(|state, now| {
            state.apply(now, Event::HolderGone { holder });
            state.holders.remove(&holder);
        });
    }

    /// Asks for memory. `answer` is called once, from this call where that is possible at once.
    ///
    /// # Errors
    /// [`ManagerError::Closed`], [`ManagerError::NoGpu`], [`ManagerError::Invalid`] where the holder has not joined, or has
    /// left; everything else is what `answer` gets.
    pub fn allocate(
        &self,
        holder: HolderId,
        request: Allocate,
        answer: impl FnOnce(Result<Granted, ManagerError>) + Send + 'static,
    ) -> Result<RequestId, ManagerError> {
        let mut state = self.shared.open()?;
        state.check_holder(holder)?;
        state.check_gpu()?;
        let id = state.next_request();
        state.answers.insert(id, Answer::Lease(Box::new(answer)));
        let request = LeaseRequest {
            request: id,
            holder,
            owner: request.owner,
            model: request.model,
            bytes: request.bytes,
            gpus: request.gpus,
            devices: request.devices,
            priority: request.priority,
            duration_ms: request.duration_ms,
            wait_ms: request.wait_ms,
            preemptible: request.preemptible,
            grace_ms: request.grace_ms,
        };
        state.apply(self.shared.now(), Event::Request(request));
        self.shared.done(state);
        Ok(id)
    }

    /// The caller of a request does not want it any longer; its answer is then [`ManagerError::Cancelled`], unless it was
    /// served before.
    pub fn cancel(&self, holder: HolderId, request: RequestId) {
        self.shared.change(|state, now| state.apply(now, Event::Cancel { request, holder }));
    }

    /// Lets a lease live so many ms from now; says until when, in ms of [`Self::now`].
    ///
    /// # Errors
    /// [`ManagerError::NoSuchLease`], [`ManagerError::NotYours`], [`ManagerError::Preempted`], [`ManagerError::Closed`].
    pub fn renew(&self, holder: HolderId, lease: LeaseId, duration_ms: u64) -> Result<u64, ManagerError> {
        let mut state = self.shared.open()?;
        let said = state.ask(self.shared.now(), Event::Renew { lease, holder, duration_ms }, lease);
        self.shared.done(state);
        match said? {
            Some(Decision::Renewed { expires_at, .. }) => Ok(expires_at),
            _ => Err(ManagerError::NoSuchLease { lease }),
        }
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub fn release(&self, holder: HolderId, lease: LeaseId) -> Result<(), ManagerError> {
        let mut state = self.shared.open()?;
        let said = state.ask(self.shared.now(), Event::Release { lease, holder }, lease);
        self.shared.done(state);
        said.map(|_| ())
    }

    /// A process has a model that can be used, or the same with other numbers of loads and uses; it hears of [`Decision::Load`] and [`Decision::Unload`].
    ///
    /// # Errors
    /// [`ManagerError::Closed`], [`ManagerError::Invalid`].
    pub fn register(&self, model: WarmModel) -> Result<(), ManagerError> {
        let mut state = self.shared.open()?;
        state.check_holder(model.holder)?;
        let said = state.ask_of_model(self.shared.now(), Event::Register(model));
        self.shared.done(state);
        said
    }

    /// A process has a model no longer; it hears of [`Decision::Unload`] for instances that are idle.
    ///
    /// # Errors
    /// [`ManagerError::Closed`]; [`ManagerError::Invalid`] where it is in use, being loaded, or not registered.
    pub fn unregister(&self, holder: HolderId, model: &str) -> Result<(), ManagerError> {
        let mut state = self.shared.open()?;
        state.check_holder(holder)?;
        let said = state.ask_of_model(self.shared.now(), Event::Unregister { holder, model: model.into() });
        self.shared.done(state);
        said
    }

    /// Asks to use a model. `answer` is called once; then [`Self::done`] says that the use has ended.
    ///
    /// # Errors
    /// [`ManagerError::Closed`], [`ManagerError::NoGpu`], [`ManagerError::Invalid`] where the holder has not joined, or has
    /// left; everything else is what `answer` gets.
    pub fn use_model(
        &self,
        holder: HolderId,
        model: &str,
        priority: Priority,
        wait_ms: u64,
        answer: impl FnOnce(Result<Started, ManagerError>) + Send + 'static,
    ) -> Result<RequestId, ManagerError> {
        let mut state = self.shared.open()?;
        state.check_holder(holder)?;
        state.check_gpu()?;
        let request = state.next_request();
        state.answers.insert(request, Answer::Use(Box::new(answer)));
        let model = model.into();
        state.apply(self.shared.now(), Event::Use { request, holder, model, priority, wait_ms });
        self.shared.done(state);
        Ok(request)
    }

    /// A use has ended.
    pub fn done(&self, holder: HolderId, request: RequestId) {
        self.shared.change(|state, now| state.apply(now, Event::Done { request, holder }));
    }

    /// A model is loaded, which took so long.
    pub fn loaded(&self, holder: HolderId, lease: LeaseId, took_ms: u64) {
        self.shared.change(|state, now| state.apply(now, Event::Loaded { lease, holder, took_ms }));
    }

    /// A model could not be loaded.
    pub fn load_failed(&self, holder: HolderId, lease: LeaseId) {
        self.shared.change(|state, now| state.apply(now, Event::LoadFailed { lease, holder }));
    }

    /// A model is unloaded; its memory is given out when the driver says that it is free.
    pub fn unloaded(&self, holder: HolderId, lease: LeaseId) {
        self.shared.change(|state, now| state.apply(now, Event::Unloaded { lease, holder }));
        self.read_soon();
    }

    /// Lets idle models go until so much is free, or those that block more than they cost to load again; says which.
    pub fn optimize(&self, target_free: Option<u64>, device: Option<DeviceIndex>) -> Vec<LeaseId> {
        let mut goes = Vec::new();
        self.shared.change(|state, now| {
            state.apply_and(now, Event::Optimize { target_free, device }, |decision| {
                if let Decision::Unload { lease, .. } = decision {
                    goes.push(*lease);
                }
            });
        });
        goes
    }

    /// The devices, as they were read last.
    pub fn usage(&self) -> Vec<Usage> {
        let state = self.shared.lock();
        let readings: Vec<Option<DeviceReading>> = state.readings.last.clone();
        let usage = state.manager.devices().zip(readings).enumerate();
        usage.filter_map(|(index, (view, reading))| Some(Usage::new(index, view, reading?))).collect()
    }

    /// The leases, oldest first.
    pub fn leases(&self) -> Vec<LeaseView> {
        self.shared.lock().manager.leases().collect()
    }

    /// One of them.
    pub fn lease(&self, lease: LeaseId) -> Option<LeaseView> {
        self.shared.lock().manager.lease(lease)
    }

    /// Who has a lease.
    pub fn holder(&self, lease: LeaseId) -> Option<HolderId> {
        self.shared.lock().manager.holder(lease)
    }

    /// Whose memory a holder's is.
    pub fn process(&self, holder: HolderId) -> Option<Process> {
        self.shared.lock().holders.get(&holder).map(|of| of.process)
    }

    /// Those that wait, first in line first.
    pub fn waiting(&self) -> Vec<WaitingView> {
        self.shared.lock().manager.waiting().collect()
    }

    /// The place of the device that a driver calls so.
    pub fn device(&self, uuid: &str) -> Option<DeviceIndex> {
        self.shared.lock().readings.device(uuid)
    }

    /// What the driver calls the device at this place.
    pub fn uuid(&self, device: DeviceIndex) -> Option<String> {
        self.shared.lock().readings.uuid(device).map(ToOwned::to_owned)
    }

    /// A lease that an earlier manager gave out lives on; nothing is given out until [`Self::restored`].
    pub fn restore(&self, lease: RestoredLease) {
        self.shared.change(|state, now| state.apply(now, Event::Restore(lease)));
    }

    /// A lease that was restored without an end is an instance of a model of its holder's, with so many uses that go on; gives these their
    /// numbers, for [`Self::done`].
    ///
    /// # Errors
    /// [`ManagerError::Invalid`]: it cannot be one; as [`Self::release`].
    pub fn adopt(
        &self,
        holder: HolderId,
        lease: LeaseId,
        model: &str,
        loads: bool,
        uses: usize,
    ) -> Result<Vec<RequestId>, ManagerError> {
        let mut state = self.shared.open()?;
        let uses: Vec<RequestId> = (0..uses).map(|_| state.next_request()).collect();
        let event = Event::Adopt { lease, holder, model: model.into(), loads, uses: uses.clone() };
        let said = state.ask(self.shared.now(), event, lease);
        self.shared.done(state);
        said.map(|_| uses)
    }

    /// All is known that an earlier manager gave out.
    pub fn restored(&self) {
        self.shared.change(|state, now| state.apply(now, Event::Restored));
    }

    /// Why there is no GPU, where there is none.
    pub fn why_no_gpu(&self) -> Option<String> {
        self.shared.lock().no_gpu.clone()
    }

    /// What time it is for leases: ms since this manager began.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Reads the driver now, not at the next turn.
    pub fn read_soon(&self) {
        self.shared.change(State::read_by);
    }

    /// Ends the thread and everything that waits. Can be called again.
    pub fn close(&self) {
        self.shared.change(|state, _| state.close());
        let pump = lock(&self.pump).take();
        if let Some(pump) = pump {
            pump.end();
        }
    }
}

impl Drop for ResourceManager {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, ManagerError> {
        let state = self.lock();
        if state.closed { Err(ManagerError::Closed) } else { Ok(state) }
    }

    /// Changes the state and tells whoever has to know.
    fn change(&self, change: impl FnOnce(&mut State, u64)) {
        let mut state = self.lock();
        if !state.closed {
            change(&mut state, self.now());
        }
        self.done(state);
    }

    fn done(&self, state: MutexGuard<'_, State>) {
        // The thread sleeps on unless something is due before it meant to wake: a wake-up costs more than a lease.
        let mut due = [state.manager.next_tick(), state.read_at].into_iter().flatten();
        if state.closed || due.any(|when| when < state.sleeps_until) {
            self.changed.notify_all();
        }
        let silent = state.outbox.is_empty();
        drop(state);
        if !silent {
            self.deliver();
        }
    }

    /// Carries out what is in the outbox, unless somebody does already.
    fn deliver(&self) {
        loop {
            let delivering = match self.delivering.try_lock() {
                Ok(delivering) => delivering,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            loop {
                let next = self.lock().outbox.pop_front();
                let Some(next) = next else { break };
                // A callback that panics is its caller's bug; everybody else is told nevertheless.
                drop(catch_unwind(AssertUnwindSafe(|| next.carry_out())));
            }
            drop(delivering);
            if self.lock().outbox.is_empty() {
                return;
            }
        }
    }
}

impl State {
    fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        self.last_request
    }

    fn check_holder(&self, holder: HolderId) -> Result<(), ManagerError> {
        let unknown =
            || ManagerError::Invalid { problem: "a holder that has not joined, or has left".into() };
        self.holders.contains_key(&holder).then_some(()).ok_or_else(unknown)
    }

    fn check_gpu(&self) -> Result<(), ManagerError> {
        self.no_gpu.clone().map_or(Ok(()), |tried| Err(ManagerError::NoGpu { tried }))
    }

    /// The driver is read then.
    fn read_by(&mut self, when: u64) {
        self.read_at = Some(self.read_at.map_or(when, |sooner| sooner.min(when)));
    }

    fn apply(&mut self, now: u64, event: Event) {
        self.apply_and(now, event, |_| {});
    }

    /// Applies an event, has everybody told, and shows each decision.
    fn apply_and(&mut self, now: u64, event: Event, mut show: impl FnMut(&Decision)) {
        let mut decisions = std::mem::take(&mut self.decisions);
        self.manager.apply(now, event, &mut decisions);
        for decision in decisions.drain(..) {
            show(&decision);
            if matches!(&decision, Decision::Ended { reason, .. } if *reason != Ended::LoadFailed) {
                // In the same ms it would not be known what was first.
                self.read_by(now.saturating_add(2));
            }
            self.tell(decision);
        }
        self.decisions = decisions;
    }

    /// Applies an event about a lease and gives what was decided about that.
    fn ask(&mut self, now: u64, event: Event, about: LeaseId) -> Result<Option<Decision>, ManagerError> {
        let (mut said, mut denied) = (None, None);
        self.apply_and(now, event, |decision| match decision {
            Decision::Denied { lease, refusal } if *lease == about => denied = Some(refusal.clone()),
            Decision::Renewed { lease, .. } | Decision::Released { lease } if *lease == about => {
                said = Some(decision.clone());
            }
            _ => {}
        });
        let ended = self.ended.iter().rev().find(|(lease, _)| *lease == about).map(|(_, why)| *why);
        match denied {
            Some(refusal) => Err(ManagerError::of_lease(about, &refusal, ended)),
            None => Ok(said),
        }
    }

    /// Applies an event about a model; says why it was refused, if it was.
    fn ask_of_model(&mut self, now: u64, event: Event) -> Result<(), ManagerError> {
        let mut denied = None;
        self.apply_and(now, event, |decision| {
            if let Decision::ModelDenied { refusal, .. } = decision {
                denied = Some(refusal.clone());
            }
        });
        denied.map_or(Ok(()), |refusal| Err(ManagerError::of_request(refusal)))
    }

    fn close(&mut self) {
        self.closed = true;
        // Nothing is decided any longer: whoever listens for more would wait without end.
        self.holders.clear();
        let answers = std::mem::take(&mut self.answers);
        self.outbox.extend(answers.into_values().map(|answer| Delivery::Fail(answer, ManagerError::Closed)));
    }
}

/// A panic of a caller's callback leaves nothing half-done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
