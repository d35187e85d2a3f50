use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use gpu_driver::{Choice, FakeGpu, FakeMachine};

use super::*;

const GIB: u64 = 1 << 30;
/// Nothing here takes so long; whoever waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn fake(gib: &[u64]) -> (FakeMachine, ResourceManager) {
    polled(gib, 5)
}

fn polled(gib: &[u64], poll_ms: u64) -> (FakeMachine, ResourceManager) {
    let machine = FakeMachine::new(gib.iter().map(|gib| FakeGpu { name: None, total: gib * GIB }));
    let settings = Settings { headroom: 0, ..Settings::default() };
    let options = ManagerOptions { settings, poll_ms, ..ManagerOptions::default() };
    let driver = gpu_driver::open(Choice::Fake(machine.clone())).unwrap();
    (machine, ResourceManager::new(driver, options).unwrap())
}

fn listened(manager: &ResourceManager, pid: u32) -> (HolderId, Receiver<Decision>) {
    let (tell, told) = mpsc::sync_channel(16);
    let process = Process { pid, started: None };
    (manager.join(process, move |decision| drop(tell.send(decision))).unwrap(), told)
}

fn ask(manager: &ResourceManager, holder: HolderId, of: Allocate) -> Receiver<Result<Granted, ManagerError>> {
    let (tell, told) = mpsc::sync_channel(16);
    manager.allocate(holder, of, move |answer| drop(tell.send(answer))).unwrap();
    told
}

#[test]
fn whoever_waits_is_served_when_memory_comes_back() {
    let (_machine, manager) = fake(&[8]);
    let (holder, _notices) = listened(&manager, 1);
    let first = ask(&manager, holder, Allocate::new(6 * GIB)).try_recv().unwrap().unwrap();
    let second = ask(&manager, holder, Allocate::new(6 * GIB));
    assert!(second.try_recv().is_err(), "there are 2 GiB");
    manager.release(holder, first.lease).unwrap();
    let second = second.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(second.lease > first.lease);
}

#[test]
fn a_lease_ends_by_itself_and_its_holder_hears_of_it() {
    let (_machine, manager) = fake(&[8]);
    let (holder, notices) = listened(&manager, 1);
    let short = Allocate { duration_ms: 20, ..Allocate::new(GIB) };
    let lease = ask(&manager, holder, short).recv_timeout(PATIENCE).unwrap().unwrap().lease;
    let ended = Decision::Ended { lease, holder, reason: Ended::Expired };
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(ended));
    assert_eq!(manager.renew(holder, lease, 1_000), Err(ManagerError::NoSuchLease { lease }));
    assert_eq!(manager.renew(holder, lease, 1_000).map_err(|error| error.code()), Err("UAT_LEASE_EXPIRED"));
}

#[test]
fn after_a_lease_has_ended_the_driver_is_asked_soon_what_became_of_its_memory() {
    let (_machine, manager) = polled(&[8], 3_600_000);
    let (holder, _notices) = listened(&manager, 1);
    let short = Allocate { duration_ms: 20, ..Allocate::new(8 * GIB) };
    ask(&manager, holder, short).recv_timeout(PATIENCE).unwrap().unwrap();
    ask(&manager, holder, Allocate::new(8 * GIB)).recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_preempted_holder_is_asked_and_then_told() {
    let (_machine, manager) = fake(&[8]);
    let (holder, notices) = listened(&manager, 1);
    let cheap =
        Allocate { preemptible: true, grace_ms: 10, priority: Priority::Low, ..Allocate::new(6 * GIB) };
    let lease = ask(&manager, holder, cheap).recv_timeout(PATIENCE).unwrap().unwrap().lease;
    let dear = ask(&manager, holder, Allocate { priority: Priority::High, ..Allocate::new(6 * GIB) });
    assert!(matches!(notices.recv_timeout(PATIENCE), Ok(Decision::Preempt { by: Priority::High, .. })));
    assert_eq!(
        notices.recv_timeout(PATIENCE),
        Ok(Decision::Ended { lease, holder, reason: Ended::Preempted })
    );
    dear.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(manager.release(holder, lease), Err(ManagerError::Preempted { lease }));
}

#[test]
fn what_other_programs_take_is_not_given_out_until_they_give_it_back() {
    let (machine, manager) = fake(&[8]);
    machine.use_unlisted(0, 5 * GIB).unwrap();
    let (holder, _notices) = listened(&manager, 1);
    wait_until(|| manager.usage()[0].ledger.external > 0);
    let now = ask(&manager, holder, Allocate { wait_ms: 0, ..Allocate::new(6 * GIB) });
    let error = now.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code(), "UAT_INSUFFICIENT_VRAM");
    assert!(error.to_string().contains("largest free block has 3072 MiB (on GPU 0)"), "{error}");
    assert!(error.to_string().contains("other programs 5120 MiB"), "{error}");
    let later = ask(&manager, holder, Allocate::new(6 * GIB));
    machine.use_unlisted(0, 0).unwrap();
    later.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_model_is_loaded_for_its_first_use_and_unloaded_when_others_need_its_memory() {
    let (_machine, manager) = fake(&[8]);
    let (holder, notices) = listened(&manager, 1);
    let model = "chat".into();
    let warm =
        WarmModel { holder, model, owner: None, bytes: 6 * GIB, load_ms: 10, replicas: 1, concurrency: None };
    manager.register(warm).unwrap();
    let (tell, told) = mpsc::sync_channel(16);
    let use_it = |tell: mpsc::SyncSender<_>| {
        let answer = move |started| drop(tell.send(started));
        manager.use_model(holder, "chat", Priority::Normal, 10_000, answer).unwrap()
    };
    use_it(tell.clone());
    let Ok(Decision::Load { lease, share, .. }) = notices.recv_timeout(PATIENCE) else {
        panic!("it is loaded")
    };
    assert_eq!((share.device, share.bytes), (0, 6 * GIB));
    manager.loaded(holder, lease, 10);
    let started = told.recv_timeout(PATIENCE).unwrap().unwrap();
    let waits = ask(&manager, holder, Allocate::new(6 * GIB));
    assert!(notices.try_recv().is_err(), "it is in use");
    manager.done(holder, started.request);
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Decision::Unload { lease, holder }));
    manager.unloaded(holder, lease);
    waits.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_holder_that_takes_twice_its_lease_is_told_and_gets_no_more() {
    let (machine, manager) = fake(&[24]);
    let pid = std::process::id();
    let (holder, notices) = listened(&manager, pid);
    ask(&manager, holder, Allocate::new(4 * GIB)).recv_timeout(PATIENCE).unwrap().unwrap();
    machine.hold(0, pid, 8 * GIB).unwrap();
    let said = Decision::Overuse { holder, device: 0, leased: 4 * GIB, used: 8 * GIB };
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(said));
    let more = ask(&manager, holder, Allocate::new(GIB)).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(more.to_string().contains("uses 8192 MiB of GPU 0 and has leased 4096 MiB"), "{more}");
}

#[test]
fn what_a_process_uses_is_its_holders_one_after_the_other_and_the_rest_is_the_last_one_s() {
    let (machine, manager) = fake(&[24]);
    let pid = std::process::id();
    let (first, first_hears) = listened(&manager, pid);
    let (second, second_hears) = listened(&manager, pid);
    for holder in [first, second] {
        let granted = ask(&manager, holder, Allocate::new(4 * GIB)).recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(granted.uuids, [manager.uuid(0)]);
        assert!(granted.uuids[0].is_some());
    }
    // Both have what they leased; nobody else has any.
    machine.hold(0, pid, 8 * GIB).unwrap();
    manager.read_soon();
    wait_until(|| manager.usage()[0].ledger.used == 8 * GIB);
    let ledger = manager.usage()[0].ledger;
    assert_eq!((ledger.free, ledger.external), (16 * GIB, 0));
    machine.hold(0, pid, 9 * GIB).unwrap();
    let said = Decision::Overuse { holder: second, device: 0, leased: 4 * GIB, used: 5 * GIB };
    assert_eq!(second_hears.recv_timeout(PATIENCE), Ok(said));
    assert!(first_hears.try_recv().is_err());
}

#[test]
fn a_process_that_got_the_number_of_another_is_not_its_holder() {
    let (machine, manager) = fake(&[24]);
    let pid = std::process::id();
    let gone = Process { pid, started: Some(1) };
    let holder = manager.join(gone, drop).unwrap();
    ask(&manager, holder, Allocate::new(4 * GIB)).recv_timeout(PATIENCE).unwrap().unwrap();
    machine.hold(0, pid, 4 * GIB).unwrap();
    wait_until(|| manager.usage()[0].ledger.used == 4 * GIB);
    assert_eq!(manager.usage()[0].ledger.external, 4 * GIB);
}

/// Waits until something holds, which others see to.
#[track_caller]
fn wait_until(holds: impl Fn() -> bool) {
    let until = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < until, "it never holds");
        std::thread::yield_now();
    }
}

#[test]
fn who_has_not_joined_or_has_left_gets_nothing() {
    let (_machine, manager) = fake(&[8]);
    let (holder, _notices) = listened(&manager, 1);
    manager.leave(holder);
    for holder in [holder, 99] {
        let error = manager.allocate(holder, Allocate::new(GIB), drop).unwrap_err();
        assert_eq!(error.code(), "UAT_INVALID_INPUT");
        let error = manager.use_model(holder, "chat", Priority::Normal, 0, drop).unwrap_err();
        assert_eq!(error.code(), "UAT_INVALID_INPUT");
        let model = "chat".into();
        let warm =
            WarmModel { holder, model, owner: None, bytes: GIB, load_ms: 10, replicas: 1, concurrency: None };
        assert_eq!(manager.register(warm).unwrap_err().code(), "UAT_INVALID_INPUT");
    }
    assert!(manager.leases().is_empty());
}

#[test]
fn who_listens_to_a_manager_that_is_closed_hears_that_nothing_comes_any_more() {
    let (_machine, manager) = fake(&[8]);
    let (holder, notices) = listened(&manager, 1);
    manager.close();
    assert!(matches!(notices.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected)));
    manager.leave(holder);
}

#[test]
fn without_a_gpu_it_is_said_what_was_tried() {
    let path = Some("/nowhere/libnvidia-ml.so.1".into());
    let driver = gpu_driver::open(Choice::Auto { path }).unwrap();
    let manager = ResourceManager::new(driver, ManagerOptions::default()).unwrap();
    let (holder, _notices) = listened(&manager, 1);
    let error = manager.allocate(holder, Allocate::new(GIB), drop).unwrap_err();
    assert_eq!(error.code(), "UAT_NO_GPU");
    assert!(error.to_string().contains("/nowhere/libnvidia-ml.so.1"), "{error}");
}

#[test]
fn a_driver_that_vanishes_marks_leases_lost_until_it_returns() {
    let (machine, manager) = fake(&[8]);
    let (holder, notices) = listened(&manager, 1);
    let lease = ask(&manager, holder, Allocate::new(GIB)).recv_timeout(PATIENCE).unwrap().unwrap().lease;
    machine.vanish("unloaded");
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Decision::Lost { lease, holder }));
    machine.restore();
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Decision::Found { lease, holder }));
    manager.renew(holder, lease, 1_000).unwrap();
}

#[test]
fn closing_answers_everybody_and_can_be_done_from_a_callback() {
    let (_machine, manager) = fake(&[8]);
    let manager = Arc::new(manager);
    let (holder, _notices) = listened(&manager, 1);
    ask(&manager, holder, Allocate::new(8 * GIB)).recv_timeout(PATIENCE).unwrap().unwrap();
    let (tell, told) = mpsc::sync_channel(16);
    let inner = Arc::clone(&manager);
    let wait = Allocate { wait_ms: 20, ..Allocate::new(GIB) };
    let answer = move |answer: Result<Granted, ManagerError>| {
        inner.close();
        drop(tell.send(answer));
    };
    manager.allocate(holder, wait, answer).unwrap();
    assert!(matches!(told.recv_timeout(PATIENCE), Ok(Err(ManagerError::Insufficient { .. }))));
    assert_eq!(manager.allocate(holder, Allocate::new(GIB), drop), Err(ManagerError::Closed));
}
