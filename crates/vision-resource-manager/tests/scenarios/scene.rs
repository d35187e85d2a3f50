//! GPUs, processes and a clock, so that a test reads like what happened.

use std::cell::RefCell;

use vision_resource_manager::{
    Decision, DeviceState, Ended, Event, LeaseRequest, Manager, Priority, Refusal, Settings, Share, Used,
    WarmModel,
};

/// One GiB, the unit of these tests.
pub(crate) const GIB: u64 = 1 << 30;
/// The process that warm models belong to.
pub(crate) const KEEPER: u64 = 100;

/// What a manager was set to, and what it was told and decided when.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<(u64, Event, Vec<Decision>)>,
}

thread_local! {
    /// What the scenes of this thread recorded, in order.
    static RECORDED: RefCell<Vec<Recording>> = const { RefCell::new(Vec::new()) };
}

/// What the scenes recorded while `tests` ran on this thread.
pub(crate) fn recorded(tests: &[fn()]) -> Vec<Recording> {
    RECORDED.take();
    tests.iter().for_each(|test| test());
    RECORDED.take()
}

/// No headroom, so that the tests count in whole GiB.
pub(crate) fn plain() -> Settings {
    Settings { headroom: 0, ..Settings::default() }
}

/// A manager, its GPUs, and the time.
pub(crate) struct Scene {
    pub(crate) manager: Manager,
    now: u64,
    gpus: Vec<DeviceState>,
    asked: u64,
    recording: Recording,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let steps = std::mem::take(&mut self.recording.steps);
        let settings = self.recording.settings.clone();
        RECORDED.with_borrow_mut(|all| all.push(Recording { settings, steps }));
    }
}

impl Scene {
    /// GPUs of so many GiB, all of it free.
    pub(crate) fn with_gpus(gib: &[u64]) -> Self {
        Self::set_to(plain(), gib)
    }

    pub(crate) fn set_to(settings: Settings, gib: &[u64]) -> Self {
        let gpu =
            |gib: &u64| DeviceState { total: gib * GIB, free: gib * GIB, used: Vec::new(), lost: false };
        let recording = Recording { settings: settings.clone(), steps: Vec::new() };
        let gpus = gib.iter().map(gpu).collect();
        let mut scene = Self { manager: Manager::new(settings), now: 0, gpus, asked: 0, recording };
        scene.read();
        scene
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    #[track_caller]
    pub(crate) fn tell(&mut self, event: Event) -> Said {
        let mut decisions = Vec::new();
        self.manager.apply(self.now, event.clone(), &mut decisions);
        self.recording.steps.push((self.now, event, decisions.clone()));
        Said(decisions)
    }

    /// So many ms later.
    #[track_caller]
    pub(crate) fn later(&mut self, ms: u64) -> Said {
        self.now += ms;
        self.tell(Event::Tick)
    }

    /// So many ms later, and the driver is asked then.
    #[track_caller]
    pub(crate) fn later_and_read(&mut self, ms: u64) -> Said {
        let mut said = self.later(ms);
        said.0.extend(self.read().0);
        said
    }

    /// What the driver said when it was asked so many ms ago.
    #[track_caller]
    pub(crate) fn read_of(&mut self, ms_ago: u64) -> Said {
        let began_at = Some(self.now - ms_ago);
        self.tell(Event::Devices { devices: self.gpus.clone(), began_at })
    }

    /// So many ms pass, and nobody says so.
    pub(crate) fn silently(&mut self, ms: u64) {
        self.now += ms;
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, ask: Ask) -> Answer {
        self.asked += 1;
        let request = self.asked;
        let said = self.tell(Event::Request(LeaseRequest { request, ..ask.0 }));
        Answer { request, said }
    }

    /// Asks, and says whether it was granted.
    pub(crate) fn tell_if_granted(&mut self, ask: Ask) -> bool {
        let answer = self.ask(ask);
        answer.said.granted(answer.request).is_some()
    }

    #[track_caller]
    pub(crate) fn release(&mut self, lease: u64, holder: u64) -> Said {
        self.tell(Event::Release { lease, holder })
    }

    #[track_caller]
    pub(crate) fn renew(&mut self, lease: u64, holder: u64, duration_ms: u64) -> Said {
        self.tell(Event::Renew { lease, holder, duration_ms })
    }

    #[track_caller]
    pub(crate) fn dies(&mut self, holder: u64) -> Said {
        self.tell(Event::HolderGone { holder })
    }

    /// The driver is asked, and says what it said before.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Said {
        self.tell(Event::Devices { devices: self.gpus.clone(), began_at: None })
    }

    /// The driver says that processes use so many GiB of a GPU, `None` where it cannot tell, and so much is free.
    #[track_caller]
    pub(crate) fn reads(&mut self, gpu: usize, free: u64, used: &[(u64, Option<u64>)]) -> Said {
        let of =
            |(holder, gib): &(u64, Option<u64>)| Used { holder: *holder, bytes: gib.map(|gib| gib * GIB) };
        self.gpus[gpu].used = used.iter().map(of).collect();
        self.gpus[gpu].free = free * GIB;
        self.read()
    }

    #[track_caller]
    pub(crate) fn vanishes(&mut self, gpu: usize) -> Said {
        self.gpus[gpu].lost = true;
        self.read()
    }

    #[track_caller]
    pub(crate) fn returns(&mut self, gpu: usize) -> Said {
        self.gpus[gpu].lost = false;
        self.read()
    }

    /// A model that takes a second to load.
    pub(crate) fn has_model(&mut self, name: &str, gib: u64) {
        self.has(warm(name, gib));
    }

    pub(crate) fn has(&mut self, model: WarmModel) {
        self.tell(Event::Register(model));
    }

    /// Somebody wants to use a model now.
    #[track_caller]
    pub(crate) fn wants(&mut self, model: &str, wait_ms: u64) -> Answer {
        self.wants_as(Priority::Normal, model, wait_ms)
    }

    #[track_caller]
    pub(crate) fn wants_as(&mut self, priority: Priority, model: &str, wait_ms: u64) -> Answer {
        self.asked += 1;
        let (request, holder, model) = (self.asked, KEEPER, model.into());
        let said = self.tell(Event::Use { request, holder, model, priority, wait_ms });
        Answer { request, said }
    }

    #[track_caller]
    pub(crate) fn done(&mut self, request: u64) -> Said {
        self.tell(Event::Done { request, holder: KEEPER })
    }

    /// An instance is loaded after so many ms.
    #[track_caller]
    pub(crate) fn loads(&mut self, lease: u64, ms: u64) -> Said {
        self.now += ms;
        self.tell(Event::Loaded { lease, holder: KEEPER, took_ms: ms })
    }

    #[track_caller]
    pub(crate) fn unloaded(&mut self, lease: u64) -> Said {
        self.tell(Event::Unloaded { lease, holder: KEEPER })
    }

    /// A model that was loaded, used once and is idle since so long that it may go.
    #[track_caller]
    pub(crate) fn is_warm(&mut self, name: &str, gib: u64) -> u64 {
        self.has_model(name, gib);
        let (lease, request) = self.in_use(name);
        self.done(request);
        self.silently(10_000);
        lease
    }

    /// Loads a model and begins to use it: the instance, and the use.
    #[track_caller]
    pub(crate) fn in_use(&mut self, name: &str) -> (u64, u64) {
        let answer = self.wants(name, 60_000);
        let lease = answer.said.load();
        assert_eq!(self.loads(lease, 1_000).started(answer.request), Some(lease));
        (lease, answer.request)
    }

    pub(crate) fn free(&self, gpu: usize) -> u64 {
        self.manager.devices().nth(gpu).unwrap().free / GIB
    }

    pub(crate) fn waiting(&self) -> Vec<u64> {
        self.manager.waiting().map(|waiting| waiting.request).collect()
    }
}

/// A model that takes a second to load, in one instance, for one use at a time.
pub(crate) fn warm(name: &str, gib: u64) -> WarmModel {
    let model = name.into();
    WarmModel {
        holder: KEEPER,
        model,
        owner: None,
        bytes: gib * GIB,
        load_ms: 1_000,
        replicas: 1,
        concurrency: Some(1),
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct Ask(LeaseRequest);

/// So many GiB of one GPU for a minute, by process 1, with an answer now.
pub(crate) fn gib(gib: u64) -> Ask {
    Ask(LeaseRequest {
        request: 0,
        holder: 1,
        owner: "somebody".into(),
        model: None,
        bytes: gib * GIB,
        gpus: 1,
        devices: Vec::new(),
        priority: Priority::Normal,
        duration_ms: 60_000,
        wait_ms: 0,
        preemptible: false,
        grace_ms: 0,
    })
}

impl Ask {
    pub(crate) fn by(mut self, holder: u64) -> Self {
        self.0.holder = holder;
        self
    }

    pub(crate) fn of_owner(mut self, owner: &str) -> Self {
        self.0.owner = owner.into();
        self
    }

    /// On each of so many GPUs.
    pub(crate) fn times(mut self, gpus: u32) -> Self {
        self.0.gpus = gpus;
        self
    }

    pub(crate) fn on(mut self, gpus: &[usize]) -> Self {
        self.0.devices = gpus.to_vec();
        self
    }

    pub(crate) fn with(mut self, priority: Priority) -> Self {
        self.0.priority = priority;
        self
    }

    pub(crate) fn lives(mut self, ms: u64) -> Self {
        self.0.duration_ms = ms;
        self
    }

    pub(crate) fn waits(mut self, ms: u64) -> Self {
        self.0.wait_ms = ms;
        self
    }

    /// It may be taken back, with so many ms of grace.
    pub(crate) fn preemptible(mut self, grace_ms: u64) -> Self {
        self.0.preemptible = true;
        self.0.grace_ms = grace_ms;
        self
    }
}

/// What somebody was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) request: u64,
    pub(crate) said: Said,
}

impl Answer {
    #[track_caller]
    pub(crate) fn granted(&self) -> u64 {
        self.said.granted(self.request).unwrap_or_else(|| panic!("it was not granted: {:?}", self.said))
    }

    /// Where it was granted.
    #[track_caller]
    pub(crate) fn gpus(&self) -> Vec<usize> {
        self.granted();
        self.said.shares(self.request).iter().map(|share| share.device).collect()
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> Refusal {
        self.said.refused(self.request).unwrap_or_else(|| panic!("it was not refused: {:?}", self.said))
    }

    /// Its number, when it waits.
    #[track_caller]
    pub(crate) fn waits(&self) -> u64 {
        self.expected();
        self.request
    }

    /// How many are before it, and how long it will wait.
    #[track_caller]
    pub(crate) fn expected(&self) -> (usize, Option<u64>) {
        let queued = self.said.0.iter().find_map(|decision| match decision {
            Decision::Queued { request, ahead, expected_wait_ms } if *request == self.request => {
                Some((*ahead, *expected_wait_ms))
            }
            _ => None,
        });
        queued.unwrap_or_else(|| panic!("it does not wait: {:?}", self.said))
    }
}

/// What an event led to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said(pub(crate) Vec<Decision>);

impl Said {
    pub(crate) fn granted(&self, who: u64) -> Option<u64> {
        self.0.iter().find_map(|decision| match decision {
            Decision::Granted { request, lease, .. } if *request == who => Some(*lease),
            _ => None,
        })
    }

    /// When a lease ends that was granted.
    #[track_caller]
    pub(crate) fn ends(&self, who: u64) -> u64 {
        let end = self.0.iter().find_map(|decision| match decision {
            Decision::Granted { request, expires_at, .. } if *request == who => Some(*expires_at),
            _ => None,
        });
        end.unwrap_or_else(|| panic!("it was not granted: {self:?}"))
    }

    fn shares(&self, who: u64) -> Vec<Share> {
        let shares = self.0.iter().find_map(|decision| match decision {
            Decision::Granted { request, shares, .. } if *request == who => Some(shares.clone()),
            _ => None,
        });
        shares.unwrap_or_default()
    }

    pub(crate) fn refused(&self, who: u64) -> Option<Refusal> {
        self.0.iter().find_map(|decision| match decision {
            Decision::Refused { request, refusal } if *request == who => Some(refusal.clone()),
            _ => None,
        })
    }

    pub(crate) fn started(&self, who: u64) -> Option<u64> {
        self.0.iter().find_map(|decision| match decision {
            Decision::Started { request, lease, .. } if *request == who => Some(*lease),
            _ => None,
        })
    }

    /// The one instance that shall be loaded.
    #[track_caller]
    pub(crate) fn load(&self) -> u64 {
        let loads = self.loads();
        assert_eq!(loads.len(), 1, "one load: {self:?}");
        loads[0].0
    }

    /// What shall be loaded: its lease, and where.
    pub(crate) fn loads(&self) -> Vec<(u64, usize)> {
        let load = |decision: &Decision| match decision {
            Decision::Load { lease, share, .. } => Some((*lease, share.device)),
            _ => None,
        };
        self.0.iter().filter_map(load).collect()
    }

    pub(crate) fn unloads(&self) -> Vec<u64> {
        let unload = |decision: &Decision| match decision {
            Decision::Unload { lease, .. } => Some(*lease),
            _ => None,
        };
        self.0.iter().filter_map(unload).collect()
    }

    /// Who shall give back, and by when.
    pub(crate) fn preempts(&self) -> Vec<(u64, u64)> {
        let preempt = |decision: &Decision| match decision {
            Decision::Preempt { lease, until, .. } => Some((*lease, *until)),
            _ => None,
        };
        self.0.iter().filter_map(preempt).collect()
    }

    pub(crate) fn ended(&self) -> Vec<(u64, Ended)> {
        let ended = |decision: &Decision| match decision {
            Decision::Ended { lease, reason, .. } => Some((*lease, *reason)),
            _ => None,
        };
        self.0.iter().filter_map(ended).collect()
    }

    pub(crate) fn denied(&self) -> Option<Refusal> {
        self.0.iter().find_map(|decision| match decision {
            Decision::Denied { refusal, .. } => Some(refusal.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn nothing(&self) {
        assert_eq!(self.0, [], "nothing was to be said");
    }
}
