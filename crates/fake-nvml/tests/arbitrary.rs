//! Whatever stands in the script file, the library answers: it never crashes the program that loaded it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::cell::RefCell;

use fake_nvml::Installed;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{
    Clock, P2pCapabilitiesIndex, PcieUtilCounter, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::{Device, Nvml};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Calls what there is to call and lets each answer or refuse.
fn ask_everything(installed: &Installed) {
    let Ok(nvml) = Nvml::builder().lib_path(installed.library().as_os_str()).init() else { return };
    let _answers = (nvml.sys_driver_version(), nvml.sys_nvml_version(), nvml.sys_cuda_driver_version());
    let _name = nvml.sys_process_name(std::process::id(), 8);
    let count = nvml.device_count().unwrap_or(0);
    for index in 0..count.saturating_add(1) {
        let Ok(device) = nvml.device_by_index(index) else { continue };
        ask_of(&device);
        for part in 0..8 {
            if let Ok(instance) = device.mig_device_by_index(part) {
                let _parent = instance.mig_parent_device();
                ask_of(&instance);
            }
        }
        if let Ok(other) = nvml.device_by_index(index / 2) {
            let _answers = (
                nvml.topology_common_ancestor(&device, &other).map(drop),
                device.p2p_status(&other, P2pCapabilitiesIndex::NvLink).map(drop),
            );
        }
        let set = nvml.create_event_set().and_then(|set| {
            device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(|error| error.error)
        });
        if let Ok(set) = set {
            let _event = set.wait(0);
        }
    }
}

fn ask_of(device: &Device<'_>) {
    let _about = (
        device.name(),
        device.uuid(),
        device.index(),
        device.minor_number(),
        device.serial(),
        device.brand(),
    );
    let _bus =
        (device.pci_info(), device.cuda_compute_capability(), device.architecture(), device.vbios_version());
    let _memory = (device.memory_info(), device.bar1_memory_info(), device.is_ecc_enabled());
    let _processes = (
        device.running_compute_processes(),
        device.running_compute_processes_v2(),
        device.running_graphics_processes(),
        device.running_graphics_processes_v2(),
        device.mps_running_compute_processes(),
        device.process_utilization_stats(0),
    );
    let _sensors = (
        device.utilization_rates(),
        device.encoder_utilization(),
        device.temperature(TemperatureSensor::Gpu),
        device.temperature_threshold(TemperatureThreshold::Shutdown),
        device.power_usage(),
        device.power_management_limit(),
        device.enforced_power_limit(),
        device.fan_speed(0),
        device.num_fans(),
    );
    let _rest = (
        device.clock_info(Clock::Memory),
        device.performance_state(),
        device.pcie_throughput(PcieUtilCounter::Send),
        device.mig_mode(),
        device.mig_device_count(),
        device.mig_is_mig_device_handle(),
        device.link_wrapper_for(0).is_active(),
        device.link_wrapper_for(1).remote_pci_info(),
        device.total_energy_consumption(),
    );
}

/// Numbers where they are most likely to be mishandled; seldom one that does not fit.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        60 => prop_oneof![Just("0".to_owned()), Just("null".to_owned()), any::<u32>().prop_map(|n| n.to_string())],
        1 => any::<i64>().prop_map(|n| n.to_string()),
    ]
}

fn process() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        60 => prop::sample::select(vec!["compute", "graphics", "both", "mps"]),
        1 => Just("strange"),
    ];
    let used = prop_oneof![number(), any::<u64>().prop_map(|n| n.to_string())];
    (any::<u32>(), used, kind, number()).prop_map(|(pid, used, kind, instance)| {
        format!(r#"{{"pid": {pid}, "used": {used}, "type": "{kind}", "instance": {instance}}}"#)
    })
}

/// Watts, of which more than a million are refused.
fn watts() -> impl Strategy<Value = String> {
    prop_oneof![60 => (0.0..1e6).prop_map(|watts: f64| watts.to_string()), 1 => number()]
}

fn device() -> impl Strategy<Value = String> {
    let text = ".{0,120}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let processes = prop::collection::vec(process(), 0..12);
    let instances = prop::collection::vec((any::<u64>(), 0..2_u64), 0..8);
    let sensors = (number(), number(), watts(), number());
    let mig = prop::sample::select(vec!["true", "false", "null"]);
    let code = prop_oneof![9 => Just(None), 1 => any::<u32>().prop_map(Some)];
    (text, any::<u64>(), 0..3_u64, processes, instances, sensors, mig, any::<bool>(), code).prop_map(
        |(name, total, used, processes, instances, (busy, warm, power, fan), mig, lost, code)| {
            let instances: Vec<_> =
                instances.iter().map(|(total, used)| format!(r#"{{"total": {total}, "used": {used}}}"#)).collect();
            let errors = code.map_or(String::new(), |code| format!(r#""nvmlDeviceGetName": {code}"#));
            format!(
                r#"{{"name": {name}, "uuid": {name}, "total": {total}, "used": {used}, "processes": [{}], "instances": [{}], "utilization": {busy},
                    "temperature": {warm}, "power": {power}, "fan": {fan}, "mig": {mig}, "lost": {lost}, "errors": {{{errors}}}}}"#,
                processes.join(","),
                instances.join(","),
            )
        },
    )
}

/// Something of a script's shape, which now and then is one.
fn shaped() -> impl Strategy<Value = Vec<u8>> {
    let links = prop::collection::vec((0..5_usize, 0..5_usize), 0..4);
    let events = prop::collection::vec((0..5_usize, any::<u64>()), 0..4);
    let vanished = prop_oneof![8 => Just("false"), 1 => Just("true"), 1 => Just("\"gpu_is_lost\"")];
    (prop::collection::vec(device(), 0..5), links, events, vanished).prop_map(
        |(devices, links, events, vanished)| {
            let count = devices.len().max(1);
            let links: Vec<_> = links
                .iter()
                .map(|(one, other)| {
                    format!(r#"{{"devices": [{}, {}], "by": "nvlink"}}"#, one % count, other % count)
                })
                .collect();
            let events: Vec<_> = events
                .iter()
                .map(|(device, kind)| format!(r#"{{"device": {}, "type": {kind}}}"#, device % count))
                .collect();
            format!(
                r#"{{"devices": [{}], "links": [{}], "events": [{}], "vanished": {vanished}}}"#,
                devices.join(","),
                links.join(","),
                events.join(",")
            )
            .into_bytes()
        },
    )
}

/// A script with some bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (shaped(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)).prop_map(
        |(mut bytes, changes)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

#[test]
fn any_script_is_answered() {
    let installed = Installed::new("{}").unwrap();
    let opened = RefCell::new(0);
    let scripts = prop_oneof![2 => prop::collection::vec(any::<u8>(), 0..200), 5 => shaped(), 2 => damaged()];
    let mut runner = TestRunner::new(Config { cases: 1_000, failure_persistence: None, ..Config::default() });
    runner
        .run(&scripts, |script| {
            installed.script(&script).unwrap();
            ask_everything(&installed);
            *opened.borrow_mut() += u32::from(fake_nvml::Script::parse(&script).is_ok());
            Ok(())
        })
        .unwrap();
    assert!(opened.take() > 100, "scripts that are good enough to be asked about must be among them");
}
