//! What other implementations have to decide too: the files `test/contract/traces/gpu-*.jsonl`.
//!
//! A line with `settings` begins with a new manager; each line after it is an event at a time, and what it leads to.
//! `UAT_WRITE_TRACES=1 cargo test --release -p vision-resource-manager --test scenarios traces` writes them anew; read the
//! difference before it is kept, for it is what the TypeScript side has to follow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vision_resource_manager::{Decision, DeviceState, Event, Manager, Priority, Settings, Used, WarmModel};

use crate::scene::{GIB, KEEPER, Recording, plain, recorded};
use crate::world::{self, World};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/contract/traces");
/// Events of a trace that looks random.
const EVENTS: usize = 1_500;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Begins { settings: Settings },
    Step { now: u64, event: Event, decisions: Vec<Decision> },
}

/// Holds what was recorded to a file, and the manager to the file.
#[track_caller]
fn check(name: &str, recordings: Vec<Recording>) {
    let path = format!("{FOLDER}/gpu-{name}.jsonl");
    let mut made = String::new();
    let mut write = |line: &Line| {
        made.push_str(&serde_json::to_string(line).unwrap());
        made.push('\n');
    };
    for Recording { settings, steps } in recordings {
        write(&Line::Begins { settings });
        for (now, event, decisions) in steps {
            write(&Line::Step { now, event, decisions });
        }
    }
    if std::env::var_os("UAT_WRITE_TRACES").is_some() {
        std::fs::create_dir_all(FOLDER).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    replay(name, &kept);
    assert!(kept == made, "{path} holds other events than the tests tell now");
}

/// Tells a manager what a file says and compares what it decides, line by line.
#[track_caller]
fn replay(name: &str, file: &str) {
    let mut manager = Manager::default();
    for (number, line) in file.lines().enumerate() {
        match serde_json::from_str(line).unwrap() {
            Line::Begins { settings } => manager = Manager::new(settings),
            Line::Step { now, event, decisions } => {
                let mut decided = Vec::new();
                manager.apply(now, event, &mut decided);
                assert_eq!(decided, decisions, "{name}, line {}", number + 1);
            }
        }
    }
}

fn random(gib: &[u64], first: u64) -> Vec<Recording> {
    let mut world = World::set_to(gib, World::settings());
    let mut step = first;
    while world.all.len() < EVENTS {
        world.carry_out(world::numbered(step));
        world.check();
        step += 1;
    }
    world.everybody_goes_home();
    vec![Recording { settings: World::settings(), steps: world.all }]
}

#[test]
fn a_random_day_on_one_gpu_is_decided_as_it_is_written_down() {
    check("random-one", random(&[24], 1_000_000));
}

#[test]
fn a_random_day_on_three_gpus_is_decided_as_it_is_written_down() {
    check("random-three", random(&[8, 16, 24], 2_000_000));
}

#[test]
fn a_random_day_on_four_equal_gpus_is_decided_as_it_is_written_down() {
    check("random-four", random(&[24, 24, 24, 24], 3_000_000));
}

#[test]
fn the_scenarios_are_decided_as_they_are_written_down() {
    let topics = [
        ("leases", crate::leases::RECORDED),
        ("line", crate::line::RECORDED),
        ("gangs", crate::gangs::RECORDED),
        ("preemption", crate::preemption::RECORDED),
        ("warm", crate::warm::RECORDED),
        ("ledger", crate::ledger::RECORDED),
        ("users", crate::users::RECORDED),
    ];
    for (name, tests) in topics {
        check(name, recorded(tests));
    }
}

#[test]
fn a_burst_of_models_is_decided_as_it_is_written_down() {
    check("burst", vec![burst()]);
}

/// Eight models of different sizes that want to be in three GPUs, asked for in bursts over two days, so that what a model
/// is worth and how long things take decide what goes.
fn burst() -> Recording {
    let settings = Settings { headroom: GIB / 4, ..plain() };
    let mut manager = Manager::new(settings.clone());
    let mut steps: Vec<(u64, Event, Vec<Decision>)> = Vec::new();
    // What happens when, in order; of the same ms in the order in which it was found out.
    let mut agenda: BTreeMap<(u64, u64), Event> = BTreeMap::new();
    let mut count = 0;
    let mut at = |agenda: &mut BTreeMap<(u64, u64), Event>, when: u64, event: Event| {
        count += 1;
        agenda.insert((when, count), event);
    };
    let mut state = 7_u64;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let gpu =
        |gib: u64| DeviceState { total: gib * GIB, free: gib * GIB, used: Vec::<Used>::new(), lost: false };
    at(&mut agenda, 0, Event::Devices { devices: vec![gpu(14), gpu(12), gpu(10)], began_at: None });
    let load_ms = |model: u64| 900 + model * 1_370;
    for model in 0..8 {
        let bytes = GIB * (5 + model * 2) / 2;
        let concurrency = (model % 3 != 0).then_some(1 + model as u32 % 2);
        let (name, replicas) = (format!("m{model}").into(), 1 + model as u32 % 3);
        let (holder, load_ms) = (KEEPER, load_ms(model));
        let warm = WarmModel { holder, model: name, owner: None, bytes, load_ms, replicas, concurrency };
        at(&mut agenda, 0, Event::Register(warm));
    }
    let mut now = 0;
    for request in 1..=700 {
        // Mostly within seconds, sometimes hours later.
        now += if below(25) == 0 { below(9_000_000) } else { below(1_500) };
        let model = format!("m{}", (below(8) * below(8)) / 7).into();
        let priority = [Priority::Low, Priority::Normal, Priority::High][below(3) as usize];
        let wait_ms = 1_000 + below(60_000);
        at(&mut agenda, now, Event::Use { request, holder: KEEPER, model, priority, wait_ms });
        if below(40) == 0 {
            at(&mut agenda, now + 5_000, Event::Optimize { target_free: None, device: None });
        }
    }
    while steps.len() < EVENTS {
        let next = agenda.first_key_value().map(|((when, _), _)| *when);
        let tick = manager.next_tick().filter(|tick| next.is_none_or(|next| *tick < next));
        let (now, event) = match tick {
            Some(tick) => (tick, Event::Tick),
            None => match agenda.pop_first() {
                None => break,
                Some(((when, _), event)) => (when, event),
            },
        };
        let mut decisions = Vec::new();
        manager.apply(now, event.clone(), &mut decisions);
        for decision in &decisions {
            match decision {
                Decision::Load { lease, .. } => {
                    let took_ms = 700 + below(9_000);
                    let (lease, holder) = (*lease, KEEPER);
                    let loaded = Event::Loaded { lease, holder, took_ms };
                    let fails = below(30) == 0;
                    let event = if fails { Event::LoadFailed { lease, holder } } else { loaded };
                    at(&mut agenda, now + took_ms, event);
                }
                Decision::Unload { lease, .. } => {
                    at(&mut agenda, now + below(400), Event::Unloaded { lease: *lease, holder: KEEPER });
                }
                Decision::Started { request, .. } => {
                    at(
                        &mut agenda,
                        now + 200 + below(6_000),
                        Event::Done { request: *request, holder: KEEPER },
                    );
                }
                _ => {}
            }
        }
        steps.push((now, event, decisions));
    }
    Recording { settings, steps }
}
