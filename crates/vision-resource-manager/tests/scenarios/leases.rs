//! Leases: who may renew and release them, when they end, and what is refused at once.

use vision_resource_manager::{Decision, Ended, Event, Priority, Refusal, Settings, WarmModel};

use crate::scene::{GIB, KEEPER, Scene, gib, plain, warm};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    memory_that_is_there_is_granted_at_once_and_is_free_again_after_its_release,
    the_headroom_is_never_given_out,
    a_lease_that_is_released_twice_is_not_known_the_second_time,
    nobody_releases_or_renews_the_lease_of_another,
    a_number_that_never_was_a_lease_is_refused,
    a_lease_ends_when_its_time_is_over_and_its_token_is_stale,
    a_lease_is_over_even_where_the_renewal_is_the_first_that_is_heard_after_its_end,
    times_without_end_are_as_long_as_can_be_counted,
    a_renewed_lease_lives_from_the_renewal_on,
    a_renewal_for_no_time_is_refused_and_the_lease_lives_on,
    a_renewal_for_a_shorter_time_ends_the_lease_sooner_and_lets_others_in_then,
    tokens_only_grow_and_no_number_is_given_twice,
    who_does_not_wait_is_answered_now_with_what_is_in_the_way,
    a_refusal_speaks_of_the_gpus_that_were_named_only,
    who_waited_in_vain_is_told_the_same_when_the_time_is_over,
    more_than_any_gpu_has_is_refused_at_once_however_long_somebody_would_wait,
    without_a_gpu_nothing_ever_fits,
    numbers_that_make_no_sense_are_refused_at_once,
    nobody_gets_more_at_once_than_the_quota_and_waits_within_it_for_its_own_leases,
    who_waits_for_its_quota_keeps_nobody_else_waiting,
    who_waited_in_vain_for_its_quota_is_told_so,
    what_was_promised_counts_towards_the_quota,
    models_count_towards_the_quota_of_their_owner,
    an_owner_s_idle_models_make_room_in_its_quota,
    a_cancelled_request_is_answered_and_gets_nothing_later,
    nobody_cancels_what_another_asked_for,
    the_leases_of_the_dead_end_at_once_and_so_does_their_waiting,
];

#[test]
fn memory_that_is_there_is_granted_at_once_and_is_free_again_after_its_release() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20)).granted();
    assert_eq!(scene.free(0), 4);
    assert_eq!(scene.release(lease, 1).0, [Decision::Released { lease }]);
    assert_eq!(scene.free(0), 24);
}

#[test]
fn the_headroom_is_never_given_out() {
    let mut scene = Scene::set_to(Settings { headroom: GIB, ..plain() }, &[24]);
    assert!(matches!(scene.ask(gib(24)).refused(), Refusal::Insufficient { can_ever_fit: false, .. }));
    scene.ask(gib(20)).granted();
    assert!(
        matches!(scene.ask(gib(4)).refused(), Refusal::Insufficient { largest_free, .. } if largest_free == 3 * GIB)
    );
    scene.ask(gib(3)).granted();
}

#[test]
fn a_lease_that_is_released_twice_is_not_known_the_second_time() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20)).granted();
    scene.release(lease, 1);
    assert_eq!(scene.release(lease, 1).denied(), Some(Refusal::NoSuchLease));
}

#[test]
fn nobody_releases_or_renews_the_lease_of_another() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).by(1)).granted();
    assert_eq!(scene.release(lease, 2).denied(), Some(Refusal::NotYours));
    assert_eq!(scene.renew(lease, 2, 60_000).denied(), Some(Refusal::NotYours));
    assert_eq!(scene.free(0), 4);
}

#[test]
fn a_number_that_never_was_a_lease_is_refused() {
    let mut scene = Scene::with_gpus(&[24]);
    assert_eq!(scene.release(7, 1).denied(), Some(Refusal::NoSuchLease));
    assert_eq!(scene.renew(7, 1, 1_000).denied(), Some(Refusal::NoSuchLease));
}

#[test]
fn a_lease_ends_when_its_time_is_over_and_its_token_is_stale() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).lives(5_000)).granted();
    scene.later(4_999).nothing();
    assert_eq!(scene.manager.next_tick(), Some(5_000));
    assert_eq!(scene.later_and_read(1).ended(), [(lease, Ended::Expired)]);
    assert_eq!(scene.free(0), 24);
    assert_eq!(scene.renew(lease, 1, 5_000).denied(), Some(Refusal::NoSuchLease));
    assert_eq!(scene.release(lease, 1).denied(), Some(Refusal::NoSuchLease));
}

#[test]
fn a_lease_is_over_even_where_the_renewal_is_the_first_that_is_heard_after_its_end() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).lives(5_000)).granted();
    scene.silently(6_000);
    let said = scene.renew(lease, 1, 5_000);
    assert_eq!(said.ended(), [(lease, Ended::Expired)]);
    assert_eq!(said.denied(), Some(Refusal::NoSuchLease));
}

#[test]
fn times_without_end_are_as_long_as_can_be_counted() {
    let mut scene = Scene::with_gpus(&[24]);
    let end = 1_000 + (1_u64 << 52);
    scene.later(1_000);
    let answer = scene.ask(gib(20).lives(u64::MAX).waits(u64::MAX).preemptible(u64::MAX));
    assert_eq!(answer.said.ends(answer.request), end);
    let lease = answer.granted();
    assert_eq!(scene.renew(lease, 1, u64::MAX).0, [Decision::Renewed { lease, expires_at: end }]);
    scene.has(WarmModel { load_ms: u64::MAX, ..warm("m", 4) });
    let used = scene.wants("m", u64::MAX);
    let instance = used.said.load();
    let said = scene.tell(Event::Loaded { lease: instance, holder: KEEPER, took_ms: u64::MAX });
    assert_eq!(said.started(used.request), Some(instance));
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(u64::MAX));
    assert_eq!(high.said.preempts(), [(lease, end)]);
    assert_eq!(scene.manager.next_tick(), Some(end));
}

#[test]
fn a_headroom_without_end_leaves_nothing() {
    let mut scene = Scene::set_to(Settings { headroom: u64::MAX, ..plain() }, &[24]);
    scene.reads(0, 4, &[]);
    assert!(matches!(scene.ask(gib(1)).refused(), Refusal::Insufficient { can_ever_fit: false, .. }));
}

#[test]
fn a_renewed_lease_lives_from_the_renewal_on() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).lives(5_000)).granted();
    scene.later(4_000);
    assert_eq!(scene.renew(lease, 1, 5_000).0, [Decision::Renewed { lease, expires_at: 9_000 }]);
    scene.later(4_999).nothing();
    assert_eq!(scene.later(1).ended(), [(lease, Ended::Expired)]);
}

#[test]
fn a_renewal_for_no_time_is_refused_and_the_lease_lives_on() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).lives(5_000)).granted();
    assert!(matches!(scene.renew(lease, 1, 0).denied(), Some(Refusal::Invalid { .. })));
    assert_eq!(scene.later(5_000).ended(), [(lease, Ended::Expired)]);
}

#[test]
fn a_renewal_for_a_shorter_time_ends_the_lease_sooner_and_lets_others_in_then() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).lives(60_000)).granted();
    let next = scene.ask(gib(20).by(2).waits(30_000)).waits();
    scene.renew(lease, 1, 1_000);
    assert!(scene.later_and_read(1_000).granted(next).is_some());
}

#[test]
fn tokens_only_grow_and_no_number_is_given_twice() {
    let mut scene = Scene::with_gpus(&[24]);
    let first = scene.ask(gib(1)).granted();
    let second = scene.ask(gib(1)).granted();
    scene.release(second, 1);
    let third = scene.ask(gib(1)).granted();
    assert!(first < second && second < third);
    assert_eq!(scene.manager.last_lease(), third);
}

#[test]
fn who_does_not_wait_is_answered_now_with_what_is_in_the_way() {
    let mut scene = Scene::with_gpus(&[24, 16]);
    scene.ask(gib(20).on(&[0])).granted();
    scene.reads(1, 10, &[]);
    let refusal = scene.ask(gib(12).by(2)).refused();
    let expected = Refusal::Insufficient {
        asked: 12 * GIB,
        largest_free: 10 * GIB,
        device: Some(1),
        leased: 20 * GIB,
        external: 6 * GIB,
        lost: 0,
        can_ever_fit: true,
        expected_wait_ms: Some(60_000),
    };
    assert_eq!(refusal, expected);
    assert!(scene.waiting().is_empty());
}

#[test]
fn a_refusal_speaks_of_the_gpus_that_were_named_only() {
    let mut scene = Scene::with_gpus(&[24, 16]);
    scene.ask(gib(10).on(&[1])).granted();
    let refusal = scene.ask(gib(12).on(&[1])).refused();
    assert!(matches!(refusal, Refusal::Insufficient { device: Some(1), leased, .. } if leased == 10 * GIB));
}

#[test]
fn who_waited_in_vain_is_told_the_same_when_the_time_is_over() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20)).granted();
    let waits = scene.ask(gib(10).by(2).waits(3_000)).waits();
    scene.later(2_999).nothing();
    let refusal = scene.later(1).refused(waits);
    assert!(
        matches!(refusal, Some(Refusal::Insufficient { largest_free, can_ever_fit: true, .. }) if largest_free == 4 * GIB)
    );
}

#[test]
fn more_than_any_gpu_has_is_refused_at_once_however_long_somebody_would_wait() {
    let mut scene = Scene::with_gpus(&[24, 16]);
    let refusal = scene.ask(gib(25).waits(60_000)).refused();
    assert!(matches!(refusal, Refusal::Insufficient { can_ever_fit: false, .. }));
    let refusal = scene.ask(gib(20).on(&[1]).waits(60_000)).refused();
    assert!(matches!(refusal, Refusal::Insufficient { can_ever_fit: false, .. }));
}

#[test]
fn without_a_gpu_nothing_ever_fits() {
    let mut scene = Scene::with_gpus(&[]);
    let refusal = scene.ask(gib(1).waits(60_000)).refused();
    assert!(matches!(
        refusal,
        Refusal::Insufficient { largest_free: 0, device: None, can_ever_fit: false, .. }
    ));
}

#[test]
fn numbers_that_make_no_sense_are_refused_at_once() {
    let mut scene = Scene::with_gpus(&[24]);
    let nonsense = [gib(0), gib(1).times(0), gib(1).lives(0), gib(1).on(&[1]), gib(1).on(&[0, 0])];
    for ask in nonsense {
        assert!(matches!(scene.ask(ask.waits(60_000)).refused(), Refusal::Invalid { .. }));
    }
}

#[test]
fn nobody_gets_more_at_once_than_the_quota_and_waits_within_it_for_its_own_leases() {
    let quotas = [("team".into(), 16 * GIB)].into();
    let mut scene = Scene::set_to(Settings { quotas, ..plain() }, &[24, 24]);
    let refusal = scene.ask(gib(10).of_owner("team").times(2).waits(60_000)).refused();
    assert_eq!(refusal, Refusal::Quota { quota: 16 * GIB, leased: 0 });
    let lease = scene.ask(gib(10).of_owner("team")).granted();
    let waits = scene.ask(gib(10).of_owner("team").waits(60_000)).waits();
    scene.ask(gib(20).of_owner("others")).granted();
    assert!(scene.release(lease, 1).granted(waits).is_some());
}

#[test]
fn who_waits_for_its_quota_keeps_nobody_else_waiting() {
    let quotas = [("team".into(), 16 * GIB)].into();
    let mut scene = Scene::set_to(Settings { quotas, ..plain() }, &[24]);
    scene.ask(gib(16).of_owner("team")).granted();
    scene.ask(gib(8).of_owner("team").waits(60_000)).waits();
    scene.ask(gib(8).by(2)).granted();
}

#[test]
fn who_waited_in_vain_for_its_quota_is_told_so() {
    let quotas = [("team".into(), 16 * GIB)].into();
    let mut scene = Scene::set_to(Settings { quotas, ..plain() }, &[24]);
    scene.ask(gib(10).of_owner("team")).granted();
    let quota = Refusal::Quota { quota: 16 * GIB, leased: 10 * GIB };
    assert_eq!(scene.ask(gib(10).of_owner("team")).refused(), quota);
    let waits = scene.ask(gib(10).of_owner("team").waits(3_000)).waits();
    assert_eq!(scene.later(3_000).refused(waits), Some(quota));
}

#[test]
fn what_was_promised_counts_towards_the_quota() {
    let quotas = [("team".into(), 16 * GIB)].into();
    let mut scene = Scene::set_to(Settings { quotas, ..plain() }, &[16, 24]);
    scene.ask(gib(16).on(&[0]).by(2).with(Priority::Low).preemptible(5_000)).granted();
    // The first GPU is promised to it; of the second one it would be 20 GiB.
    let promised = scene.ask(gib(10).on(&[0]).of_owner("team").waits(60_000)).waits();
    let beyond = scene.ask(gib(10).on(&[1]).of_owner("team").waits(60_000)).waits();
    let said = scene.later_and_read(5_000);
    let lease = said.granted(promised).unwrap();
    assert_eq!(said.granted(beyond), None);
    assert!(scene.release(lease, 1).granted(beyond).is_some());
}

#[test]
fn models_count_towards_the_quota_of_their_owner() {
    let quotas = [("team".into(), 16 * GIB)].into();
    let mut scene = Scene::set_to(Settings { quotas, ..plain() }, &[24, 24]);
    let owner = || Some("team".into());
    scene.has(WarmModel { owner: owner(), ..warm("large", 17) });
    assert_eq!(scene.wants("large", 60_000).refused(), Refusal::Quota { quota: 16 * GIB, leased: 0 });
    scene.has(WarmModel { owner: owner(), ..warm("a", 10) });
    scene.has(WarmModel { owner: owner(), ..warm("b", 10) });
    let (instance, used) = scene.in_use("a");
    scene.ask(gib(10).of_owner("team")).refused();
    let b = scene.wants("b", 60_000);
    assert!(b.said.loads().is_empty(), "there is room, and none of the owner's quota");
    scene.done(used);
    assert_eq!(scene.later(600).unloads(), [instance]);
    let lease = scene.unloaded(instance).load();
    assert_eq!(scene.loads(lease, 1_000).started(b.waits()), Some(lease));
}

#[test]
fn an_owner_s_idle_models_make_room_in_its_quota() {
    let quotas = [("team".into(), 16 * GIB)].into();
    let mut scene = Scene::set_to(Settings { quotas, ..plain() }, &[24]);
    scene.has(WarmModel { owner: Some("team".into()), ..warm("m", 10) });
    let (instance, used) = scene.in_use("m");
    scene.done(used);
    scene.silently(10_000);
    let lease = scene.ask(gib(8).of_owner("team").waits(60_000));
    assert_eq!(lease.said.unloads(), [instance]);
    scene.later(1_000).nothing();
    assert!(scene.unloaded(instance).granted(lease.request).is_some());
}

#[test]
fn a_cancelled_request_is_answered_and_gets_nothing_later() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20)).granted();
    let waits = scene.ask(gib(10).by(2).waits(60_000)).waits();
    assert_eq!(
        scene.tell(Event::Cancel { request: waits, holder: 2 }).refused(waits),
        Some(Refusal::Cancelled)
    );
    scene.tell(Event::Cancel { request: waits, holder: 2 }).nothing();
    assert_eq!(scene.release(lease, 1).granted(waits), None);
}

#[test]
fn nobody_cancels_what_another_asked_for() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20)).granted();
    let waits = scene.ask(gib(10).by(2).waits(60_000)).waits();
    scene.tell(Event::Cancel { request: waits, holder: 1 }).nothing();
    assert!(scene.release(lease, 1).granted(waits).is_some());
}

#[test]
fn the_leases_of_the_dead_end_at_once_and_so_does_their_waiting() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let leases = [scene.ask(gib(20).by(1)).granted(), scene.ask(gib(20).by(1)).granted()];
    let dead_too = scene.ask(gib(10).by(1).waits(60_000)).waits();
    let heir = scene.ask(gib(24).by(2).waits(60_000)).waits();
    let said = scene.dies(1);
    assert_eq!(said.ended(), leases.map(|lease| (lease, Ended::HolderGone)));
    assert_eq!(said.refused(dead_too), Some(Refusal::Cancelled));
    assert!(scene.read().granted(heir).is_some());
}

#[test]
fn a_manager_that_continues_gives_out_tokens_above_those_before_it() {
    let mut manager = vision_resource_manager::Manager::continuing(plain(), 41);
    let mut said = Vec::new();
    let state = vision_resource_manager::DeviceState { total: GIB, free: GIB, used: Vec::new(), lost: false };
    manager.apply(0, Event::Devices { devices: vec![state], began_at: None }, &mut said);
    let request: vision_resource_manager::LeaseRequest = serde_json::from_value(serde_json::json!({
        "request": 1, "holder": 1, "owner": "somebody", "bytes": 1, "gpus": 1, "duration_ms": 1, "wait_ms": 0
    }))
    .unwrap();
    manager.apply(0, Event::Request(request), &mut said);
    assert!(matches!(said[..], [Decision::Granted { lease: 42, .. }]));
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).lives(5_000)).granted();
    scene.later(3_000);
    let mut said = Vec::new();
    scene.manager.apply(1_000, Event::Renew { lease, holder: 1, duration_ms: 5_000 }, &mut said);
    assert_eq!(said, [Decision::Renewed { lease, expires_at: 8_000 }]);
}
