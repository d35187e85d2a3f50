//! What GPUs are said to have left: by leases, by what processes use, and by a driver that sometimes vanishes.

use vision_resource_manager::{Decision, Ended, Priority, Refusal, Settings};

use crate::scene::{GIB, KEEPER, Scene, gib, plain};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    a_lease_counts_whole_before_its_holder_takes_the_memory_and_once_when_it_has,
    what_others_use_is_never_given_out,
    what_others_take_after_a_lease_was_granted_is_not_taken_from_its_holder,
    what_a_driver_cannot_tell_counts_as_nothing_used,
    a_holder_that_uses_more_than_its_lease_is_reported_once_and_counts_with_what_it_uses,
    whoever_uses_more_than_its_lease_gets_no_other_until_it_gives_back,
    whoever_uses_more_is_known_for_it_when_its_lease_has_ended_too,
    what_was_given_back_is_not_held_against_its_holder_before_the_driver_was_asked,
    up_to_the_headroom_it_is_what_libraries_take_beside,
    overuse_of_one_does_not_hide_what_another_has_not_taken_yet,
    several_leases_of_a_holder_are_met_together,
    released_memory_is_given_out_when_the_driver_says_that_it_is_free,
    a_driver_that_says_more_than_there_is_is_not_believed,
    a_gpu_that_vanishes_marks_its_leases_and_gives_nothing_out,
    a_gpu_that_is_there_again_is_found_and_its_leases_still_count,
    a_lease_on_a_gpu_that_vanished_can_be_renewed_released_and_runs_out,
    a_driver_that_says_less_than_before_has_lost_the_others,
    a_model_on_a_gpu_that_vanished_is_not_used_and_is_loaded_elsewhere,
    what_a_gpu_had_that_vanished_is_not_what_others_use,
    nobody_gives_way_for_a_gpu_that_is_not_there,
    the_dead_keeper_s_models_are_gone_with_their_memory,
    what_the_dead_used_comes_back_with_the_driver_s_word_only,
    what_was_taken_back_is_not_given_out_on_what_the_driver_said_before,
    what_is_given_back_is_given_out_at_once,
    what_is_unconfirmed_is_waited_for_and_nobody_goes_for_it,
];

#[test]
fn a_lease_counts_whole_before_its_holder_takes_the_memory_and_once_when_it_has() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(10)).granted();
    assert_eq!(scene.free(0), 14);
    scene.reads(0, 20, &[(1, Some(4))]);
    assert_eq!(scene.free(0), 14);
    scene.reads(0, 14, &[(1, Some(10))]);
    assert_eq!(scene.free(0), 14);
}

#[test]
fn what_others_use_is_never_given_out() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.reads(0, 8, &[]);
    assert_eq!(scene.manager.devices().next().unwrap().external, 16 * GIB);
    scene.ask(gib(9)).refused();
    scene.ask(gib(8)).granted();
}

#[test]
fn what_others_take_after_a_lease_was_granted_is_not_taken_from_its_holder() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(10)).granted();
    // A game starts; the lease is not taken yet.
    scene.reads(0, 12, &[]);
    assert_eq!(scene.free(0), 2);
    scene.ask(gib(3).by(2)).refused();
}

#[test]
fn what_a_driver_cannot_tell_counts_as_nothing_used() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(10)).granted();
    // 10 GiB are taken by somebody. As nothing tells that it is the holder, its lease is still to be met.
    assert!(scene.reads(0, 14, &[(1, None)]).0.is_empty());
    assert_eq!(scene.free(0), 4);
}

#[test]
fn a_holder_that_uses_more_than_its_lease_is_reported_once_and_counts_with_what_it_uses() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(4)).granted();
    let said = scene.reads(0, 12, &[(1, Some(12))]);
    let overuse = Decision::Overuse { holder: 1, device: 0, leased: 4 * GIB, used: 12 * GIB };
    assert_eq!(said.0, std::slice::from_ref(&overuse));
    assert_eq!(scene.free(0), 12);
    scene.read().nothing();
    scene.reads(0, 10, &[(1, Some(14))]).nothing();
    // It gives back, and does it again.
    scene.reads(0, 20, &[(1, Some(4))]).nothing();
    assert_eq!(scene.reads(0, 12, &[(1, Some(12))]).0, [overuse]);
}

#[test]
fn whoever_uses_more_than_its_lease_gets_no_other_until_it_gives_back() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(4).on(&[0])).granted();
    scene.reads(0, 12, &[(1, Some(12))]);
    let refusal = scene.ask(gib(1).on(&[1]).waits(60_000)).refused();
    assert_eq!(refusal, Refusal::Overuse { device: 0, leased: 4 * GIB, used: 12 * GIB });
    scene.ask(gib(1).by(2)).granted();
    scene.reads(0, 20, &[(1, Some(4))]);
    scene.ask(gib(1).on(&[1])).granted();
}

#[test]
fn whoever_uses_more_is_known_for_it_when_its_lease_has_ended_too() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(4).lives(1_000)).granted();
    scene.reads(0, 12, &[(1, Some(12))]);
    scene.later(1_000);
    let refusal = scene.ask(gib(1)).refused();
    assert_eq!(refusal, Refusal::Overuse { device: 0, leased: 0, used: 12 * GIB });
    // While the GPU is not there nothing else is known.
    scene.vanishes(0);
    scene.returns(0).nothing();
    assert_eq!(scene.ask(gib(1)).refused(), refusal);
    assert_eq!(scene.free(0), 12);
    scene.ask(gib(1).by(2)).granted();
    scene.reads(0, 24, &[]).nothing();
    scene.ask(gib(1)).granted();
}

#[test]
fn what_was_given_back_is_not_held_against_its_holder_before_the_driver_was_asked() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(8)).granted();
    scene.reads(0, 16, &[(1, Some(8))]);
    scene.release(lease, 1);
    scene.silently(10);
    scene.read_of(10).nothing();
    let lease = scene.ask(gib(4)).granted();
    scene.release(lease, 1);
    // It says that it gave it back, and did not.
    let overuse = Decision::Overuse { holder: 1, device: 0, leased: 0, used: 8 * GIB };
    assert_eq!(scene.read().0, [overuse]);
    assert!(matches!(scene.ask(gib(4)).refused(), Refusal::Overuse { .. }));
    scene.reads(0, 24, &[]);
    scene.ask(gib(4)).granted();
}

#[test]
fn up_to_the_headroom_it_is_what_libraries_take_beside() {
    let mut scene = Scene::set_to(Settings { headroom: GIB, ..plain() }, &[24]);
    scene.ask(gib(4)).granted();
    scene.reads(0, 19, &[(1, Some(5))]).nothing();
    scene.ask(gib(1)).granted();
}

#[test]
fn overuse_of_one_does_not_hide_what_another_has_not_taken_yet() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(4).by(1)).granted();
    scene.ask(gib(10).by(2)).granted();
    // Total less leases would say 10.
    scene.reads(0, 12, &[(1, Some(12))]);
    assert_eq!(scene.free(0), 2);
}

#[test]
fn several_leases_of_a_holder_are_met_together() {
    let mut scene = Scene::with_gpus(&[24]);
    let small = scene.ask(gib(4)).granted();
    scene.ask(gib(6)).granted();
    scene.reads(0, 14, &[(1, Some(10))]).nothing();
    assert_eq!(scene.free(0), 14);
    // One is given back, and its memory is not: it counts as used, not as leased.
    scene.release(small, 1);
    assert_eq!(scene.free(0), 14);
    assert_eq!(scene.read().0, [Decision::Overuse { holder: 1, device: 0, leased: 6 * GIB, used: 10 * GIB }]);
}

#[test]
fn released_memory_is_given_out_when_the_driver_says_that_it_is_free() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20)).granted();
    scene.reads(0, 4, &[(1, Some(20))]);
    let next = scene.ask(gib(20).by(2).waits(60_000)).waits();
    assert_eq!(scene.release(lease, 1).granted(next), None);
    assert_eq!(scene.reads(0, 14, &[]).granted(next), None);
    assert!(scene.reads(0, 24, &[]).granted(next).is_some());
}

#[test]
fn a_driver_that_says_more_than_there_is_is_not_believed() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.reads(0, 30, &[]);
    assert_eq!(scene.free(0), 24);
}

#[test]
fn a_gpu_that_vanishes_marks_its_leases_and_gives_nothing_out() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let lost = scene.ask(gib(4).on(&[0])).granted();
    let kept = scene.ask(gib(4).on(&[1])).granted();
    let gang = scene.ask(gib(4).times(2)).granted();
    assert_eq!(
        scene.vanishes(0).0,
        [Decision::Lost { lease: lost, holder: 1 }, Decision::Lost { lease: gang, holder: 1 }]
    );
    assert_eq!(scene.free(0), 0);
    scene.ask(gib(1).on(&[0])).refused();
    scene.ask(gib(1).times(2)).refused();
    assert_eq!(scene.ask(gib(1)).gpus(), [1]);
    assert_eq!(scene.renew(kept, 1, 60_000).denied(), None);
    scene.read().nothing();
}

#[test]
fn a_gpu_that_is_there_again_is_found_and_its_leases_still_count() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(4)).granted();
    scene.vanishes(0);
    let waits = scene.ask(gib(10).by(2).waits(60_000)).waits();
    let said = scene.returns(0);
    assert_eq!(said.0[0], Decision::Found { lease, holder: 1 });
    assert!(said.granted(waits).is_some());
    assert_eq!(scene.free(0), 10);
}

#[test]
fn a_lease_on_a_gpu_that_vanished_can_be_renewed_released_and_runs_out() {
    let mut scene = Scene::with_gpus(&[24]);
    let [first, second] = [scene.ask(gib(4)).granted(), scene.ask(gib(4).lives(5_000)).granted()];
    scene.vanishes(0);
    assert_eq!(scene.renew(first, 1, 60_000).denied(), None);
    assert_eq!(scene.release(first, 1).0, [Decision::Released { lease: first }]);
    assert_eq!(scene.later(5_000).ended(), [(second, Ended::Expired)]);
    scene.returns(0).nothing();
    assert_eq!(scene.free(0), 24);
}

#[test]
fn a_driver_that_says_less_than_before_has_lost_the_others() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let lease = scene.ask(gib(4).on(&[1])).granted();
    let devices = vec![vision_resource_manager::DeviceState {
        total: 24 * GIB,
        free: 24 * GIB,
        used: Vec::new(),
        lost: false,
    }];
    let said = scene.tell(vision_resource_manager::Event::Devices { devices, began_at: None });
    assert_eq!(said.0, [Decision::Lost { lease, holder: 1 }]);
}

#[test]
fn a_model_on_a_gpu_that_vanished_is_not_used_and_is_loaded_elsewhere() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let instance = scene.is_warm("m", 10);
    assert_eq!(scene.vanishes(0).0, [Decision::Lost { lease: instance, holder: KEEPER }]);
    // Of the one replica that it may have.
    let used = scene.wants("m", 60_000);
    assert_eq!(used.said.loads().iter().map(|(_, gpu)| *gpu).collect::<Vec<_>>(), [1]);
    let lease = used.said.load();
    assert_eq!(scene.loads(lease, 1_000).started(used.waits()), Some(lease));
    scene.unloaded(instance).nothing();
}

#[test]
fn what_a_gpu_had_that_vanished_is_not_what_others_use() {
    let mut scene = Scene::with_gpus(&[24, 8]);
    scene.reads(0, 0, &[]);
    scene.vanishes(0);
    let refusal = scene.ask(gib(20)).refused();
    let Refusal::Insufficient { largest_free, external, lost, can_ever_fit, .. } = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((largest_free / GIB, external, lost, can_ever_fit), (8, 0, 1, true));
}

#[test]
fn nobody_gives_way_for_a_gpu_that_is_not_there() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20).with(Priority::Low).preemptible(0)).granted();
    scene.vanishes(0);
    let high = scene.ask(gib(20).by(2).with(Priority::Critical).waits(60_000));
    assert!(high.said.preempts().is_empty());
    high.waits();
}

#[test]
fn the_dead_keeper_s_models_are_gone_with_their_memory() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("m", 10);
    assert_eq!(scene.dies(KEEPER).ended(), [(instance, Ended::HolderGone)]);
    scene.read();
    assert_eq!(scene.free(0), 24);
    assert!(matches!(scene.wants("m", 60_000).refused(), Refusal::Invalid { .. }));
}

#[test]
fn what_the_dead_used_comes_back_with_the_driver_s_word_only() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20).by(1)).granted();
    scene.reads(0, 4, &[(1, Some(20))]);
    scene.dies(1);
    assert_eq!(scene.free(0), 4);
    scene.reads(0, 24, &[]);
    assert_eq!(scene.free(0), 24);
}

#[test]
fn what_was_taken_back_is_not_given_out_on_what_the_driver_said_before() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(10).by(1).lives(1_000)).granted();
    scene.ask(gib(10).by(3).lives(900_000)).granted();
    scene.reads(0, 20, &[(1, Some(4))]);
    // Since then it may have taken the other 6 GiB, and keep them.
    scene.later(1_000);
    assert_eq!(scene.free(0), 4);
    scene.ask(gib(10).by(2)).refused();
    // A reading that was under way says nothing of what came after it.
    scene.silently(10);
    scene.read_of(10);
    assert_eq!(scene.free(0), 4);
    scene.read_of(9);
    assert_eq!(scene.free(0), 10);
    // The same where somebody dies.
    scene.dies(3);
    assert_eq!(scene.free(0), 10);
    scene.silently(10);
    scene.read_of(9);
    assert_eq!(scene.free(0), 20);
}

#[test]
fn what_is_given_back_is_given_out_at_once() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(20).by(1)).granted();
    scene.release(lease, 1);
    scene.ask(gib(20).by(2)).granted();
}

#[test]
fn what_is_unconfirmed_is_waited_for_and_nobody_goes_for_it() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.is_warm("m", 4);
    scene.ask(gib(20).lives(1_000)).granted();
    scene.later(1_000);
    let next = scene.ask(gib(20).by(2).waits(60_000));
    assert!(next.said.unloads().is_empty());
    assert!(scene.read().granted(next.request).is_some());
}
