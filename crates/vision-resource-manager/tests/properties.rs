//! What holds whatever happens: random events, in any order, sensible or not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod world;

use proptest::prelude::*;
use vision_resource_manager::Settings;
use world::{HOLDERS, MODELS, Operation, World};

/// Any of them.
fn operation() -> impl Strategy<Value = Operation> {
    let holder = 0..HOLDERS;
    prop_oneof![
        (0_u64..4_000).prop_map(|ms| Operation::Pass { ms }),
        (holder.clone(), 0_u64..26, 0_u32..4, 0_u8..4, 0_u64..9_000, 0_u64..9_000, any::<bool>()).prop_map(
            |(holder, gib, gpus, priority, duration, wait, preemptible)| Operation::Request {
                holder,
                gib,
                gpus,
                priority,
                duration,
                wait,
                preemptible
            }
        ),
        (any::<usize>(), holder.clone()).prop_map(|(nth, by)| Operation::Release { nth, by }),
        (any::<usize>(), 0_u64..9_000).prop_map(|(nth, duration)| Operation::Renew { nth, duration }),
        any::<usize>().prop_map(|nth| Operation::Cancel { nth }),
        holder.clone().prop_map(|holder| Operation::Dies { holder }),
        (holder.clone(), 0_u64..21).prop_map(|(holder, tenths)| Operation::Takes { holder, tenths }),
        (0_usize..5, 0_u64..9).prop_map(|(device, gib)| Operation::Other { device, gib }),
        (0_usize..5, any::<bool>()).prop_map(|(device, lost)| Operation::Vanishes { device, lost }),
        (holder, 0..MODELS, 0_u8..4, 0_u64..9_000)
            .prop_map(|(holder, model, priority, wait)| { Operation::Use { holder, model, priority, wait } }),
        any::<usize>().prop_map(|nth| Operation::Done { nth }),
        (any::<usize>(), prop::bool::weighted(0.1)).prop_map(|(nth, fails)| Operation::Loaded { nth, fails }),
        any::<usize>().prop_map(|nth| Operation::Unloaded { nth }),
        Just(Operation::Optimize),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// After each event: no device is given out beyond what it has, no lease is held in part, numbers only grow, nobody is
    /// answered twice, nobody waits beyond its time, and no instance in use is unloaded.
    #[test]
    fn nothing_is_given_out_twice(
        devices in prop::collection::vec(1_u64..=24, 1..5),
        operations in prop::collection::vec(operation(), 1..120),
        overdue_ms in prop::option::of(0_u64..9_000),
    ) {
        let mut world = World::set_to(&devices, Settings { overdue_ms, ..World::settings() });
        for operation in operations {
            world.carry_out(operation);
            world.check();
        }
        world.everybody_goes_home();
    }
}

/// The same events give the same decisions.
#[test]
fn decisions_do_not_depend_on_anything_but_the_events() {
    let operations = || (0..2_000_u64).map(world::numbered);
    let run = || {
        // Loads and unloads that hang among them.
        let settings = Settings { overdue_ms: Some(2_000), ..World::settings() };
        let mut world = World::set_to(&[8, 16, 24], settings);
        operations().for_each(|operation| world.carry_out(operation));
        world.all
    };
    assert_eq!(run(), run());
}

/// How many operations; `npm run test:soak` asks for a hundred million.
fn operations() -> u64 {
    std::env::var("UAT_TEST_OPERATIONS").ok().map_or(1_000_000, |text| text.parse().expect("a number"))
}

/// A million random operations with crashes, as a soak in small.
#[test]
fn a_million_operations_leak_nothing() {
    let all = operations();
    let settings = Settings { overdue_ms: Some(2_000), ..World::settings() };
    let mut world = World::set_to(&[8, 16, 24, 24], settings);
    for step in 0..all {
        world.carry_out(world::numbered(step));
        if step % 64 == 0 {
            world.check();
        }
        world.all.clear();
        if step % 10_000_000 == 9_999_999 {
            println!("{} of {all} operations, {} granted", step + 1, world.granted);
        }
    }
    world.check();
    world.everybody_goes_home();
    assert!(world.granted > all / 100, "only {} leases were granted", world.granted);
}
