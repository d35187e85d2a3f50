//! GPUs in memory behave as real ones do, as far as a manager can see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod support;

use gpu_driver::{
    Choice, Driver, FakeError, FakeGpu, FakeMachine, Link, LinkKind, Memory, MigReading, ProcessReading, open,
};
use proptest::prelude::*;
use support::keeps_promises;

const GIB: u64 = 1 << 30;

fn machine(totals: &[u64]) -> (FakeMachine, Box<dyn Driver>) {
    let machine = FakeMachine::new(totals.iter().map(|total| FakeGpu { name: None, total: *total }));
    let driver = open(Choice::Fake(machine.clone())).unwrap();
    (machine, driver)
}

#[test]
fn what_is_held_is_used() {
    let (machine, mut driver) = machine(&[24 * GIB, 80 * GIB]);
    machine.hold(1, 7, 3 * GIB).unwrap();
    machine.hold(1, 7, 2 * GIB).unwrap();
    machine.use_unlisted(1, GIB).unwrap();
    let readings = driver.read().unwrap();
    let memory = readings[1].memory.as_ref().unwrap();
    assert_eq!((memory.total, memory.used, memory.free), (80 * GIB, 3 * GIB, 77 * GIB));
    assert_eq!(
        readings[1].processes.as_deref(),
        Some([ProcessReading { pid: 7, used: Some(2 * GIB) }].as_slice())
    );
    machine.tell_processes(1, false).unwrap();
    assert_eq!(driver.read().unwrap()[1].processes.as_ref().unwrap()[0].used, None);
    machine.release(1, 7).unwrap();
    assert_eq!(driver.read().unwrap()[1].memory.as_ref().unwrap().used, GIB);
}

#[test]
fn more_than_is_free_is_refused_and_changes_nothing() {
    let (machine, mut driver) = machine(&[8 * GIB]);
    machine.hold(0, 7, 5 * GIB).unwrap();
    let refused = FakeError::OutOfMemory { index: 0, asked: 4 * GIB, free: 3 * GIB };
    assert_eq!(machine.hold(0, 8, 4 * GIB), Err(refused));
    assert!(machine.hold(0, 7, 8 * GIB).is_ok(), "it may grow into what it had");
    assert!(machine.use_unlisted(0, 1).is_err());
    machine.hold(0, 7, 5 * GIB).unwrap();
    for bytes in [3 * GIB, 2 * GIB, 3 * GIB] {
        machine.use_unlisted(0, bytes).unwrap();
    }
    assert_eq!(driver.read().unwrap()[0].memory.as_ref().unwrap().free, 0);
    assert_eq!(machine.hold(1, 7, 1), Err(FakeError::NoSuchGpu { index: 1, count: 1 }));
}

#[test]
fn a_lost_gpu_is_listed_as_lost_and_returns_empty() {
    let (machine, mut driver) = machine(&[8 * GIB, 8 * GIB]);
    machine.hold(0, 7, GIB).unwrap();
    machine.lose(0, "it fell off the bus").unwrap();
    let readings = driver.read().unwrap();
    assert!(readings[0].is_lost() && readings[0].uuid.is_some() && !readings[1].is_lost());
    machine.find(0).unwrap();
    assert_eq!(driver.read().unwrap()[0].memory.as_ref().unwrap().used, 0);
}

#[test]
fn a_driver_that_vanishes_returns_with_what_was_there() {
    let (machine, mut driver) = machine(&[8 * GIB]);
    machine.hold(0, 7, GIB).unwrap();
    let before = driver.read().unwrap();
    machine.vanish("unloaded");
    let error = driver.read().unwrap_err();
    assert!(error.is_vanished() && error.to_string().contains("unloaded"), "{error}");
    assert!(driver.links().is_err());
    machine.restore();
    assert_eq!(driver.read().unwrap(), before);
}

#[test]
fn a_divided_gpu_cannot_be_allocated_as_one() {
    let (machine, mut driver) = machine(&[8 * GIB]);
    let memory = Memory { total: 4 * GIB, used: 0, free: 4 * GIB, reserved: None };
    let part = MigReading { index: 0, uuid: Some("MIG-a".to_owned()), name: None, memory: Ok(memory) };
    machine.divide(0, Some(vec![part])).unwrap();
    assert_eq!(driver.read().unwrap()[0].allocatable(), None);
    machine.divide(0, None).unwrap();
    assert!(driver.read().unwrap()[0].allocatable().is_some());
}

#[test]
fn links_are_those_that_were_named() {
    let (machine, mut driver) = machine(&[GIB, GIB]);
    assert_eq!(driver.links().unwrap(), []);
    machine.link(1, 0, LinkKind::Switch).unwrap();
    machine.link(0, 1, LinkKind::NvLink).unwrap();
    assert_eq!(driver.links().unwrap(), [Link { devices: [0, 1], kind: LinkKind::NvLink }]);
    assert!(machine.link(0, 2, LinkKind::Switch).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Hold(u32, u32, u64),
    Release(u32, u32),
    Unlisted(u32, u64),
    Tell(u32, bool),
    Busy(u32, u32),
    Lose(u32),
    Find(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop_oneof![0..20 * GIB, any::<u64>()];
    prop_oneof![
        (0..4_u32, 0..5_u32, bytes()).prop_map(|(gpu, pid, bytes)| Step::Hold(gpu, pid, bytes)),
        (0..4_u32, 0..5_u32).prop_map(|(gpu, pid)| Step::Release(gpu, pid)),
        (0..4_u32, bytes()).prop_map(|(gpu, bytes)| Step::Unlisted(gpu, bytes)),
        (0..4_u32, any::<bool>()).prop_map(|(gpu, tells)| Step::Tell(gpu, tells)),
        (0..4_u32, any::<u32>()).prop_map(|(gpu, percent)| Step::Busy(gpu, percent)),
        (0..4_u32).prop_map(Step::Lose),
        (0..4_u32).prop_map(Step::Find),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_reading_keeps_the_promises(steps in prop::collection::vec(step(), 0..60)) {
        let (machine, mut driver) = machine(&[GIB, 0, u64::MAX]);
        for step in steps {
            // What cannot happen is refused, which is as good as what can.
            let _outcome = match step {
                Step::Hold(gpu, pid, bytes) => machine.hold(gpu, pid, bytes),
                Step::Release(gpu, pid) => machine.release(gpu, pid),
                Step::Unlisted(gpu, bytes) => machine.use_unlisted(gpu, bytes),
                Step::Tell(gpu, tells) => machine.tell_processes(gpu, tells),
                Step::Busy(gpu, percent) => machine.set_utilization(gpu, percent),
                Step::Lose(gpu) => machine.lose(gpu, "lost"),
                Step::Find(gpu) => machine.find(gpu),
            };
            keeps_promises(&driver.read().unwrap());
        }
    }
}
