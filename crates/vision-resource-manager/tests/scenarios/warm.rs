//! Warm models: loaded when they are used, unloaded when their memory is needed.

use vision_resource_manager::{Decision, Ended, Event, Priority, Refusal, Settings, WarmModel};

use crate::scene::{GIB, KEEPER, Scene, gib, plain, warm};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    a_model_is_loaded_for_the_first_that_uses_it_and_is_there_for_the_next,
    a_model_that_nobody_registered_is_refused,
    a_model_that_no_gpu_could_hold_is_refused_at_once,
    a_model_whose_numbers_make_no_sense_is_not_registered,
    a_model_that_is_in_memory_is_registered_again_with_other_loads_and_uses_only,
    a_model_that_is_registered_no_longer_is_unloaded_and_used_by_nobody,
    a_model_in_use_stays_registered,
    the_place_of_a_model_that_is_gone_is_given_to_another,
    a_model_that_is_cold_is_not_loaded_for_somebody_that_does_not_wait,
    uses_at_once_are_as_many_as_the_model_bears,
    a_model_without_a_limit_is_used_by_all,
    a_model_in_use_is_never_unloaded_whoever_comes,
    a_model_that_is_being_loaded_is_not_unloaded,
    a_model_that_was_only_just_used_is_held_a_moment,
    a_model_that_shall_be_unloaded_is_used_by_nobody_any_longer,
    memory_of_an_unloaded_model_is_given_out_when_the_driver_says_that_it_is_free,
    where_others_took_the_memory_meanwhile_another_place_is_sought,
    what_was_promised_is_kept_while_the_driver_is_slow_to_say_that_it_is_free,
    one_model_is_loaded_at_a_time_on_a_gpu_and_another_beside_it_on_the_next,
    a_model_that_many_wait_for_is_loaded_again_on_another_gpu_only,
    a_model_of_one_replica_is_loaded_once_however_many_wait,
    the_instance_that_fewest_use_is_used,
    of_two_idle_models_the_one_that_is_loaded_faster_goes,
    of_two_idle_models_the_one_that_is_asked_for_less_goes,
    a_forgotten_model_does_not_go_where_there_is_room_beside_it,
    no_more_models_are_unloaded_than_have_to_be,
    as_many_models_are_unloaded_as_have_to_be,
    a_load_that_failed_tells_one_of_those_that_wait_and_is_tried_again_for_the_next,
    what_is_told_of_an_instance_that_is_none_changes_nothing,
    nobody_speaks_for_the_models_of_another,
    a_load_fails_only_while_it_lasts,
    an_instance_that_is_in_use_or_being_loaded_is_not_given_back,
    an_instance_has_no_end_that_a_renewal_would_change,
    room_is_made_on_request_by_unloading_what_is_worth_least,
    room_is_made_on_the_gpu_that_was_named_only,
    a_model_nobody_asks_for_is_unloaded_when_somebody_tidies_up_and_a_busy_one_stays,
    new_uses_do_not_keep_a_model_alive_that_somebody_waits_for_longer_than_half_of_its_time,
    new_uses_do_not_keep_a_model_alive_after_as_many_as_may_have_overtaken,
];

#[test]
fn a_model_is_loaded_for_the_first_that_uses_it_and_is_there_for_the_next() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let (instance, used) = scene.in_use("m");
    assert_eq!(scene.free(0), 14);
    scene.done(used).nothing();
    let again = scene.wants("m", 0);
    assert_eq!(again.said.started(again.request), Some(instance));
}

#[test]
fn a_model_that_nobody_registered_is_refused() {
    let mut scene = Scene::with_gpus(&[24]);
    assert!(matches!(scene.wants("m", 60_000).refused(), Refusal::Invalid { .. }));
}

#[test]
fn a_model_that_no_gpu_could_hold_is_refused_at_once() {
    let mut scene = Scene::with_gpus(&[24, 16]);
    scene.has_model("m", 25);
    assert!(matches!(scene.wants("m", 60_000).refused(), Refusal::Insufficient { can_ever_fit: false, .. }));
}

#[test]
fn a_model_whose_numbers_make_no_sense_is_not_registered() {
    let mut scene = Scene::with_gpus(&[24]);
    let models = [
        warm("m", 0),
        WarmModel { replicas: 0, ..warm("m", 10) },
        WarmModel { concurrency: Some(0), ..warm("m", 10) },
    ];
    for model in models {
        let said = scene.tell(Event::Register(model));
        let [Decision::ModelDenied { holder: KEEPER, refusal: Refusal::Invalid { .. }, .. }] = &said.0[..]
        else {
            panic!("{said:?}")
        };
    }
    assert!(matches!(scene.wants("m", 60_000).refused(), Refusal::Invalid { .. }));
}

#[test]
fn a_model_that_is_in_memory_is_registered_again_with_other_loads_and_uses_only() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let (instance, used) = scene.in_use("m");
    let denied = |said: &crate::scene::Said| matches!(said.0[..], [Decision::ModelDenied { .. }]);
    assert!(denied(&scene.tell(Event::Register(warm("m", 11)))));
    assert!(denied(&scene.tell(Event::Register(WarmModel { owner: Some("team".into()), ..warm("m", 10) }))));
    let second = scene.wants("m", 60_000).waits();
    let said = scene.tell(Event::Register(WarmModel { concurrency: Some(2), load_ms: 5, ..warm("m", 10) }));
    assert_eq!(said.started(second), Some(instance));
    scene.done(used);
    scene.done(second);
    scene.unloaded(instance).nothing();
    scene.has_model("m", 12);
    scene.wants("m", 60_000).said.load();
    assert_eq!(scene.free(0), 12);
}

fn unregister(model: &str) -> Event {
    Event::Unregister { holder: KEEPER, model: model.into() }
}

#[test]
fn a_model_that_is_registered_no_longer_is_unloaded_and_used_by_nobody() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("m", 10);
    scene.vanishes(0);
    let waits = scene.wants("m", 60_000).waits();
    let said = scene.tell(unregister("m"));
    assert!(matches!(said.refused(waits), Some(Refusal::Invalid { .. })));
    assert_eq!(said.unloads(), [instance]);
    scene.returns(0);
    assert!(matches!(scene.wants("m", 60_000).refused(), Refusal::Invalid { .. }));
    assert_eq!(scene.free(0), 14);
    scene.unloaded(instance).nothing();
    assert_eq!(scene.free(0), 24);
    assert!(matches!(scene.tell(unregister("m")).0[..], [Decision::ModelDenied { .. }]));
}

#[test]
fn a_model_in_use_stays_registered() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let used = scene.wants("m", 60_000);
    let lease = used.said.load();
    let denied = |scene: &mut Scene| {
        assert!(matches!(scene.tell(unregister("m")).0[..], [Decision::ModelDenied { .. }]));
    };
    denied(&mut scene);
    scene.loads(lease, 1_000);
    denied(&mut scene);
    let other = Event::Unregister { holder: 1, model: "m".into() };
    assert!(matches!(scene.tell(other).0[..], [Decision::ModelDenied { holder: 1, .. }]));
    scene.done(used.request);
    assert_eq!(scene.tell(unregister("m")).unloads(), [lease]);
}

#[test]
fn the_place_of_a_model_that_is_gone_is_given_to_another() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("m", 10);
    scene.tell(unregister("m"));
    // What is there still is of the old one.
    let (second, used) = {
        scene.has_model("n", 12);
        scene.in_use("n")
    };
    scene.unloaded(instance);
    let third = scene.is_warm("o", 10);
    assert_eq!(scene.free(0), 2);
    scene.done(used);
    scene.silently(10_000);
    assert_eq!(scene.tell(unregister("n")).unloads(), [second]);
    assert_eq!(scene.tell(unregister("o")).unloads(), [third]);
}

#[test]
fn a_model_that_is_cold_is_not_loaded_for_somebody_that_does_not_wait() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let answer = scene.wants("m", 0);
    assert!(matches!(answer.refused(), Refusal::Insufficient { can_ever_fit: true, .. }));
    assert!(answer.said.loads().is_empty());
}

#[test]
fn uses_at_once_are_as_many_as_the_model_bears() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has(WarmModel { concurrency: Some(2), ..warm("m", 10) });
    let (instance, first) = scene.in_use("m");
    let second = scene.wants("m", 60_000);
    assert_eq!(second.said.started(second.request), Some(instance));
    let third = scene.wants("m", 60_000).waits();
    assert_eq!(scene.done(first).started(third), Some(instance));
}

#[test]
fn a_model_without_a_limit_is_used_by_all() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has(WarmModel { concurrency: None, ..warm("m", 10) });
    let (instance, _) = scene.in_use("m");
    for _ in 0..50 {
        let used = scene.wants("m", 0);
        assert_eq!(used.said.started(used.request), Some(instance));
    }
}

#[test]
fn a_model_in_use_is_never_unloaded_whoever_comes() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 20);
    scene.in_use("m");
    scene.silently(600_000);
    let critical = scene.ask(gib(20).with(Priority::Critical).waits(600_000));
    assert!(critical.said.unloads().is_empty());
    assert!(scene.tell(Event::Optimize { target_free: Some(24 * GIB), device: None }).unloads().is_empty());
    assert!(scene.later(60_000).unloads().is_empty());
}

#[test]
fn a_model_that_is_being_loaded_is_not_unloaded() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 20);
    let used = scene.wants("m", 60_000);
    let critical = scene.ask(gib(20).with(Priority::Critical).waits(60_000));
    assert!(critical.said.unloads().is_empty());
    let lease = used.said.load();
    assert_eq!(scene.loads(lease, 1_000).started(used.request), Some(lease));
}

#[test]
fn a_model_that_was_only_just_used_is_held_a_moment() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 20);
    let (instance, used) = scene.in_use("m");
    scene.done(used);
    let lease = scene.ask(gib(20).waits(60_000));
    assert!(lease.said.unloads().is_empty());
    assert_eq!(scene.manager.next_tick(), Some(scene.now() + 600));
    assert!(scene.later(599).unloads().is_empty());
    assert_eq!(scene.later(1).unloads(), [instance]);
    assert!(scene.unloaded(instance).granted(lease.request).is_some());
}

#[test]
fn a_model_that_shall_be_unloaded_is_used_by_nobody_any_longer() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("m", 20);
    let lease = scene.ask(gib(20).lives(5_000).waits(60_000));
    assert_eq!(lease.said.unloads(), [instance]);
    let used = scene.wants("m", 60_000).waits();
    assert!(scene.unloaded(instance).granted(lease.request).is_some());
    let said = scene.later_and_read(5_000);
    let again = said.load();
    assert_eq!(scene.loads(again, 1_000).started(used), Some(again));
}

#[test]
fn memory_of_an_unloaded_model_is_given_out_when_the_driver_says_that_it_is_free() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("old", 16);
    scene.reads(0, 8, &[(KEEPER, Some(16))]);
    scene.has_model("new", 16);
    let used = scene.wants("new", 60_000);
    assert_eq!(used.said.unloads(), [instance]);
    assert!(scene.unloaded(instance).loads().is_empty());
    assert!(scene.reads(0, 12, &[]).loads().is_empty());
    assert_eq!(scene.reads(0, 24, &[]).loads().len(), 1);
}

#[test]
fn where_others_took_the_memory_meanwhile_another_place_is_sought() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(20).on(&[1]).by(2).lives(60_000)).granted();
    let instance = scene.is_warm("old", 16);
    scene.has_model("new", 16);
    let used = scene.wants("new", 600_000);
    assert_eq!(used.said.unloads(), [instance]);
    scene.reads(0, 4, &[]);
    scene.unloaded(instance);
    scene.read();
    scene.silently(100);
    scene.read();
    // The claim on the first GPU is given up, and the second one becomes free.
    let said = scene.later_and_read(59_900);
    assert_eq!(said.loads().iter().map(|(_, gpu)| *gpu).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_was_promised_is_kept_while_the_driver_is_slow_to_say_that_it_is_free() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("old", 16);
    scene.reads(0, 8, &[(KEEPER, Some(16))]);
    scene.has_model("new", 16);
    scene.wants("new", 60_000).waits();
    scene.unloaded(instance);
    for _ in 0..9 {
        scene.silently(10);
        scene.read();
    }
    scene.ask(gib(8).by(2)).refused();
    assert_eq!(scene.reads(0, 24, &[]).loads().len(), 1);
}

#[test]
fn one_model_is_loaded_at_a_time_on_a_gpu_and_another_beside_it_on_the_next() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    for name in ["a", "b", "c"] {
        scene.has_model(name, 4);
    }
    let a = scene.wants("a", 60_000).said.loads();
    let b = scene.wants("b", 60_000).said.loads();
    assert_eq!((a[0].1, b[0].1), (0, 1));
    let c = scene.wants("c", 60_000);
    assert!(c.said.loads().is_empty());
    let loads = scene.loads(b[0].0, 1_000).loads();
    assert_eq!(loads.iter().map(|(_, gpu)| *gpu).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_model_that_many_wait_for_is_loaded_again_on_another_gpu_only() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.has(WarmModel { replicas: 4, ..warm("m", 4) });
    let (first, _) = scene.in_use("m");
    assert!(scene.wants("m", 60_000).said.loads().is_empty(), "waiting for one use is less than a load");
    let second = scene.wants("m", 60_000).said.loads();
    assert_eq!(second.iter().map(|(_, gpu)| *gpu).collect::<Vec<_>>(), [1]);
    for _ in 0..20 {
        assert!(scene.wants("m", 60_000).said.loads().is_empty(), "there is room, but on the same GPUs");
    }
    assert_ne!(first, second[0].0);
}

#[test]
fn a_model_of_one_replica_is_loaded_once_however_many_wait() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.has_model("m", 4);
    scene.in_use("m");
    for _ in 0..20 {
        assert!(scene.wants("m", 60_000).said.loads().is_empty());
    }
}

#[test]
fn the_instance_that_fewest_use_is_used() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.has(WarmModel { replicas: 2, concurrency: Some(2), ..warm("m", 4) });
    let (first, _) = scene.in_use("m");
    let beside = scene.wants("m", 60_000);
    assert_eq!(beside.said.started(beside.request), Some(first));
    let waits: Vec<_> = (0..4).map(|_| scene.wants("m", 60_000)).collect();
    let second = waits.iter().flat_map(|answer| answer.said.loads()).next().unwrap().0;
    let said = scene.loads(second, 1_000);
    assert_eq!(waits.iter().filter(|answer| said.started(answer.request) == Some(second)).count(), 2);
}

#[test]
fn of_two_idle_models_the_one_that_is_loaded_faster_goes() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has(WarmModel { load_ms: 30_000, ..warm("slow", 10) });
    scene.has(WarmModel { load_ms: 3_000, ..warm("fast", 10) });
    let (slow, first) = scene.in_use("slow");
    let (fast, second) = scene.in_use("fast");
    scene.done(first);
    scene.done(second);
    scene.silently(1_000);
    let lease = scene.ask(gib(10).waits(60_000));
    assert_eq!(lease.said.unloads(), [fast]);
    assert_ne!(slow, fast);
}

#[test]
fn of_two_idle_models_the_one_that_is_asked_for_less_goes() {
    let mut scene = Scene::with_gpus(&[24]);
    let popular = scene.is_warm("popular", 10);
    for _ in 0..10 {
        let used = scene.wants("popular", 0).request;
        scene.silently(100);
        scene.done(used);
    }
    // It was used later, but only once.
    let rare = scene.is_warm("rare", 10);
    assert_eq!(scene.ask(gib(10).waits(60_000)).said.unloads(), [rare]);
    assert_ne!(popular, rare);
}

#[test]
fn a_forgotten_model_does_not_go_where_there_is_room_beside_it() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.is_warm("forgotten", 20);
    // So long ago that nobody is expected to ask for it again.
    scene.silently(5_000_000_000);
    scene.has_model("m", 20);
    let answer = scene.wants("m", 60_000);
    assert!(answer.said.unloads().is_empty());
    assert_eq!(answer.said.loads().iter().map(|(_, gpu)| *gpu).collect::<Vec<_>>(), [1]);
}

#[test]
fn no_more_models_are_unloaded_than_have_to_be() {
    let mut scene = Scene::with_gpus(&[24]);
    let [_, middle, _] = [("a", 4), ("b", 8), ("c", 12)].map(|(name, size)| scene.is_warm(name, size));
    let unloads = scene.ask(gib(8).waits(60_000)).said.unloads();
    assert_eq!(unloads, [middle]);
}

#[test]
fn as_many_models_are_unloaded_as_have_to_be() {
    let mut scene = Scene::with_gpus(&[24]);
    let mut warm: Vec<u64> = (0..12).map(|number| scene.is_warm(&format!("m{number}"), 2)).collect();
    let lease = scene.ask(gib(20).waits(60_000));
    let mut unloads = lease.said.unloads();
    unloads.sort_unstable();
    // All were used once: those longest ago are worth least.
    warm.truncate(10);
    assert_eq!(unloads, warm);
}

#[test]
fn a_load_that_failed_tells_one_of_those_that_wait_and_is_tried_again_for_the_next() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let first = scene.wants("m", 60_000);
    let second = scene.wants("m", 60_000).waits();
    let lease = first.said.load();
    let said = scene.tell(Event::LoadFailed { lease, holder: KEEPER });
    assert_eq!(said.ended(), [(lease, Ended::LoadFailed)]);
    assert_eq!(said.refused(first.request), Some(Refusal::LoadFailed));
    assert_eq!(said.refused(second), None);
    let again = said.load();
    assert_eq!(scene.loads(again, 1_000).started(second), Some(again));
}

#[test]
fn what_is_told_of_an_instance_that_is_none_changes_nothing() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.ask(gib(10)).granted();
    scene.tell(Event::Loaded { lease, holder: 1, took_ms: 1 }).nothing();
    scene.tell(Event::LoadFailed { lease, holder: 1 }).nothing();
    scene.tell(Event::Unloaded { lease, holder: 1 }).nothing();
    scene.done(99).nothing();
    assert_eq!(scene.free(0), 14);
}

#[test]
fn nobody_speaks_for_the_models_of_another() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let used = scene.wants("m", 60_000);
    let lease = used.said.load();
    for event in [
        Event::Loaded { lease, holder: 1, took_ms: 1 },
        Event::LoadFailed { lease, holder: 1 },
        Event::Unloaded { lease, holder: 1 },
    ] {
        assert_eq!(scene.tell(event).0, [Decision::Denied { lease, refusal: Refusal::NotYours }]);
    }
    assert_eq!(scene.loads(lease, 1_000).started(used.request), Some(lease));
    let next = scene.wants("m", 60_000).waits();
    scene.tell(Event::Done { request: used.request, holder: 1 }).nothing();
    assert_eq!(scene.done(used.request).started(next), Some(lease));
}

#[test]
fn a_load_fails_only_while_it_lasts() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let (lease, used) = scene.in_use("m");
    scene.tell(Event::LoadFailed { lease, holder: KEEPER }).nothing();
    scene.done(used);
    let again = scene.wants("m", 0);
    assert_eq!(again.said.started(again.request), Some(lease));
}

#[test]
fn an_instance_that_is_in_use_or_being_loaded_is_not_given_back() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("m", 10);
    let used = scene.wants("m", 60_000);
    let lease = used.said.load();
    let stays = |scene: &mut Scene| {
        assert!(matches!(scene.unloaded(lease).denied(), Some(Refusal::Invalid { .. })));
        assert!(matches!(scene.release(lease, KEEPER).denied(), Some(Refusal::Invalid { .. })));
        assert_eq!(scene.free(0), 14);
    };
    stays(&mut scene);
    scene.loads(lease, 1_000);
    stays(&mut scene);
    scene.done(used.request);
    assert_eq!(scene.release(lease, KEEPER).0, [Decision::Released { lease }]);
    assert_eq!(scene.free(0), 24);
}

#[test]
fn an_instance_has_no_end_that_a_renewal_would_change() {
    let mut scene = Scene::with_gpus(&[24]);
    let lease = scene.is_warm("m", 10);
    assert_eq!(scene.renew(lease, KEEPER, 1_000).0, [Decision::Renewed { lease, expires_at: u64::MAX }]);
    scene.later(600_000).nothing();
}

#[test]
fn room_is_made_on_request_by_unloading_what_is_worth_least() {
    let mut scene = Scene::with_gpus(&[24]);
    let worth = scene.is_warm("worth", 8);
    for _ in 0..20 {
        let used = scene.wants("worth", 0).request;
        scene.done(used);
    }
    let least = scene.is_warm("least", 8);
    let said = scene.tell(Event::Optimize { target_free: Some(12 * GIB), device: None });
    assert_eq!(said.unloads(), [least]);
    let said = scene.tell(Event::Optimize { target_free: Some(20 * GIB), device: None });
    assert_eq!(said.unloads(), [worth]);
}

#[test]
fn room_is_made_on_the_gpu_that_was_named_only() {
    let mut scene = Scene::with_gpus(&[12, 12]);
    let first = scene.is_warm("a", 8);
    let second = scene.is_warm("b", 8);
    let said = scene.tell(Event::Optimize { target_free: Some(12 * GIB), device: Some(1) });
    assert_eq!(said.unloads(), [second]);
    assert_ne!(first, second);
}

#[test]
fn a_model_nobody_asks_for_is_unloaded_when_somebody_tidies_up_and_a_busy_one_stays() {
    let mut scene = Scene::with_gpus(&[24]);
    let forgotten = scene.is_warm("forgotten", 8);
    scene.silently(100 * 3_600_000);
    scene.has(WarmModel { load_ms: 60_000, ..warm("busy", 2) });
    let (_, used) = scene.in_use("busy");
    scene.done(used);
    for _ in 0..20 {
        let used = scene.wants("busy", 0).request;
        scene.silently(1_000);
        scene.done(used);
    }
    let said = scene.tell(Event::Optimize { target_free: None, device: None });
    assert_eq!(said.unloads(), [forgotten]);
}

/// A model that is used all the time, by two that take turns, and another that does not fit beside it.
fn busy(settings: Settings) -> (Scene, u64, u64) {
    let mut scene = Scene::set_to(settings, &[24]);
    scene.has(WarmModel { concurrency: Some(2), ..warm("busy", 16) });
    scene.has_model("large", 16);
    let (instance, used) = scene.in_use("busy");
    (scene, instance, used)
}

/// Its users take turns so many times, the next one beginning before the last one ends; says who uses it then.
fn overlapping(scene: &mut Scene, instance: u64, mut used: u64, times: u32, pause_ms: u64) -> u64 {
    for _ in 0..times {
        scene.silently(pause_ms);
        let next = scene.wants("busy", 60_000);
        assert_eq!(next.said.started(next.request), Some(instance));
        scene.done(used);
        used = next.request;
    }
    used
}

#[test]
fn new_uses_do_not_keep_a_model_alive_that_somebody_waits_for_longer_than_half_of_its_time() {
    let (mut scene, instance, used) = busy(plain());
    let large = scene.wants("large", 20_000).waits();
    // One second before its patience is over they still overlap.
    let used = overlapping(&mut scene, instance, used, 9, 1_000);
    scene.silently(1_000);
    let late = scene.wants("busy", 60_000).waits();
    scene.done(used);
    assert_eq!(scene.later(600).unloads(), [instance]);
    let lease = scene.unloaded(instance).load();
    assert_eq!(scene.loads(lease, 1_000).started(large), Some(lease));
    assert!(scene.waiting().contains(&late));
}

#[test]
fn new_uses_do_not_keep_a_model_alive_after_as_many_as_may_have_overtaken() {
    let (mut scene, instance, used) = busy(Settings { max_overtaken: 3, ..plain() });
    let large = scene.wants("large", 600_000).waits();
    let used = overlapping(&mut scene, instance, used, 3, 100);
    scene.silently(100);
    scene.wants("busy", 60_000).waits();
    scene.done(used);
    assert_eq!(scene.later(600).unloads(), [instance]);
    let lease = scene.unloaded(instance).load();
    assert_eq!(scene.loads(lease, 1_000).started(large), Some(lease));
}
