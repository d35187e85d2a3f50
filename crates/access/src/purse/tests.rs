//! Several processes over one ledger, with everything that can happen to a claim on its way, to a process and to the ledger.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::account::{Period, What};
use crate::book::{Decision, Sheet};

const LIMIT: u64 = 10_000;
const PROCESSES: usize = 3;

fn account() -> Account {
    Account { key: "k".into(), what: What::Money, period: Period::Minute }
}

/// A request that has not ended.
struct Open {
    held: Held,
    window: u64,
}

struct Process {
    purse: Purse,
    open: Vec<Open>,
    /// What a request that found nothing waits for.
    waits: u64,
    /// The claim whose answer is awaited.
    asked: Option<(Claim, Instant)>,
    most_reserved: u64,
    most_waited: u64,
}

struct World {
    now: Instant,
    start: Instant,
    sheet: Sheet,
    next_instance: u64,
    processes: Vec<Process>,
    /// Claims that nobody waits for any more, and that may yet arrive.
    late: Vec<Claim>,
    /// What requests of each window hold or have spent: the truth, whatever processes and ledger believe.
    truth: HashMap<u64, u64>,
    /// What the ledger forgot of each window.
    forgotten: HashMap<u64, u64>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            start: now,
            sheet: Sheet::default(),
            next_instance: 0,
            processes: Vec::new(),
            late: Vec::new(),
            truth: HashMap::new(),
            forgotten: HashMap::new(),
        };
        for _ in 0..PROCESSES {
            let process = world.process();
            world.processes.push(process);
        }
        world
    }

    fn process(&mut self) -> Process {
        self.next_instance += 1;
        Process {
            purse: Purse::new(account(), InstanceId(self.next_instance), LIMIT),
            open: Vec::new(),
            waits: 0,
            asked: None,
            most_reserved: 0,
            most_waited: 0,
        }
    }

    fn clock(&self) -> (u64, Duration) {
        let elapsed = self.now - self.start;
        (
            elapsed.as_secs() / 60,
            Duration::from_secs(60) - Duration::from_millis(elapsed.as_millis() as u64 % 60_000),
        )
    }

    fn reserve(&mut self, at: usize, amount: u64) {
        let now = self.now;
        let process = &mut self.processes[at];
        match process.purse.reserve(amount, now, false) {
            Some(held) => {
                let window = process.purse.window.unwrap();
                *self.truth.entry(window).or_default() += amount;
                process.open.push(Open { held, window });
                process.most_reserved = process.most_reserved.max(process.purse.reserved());
            }
            None if process.waits == 0 => {
                process.waits = amount;
                process.most_waited = process.most_waited.max(amount);
                process.purse.wait(amount);
            }
            None => {}
        }
        self.claim(at);
    }

    fn claim(&mut self, at: usize) {
        let now = self.now;
        let process = &mut self.processes[at];
        if let Some(claim) = process.purse.wish(now) {
            process.asked = Some((claim, now));
        }
    }

    /// The ledger carries a claim out, and the answer comes after `delay`.
    fn deliver(&mut self, at: usize, delay: Duration) {
        let Some((claim, sent)) = self.processes[at].asked.take() else { return };
        let granted = self.carry_out(&claim);
        self.now += delay;
        let now = self.now;
        let process = &mut self.processes[at];
        process.purse.answered(&claim, &granted, sent, now);
        let waited = std::mem::take(&mut process.waits);
        process.purse.stop_waiting(waited);
        if waited > 0 {
            self.reserve(at, waited);
        }
    }

    fn carry_out(&mut self, claim: &Claim) -> Granted {
        let (window, ends_in) = self.clock();
        let decision = self.sheet.consider(claim, window, (self.now - self.start).as_millis() as u64);
        self.sheet.apply(claim.instance, &decision);
        let Decision { window, entry, others, others_spent, .. } = decision;
        Granted { window, ends_in, granted: entry.total, others, others_spent }
    }

    /// The answer does not come in its time; the claim may arrive later, or never, or has arrived.
    fn lose(&mut self, at: usize, arrived: bool) {
        let Some((claim, _)) = self.processes[at].asked.take() else { return };
        if arrived {
            self.carry_out(&claim);
        }
        self.late.push(claim);
        self.now += Duration::from_millis(50);
        let now = self.now;
        let process = &mut self.processes[at];
        process.purse.failed(now);
        let waited = std::mem::take(&mut process.waits);
        process.purse.stop_waiting(waited);
    }

    fn settle(&mut self, at: usize, which: usize, part: u64) {
        let process = &mut self.processes[at];
        if process.open.is_empty() {
            return;
        }
        let Open { held, window } = process.open.swap_remove(which % process.open.len());
        let used = held.amount * part / 100;
        process.purse.settle(held, used);
        *self.truth.entry(window).or_default() -= held.amount - used;
    }

    fn crash(&mut self, at: usize) {
        let fresh = self.process();
        let dead = std::mem::replace(&mut self.processes[at], fresh);
        if let Some((claim, _)) = dead.asked {
            self.late.push(claim);
        }
    }

    /// The ledger forgets everything, as after a failover to a replica that had heard of nothing.
    fn forget(&mut self) {
        let lost: u64 = self.sheet.entries().map(|(_, entry)| entry.total).sum();
        *self.forgotten.entry(self.sheet.window).or_default() += lost;
        self.sheet = Sheet::default();
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (window, sum) in &self.truth {
            let forgotten = self.forgotten.get(window).copied().unwrap_or(0);
            prop_assert!(
                *sum <= LIMIT + forgotten,
                "window {window}: {sum}, of it {forgotten} may be too much"
            );
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(usize, u64),
    Settle(usize, usize, u64),
    Deliver(usize, u64),
    Lose(usize, bool),
    Late(usize),
    Twice(usize),
    Crash(usize),
    Tidy(usize),
    Pass(u64),
    Forget,
}

fn step(forgets: bool) -> impl Strategy<Value = Step> {
    let process = 0..PROCESSES;
    prop_oneof![
        8 => (process.clone(), 1_u64..1500).prop_map(|(at, amount)| Step::Reserve(at, amount)),
        6 => (process.clone(), any::<usize>(), 0_u64..=100).prop_map(|(at, which, part)| Step::Settle(at, which, part)),
        8 => (process.clone(), 0_u64..50).prop_map(|(at, delay)| Step::Deliver(at, delay)),
        2 => (process.clone(), any::<bool>()).prop_map(|(at, arrived)| Step::Lose(at, arrived)),
        2 => any::<usize>().prop_map(Step::Late),
        1 => process.clone().prop_map(Step::Twice),
        1 => process.clone().prop_map(Step::Crash),
        2 => process.prop_map(Step::Tidy),
        2 => prop_oneof![Just(500_u64), Just(3000), Just(59_000), Just(61_000)].prop_map(Step::Pass),
        u32::from(forgets) => Just(Step::Forget),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Reserve(at, amount) => world.reserve(at, amount),
        Step::Settle(at, which, part) => world.settle(at, which, part),
        Step::Deliver(at, delay) => world.deliver(at, Duration::from_millis(delay)),
        Step::Lose(at, arrived) => world.lose(at, arrived),
        Step::Late(which) => {
            if !world.late.is_empty() {
                let claim = world.late.swap_remove(which % world.late.len());
                world.carry_out(&claim);
            }
        }
        Step::Twice(at) => {
            if let Some((claim, _)) = world.processes[at].asked.clone() {
                world.carry_out(&claim);
            }
        }
        Step::Crash(at) => world.crash(at),
        Step::Tidy(at) => {
            let now = world.now;
            if let Some(claim) = world.processes[at].purse.excess(now, false) {
                world.processes[at].asked = Some((claim, now));
            }
        }
        Step::Pass(ms) => world.now += Duration::from_millis(ms),
        Step::Forget => world.forget(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_claims_and_processes_a_window_never_gives_more_than_its_limit(
        steps in prop::collection::vec(step(false), 1..250),
    ) {
        let mut world = World::new();
        for step in steps {
            take(&mut world, step);
            world.check()?;
        }
    }

    #[test]
    fn a_ledger_that_forgets_costs_at_most_what_it_forgot(steps in prop::collection::vec(step(true), 1..250)) {
        let mut world = World::new();
        for step in steps {
            take(&mut world, step);
            world.check()?;
        }
    }

    #[test]
    fn what_a_killed_process_loses_is_little_more_than_what_it_had_under_way(
        steps in prop::collection::vec((1_u64..400, 0_u64..=100, any::<bool>()), 1..120),
    ) {
        let mut world = World::new();
        for (amount, part, settles) in steps {
            world.reserve(0, amount);
            world.deliver(0, Duration::from_millis(1));
            if settles {
                world.settle(0, 0, part);
            }
            world.now += Duration::from_millis(20);
        }
        let process = &world.processes[0];
        let (_, _, spent) = process.purse.amounts();
        let lost = world.sheet.entries().map(|(_, entry)| entry.total).sum::<u64>() - spent;
        // Claimed for what was reserved and what somebody waited for, and a chunk and a half ahead.
        let bound = process.most_reserved + process.most_waited + process.purse.chunk * 3 / 2 + 1;
        prop_assert!(lost <= bound, "{lost} of {bound}");
    }
}

fn purse(limit: u64) -> Purse {
    Purse::new(account(), InstanceId(1), limit)
}

fn answer(purse: &mut Purse, claim: &Claim, others: u64, others_spent: u64, now: Instant) {
    let granted = claim.total.max(claim.fresh).min(claim.limit - others).max(claim.held);
    let answer = Granted { window: 7, ends_in: Duration::from_secs(40), granted, others, others_spent };
    purse.answered(claim, &answer, now, now);
}

#[test]
fn more_is_claimed_before_it_runs_dry_and_only_one_claim_is_under_way() {
    let now = Instant::now();
    let mut purse = purse(20_000);
    assert!(purse.reserve(10, now, false).is_none());
    assert!(purse.wish(now).is_none(), "nobody waits");
    purse.wait(10);
    let claim = purse.wish(now).unwrap();
    assert_eq!((claim.fresh, claim.held), (100, 0), "a chunk of half a percent");
    assert!(purse.wish(now).is_none());
    answer(&mut purse, &claim, 0, 0, now);
    purse.stop_waiting(10);
    assert!(purse.reserve(10, now, false).is_some() && purse.wish(now).is_none());
    assert!(purse.reserve(45, now, false).is_some());
    let claim = purse.wish(now).unwrap();
    assert_eq!((claim.total, claim.held, claim.window), (155, 100, Some(7)));
    assert!(purse.reserve(45, now, false).is_some(), "there is enough meanwhile");
}

#[test]
fn a_ledger_that_does_not_answer_is_left_alone_for_a_second() {
    let now = Instant::now();
    let mut purse = purse(20_000);
    purse.wait(10);
    assert!(purse.wish(now).is_some());
    purse.failed(now);
    assert!(purse.shortage(10, now).is_away);
    assert!(purse.wish(now + Duration::from_millis(999)).is_none());
    assert!(purse.wish(now + Duration::from_millis(1000)).is_some());
}

#[test]
fn what_others_have_reserved_may_come_back_and_what_they_have_spent_does_not() {
    let now = Instant::now();
    let mut purse = purse(20_000);
    purse.wait(5000);
    let claim = purse.wish(now).unwrap();
    answer(&mut purse, &claim, 16_000, 15_000, now);
    let shortage = purse.shortage(5000, now);
    assert_eq!((shortage.left, shortage.retry_after), (4000, Duration::from_secs(1)));
    let shortage = purse.shortage(6000, now);
    assert_eq!((shortage.is_away, shortage.retry_after), (false, Duration::from_secs(40)));
    assert!(purse.wish(now).is_none(), "asking again at once brings nothing");
    assert!(purse.wish(now + PAUSE).is_some());
}

#[test]
fn what_was_not_needed_lately_is_given_back_and_everything_when_idle() {
    let now = Instant::now();
    let mut purse = purse(20_000);
    purse.wait(3000);
    let claim = purse.wish(now).unwrap();
    answer(&mut purse, &claim, 0, 0, now);
    purse.stop_waiting(3000);
    let held = purse.reserve(3000, now, false).unwrap();
    purse.settle(held, 200);
    assert!(purse.excess(now, false).is_none(), "as much was needed a moment ago");
    let _second = purse.reserve(10, now + 4 * PAUSE, false).unwrap();
    assert!(purse.excess(now + 4 * PAUSE, false).is_none());
    let _third = purse.reserve(10, now + 12 * PAUSE, false).unwrap();
    let claim = purse.excess(now + 12 * PAUSE, false).unwrap();
    assert_eq!((claim.total, claim.held, claim.spent), (320, 320, 200), "but for a chunk");
    answer(&mut purse, &claim, 0, 0, now + 12 * PAUSE);
    let claim = purse.excess(now + 14 * PAUSE, false).unwrap();
    assert_eq!(claim.total, 220, "spent and reserved");
}

#[test]
fn alone_a_process_keeps_to_the_limit_by_itself_and_tells_the_ledger_afterwards() {
    let now = Instant::now();
    let mut purse = purse(1000);
    purse.wait(10);
    assert!(purse.wish(now).is_some());
    assert!(purse.reserve(600, now, true).is_none(), "the ledger may yet answer");
    purse.failed(now);
    purse.stop_waiting(10);
    assert!(purse.reserve(600, now, true).is_some());
    assert!(purse.reserve(600, now, true).is_none());
    assert!(purse.reserve(400, now, true).is_some());
    purse.wait(1);
    let claim = purse.wish(now + PAUSE).unwrap();
    assert_eq!((claim.window, claim.fresh), (None, 1000));
}

#[test]
fn a_reservation_is_settled_in_its_own_window() {
    let now = Instant::now();
    let mut purse = purse(20_000);
    purse.wait(500);
    let claim = purse.wish(now).unwrap();
    answer(&mut purse, &claim, 0, 0, now);
    purse.stop_waiting(500);
    let held = purse.reserve(500, now, false).unwrap();
    purse.wait(1);
    let later = now + Duration::from_secs(40);
    assert!(purse.reserve(1, later, false).is_none(), "the window has ended");
    let claim = purse.wish(later).unwrap();
    let granted = Granted {
        window: 8,
        ends_in: Duration::from_secs(60),
        granted: claim.fresh,
        others: 0,
        others_spent: 0,
    };
    purse.answered(&claim, &granted, later, later);
    purse.settle(held, 400);
    assert_eq!(purse.amounts(), (100, 0, 0));
}

#[test]
fn a_lower_limit_counts_at_once() {
    let now = Instant::now();
    let mut purse = purse(20_000);
    purse.wait(5000);
    let claim = purse.wish(now).unwrap();
    answer(&mut purse, &claim, 0, 0, now);
    purse.stop_waiting(5000);
    let _held = purse.reserve(1000, now, false).unwrap();
    purse.set_limit(2000);
    assert!(purse.reserve(1001, now, false).is_none());
    assert!(purse.reserve(1000, now, false).is_some());
    purse.set_limit(1500);
    assert!(purse.reserve(1, now, false).is_none());
    assert_eq!(purse.shortage(1, now).left, 0);
}
