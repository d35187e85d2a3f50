//! Who has to give way to whom, and how.

use vision_resource_manager::{Decision, Ended, Priority, Refusal};

use crate::scene::{Scene, gib};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    a_preemptible_lease_gives_way_to_a_higher_priority_when_its_grace_is_over,
    who_gives_back_within_its_grace_is_waited_for_no_longer,
    who_was_asked_to_give_back_cannot_renew_beyond_its_grace,
    grace_does_not_make_a_lease_live_longer,
    without_grace_the_token_is_revoked_at_a_tick_that_is_due_now,
    a_lease_that_is_not_preemptible_stays,
    equals_do_not_take_from_each_other,
    nobody_is_asked_to_give_way_for_somebody_that_would_still_not_fit,
    nobody_is_asked_to_give_way_for_somebody_that_does_not_wait,
    the_lower_priority_gives_way_before_the_higher_one,
    no_more_give_way_than_have_to_and_the_smallest_that_will_do,
    the_gpu_without_victims_is_chosen_though_it_fits_less_tightly,
    idle_models_go_before_a_lease_is_taken_from_its_holder,
    what_was_taken_from_somebody_is_not_snatched_by_somebody_else,
    a_holder_that_keeps_its_memory_after_the_revocation_keeps_others_out_of_it,
    somebody_who_gives_up_leaves_the_room_that_was_made_to_others,
];

#[test]
fn a_preemptible_lease_gives_way_to_a_higher_priority_when_its_grace_is_over() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(2_000)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000));
    let asked = Decision::Preempt { lease: victim, holder: 1, until: 2_000, by: Priority::High };
    assert_eq!(high.said.0[0], asked);
    scene.later(1_999).nothing();
    let said = scene.later_and_read(1);
    assert_eq!(said.ended(), [(victim, Ended::Preempted)]);
    assert!(said.granted(high.request).is_some());
    // Whatever it holds on to, its token is stale.
    assert_eq!(scene.renew(victim, 1, 60_000).denied(), Some(Refusal::NoSuchLease));
    assert_eq!(scene.release(victim, 1).denied(), Some(Refusal::NoSuchLease));
}

#[test]
fn who_gives_back_within_its_grace_is_waited_for_no_longer() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(2_000)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000)).waits();
    scene.silently(500);
    assert!(scene.release(victim, 1).granted(high).is_some());
}

#[test]
fn who_was_asked_to_give_back_cannot_renew_beyond_its_grace() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(2_000)).granted();
    scene.ask(gib(20).by(2).with(Priority::High).waits(60_000)).waits();
    assert_eq!(scene.renew(victim, 1, 60_000).0, [Decision::Renewed { lease: victim, expires_at: 2_000 }]);
}

#[test]
fn grace_does_not_make_a_lease_live_longer() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).lives(1_000).preemptible(5_000)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000));
    assert_eq!(high.said.preempts(), [(victim, 1_000)]);
}

#[test]
fn without_grace_the_token_is_revoked_at_a_tick_that_is_due_now() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(0)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000)).waits();
    assert_eq!(scene.manager.next_tick(), Some(0));
    let said = scene.later_and_read(0);
    assert_eq!(said.ended(), [(victim, Ended::Preempted)]);
    assert!(said.granted(high).is_some());
}

#[test]
fn a_lease_that_is_not_preemptible_stays() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20).with(Priority::Low)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::Critical).waits(60_000));
    assert!(high.said.preempts().is_empty());
    high.waits();
}

#[test]
fn equals_do_not_take_from_each_other() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20).with(Priority::High).preemptible(0)).granted();
    let equal = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000));
    assert!(equal.said.preempts().is_empty());
    equal.waits();
}

#[test]
fn nobody_is_asked_to_give_way_for_somebody_that_would_still_not_fit() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(12).by(1)).granted();
    scene.ask(gib(10).by(2).preemptible(0)).granted();
    let high = scene.ask(gib(20).by(3).with(Priority::Critical).waits(60_000));
    assert!(high.said.preempts().is_empty());
    high.waits();
}

#[test]
fn nobody_is_asked_to_give_way_for_somebody_that_does_not_wait() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20).preemptible(1_000)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::Critical));
    assert!(high.said.preempts().is_empty());
    high.refused();
}

#[test]
fn the_lower_priority_gives_way_before_the_higher_one() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(12).by(1).with(Priority::Normal).preemptible(1_000)).granted();
    let low = scene.ask(gib(12).by(2).with(Priority::Low).preemptible(1_000)).granted();
    let high = scene.ask(gib(10).by(3).with(Priority::Critical).waits(60_000));
    assert_eq!(high.said.preempts(), [(low, 1_000)]);
}

#[test]
fn no_more_give_way_than_have_to_and_the_smallest_that_will_do() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = |scene: &mut Scene, size| {
        scene.ask(gib(size).by(size).with(Priority::Low).preemptible(1_000)).granted()
    };
    let [_small, middle, _large] = [2, 9, 13].map(|size| lease(&mut scene, size));
    let high = scene.ask(gib(8).by(30).with(Priority::High).waits(60_000));
    assert_eq!(high.said.preempts(), [(middle, 1_000)]);
}

#[test]
fn the_gpu_without_victims_is_chosen_though_it_fits_less_tightly() {
    let mut scene = Scene::with_gpus(&[12, 24]);
    scene.ask(gib(10).on(&[0]).by(1).with(Priority::Low).preemptible(0)).granted();
    assert_eq!(scene.ask(gib(10).by(2).with(Priority::Critical)).gpus(), [1]);
}

#[test]
fn idle_models_go_before_a_lease_is_taken_from_its_holder() {
    let mut scene = Scene::with_gpus(&[24]);
    let idle = scene.is_warm("m", 10);
    scene.ask(gib(10).with(Priority::Low).preemptible(0)).granted();
    let high = scene.ask(gib(10).by(2).with(Priority::Critical).waits(60_000));
    assert_eq!(high.said.unloads(), [idle]);
    assert!(high.said.preempts().is_empty());
    assert!(scene.unloaded(idle).granted(high.request).is_some());
}

#[test]
fn what_was_taken_from_somebody_is_not_snatched_by_somebody_else() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(2_000)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000)).waits();
    scene.ask(gib(10).by(3).lives(1_000)).refused();
    // There would be room beside both, but nothing is given out of what somebody has a claim on until the claim is met.
    let beside = scene.ask(gib(4).by(3).waits(60_000)).waits();
    let said = scene.release(victim, 1);
    assert!(said.granted(high).is_some());
    assert!(said.granted(beside).is_some());
}

#[test]
fn a_holder_that_keeps_its_memory_after_the_revocation_keeps_others_out_of_it() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(1_000)).granted();
    scene.reads(0, 4, &[(1, Some(20))]);
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(60_000)).waits();
    let said = scene.later(1_000);
    assert_eq!(said.ended(), [(victim, Ended::Preempted)]);
    assert_eq!(said.granted(high), None, "the driver says that it is not free yet");
    assert!(scene.reads(0, 24, &[]).granted(high).is_some());
}

#[test]
fn somebody_who_gives_up_leaves_the_room_that_was_made_to_others() {
    let mut scene = Scene::with_gpus(&[24]);
    let victim = scene.ask(gib(20).preemptible(5_000)).granted();
    let high = scene.ask(gib(20).by(2).with(Priority::High).waits(1_000)).waits();
    let other = scene.ask(gib(20).by(3).waits(60_000)).waits();
    assert!(scene.later(1_000).refused(high).is_some());
    assert!(scene.release(victim, 1).granted(other).is_some());
}
