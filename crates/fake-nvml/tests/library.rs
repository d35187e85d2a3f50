//! The fake library through the wrapper that products use: what a script says is what a program in C would see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use fake_nvml::{Installed, Script};
use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor, TopologyLevel};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;

const ONE: &str = r#"{"devices": [{"name": "NVIDIA A", "uuid": "GPU-a", "total": 1000, "used": 600, "reserved": 100,
    "processes": [{"pid": 7, "used": 500}, {"pid": 8, "used": null, "type": "graphics"}], "fan": 30}]}"#;

fn open(installed: &Installed) -> Result<Nvml, NvmlError> {
    Nvml::builder().lib_path(installed.library().as_os_str()).init()
}

fn opened(installed: &Installed) -> Nvml {
    open(installed).unwrap_or_else(|error| panic!("{error}: {:?}", installed.complaint()))
}

#[test]
fn a_device_is_what_the_script_says() {
    let installed = Installed::new(ONE).unwrap();
    let nvml = opened(&installed);
    assert_eq!(nvml.sys_driver_version().unwrap(), "570.86.15");
    assert_eq!(nvml.sys_cuda_driver_version().unwrap(), 12_080);
    assert_eq!(nvml.device_count().unwrap(), 1);
    let device = nvml.device_by_uuid("GPU-a").unwrap();
    assert_eq!((device.index().unwrap(), device.name().unwrap().as_str()), (0, "NVIDIA A"));
    let memory = device.memory_info().unwrap();
    assert_eq!((memory.total, memory.used, memory.reserved, memory.free), (1000, 600, 100, 300));
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 40);
    assert_eq!((device.power_usage().unwrap(), device.enforced_power_limit().unwrap()), (60_000, 300_000));
    assert_eq!((device.fan_speed(0).unwrap(), device.num_fans().unwrap()), (30, 1));
    assert_eq!(device.max_clock_info(Clock::Graphics).unwrap(), 1410);
    let computing = device.running_compute_processes().unwrap();
    assert_eq!((computing[0].pid, &computing[0].used_gpu_memory), (7, &UsedGpuMemory::Used(500)));
    let drawing = device.running_graphics_processes().unwrap();
    assert_eq!((drawing[0].pid, &drawing[0].used_gpu_memory), (8, &UsedGpuMemory::Unavailable));
    let bus = device.pci_info().unwrap().bus_id;
    assert_eq!(nvml.device_by_pci_bus_id(bus.as_str()).unwrap().uuid().unwrap(), "GPU-a");
    assert!(matches!(nvml.device_by_index(1), Err(NvmlError::InvalidArg)));
    assert!(matches!(nvml.device_by_uuid("GPU-b"), Err(NvmlError::NotFound)));
    assert!(matches!(device.mig_mode(), Err(NvmlError::NotSupported)));
}

#[test]
fn two_copies_in_one_process_have_each_their_own_gpus() {
    let (one, two) = (Installed::new(ONE).unwrap(), Installed::new(r#"{"devices": []}"#).unwrap());
    let (one, two) = (opened(&one), opened(&two));
    assert_eq!((one.device_count().unwrap(), two.device_count().unwrap()), (1, 0));
}

#[test]
fn without_a_script_there_is_no_driver() {
    let installed = Installed::new(ONE).unwrap();
    let nvml = opened(&installed);
    std::fs::remove_file(installed.folder().join("fake_nvml.json")).unwrap();
    assert!(matches!(nvml.device_count(), Err(NvmlError::Uninitialized)));
    assert!(matches!(open(&installed), Err(NvmlError::DriverNotLoaded)));
}

#[test]
fn a_session_does_not_survive_its_driver() {
    let installed = Installed::new(ONE).unwrap();
    let nvml = opened(&installed);
    installed.script(r#"{"devices": [], "vanished": "gpu_is_lost"}"#).unwrap();
    assert!(matches!(nvml.device_count(), Err(NvmlError::GpuLost)));
    installed.script(ONE).unwrap();
    assert!(matches!(nvml.device_count(), Err(NvmlError::Uninitialized)));
    assert_eq!(opened(&installed).device_count().unwrap(), 1);
}

#[test]
fn a_call_fails_as_told_on_every_device_or_on_one() {
    let installed = Installed::new(
        r#"{"errors": {"nvmlDeviceGetName": 999},
            "devices": [{"total": 1, "errors": {"nvmlDeviceGetUUID": 4}}, {"total": 1}]}"#,
    )
    .unwrap();
    let nvml = opened(&installed);
    let [one, two] = [0, 1].map(|index| nvml.device_by_index(index).unwrap());
    assert!(matches!((one.name(), two.name()), (Err(NvmlError::Unknown), Err(NvmlError::Unknown))));
    assert!(matches!((one.uuid(), two.uuid()), (Err(NvmlError::NoPermission), Ok(_))));
}

#[test]
fn a_call_takes_as_long_as_told_and_holds_up_no_other() {
    let installed = Installed::new(
        r#"{"devices": [{"total": 1}], "delays_ms": {"nvmlDeviceGetName": 1000, "nvmlDeviceGetUUID": 1000}}"#,
    )
    .unwrap();
    let nvml = opened(&installed);
    let device = nvml.device_by_index(0).unwrap();
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| device.name().unwrap());
        scope.spawn(|| device.uuid().unwrap());
    });
    let took = start.elapsed().as_millis();
    assert!((1000..2000).contains(&took), "{took} ms");
}

#[test]
fn a_hidden_symbol_is_missing() {
    let installed = Installed::without(&["nvmlDeviceGetMemoryInfo_v2"], ONE).unwrap();
    let nvml = opened(&installed);
    let device = nvml.device_by_index(0).unwrap();
    assert!(matches!(device.memory_info(), Err(NvmlError::FailedToLoadSymbol(_))));
    assert!(device.running_compute_processes().is_ok());
    assert!(Installed::without(&["nvmlNoSuchFunction"], ONE).is_err());
}

#[test]
fn an_event_that_is_added_wakes_who_waits() {
    let script =
        |events: &str| format!(r#"{{"devices": [{{"total": 1}}, {{"total": 1}}], "events": [{events}]}}"#);
    let old = r#"{"device": 0, "type": 8, "data": 13}"#;
    let installed = Installed::new(script(old)).unwrap();
    let nvml = opened(&installed);
    let set = nvml.create_event_set().unwrap();
    let device = nvml.device_by_index(0).unwrap();
    let set = device
        .register_events(EventTypes::CRITICAL_XID_ERROR, set)
        .unwrap_or_else(|error| panic!("{error:?}"));
    assert!(matches!(set.wait(0), Err(NvmlError::Timeout)), "what was there before is not told");
    let others = r#"{"device": 1, "type": 8, "data": 1}, {"device": 0, "type": 4}"#;
    installed.script(script(&format!(r#"{old}, {others}, {{"device": 0, "type": 8, "data": 79}}"#))).unwrap();
    let event = set.wait(10_000).unwrap();
    assert_eq!((event.device.index().unwrap(), event.event_data), (0, Some(XidError::Value(79))));
    assert!(matches!(set.wait(0), Err(NvmlError::Timeout)), "each is told once");
}

#[test]
fn links_are_told_in_every_way() {
    let installed = Installed::new(
        r#"{"devices": [{"total": 1}, {"total": 1}, {"total": 1}],
            "links": [{"devices": [0, 1], "by": "nvlink"}, {"devices": [1, 2], "by": "switch"}]}"#,
    )
    .unwrap();
    let nvml = opened(&installed);
    let [zero, one, two] = [0, 1, 2].map(|index| nvml.device_by_index(index).unwrap());
    assert!(zero.link_wrapper_for(0).is_active().unwrap());
    assert_eq!(zero.link_wrapper_for(0).remote_pci_info().unwrap().bus_id, one.pci_info().unwrap().bus_id);
    assert!(matches!(zero.link_wrapper_for(1).is_active(), Err(NvmlError::NotSupported)));
    assert_eq!(nvml.topology_common_ancestor(&one, &two).unwrap(), TopologyLevel::Single);
    assert_eq!(nvml.topology_common_ancestor(&zero, &two).unwrap(), TopologyLevel::System);
}

#[test]
fn a_script_is_refused_by_the_name_of_what_is_wrong() {
    let check = |script: &str, words: &str| {
        let error = Script::parse(script.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{script}: {error}");
        let installed = Installed::new(script).unwrap();
        assert!(matches!(open(&installed), Err(NvmlError::Unknown)), "{script}");
        assert!(installed.complaint().is_some_and(|told| told.contains(words)), "{script}");
    };
    check("{", "line 1 column 1");
    check(r#"{"devices": [], "colour": 1}"#, "`colour`");
    check(r#"{"devices": [{"total": 1, "processes": [{"pid": 1, "used": 1, "kind": "both"}]}]}"#, "`kind`");
    check(r#"{"devices": [{"total": 1, "used": 2}]}"#, "device 0: used 2");
    check(
        r#"{"devices": [{"total": 1, "used": 18446744073709551615, "reserved": 1}]}"#,
        "more than its total",
    );
    check(r#"{"devices": [], "links": [{"devices": [0, 1], "by": "nvlink"}]}"#, "a link of [0, 1]");
    check(r#"{"devices": [], "events": [{"device": 0, "type": 8}]}"#, "an event of device 0");
    check(r#"{"devices": [], "vanished": "sometimes"}"#, "\"sometimes\"");
    check(r#"{"devices": [], "errors": {"nvmlDeviceGetName": 0}}"#, "nvmlDeviceGetName fails with 0");
    check(r#"{"devices": [], "delays_ms": {"nvmlDeviceGetName": 60001}}"#, "takes 60001 ms");
    check(r#"{"devices": [{"total": 1, "power": -1}]}"#, "-1 W");
}

#[test]
fn the_script_of_the_documentation_is_one() {
    let documentation = include_str!("../src/lib.rs");
    let json = documentation.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let script = json.lines().map(|line| line.trim_start_matches("//!")).collect::<String>();
    Script::parse(script.as_bytes()).unwrap();
}
