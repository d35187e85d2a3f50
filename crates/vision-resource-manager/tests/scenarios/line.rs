//! Who waits in which order, who goes before others, and for how long nobody is passed.

use vision_resource_manager::{Priority, Refusal, Settings};

use crate::scene::{Scene, gib, plain};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    among_equals_the_first_that_came_is_served_first,
    who_waits_is_told_how_many_are_before_it_and_when_the_leases_in_its_way_end,
    a_higher_priority_goes_before_a_lower_one,
    each_step_of_priority_counts_as_ten_seconds_of_waiting,
    a_request_is_never_overtaken_by_one_that_came_later_than_three_steps,
    a_small_one_that_is_over_in_time_goes_before_the_first_in_line,
    a_small_one_that_went_before_is_not_renewed_beyond_the_reservation,
    who_went_before_somebody_that_has_gone_is_renewed_as_it_likes,
    a_small_one_that_would_take_too_long_waits,
    a_small_one_that_fits_beside_the_first_lives_as_long_as_it_likes,
    a_gpu_that_the_first_in_line_does_not_need_is_given_to_others,
    nobody_goes_before_the_first_where_nothing_tells_when_its_memory_comes,
    a_release_that_came_early_serves_the_first_and_not_those_that_went_before,
    when_the_first_goes_the_next_is_looked_at_again,
    a_number_that_waits_already_is_refused,
];

#[test]
fn among_equals_the_first_that_came_is_served_first() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(24)).granted();
    let first = scene.ask(gib(20).by(2).waits(60_000)).waits();
    let second = scene.ask(gib(20).by(3).waits(60_000)).waits();
    let said = scene.release(lease, 1);
    assert!(said.granted(first).is_some());
    assert_eq!(said.granted(second), None);
}

#[test]
fn who_waits_is_told_how_many_are_before_it_and_when_the_leases_in_its_way_end() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(24).lives(7_000)).granted();
    scene.silently(1_000);
    assert_eq!(scene.ask(gib(20).waits(60_000)).expected(), (0, Some(6_000)));
    assert_eq!(scene.ask(gib(20).waits(60_000)).expected().0, 1);
}

#[test]
fn a_higher_priority_goes_before_a_lower_one() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(24)).granted();
    let [low, normal, high, critical] = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical]
        .map(|priority| scene.ask(gib(20).by(2).with(priority).waits(300_000)).waits());
    assert_eq!(scene.waiting(), [critical, high, normal, low]);
    assert!(scene.release(lease, 1).granted(critical).is_some());
}

#[test]
fn each_step_of_priority_counts_as_ten_seconds_of_waiting() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(24).lives(600_000)).granted();
    let normal = scene.ask(gib(20).by(2).waits(600_000)).waits();
    scene.silently(9_999);
    let soon = scene.ask(gib(20).by(3).with(Priority::High).waits(600_000)).waits();
    scene.silently(2);
    let late = scene.ask(gib(20).by(4).with(Priority::High).waits(600_000)).waits();
    assert_eq!(scene.waiting(), [soon, normal, late]);
}

#[test]
fn a_request_is_never_overtaken_by_one_that_came_later_than_three_steps() {
    let mut scene = Scene::with_gpus(&[24]);
    let mut lease = scene.ask(gib(24).by(1).lives(600_000)).granted();
    let low = scene.ask(gib(24).by(2).with(Priority::Low).waits(600_000)).waits();
    // Somebody critical comes each second, and each gets the GPU for a second.
    for second in 1..=40 {
        scene.silently(1_000);
        let critical =
            scene.ask(gib(24).by(1).with(Priority::Critical).lives(600_000).waits(600_000)).request;
        let said = scene.release(lease, 1);
        if said.granted(low).is_some() {
            assert!(second >= 30, "only those of the first 30 s go before it");
            return;
        }
        // Whoever is first in line is of those that came before.
        lease = (1..=critical).find_map(|request| said.granted(request)).unwrap();
    }
    panic!("it starves");
}

#[test]
fn the_line_holds_as_many_as_was_set_and_no_more() {
    let mut scene = Scene::set_to(Settings { max_waiting: 10_000, ..plain() }, &[24]);
    scene.has_model("m", 1);
    for _ in 0..10_000 {
        scene.wants("m", 500_000).waits();
    }
    let full = Refusal::QueueFull { waiting: 10_000 };
    assert_eq!(scene.wants("m", 500_000).refused(), full);
    assert_eq!(scene.ask(gib(1).waits(500_000)).refused(), full);
    assert_eq!(scene.waiting().len(), 10_000);
}

#[test]
fn a_small_one_that_is_over_in_time_goes_before_the_first_in_line() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(16).lives(30_000)).granted();
    let head = scene.ask(gib(24).by(2).waits(60_000)).waits();
    let small = scene.ask(gib(8).by(3).lives(10_000));
    assert_eq!(small.said.ends(small.request), 10_000);
    scene.later_and_read(10_000);
    assert_eq!(scene.free(0), 8);
    assert!(scene.release(lease, 1).granted(head).is_some());
}

#[test]
fn a_small_one_that_went_before_is_not_renewed_beyond_the_reservation() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(16).lives(30_000)).granted();
    let head = scene.ask(gib(24).by(2).waits(60_000)).waits();
    let small = scene.ask(gib(8).by(3).lives(10_000)).granted();
    scene.later(9_000);
    let renewed = scene.renew(small, 3, 60_000).0;
    assert_eq!(renewed, [vision_resource_manager::Decision::Renewed { lease: small, expires_at: 30_000 }]);
    assert!(scene.later_and_read(21_000).granted(head).is_some());
}

#[test]
fn who_went_before_somebody_that_has_gone_is_renewed_as_it_likes() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(16).lives(30_000)).granted();
    let head = scene.ask(gib(24).by(2).waits(60_000)).waits();
    let small = scene.ask(gib(8).by(3).lives(10_000)).granted();
    scene.tell(vision_resource_manager::Event::Cancel { request: head, holder: 2 });
    let renewed = scene.renew(small, 3, 60_000).0;
    assert_eq!(renewed, [vision_resource_manager::Decision::Renewed { lease: small, expires_at: 60_000 }]);
}

#[test]
fn a_small_one_that_would_take_too_long_waits() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(16).lives(30_000)).granted();
    let head = scene.ask(gib(24).by(2).waits(60_000)).waits();
    let small = scene.ask(gib(8).by(3).lives(30_001).waits(60_000)).waits();
    let said = scene.later_and_read(30_000);
    assert!(said.granted(head).is_some());
    assert_eq!(said.granted(small), None);
}

#[test]
fn a_small_one_that_fits_beside_the_first_lives_as_long_as_it_likes() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(12).lives(30_000)).granted();
    let head = scene.ask(gib(20).by(2).waits(60_000)).waits();
    let beside = scene.ask(gib(4).by(3).lives(600_000));
    assert_eq!(beside.said.ends(beside.request), 600_000);
    // What was left beside it is taken now, and the next has to be over in time.
    scene.ask(gib(4).by(4).lives(600_000).waits(60_000)).waits();
    assert!(scene.later_and_read(30_000).granted(head).is_some());
}

#[test]
fn a_gpu_that_the_first_in_line_does_not_need_is_given_to_others() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(20).on(&[0]).lives(30_000)).granted();
    scene.ask(gib(20).on(&[0]).by(2).waits(60_000)).waits();
    assert_eq!(scene.ask(gib(20).by(3).lives(600_000)).gpus(), [1]);
}

#[test]
fn nobody_goes_before_the_first_where_nothing_tells_when_its_memory_comes() {
    let mut scene = Scene::with_gpus(&[24]);
    // A model's use has no end that is sure, but it will end.
    scene.has_model("m", 16);
    let (_, used) = scene.in_use("m");
    let head = scene.ask(gib(24).waits(60_000)).waits();
    let small = scene.ask(gib(8).by(3).lives(10_000).waits(60_000)).waits();
    scene.done(used);
    let unload = scene.later(1_000).unloads();
    let said = scene.unloaded(unload[0]);
    assert!(said.granted(head).is_some());
    assert_eq!(said.granted(small), None);
}

#[test]
fn a_release_that_came_early_serves_the_first_and_not_those_that_went_before() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(16).lives(30_000)).granted();
    let head = scene.ask(gib(24).by(2).waits(60_000)).waits();
    let small = scene.ask(gib(8).by(3).lives(10_000)).granted();
    assert_eq!(scene.release(lease, 1).granted(head), None);
    // The room that is there now is the head's: its reservation has come nearer.
    scene.ask(gib(8).by(4).lives(30_000).waits(60_000)).waits();
    assert!(scene.release(small, 3).granted(head).is_some());
}

#[test]
fn when_the_first_goes_the_next_is_looked_at_again() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(16).lives(30_000)).granted();
    let head = scene.ask(gib(24).by(2).waits(5_000)).waits();
    let next = scene.ask(gib(8).by(3).lives(60_000).waits(20_000)).waits();
    let said = scene.later(5_000);
    assert!(said.refused(head).is_some());
    assert!(said.granted(next).is_some());
}

#[test]
fn a_number_that_waits_already_is_refused() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.ask(gib(20)).granted();
    let waits = scene.ask(gib(10).by(2).waits(60_000)).waits();
    scene.has_model("m", 1);
    let used = vision_resource_manager::Event::Use {
        request: waits,
        holder: crate::scene::KEEPER,
        model: "m".into(),
        priority: Priority::Normal,
        wait_ms: 0,
    };
    assert!(matches!(scene.tell(used).refused(waits), Some(Refusal::Invalid { .. })));
    assert_eq!(scene.waiting(), [waits]);
}
