//! Processes that do as they like, and a GPU that says what they use.

use std::collections::{BTreeMap, BTreeSet};

use vision_resource_manager::{
    Decision, DeviceState, Event, LeaseRequest, Manager, Priority, Settings, Share, Used, WarmModel,
};

/// One GiB, the unit of these tests.
const GIB: u64 = 1 << 30;
pub(crate) const HOLDERS: u64 = 5;
pub(crate) const MODELS: u64 = 3;

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    Pass {
        ms: u64,
    },
    Request {
        holder: u64,
        gib: u64,
        gpus: u32,
        priority: u8,
        duration: u64,
        wait: u64,
        preemptible: bool,
    },
    Release {
        nth: usize,
        by: u64,
    },
    Renew {
        nth: usize,
        duration: u64,
    },
    Cancel {
        nth: usize,
    },
    Dies {
        holder: u64,
    },
    /// A process takes what it leased, or a part of it, or more.
    Takes {
        holder: u64,
        tenths: u64,
    },
    /// Somebody who has no lease takes memory.
    Other {
        device: usize,
        gib: u64,
    },
    Vanishes {
        device: usize,
        lost: bool,
    },
    Use {
        holder: u64,
        model: u64,
        priority: u8,
        wait: u64,
    },
    Done {
        nth: usize,
    },
    Loaded {
        nth: usize,
        fails: bool,
    },
    Unloaded {
        nth: usize,
    },
    Optimize,
}

/// The `step`-th of a fixed sequence that looks random (SplitMix64).
pub(crate) fn numbered(step: u64) -> Operation {
    let mut state = step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut below = |limit: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    };
    match below(64) {
        0..10 => Operation::Pass { ms: below(2_000) },
        10..22 => Operation::Request {
            holder: below(HOLDERS),
            gib: below(26),
            gpus: below(4) as u32,
            priority: below(4) as u8,
            duration: below(9_000),
            wait: below(9_000),
            preemptible: below(2) == 0,
        },
        22..30 => Operation::Release { nth: below(1_000) as usize, by: below(HOLDERS) },
        30..34 => Operation::Renew { nth: below(1_000) as usize, duration: below(9_000) },
        34..36 => Operation::Cancel { nth: below(1_000) as usize },
        36 => Operation::Dies { holder: below(HOLDERS) },
        37..40 => Operation::Takes { holder: below(HOLDERS), tenths: below(21) },
        40 => Operation::Other { device: below(5) as usize, gib: below(9) },
        41 => Operation::Vanishes { device: below(5) as usize, lost: below(3) == 0 },
        42..50 => Operation::Use {
            holder: below(HOLDERS),
            model: below(MODELS),
            priority: below(4) as u8,
            wait: below(9_000),
        },
        50..56 => Operation::Done { nth: below(1_000) as usize },
        56..60 => Operation::Loaded { nth: below(1_000) as usize, fails: below(10) == 0 },
        60..63 => Operation::Unloaded { nth: below(1_000) as usize },
        _ => Operation::Optimize,
    }
}

/// A lease, as its holder knows it.
#[derive(Debug, Clone)]
struct Held {
    holder: u64,
    shares: Vec<Share>,
    expires_at: Option<u64>,
    warm: bool,
    lost: bool,
}

/// The world that a manager sees only through events.
pub(crate) struct World {
    manager: Manager,
    now: u64,
    totals: Vec<u64>,
    others: Vec<u64>,
    lost: Vec<bool>,
    /// What processes use of devices, in bytes; they hold no more than fits.
    uses: BTreeMap<(u64, usize), u64>,
    next: u64,
    holders: Vec<u64>,
    held: BTreeMap<u64, Held>,
    open: BTreeMap<u64, (u64, u64)>,
    loading: BTreeSet<u64>,
    unloading: BTreeSet<u64>,
    in_use: BTreeMap<u64, u64>,
    last_lease: u64,
    /// How many leases were granted, instances of models among them.
    pub(crate) granted: u64,
    /// What was told when, and what was decided.
    pub(crate) all: Vec<(u64, Event, Vec<Decision>)>,
}

impl World {
    /// What its manager is set to.
    pub(crate) fn settings() -> Settings {
        Settings { headroom: 0, max_overtaken: 4, ..Settings::default() }
    }

    /// Devices of so many GiB.
    pub(crate) fn set_to(gib: &[u64], settings: Settings) -> Self {
        let mut world = Self {
            manager: Manager::new(settings),
            now: 0,
            totals: gib.iter().map(|gib| gib * GIB).collect(),
            others: vec![0; gib.len()],
            lost: vec![false; gib.len()],
            uses: BTreeMap::new(),
            next: 0,
            holders: (0..HOLDERS).collect(),
            held: BTreeMap::new(),
            open: BTreeMap::new(),
            loading: BTreeSet::new(),
            unloading: BTreeSet::new(),
            in_use: BTreeMap::new(),
            last_lease: 0,
            granted: 0,
            all: Vec::new(),
        };
        world.read();
        (0..HOLDERS).for_each(|holder| world.register(holder));
        world
    }

    fn register(&mut self, holder: u64) {
        for model in 0..MODELS {
            let warm = WarmModel {
                holder: self.holders[holder as usize],
                model: format!("m{model}").into(),
                owner: None,
                bytes: (1 + model * 3) * GIB,
                load_ms: 500 * (1 + model),
                replicas: 1 + model as u32,
                concurrency: (model != 1).then_some(1 + model as u32),
            };
            self.tell(Event::Register(warm));
        }
    }

    fn tell(&mut self, event: Event) {
        let mut decisions = Vec::new();
        self.manager.apply(self.now, event.clone(), &mut decisions);
        for decision in &decisions {
            self.hear(decision);
        }
        self.all.push((self.now, event, decisions));
    }

    fn read(&mut self) {
        let devices = (0..self.totals.len()).map(|device| {
            let ours = |((_, at), _): &(&(u64, usize), &u64)| *at == device;
            let used: Vec<Used> = self
                .uses
                .iter()
                .filter(ours)
                .map(|((holder, _), bytes)| Used { holder: *holder, bytes: Some(*bytes) })
                .collect();
            let taken: u64 = used.iter().filter_map(|used| used.bytes).sum::<u64>() + self.others[device];
            assert!(taken <= self.totals[device], "the hardware itself is over-committed");
            let total = self.totals[device];
            DeviceState { total, free: total - taken, used, lost: self.lost[device] }
        });
        let devices = devices.collect();
        self.tell(Event::Devices { devices, began_at: None });
    }

    fn hear(&mut self, decision: &Decision) {
        match decision {
            Decision::Granted { request, lease, shares, expires_at, waited_ms } => {
                let (holder, deadline) =
                    self.open.remove(request).expect("granted once, to somebody who asked");
                assert!(self.now <= deadline || *waited_ms == 0, "granted after its time");
                assert!(*expires_at >= self.now);
                self.newer(*lease);
                let distinct: BTreeSet<usize> = shares.iter().map(|share| share.device).collect();
                assert_eq!(distinct.len(), shares.len(), "a gang is on different devices");
                let held = Held {
                    holder,
                    shares: shares.clone(),
                    expires_at: Some(*expires_at),
                    warm: false,
                    lost: false,
                };
                self.held.insert(*lease, held);
                self.fits(shares);
            }
            Decision::Refused { request, .. } => {
                self.open.remove(request);
            }
            Decision::Queued { request, .. } => assert!(self.open.contains_key(request)),
            Decision::Renewed { lease, expires_at } => {
                if let Some(held) = self.held.get_mut(lease).filter(|held| !held.warm) {
                    held.expires_at = Some(*expires_at);
                }
            }
            Decision::Released { lease } => assert!(self.held.remove(lease).is_some()),
            Decision::Ended { lease, .. } => {
                self.loading.remove(lease);
                self.unloading.remove(lease);
                self.in_use.retain(|_, instance| instance != lease);
                assert!(self.held.remove(lease).is_some(), "what ended was held");
            }
            Decision::Preempt { lease, until, .. } => {
                let held = self.held.get_mut(lease).expect("what is taken back was held");
                held.expires_at = Some(*until);
            }
            Decision::Load { lease, holder, share, .. } => {
                self.newer(*lease);
                let held =
                    Held { holder: *holder, shares: vec![*share], expires_at: None, warm: true, lost: false };
                self.held.insert(*lease, held);
                self.loading.insert(*lease);
                self.fits(&[*share]);
            }
            Decision::Unload { lease, .. } => {
                assert!(!self.in_use.values().any(|used| used == lease), "unloaded while in use");
                assert!(!self.loading.contains(lease), "unloaded while it is loaded");
                assert!(self.unloading.insert(*lease), "told twice to unload");
            }
            Decision::Started { request, lease, .. } => {
                self.open.remove(request).expect("started once, for somebody who asked");
                assert!(!self.loading.contains(lease) && !self.unloading.contains(lease));
                self.in_use.insert(*request, *lease);
            }
            Decision::Lost { lease, .. } => self.held.get_mut(lease).expect("held").lost = true,
            Decision::Found { lease, .. } => self.held.get_mut(lease).expect("held").lost = false,
            Decision::ModelDenied { .. } => panic!("its models are registered"),
            Decision::Denied { .. } | Decision::Overuse { .. } => {}
        }
    }

    /// What was just given out is there beside all that is leased, and all that is used.
    fn fits(&self, shares: &[Share]) {
        for device in shares.iter().map(|share| share.device) {
            let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
            for held in self.held.values() {
                let on = held.shares.iter().filter(|share| share.device == device);
                *taken.entry(held.holder).or_default() += on.map(|share| share.bytes).sum::<u64>();
            }
            for ((holder, _), bytes) in self.uses.iter().filter(|((_, at), _)| *at == device) {
                let leased = taken.entry(*holder).or_default();
                *leased = (*leased).max(*bytes);
            }
            let taken = taken.values().sum::<u64>() + self.others[device];
            assert!(taken <= self.totals[device], "device {device} is over-committed");
            assert!(!self.lost[device], "device {device} is not there");
        }
    }

    fn newer(&mut self, lease: u64) {
        assert!(lease > self.last_lease, "fencing tokens only grow");
        self.last_lease = lease;
        self.granted += 1;
    }

    fn nth<T: Copy>(of: impl Iterator<Item = T>, nth: usize) -> Option<T> {
        let all: Vec<T> = of.collect();
        (!all.is_empty()).then(|| all[nth % all.len()])
    }

    /// Carries one out, where it makes sense.
    pub(crate) fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Pass { ms } => {
                self.now += ms;
                self.tell(Event::Tick);
            }
            Operation::Request { holder, gib, gpus, priority, duration, wait, preemptible } => {
                self.next += 1;
                let holder = self.holders[holder as usize];
                self.open.insert(self.next, (holder, self.now + wait));
                self.tell(Event::Request(LeaseRequest {
                    request: self.next,
                    holder,
                    owner: "somebody".into(),
                    model: None,
                    bytes: gib * GIB,
                    gpus,
                    devices: Vec::new(),
                    priority: priority_of(priority),
                    duration_ms: duration,
                    wait_ms: wait,
                    preemptible,
                    grace_ms: 300,
                }));
            }
            Operation::Release { nth, by } => {
                let Some(lease) =
                    Self::nth(self.held.iter().filter(|(_, h)| !h.warm).map(|(id, _)| *id), nth)
                else {
                    return;
                };
                let holder = if by == 0 { 999 } else { self.held[&lease].holder };
                self.tell(Event::Release { lease, holder });
                assert_eq!(self.held.contains_key(&lease), by == 0, "only its holder gives it back");
            }
            Operation::Renew { nth, duration } => {
                let leases = self.held.iter().filter(|(_, held)| !held.warm).map(|(id, _)| *id);
                let Some(lease) = Self::nth(leases, nth) else { return };
                let holder = self.held[&lease].holder;
                self.tell(Event::Renew { lease, holder, duration_ms: duration });
            }
            Operation::Cancel { nth } => {
                let Some(request) = Self::nth(self.open.keys().copied(), nth) else { return };
                let holder = self.open[&request].0;
                self.tell(Event::Cancel { request, holder });
                assert!(!self.open.contains_key(&request));
            }
            Operation::Dies { holder } => {
                let gone = self.holders[holder as usize];
                self.uses.retain(|(who, _), _| *who != gone);
                self.tell(Event::HolderGone { holder: gone });
                assert!(self.held.values().all(|held| held.holder != gone), "the dead hold nothing");
                self.next += 1;
                self.holders[holder as usize] = 1_000 + self.next;
                self.register(holder);
                self.read();
            }
            Operation::Takes { holder, tenths } => self.take(self.holders[holder as usize], tenths),
            Operation::Other { device, gib } => self.others_take(device, gib * GIB),
            Operation::Vanishes { device, lost } => {
                if let Some(state) = self.lost.get_mut(device) {
                    *state = lost;
                    self.read();
                }
            }
            Operation::Use { holder, model, priority, wait } => {
                self.next += 1;
                let holder = self.holders[holder as usize];
                self.open.insert(self.next, (holder, self.now + wait));
                let (request, model) = (self.next, format!("m{model}").into());
                let priority = priority_of(priority);
                self.tell(Event::Use { request, holder, model, priority, wait_ms: wait });
            }
            Operation::Done { nth } => {
                let Some(request) = Self::nth(self.in_use.keys().copied(), nth) else { return };
                let Some(lease) = self.in_use.remove(&request) else { return };
                let holder = self.held[&lease].holder;
                self.tell(Event::Done { request, holder });
            }
            Operation::Loaded { nth, fails } => {
                let Some(lease) = Self::nth(self.loading.iter().copied(), nth) else { return };
                self.loading.remove(&lease);
                let holder = self.held[&lease].holder;
                let loaded = Event::Loaded { lease, holder, took_ms: 400 };
                self.tell(if fails { Event::LoadFailed { lease, holder } } else { loaded });
            }
            Operation::Unloaded { nth } => {
                let Some(lease) = Self::nth(self.unloading.iter().copied(), nth) else { return };
                self.unloading.remove(&lease);
                let Some(held) = self.held.remove(&lease) else { return };
                self.tell(Event::Unloaded { lease, holder: held.holder });
                self.read();
            }
            Operation::Optimize => self.tell(Event::Optimize { target_free: None, device: None }),
        }
    }

    /// A holder uses a part of what it leased, or up to twice as much where the hardware has it.
    fn take(&mut self, holder: u64, tenths: u64) {
        for device in 0..self.totals.len() {
            let leased: u64 = self
                .held
                .values()
                .filter(|held| held.holder == holder)
                .flat_map(|held| &held.shares)
                .filter(|share| share.device == device)
                .map(|share| share.bytes)
                .sum();
            self.uses.remove(&(holder, device));
            let free = self.totals[device] - self.taken(device);
            let bytes = (leased / 10 * tenths).min(free);
            if bytes > 0 {
                self.uses.insert((holder, device), bytes);
            }
        }
        self.read();
    }

    fn taken(&self, device: usize) -> u64 {
        let uses = self.uses.iter().filter(|((_, at), _)| *at == device).map(|(_, bytes)| *bytes);
        uses.sum::<u64>() + self.others[device]
    }

    fn others_take(&mut self, device: usize, bytes: u64) {
        if device >= self.totals.len() {
            return;
        }
        self.others[device] = 0;
        self.others[device] = bytes.min(self.totals[device] - self.taken(device));
        self.read();
    }

    /// What has to hold after each event.
    pub(crate) fn check(&self) {
        for (device, view) in self.manager.devices().enumerate() {
            let of = |held: &&Held| held.shares.iter().any(|share| share.device == device);
            let leased: u64 = self
                .held
                .values()
                .filter(of)
                .flat_map(|held| &held.shares)
                .filter(|share| share.device == device)
                .map(|share| share.bytes)
                .sum();
            assert_eq!(view.leased, leased, "the ledger and the holders agree on device {device}");
        }
        let views: Vec<_> = self.manager.leases().collect();
        assert_eq!(views.len(), self.held.len(), "every lease has a holder that knows of it");
        for view in &views {
            let held = &self.held[&view.lease];
            assert_eq!(view.shares, held.shares, "a gang is whole");
            assert_eq!(view.expires_at, held.expires_at);
            assert!(view.expires_at.is_none_or(|end| end > self.now), "nothing lives beyond its time");
        }
        for waiting in self.manager.waiting() {
            assert!(waiting.deadline > self.now, "nobody waits beyond its time");
            assert!(self.open.contains_key(&waiting.request));
        }
        assert_eq!(self.manager.waiting().count(), self.open.len(), "whoever was not answered waits");
        assert!(self.manager.next_tick().is_none_or(|tick| tick > self.now), "no tick is overdue");
    }

    /// When all are gone, everything is free again.
    pub(crate) fn everybody_goes_home(&mut self) {
        for holder in self.holders.clone() {
            self.tell(Event::HolderGone { holder });
        }
        self.uses.clear();
        self.others.iter_mut().for_each(|bytes| *bytes = 0);
        self.lost.iter_mut().for_each(|lost| *lost = false);
        self.read();
        assert!(self.held.is_empty() && self.open.is_empty());
        for (device, view) in self.manager.devices().enumerate() {
            assert_eq!((view.leased, view.free), (0, self.totals[device]), "nothing leaks");
        }
        assert_eq!(self.manager.next_tick(), None);
    }
}

fn priority_of(level: u8) -> Priority {
    [Priority::Low, Priority::Normal, Priority::High, Priority::Critical][usize::from(level) % 4]
}
