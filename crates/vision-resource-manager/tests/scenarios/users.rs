//! What people report of other servers that keep models on GPUs, and what happens here.

use vision_resource_manager::{Decision, Event, Priority, Refusal, WarmModel};

use crate::scene::{GIB, KEEPER, Scene, gib, warm};

/// What is recorded for other implementations to repeat.
pub(crate) const RECORDED: &[fn()] = &[
    a_large_model_does_not_starve_because_small_ones_are_used_again_and_again,
    a_hundred_that_want_the_same_cold_model_load_it_once,
    a_load_that_fails_leaves_no_memory_behind,
    a_model_that_fits_on_no_gpu_is_refused_and_not_split_though_all_together_had_the_room,
    one_that_waits_for_a_busy_model_keeps_nobody_from_another_that_is_warm,
    two_models_that_do_not_fit_together_take_turns_and_not_with_each_request,
    what_a_desktop_takes_while_a_model_is_loaded_does_not_make_the_next_one_crash,
    a_context_that_grew_is_registered_when_the_model_is_unloaded_and_holds_for_the_next_load,
    free_memory_that_is_spread_over_gpus_is_named_as_what_it_is,
    small_leases_that_come_and_go_do_not_keep_a_large_one_waiting_for_ever,
    who_asks_politely_for_little_is_not_behind_a_batch_that_waits_for_much,
];

#[test]
fn a_large_model_does_not_starve_because_small_ones_are_used_again_and_again() {
    let mut scene = Scene::with_gpus(&[24]);
    for name in ["a", "b", "c"] {
        scene.has(WarmModel { concurrency: None, ..warm(name, 7) });
    }
    scene.has_model("large", 22);
    let mut uses = ["a", "b", "c"].map(|name| (name, scene.in_use(name).1));
    let begun = scene.now();
    let large = scene.wants("large", 60_000).waits();
    // Each of the small ones is asked for before its last use is over.
    loop {
        for (name, used) in &mut uses {
            scene.silently(200);
            let next = scene.wants(name, 60_000);
            for lease in [next.said.unloads(), scene.done(*used).unloads()].concat() {
                if let Some((lease, _)) = scene.unloaded(lease).loads().first() {
                    assert!(scene.loads(*lease, 1_000).started(large).is_some());
                    assert!(scene.now() - begun < 40_000, "it waited little more than half of its time");
                    return;
                }
            }
            *used = next.request;
        }
        assert!(scene.now() - begun < 60_000, "it starves");
    }
}

#[test]
fn a_hundred_that_want_the_same_cold_model_load_it_once() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.has(WarmModel { concurrency: None, ..warm("m", 10) });
    let answers: Vec<_> = (0..100).map(|_| scene.wants("m", 60_000)).collect();
    let loads: Vec<_> = answers.iter().flat_map(|answer| answer.said.loads()).collect();
    assert_eq!(loads.len(), 1);
    let said = scene.loads(loads[0].0, 1_000);
    assert!(answers.iter().all(|answer| said.started(answer.request).is_some()));
}

#[test]
fn a_load_that_fails_leaves_no_memory_behind() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("broken", 20);
    for _ in 0..50 {
        let answer = scene.wants("broken", 60_000);
        let lease = answer.said.load();
        scene.tell(Event::LoadFailed { lease, holder: KEEPER });
    }
    assert_eq!(scene.free(0), 24);
    scene.ask(gib(24)).granted();
}

#[test]
fn a_model_that_fits_on_no_gpu_is_refused_and_not_split_though_all_together_had_the_room() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.has_model("m", 40);
    assert!(matches!(scene.wants("m", 60_000).refused(), Refusal::Insufficient { can_ever_fit: false, .. }));
    scene.ask(gib(12).on(&[0])).granted();
    scene.ask(gib(12).on(&[1])).granted();
    scene.has_model("middle", 20);
    let refusal = scene.wants("middle", 0).refused();
    assert!(
        matches!(refusal, Refusal::Insufficient { largest_free, can_ever_fit: true, .. } if largest_free == 12 * GIB)
    );
}

#[test]
fn one_that_waits_for_a_busy_model_keeps_nobody_from_another_that_is_warm() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("busy", 10);
    let other = scene.is_warm("other", 10);
    scene.in_use("busy");
    scene.wants("busy", 60_000).waits();
    let used = scene.wants("other", 0);
    assert_eq!(used.said.started(used.request), Some(other));
}

#[test]
fn two_models_that_do_not_fit_together_take_turns_and_not_with_each_request() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has(WarmModel { concurrency: None, ..warm("a", 20) });
    scene.has(WarmModel { concurrency: None, ..warm("b", 20) });
    let (instance, used) = scene.in_use("a");
    // Requests for both come in turns: those for the model that is there are answered meanwhile.
    let mut answered = 0;
    for _ in 0..5 {
        scene.wants("b", 60_000).waits();
        let a = scene.wants("a", 60_000);
        answered += usize::from(a.said.started(a.request) == Some(instance));
        scene.done(a.request);
    }
    assert_eq!(answered, 5);
    scene.done(used);
    let said = scene.later(600);
    assert_eq!(said.unloads(), [instance]);
    let lease = scene.unloaded(instance).load();
    let said = scene.loads(lease, 1_000);
    let started =
        |said: &crate::scene::Said| (0..100).filter(|request| said.started(*request).is_some()).count();
    assert_eq!(started(&said), 5, "all that waited for the other are served with one load");
}

#[test]
fn what_a_desktop_takes_while_a_model_is_loaded_does_not_make_the_next_one_crash() {
    let mut scene = Scene::with_gpus(&[24]);
    scene.has_model("a", 10);
    scene.in_use("a");
    scene.reads(0, 9, &[(KEEPER, Some(10))]);
    scene.has_model("b", 10);
    assert!(scene.wants("b", 60_000).said.loads().is_empty(), "the desktop has 5 GiB of the 14");
}

#[test]
fn a_context_that_grew_is_registered_when_the_model_is_unloaded_and_holds_for_the_next_load() {
    let mut scene = Scene::with_gpus(&[24]);
    let instance = scene.is_warm("m", 10);
    let said = scene.tell(Event::Register(warm("m", 18)));
    assert!(matches!(said.0[..], [Decision::ModelDenied { holder: KEEPER, .. }]));
    assert_eq!(scene.free(0), 14, "what is there is what it was");
    let lease = scene.ask(gib(20).lives(1_000).waits(60_000));
    scene.unloaded(instance);
    assert!(lease.said.unloads().contains(&instance));
    scene.has_model("m", 18);
    let used = scene.wants("m", 60_000).waits();
    scene.later_and_read(1_000).load();
    assert_eq!(scene.free(0), 6);
    assert!(scene.waiting().contains(&used));
}

#[test]
fn free_memory_that_is_spread_over_gpus_is_named_as_what_it_is() {
    let mut scene = Scene::with_gpus(&[24, 24, 24]);
    for gpu in 0..3 {
        scene.ask(gib(16).on(&[gpu]).by(2)).granted();
    }
    let refusal = scene.ask(gib(20).by(3)).refused();
    let Refusal::Insufficient { largest_free, leased, external, can_ever_fit, .. } = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((largest_free / GIB, leased / GIB, external, can_ever_fit), (8, 48, 0, true));
}

#[test]
fn small_leases_that_come_and_go_do_not_keep_a_large_one_waiting_for_ever() {
    let mut scene = Scene::with_gpus(&[24]);
    let mut small: Vec<u64> = (0..3).map(|_| scene.ask(gib(8).lives(10_000)).granted()).collect();
    let large = scene.ask(gib(20).by(2).lives(5_000).waits(60_000)).waits();
    for _ in 0..10 {
        scene.silently(1_000);
        let said = scene.release(small.remove(0), 1);
        if said.granted(large).is_some() {
            return;
        }
        let next = scene.ask(gib(8).lives(30_000).waits(60_000));
        assert_eq!(next.said.granted(next.request), None, "it would be over too late");
    }
    panic!("it starves");
}

#[test]
fn who_asks_politely_for_little_is_not_behind_a_batch_that_waits_for_much() {
    let mut scene = Scene::with_gpus(&[24, 24]);
    scene.ask(gib(20).on(&[0]).lives(600_000)).granted();
    let batch = scene.ask(gib(20).times(2).by(2).with(Priority::Low).lives(60_000).waits(900_000)).waits();
    // Its gang begins in ten minutes. Until then the second GPU is of use to others.
    for _ in 0..9 {
        scene.silently(60_000);
        let lease = scene.ask(gib(20).by(3).lives(50_000)).granted();
        scene.release(lease, 3);
    }
    assert!(scene.later_and_read(60_000).granted(batch).is_some());
}
