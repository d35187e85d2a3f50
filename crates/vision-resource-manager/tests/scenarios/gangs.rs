//! Several GPUs at once, and which GPU is chosen.

use vision_resource_manager::{Priority, Refusal};

use crate::scene::{GIB, Scene, gib};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    a_gang_gets_all_of_its_gpus_and_each_of_them_once,
    two_halves_on_one_gpu_are_no_gang,
    a_gang_takes_nothing_as_long_as_a_part_of_it_is_not_there,
    a_gang_gives_all_of_it_back_at_once,
    a_gang_that_waits_is_not_kept_waiting_by_small_ones,
    more_gpus_than_there_are_is_refused_at_once,
    a_gang_needs_as_many_gpus_that_are_large_enough,
    who_names_gpus_gets_no_other,
    the_tightest_fit_is_chosen_so_that_the_large_one_still_fits,
    best_fit_leaves_less_unusable_than_worst_fit,
    a_gang_has_its_victims_on_the_gpus_that_cost_least,
];

#[test]
fn a_gang_gets_all_of_its_gpus_and_each_of_them_once() {
    let mut scene = Scene::with_gpus(&[24, 24, 24]);
    let mut gpus = scene.ask(gib(10).times(3)).gpus();
    gpus.sort_unstable();
    assert_eq!(gpus, [0, 1, 2]);
}

#[test]
fn two_halves_on_one_gpu_are_no_gang() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(20).on(&[1])).granted();
    let refusal = scene.ask(gib(10).times(2).by(2)).refused();
    assert!(
        matches!(refusal, Refusal::Insufficient { largest_free, can_ever_fit: true, .. } if largest_free == 24 * GIB)
    );
}

#[test]
fn a_gang_takes_nothing_as_long_as_a_part_of_it_is_not_there() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let lease = scene.ask(gib(20).on(&[1]).lives(30_000)).granted();
    let gang = scene.ask(gib(10).times(2).by(2).waits(60_000)).waits();
    assert_eq!((scene.free(0), scene.free(1)), (24, 4));
    let said = scene.release(lease, 1);
    assert!(said.granted(gang).is_some());
    assert_eq!((scene.free(0), scene.free(1)), (14, 14));
}

#[test]
fn a_gang_gives_all_of_it_back_at_once() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let gang = scene.ask(gib(10).times(2)).granted();
    scene.release(gang, 1);
    assert_eq!((scene.free(0), scene.free(1)), (24, 24));
}

#[test]
fn a_gang_that_waits_is_not_kept_waiting_by_small_ones() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(20).on(&[0]).lives(10_000)).granted();
    let gang = scene.ask(gib(20).times(2).by(2).waits(60_000)).waits();
    scene.ask(gib(20).on(&[1]).by(3).lives(60_000).waits(60_000)).waits();
    // What is over in time goes before it.
    scene.ask(gib(20).on(&[1]).by(4).lives(9_000)).granted();
    assert!(scene.later_and_read(10_000).granted(gang).is_some());
}

#[test]
fn more_gpus_than_there_are_is_refused_at_once() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    let refusal = scene.ask(gib(1).times(3).waits(60_000)).refused();
    assert!(matches!(refusal, Refusal::Insufficient { can_ever_fit: false, .. }));
    let refusal = scene.ask(gib(1).times(2).on(&[1]).waits(60_000)).refused();
    assert!(matches!(refusal, Refusal::Insufficient { can_ever_fit: false, .. }));
}

#[test]
fn a_gang_needs_as_many_gpus_that_are_large_enough() {
    let mut scene = Scene::with_gpus(&[24, 8]);
    let refusal = scene.ask(gib(10).times(2).waits(60_000)).refused();
    assert!(matches!(refusal, Refusal::Insufficient { can_ever_fit: false, .. }));
}

#[test]
fn who_names_gpus_gets_no_other() {
    let mut scene = Scene::with_gpus(&[24, 24, 24]);
    assert_eq!(scene.ask(gib(10).on(&[2])).gpus(), [2]);
    let mut gpus = scene.ask(gib(10).on(&[2, 0]).times(2)).gpus();
    gpus.sort_unstable();
    assert_eq!(gpus, [0, 2]);
    scene.ask(gib(10).on(&[2])).refused();
}

#[test]
fn the_tightest_fit_is_chosen_so_that_the_large_one_still_fits() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(12)).granted();
    // Worst fit would take the empty one, and 20 GiB would find no place.
    scene.ask(gib(8)).granted();
    scene.ask(gib(20)).granted();
}

#[test]
fn best_fit_leaves_less_unusable_than_worst_fit() {
    // Tasks of 6 GiB on half of the cards first, then as many whole cards as fit.
    let cards = [24_u64; 8];
    let mut scene = Scene::with_gpus(&cards);
    let mut worst = cards;
    for _ in 0..8 {
        scene.ask(gib(6)).granted();
        *worst.iter_mut().max().unwrap() -= 6;
    }
    let mut ours = 0;
    while scene.tell_if_granted(gib(24)) {
        ours += 1;
    }
    let theirs = worst.iter().filter(|free| **free >= 24).count();
    assert_eq!((ours, theirs), (6, 0));
}

#[test]
fn a_gang_has_its_victims_on_the_gpus_that_cost_least() {
    let mut scene = Scene::with_gpus(&[24, 24, 24]);
    scene.ask(gib(20).on(&[0]).by(1)).granted();
    let low = scene.ask(gib(20).on(&[1]).by(2).with(Priority::Low).preemptible(0)).granted();
    let gang = scene.ask(gib(20).times(2).by(3).with(Priority::High).waits(60_000));
    assert_eq!(gang.said.preempts(), [(low, 0)]);
    assert_eq!(scene.later_and_read(0).0.len(), 2, "it is revoked, and the gang is granted");
}
