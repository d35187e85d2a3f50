//! The replay by the manager itself: what it decides here it decides for real.

use super::clock::Clock;
use super::{Run, Scenario, Trace};
use crate::{Decision, DeviceState, Event, Manager, WarmModel};

enum Happens {
    Arrival(usize),
    Done(usize),
    Loaded { lease: u64, took_ms: u64 },
}

/// All models are of one process.
const HOLDER: u64 = 1;
/// Requests of a trace wait as long as it takes.
const FOREVER_MS: u64 = 1 << 50;

pub(super) fn run(
    trace: &Trace,
    scenario: &Scenario,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<Run> {
    let settings = crate::Settings { max_waiting: usize::MAX, ..scenario.settings.clone() };
    let mut manager = Manager::new(settings);
    let mut decisions = Vec::new();
    let device = |total: &u64| DeviceState { total: *total, free: *total, used: Vec::new(), lost: false };
    let devices = scenario.devices.iter().map(device).collect();
    manager.apply(0, Event::Devices { devices, began_at: None }, &mut decisions);
    for model in &trace.models {
        let replicas = u32::try_from(scenario.devices.len() * 16).unwrap_or(u32::MAX);
        let (model, bytes, load_ms) = (model.name.clone(), model.bytes, model.load_ms);
        let warm =
            WarmModel { holder: HOLDER, model, owner: None, bytes, load_ms, replicas, concurrency: Some(1) };
        manager.apply(0, Event::Register(warm), &mut decisions);
    }
    let mut clock = Clock::new();
    for (index, request) in trace.requests.iter().enumerate() {
        clock.at(request.arrives(scenario.speedup), Happens::Arrival(index));
    }
    let mut run = Run { waits: vec![0; trace.requests.len()], loads: 0 };
    let mut begun = 0;
    loop {
        let tick = manager.next_tick().filter(|tick| clock.next_at().is_none_or(|next| *tick < next));
        let (now, event) = match tick {
            Some(tick) if begun < trace.requests.len() => (tick, Event::Tick),
            _ => match clock.next() {
                None => break,
                Some((now, happens)) => (now, event_of(trace, happens)),
            },
        };
        decisions.clear();
        manager.apply(now, event, &mut decisions);
        let mut done = 0;
        while done < decisions.len() {
            match decisions[done].clone() {
                Decision::Unload { lease, .. } => {
                    manager.apply(now, Event::Unloaded { lease, holder: HOLDER }, &mut decisions)
                }
                Decision::Load { lease, ref model, .. } => {
                    let took_ms = trace.models.iter().find(|known| known.name == *model)?.load_ms;
                    clock.at(now + took_ms, Happens::Loaded { lease, took_ms });
                    run.loads += 1;
                }
                Decision::Started { request, waited_ms, .. } => {
                    let index = usize::try_from(request).ok()?;
                    run.waits[index] = waited_ms;
                    clock.at(now + trace.requests[index].exec_ms as u64, Happens::Done(index));
                    begun += 1;
                    if begun % super::TELL_EVERY == 0 && !progress(begun) {
                        return None;
                    }
                }
                _ => {}
            }
            done += 1;
        }
    }
    Some(run)
}

fn event_of(trace: &Trace, happens: Happens) -> Event {
    match happens {
        Happens::Arrival(index) => {
            let request = &trace.requests[index];
            Event::Use {
                request: index as u64,
                holder: HOLDER,
                model: trace.models[request.model].name.clone(),
                priority: request.priority,
                wait_ms: FOREVER_MS,
            }
        }
        Happens::Done(index) => Event::Done { request: index as u64, holder: HOLDER },
        Happens::Loaded { lease, took_ms } => Event::Loaded { lease, holder: HOLDER, took_ms },
    }
}
