//! What a host alone needs: loads and unloads that hang, and instances that an earlier manager gave out.

use vision_resource_manager::{Event, Refusal, RestoredLease, Settings, Share};

use crate::scene::{GIB, KEEPER, Scene, gib, plain, warm};

/// Loads and unloads may take two seconds.
fn impatient(gib: &[u64]) -> Scene {
    Scene::set_to(Settings { overdue_ms: Some(2_000), hold_ms: 0, ..plain() }, gib)
}

fn restored(scene: &mut Scene, lease: u64, gib: u64) {
    let shares = vec![Share { device: 0, bytes: gib * GIB }];
    scene.tell(Event::Restore(RestoredLease {
        lease,
        holder: KEEPER,
        owner: "m".into(),
        model: Some("m".into()),
        priority: Default::default(),
        shares,
        expires_at: None,
        preemptible: false,
        grace_ms: 0,
    }));
}

fn adopt(lease: u64, uses: &[u64]) -> Event {
    Event::Adopt { lease, holder: KEEPER, model: "m".into(), loads: false, uses: uses.to_vec() }
}

#[test]
fn a_load_that_hangs_keeps_its_memory_and_no_other_model_from_being_loaded() {
    let mut scene = impatient(&[24]);
    scene.has_model("hangs", 10);
    scene.has_model("other", 10);
    let (hangs, other) = (scene.wants("hangs", 60_000), scene.wants("other", 60_000));
    let lease = hangs.said.load();
    assert!(other.said.loads().is_empty(), "one load at a time on a GPU");
    let due = 4 * warm("hangs", 10).load_ms.max(500);
    let said = scene.later(due);
    assert_eq!(said.loads().len(), 1, "the other one is loaded now");
    assert_eq!(scene.free(0), 4);
    // It does come to an end, after all.
    assert_eq!(scene.loads(lease, due).started(hangs.request), Some(lease));
}

#[test]
fn a_load_that_hangs_and_fails_in_the_end_gives_its_memory_back() {
    let mut scene = impatient(&[24]);
    scene.has_model("m", 10);
    let waits = scene.wants("m", 60_000);
    let lease = waits.said.load();
    scene.later(50_000);
    let said = scene.tell(Event::LoadFailed { lease, holder: KEEPER });
    assert_eq!(said.refused(waits.request), Some(Refusal::LoadFailed));
    assert_eq!(scene.free(0), 24);
}

#[test]
fn whoever_waits_for_an_unload_that_hangs_is_served_elsewhere() {
    let mut scene = impatient(&[8, 10]);
    let instance = scene.is_warm("m", 8);
    let other = scene.ask(gib(10)).granted();
    let waits = scene.ask(gib(8).by(2).waits(60_000));
    assert_eq!(waits.said.unloads(), [instance]);
    scene.release(other, 1);
    assert_eq!(scene.manager.leases().count(), 1, "it was promised what is being unloaded");
    let said = scene.later(2_000);
    assert!(said.granted(waits.request).is_some());
    // What hangs is neither used nor unloaded twice, and it is free when that ends.
    let again = scene.wants("m", 0);
    assert_eq!((again.said.started(again.request), again.said.unloads()), (None, vec![]));
    scene.unloaded(instance);
    assert_eq!(scene.free(0), 8);
}

#[test]
fn an_instance_that_was_restored_is_used_and_unloaded_when_its_holder_has_spoken_for_it() {
    let mut scene = impatient(&[8]);
    restored(&mut scene, 7, 6);
    scene.has_model("m", 6);
    let waits = scene.wants("m", 60_000);
    assert!(waits.said.loads().is_empty(), "nothing is given out before all is known");
    scene.tell(adopt(7, &[100])).nothing();
    assert_eq!(scene.tell(Event::Restored).started(waits.request), None, "it is used by one at a time");
    let wants = scene.ask(gib(6).by(2).waits(60_000));
    assert!(wants.said.unloads().is_empty(), "it is in use");
    assert_eq!(scene.done(100).started(waits.request), Some(7));
    assert_eq!(scene.done(waits.request).unloads(), [7]);
    assert!(scene.unloaded(7).granted(wants.request).is_some());
}

#[test]
fn what_is_no_instance_of_the_model_is_not_taken_for_one() {
    let mut scene = impatient(&[8]);
    restored(&mut scene, 7, 6);
    scene.tell(Event::Restored);
    let invalid = |refusal| matches!(refusal, Some(Refusal::Invalid { .. }));
    assert!(invalid(scene.tell(adopt(7, &[])).denied()), "there is no such model");
    scene.has_model("m", 5);
    assert!(invalid(scene.tell(adopt(7, &[])).denied()), "it has another size");
    assert_eq!(scene.tell(adopt(8, &[])).denied(), Some(Refusal::NoSuchLease));
    let lease = scene.ask(gib(1)).granted();
    assert_eq!(scene.tell(adopt(lease, &[])).denied(), Some(Refusal::NotYours));
    // Nobody takes it away, and its holder can give it back.
    assert_eq!(scene.free(0), 1);
    scene.release(7, KEEPER);
    assert_eq!(scene.free(0), 7);
}
