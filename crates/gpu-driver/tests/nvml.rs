//! The driver for NVML against a library that lies: through the dynamic linker and C, on a machine without a GPU. With
//! `UAT_TEST_NVML=real` what holds for any GPU is also checked against the driver of this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod support;

use std::cell::RefCell;
use std::path::PathBuf;

use fake_nvml::Installed;
use gpu_driver::{Choice, DeviceReading, Driver, DriverError, LinkKind, NvmlDriver, Unreadable, open};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use support::keeps_promises;

const GIB: u64 = 1 << 30;

fn installed(script: &Value) -> Installed {
    Installed::new(script.to_string()).unwrap()
}

fn rescript(installed: &Installed, script: &Value) {
    installed.script(script.to_string()).unwrap();
}

fn opened(installed: &Installed) -> NvmlDriver {
    NvmlDriver::open(Some(installed.library())).unwrap()
}

fn read(driver: &mut NvmlDriver) -> Vec<DeviceReading> {
    let readings = driver.read().unwrap();
    keeps_promises(&readings);
    readings
}

fn two() -> Value {
    json!({"devices": [
        {"name": "NVIDIA A", "uuid": "GPU-a", "total": 24 * GIB, "used": 3 * GIB, "reserved": GIB / 2, "utilization": 97,
         "temperature": 61, "power": 284.5,
         "processes": [{"pid": 30, "used": GIB}, {"pid": 7, "used": 2 * GIB, "type": "both"}]},
        {"name": "NVIDIA B", "uuid": "GPU-b", "total": 80 * GIB},
    ]})
}

/// `script` with a change at a JSON pointer.
fn with(mut script: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    script.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    script
}

fn memory(reading: &DeviceReading) -> (u64, u64, u64, Option<u64>) {
    let memory = reading.memory.as_ref().unwrap();
    (memory.total, memory.used, memory.free, memory.reserved)
}

fn processes(reading: &DeviceReading) -> Vec<(u32, Option<u64>)> {
    reading.processes.as_ref().unwrap().iter().map(|process| (process.pid, process.used)).collect()
}

#[test]
fn what_the_library_says_is_what_is_read() {
    let gpus = installed(&two());
    let readings = read(&mut opened(&gpus));
    let [a, b] = readings.as_slice() else { panic!("{readings:?}") };
    assert_eq!((a.index, a.uuid.as_deref(), a.name.as_deref()), (0, Some("GPU-a"), Some("NVIDIA A")));
    assert_eq!(a.pci_bus_id.as_deref(), Some("00000000:01:00.0"));
    assert_eq!(memory(a), (24 * GIB, 3 * GIB, 24 * GIB - 3 * GIB - GIB / 2, Some(GIB / 2)));
    assert_eq!((a.utilization, a.temperature_c, a.power_w), (Some(97), Some(61), Some(284.5)));
    assert_eq!(processes(a), [(7, Some(2 * GIB)), (30, Some(GIB))], "by pid, each once");
    assert_eq!(a.mig, None);
    assert_eq!((b.index, b.uuid.as_deref()), (1, Some("GPU-b")));
    assert_eq!((memory(b), processes(b)), ((80 * GIB, 0, 80 * GIB, Some(0)), vec![]));
}

#[test]
fn a_changed_script_is_seen_at_the_next_reading() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    assert_eq!(memory(&read(&mut driver)[1]).1, 0);
    for used in [5 * GIB, 6 * GIB, 0, 80 * GIB] {
        rescript(&gpus, &with(two(), "/devices/1/used", json!(used)));
        assert_eq!(memory(&read(&mut driver)[1]).1, used);
    }
}

#[test]
fn a_lost_device_keeps_its_name_and_hides_no_other() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    read(&mut driver);
    rescript(&gpus, &with(two(), "/devices/0/lost", json!(true)));
    for _ in 0..2 {
        let readings = read(&mut driver);
        assert!(readings[0].is_lost(), "{readings:?}");
        assert_eq!(
            (readings[0].uuid.as_deref(), readings[0].name.as_deref()),
            (Some("GPU-a"), Some("NVIDIA A"))
        );
        assert_eq!((readings[0].utilization, &readings[0].processes), (None, &None), "unknown, not idle");
        assert_eq!(memory(&readings[1]).0, 80 * GIB);
    }
    rescript(&gpus, &two());
    assert_eq!(memory(&read(&mut driver)[0]).1, 3 * GIB, "it is read again once it is back");
}

#[test]
fn a_device_that_was_always_lost_has_no_name() {
    let gpus = installed(&with(two(), "/devices/0/lost", json!(true)));
    let readings = read(&mut opened(&gpus));
    assert_eq!((&readings[0].uuid, readings[0].is_lost()), (&None, true));
    assert_eq!(readings[1].uuid.as_deref(), Some("GPU-b"));
}

#[test]
fn a_lost_device_takes_nobody_elses_name() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    read(&mut driver);
    // The second device has moved to the front, so that the lost one behind it is not the one that stood there.
    rescript(&gpus, &json!({"devices": [two()["devices"][1], {"total": GIB, "lost": true}]}));
    let readings = read(&mut driver);
    assert_eq!((readings[0].uuid.as_deref(), &readings[1].uuid), (Some("GPU-b"), &None));
}

#[test]
fn a_lost_device_has_the_library_let_go_so_that_it_can_be_reset() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    rescript(&gpus, &with(two(), "/devices/0/lost", json!(true)));
    read(&mut driver);
    // Another library in its place is seen only by who opens it anew.
    let other = Installed::without(&["nvmlDeviceGetTemperature"], two().to_string()).unwrap();
    std::fs::remove_file(gpus.library()).unwrap();
    std::fs::copy(other.library(), gpus.library()).unwrap();
    assert_eq!(read(&mut driver)[1].temperature_c, None);
}

#[test]
fn a_device_that_fails_halfway_is_lost() {
    let gpus = installed(&with(two(), "/devices/0/errors", json!({"nvmlDeviceGetMemoryInfo_v2": 15})));
    let readings = read(&mut opened(&gpus));
    assert_eq!((readings[0].uuid.as_deref(), readings[0].is_lost()), (Some("GPU-a"), true));
}

#[test]
fn a_device_that_does_not_tell_its_memory_is_not_lost() {
    for code in [3, 4] {
        let gpus = installed(&with(two(), "/devices/0/errors", json!({"nvmlDeviceGetMemoryInfo_v2": code})));
        let readings = read(&mut opened(&gpus));
        assert!(matches!(readings[0].memory, Err(Unreadable::NotTold(_))), "{readings:?}");
        assert_eq!((readings[0].utilization, readings[0].allocatable()), (Some(97), None));
    }
    let gpus = installed(&json!({"devices": [{"total": 0}]}));
    let readings = read(&mut opened(&gpus));
    assert!(matches!(readings[0].memory, Err(Unreadable::NotTold(_))), "no bytes at all: {readings:?}");
}

#[test]
fn what_a_driver_cannot_tell_of_a_process_is_unknown_and_not_zero() {
    let unknown = json!([{"pid": 7, "used": null}, {"pid": 8, "used": null, "type": "graphics"}, {"pid": 9, "used": 0}]);
    let gpus = installed(&with(two(), "/devices/0/processes", unknown));
    assert_eq!(processes(&read(&mut opened(&gpus))[0]), [(7, None), (8, None), (9, Some(0))]);
    let nonsense = json!([{"pid": 7, "used": 25 * GIB}]);
    rescript(&gpus, &with(two(), "/devices/0/processes", nonsense));
    assert_eq!(processes(&read(&mut opened(&gpus))[0]), [(7, None)], "more than the device has is no figure");
}

#[test]
fn processes_that_are_not_listed_to_this_user_are_unknown_and_not_absent() {
    let errors =
        json!({"nvmlDeviceGetComputeRunningProcesses_v3": 4, "nvmlDeviceGetGraphicsRunningProcesses_v3": 4});
    let gpus = installed(&with(two(), "/errors", errors));
    assert_eq!(read(&mut opened(&gpus))[0].processes, None);
    let errors = json!({"nvmlDeviceGetGraphicsRunningProcesses_v3": 3});
    rescript(&gpus, &with(two(), "/errors", errors));
    assert_eq!(processes(&read(&mut opened(&gpus))[0]).len(), 2, "one list is better than none");
}

#[test]
fn clients_of_the_multi_process_service_are_listed() {
    let shared = json!([{"pid": 7, "used": GIB, "type": "mps"}, {"pid": 6, "used": 1 << 20}]);
    let gpus = installed(&with(two(), "/devices/0/processes", shared));
    assert_eq!(processes(&read(&mut opened(&gpus))[0]), [(6, Some(1 << 20)), (7, Some(GIB))]);
}

#[test]
fn many_processes_are_all_listed() {
    let many: Vec<Value> =
        (1..=500).map(|pid| json!({"pid": pid, "used": 1 << 20, "type": "both"})).collect();
    let gpus = installed(&with(two(), "/devices/0/processes", json!(many)));
    assert_eq!(processes(&read(&mut opened(&gpus))[0]).len(), 500);
}

#[test]
fn a_sensor_that_is_not_there_is_unknown() {
    let bare = json!({"devices": [{"total": GIB, "utilization": null, "temperature": null, "power": null}]});
    let gpus = installed(&bare);
    let readings = read(&mut opened(&gpus));
    assert_eq!((readings[0].utilization, readings[0].temperature_c, readings[0].power_w), (None, None, None));
}

#[test]
fn a_driver_before_r510_is_read_through_the_first_version() {
    let later = [
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    ];
    let check = |gpus: &Installed| {
        let readings = read(&mut opened(gpus));
        let used = 3 * GIB + GIB / 2;
        assert_eq!(memory(&readings[0]), (24 * GIB, used, 24 * GIB - used, None), "reserved counts as used");
        assert_eq!(processes(&readings[0]), [(7, Some(2 * GIB)), (30, Some(GIB))]);
    };
    check(&Installed::without(&later, two().to_string()).unwrap());
    // The same from a library that has the symbols and says that it lacks the functions.
    let errors: serde_json::Map<String, Value> =
        later.map(|symbol| (symbol.to_owned(), json!(13))).into_iter().collect();
    check(&installed(&with(two(), "/errors", Value::Object(errors))));
}

#[test]
fn lists_whose_entries_would_not_fit_are_not_asked_for() {
    // Early drivers of R535, whose third version writes more than callers have room for.
    let third = json!({"nvmlDeviceGetComputeRunningProcesses_v3": 999, "nvmlDeviceGetGraphicsRunningProcesses_v3": 999,
                       "nvmlDeviceGetMPSComputeRunningProcesses_v3": 1});
    let script = with(two(), "/errors", third);
    let gpus = Installed::without(&["nvmlDeviceGetRunningProcessDetailList"], script.to_string()).unwrap();
    assert_eq!(processes(&read(&mut opened(&gpus))[0]), [(7, Some(2 * GIB)), (30, Some(GIB))]);
}

#[test]
fn a_divided_device_cannot_be_allocated_as_one() {
    let gpus = installed(&json!({"devices": [
        {"total": 40 * GIB, "mig": true, "used": 6 * GIB,
         "processes": [{"pid": 5, "used": 2 * GIB, "instance": 0}, {"pid": 5, "used": GIB, "instance": 1}],
         "instances": [{"name": "MIG 3g.20gb", "uuid": "MIG-a", "total": 20 * GIB, "used": 4 * GIB}, {"total": 10 * GIB}]},
        {"total": 40 * GIB, "mig": true},
        {"total": 40 * GIB, "mig": false},
    ]}));
    let readings = read(&mut opened(&gpus));
    let instances = readings[0].mig.as_ref().unwrap();
    assert_eq!(instances.len(), 2);
    assert_eq!(
        (instances[0].uuid.as_deref(), instances[0].name.as_deref()),
        (Some("MIG-a"), Some("MIG 3g.20gb"))
    );
    assert_eq!(instances[0].memory.as_ref().unwrap().free, 16 * GIB);
    assert_eq!(processes(&readings[0]), [(5, Some(3 * GIB))], "with what it has on each instance");
    assert_eq!((memory(&readings[0]).0, readings[0].allocatable()), (40 * GIB, None));
    assert_eq!((readings[1].mig.as_deref(), readings[1].allocatable()), (Some([].as_slice()), None));
    assert!(readings[2].mig.is_none() && readings[2].allocatable().is_some());
}

#[test]
fn a_library_that_is_missing_is_told_with_what_was_tried() {
    let check = |path: PathBuf, words: &str| {
        let error = NvmlDriver::open(Some(path.clone())).unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, DriverError::NoLibrary { tried } if tried.len() == 1), "{error:?}");
        assert!(text.contains(path.to_str().unwrap()) && text.contains(words), "{text}");
        assert_eq!((error.code(), error.is_vanished()), ("UAT_NO_GPU", false));
    };
    check("/nonexistent/libnvidia-ml.so.1".into(), "No such file");
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libnvidia-ml.so.1");
    std::fs::write(&text, "not a library").unwrap();
    check(text, "too short");
    let gpus = Installed::without(&["nvmlInit_v2"], two().to_string()).unwrap();
    check(gpus.library(), "nvmlInit_v2");
}

#[test]
fn a_library_without_a_driver_is_told_apart_from_one_without_gpus() {
    let gpus = installed(&with(two(), "/vanished", json!(true)));
    let error = NvmlDriver::open(Some(gpus.library())).unwrap_err();
    assert!(
        matches!(&error, DriverError::NoDriver { reason, .. } if reason.contains("not loaded")),
        "{error:?}"
    );
    rescript(&gpus, &json!({"devices": []}));
    let error = NvmlDriver::open(Some(gpus.library())).unwrap_err();
    assert!(matches!(&error, DriverError::NoDevices { library } if *library == gpus.library()), "{error:?}");
}

#[test]
fn a_driver_that_vanishes_is_read_again_when_it_returns() {
    for how in ["uninitialized", "driver_not_loaded", "library_mismatch", "gpu_is_lost", "unknown"]
        .map(|how| json!(how))
        .into_iter()
        .chain([json!(true)])
    {
        let gpus = installed(&two());
        let mut driver = opened(&gpus);
        let before = read(&mut driver);
        rescript(&gpus, &with(two(), "/vanished", how.clone()));
        for _ in 0..2 {
            let error = driver.read().unwrap_err();
            assert!(error.is_vanished() && error.code() == "UAT_NO_GPU", "{how}: {error:?}");
        }
        assert!(driver.links().unwrap_err().is_vanished());
        rescript(&gpus, &two());
        assert_eq!(read(&mut driver), before, "{how}");
    }
}

#[test]
fn a_driver_that_goes_in_the_middle_of_a_reading_has_vanished() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    for (call, code) in
        [("nvmlDeviceGetPowerUsage", 1), ("nvmlDeviceGetMemoryInfo_v2", 9), ("nvmlDeviceGetUUID", 18)]
    {
        rescript(&gpus, &with(two(), "/errors", json!({call: code})));
        assert!(driver.read().unwrap_err().is_vanished(), "{call} {code}");
        rescript(&gpus, &two());
        assert_eq!(read(&mut driver).len(), 2, "although it was back before anybody looked");
    }
}

#[test]
fn a_library_that_answers_stays_open() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    std::fs::remove_file(gpus.library()).unwrap();
    for _ in 0..3 {
        assert_eq!(read(&mut driver).len(), 2);
        driver.links().unwrap();
    }
}

#[test]
fn a_library_that_is_replaced_meanwhile_is_loaded_anew() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    rescript(&gpus, &with(two(), "/vanished", json!("library_mismatch")));
    assert!(driver.read().unwrap_err().to_string().contains("version mismatch"));
    let library = std::fs::read(gpus.library()).unwrap();
    std::fs::remove_file(gpus.library()).unwrap();
    let error = driver.read().unwrap_err();
    assert!(error.is_vanished() && error.to_string().contains("No such file"), "{error}");
    std::fs::write(gpus.library(), library).unwrap();
    rescript(&gpus, &two());
    assert_eq!(read(&mut driver).len(), 2);
}

#[test]
fn the_last_gpu_going_is_the_driver_vanishing() {
    let gpus = installed(&two());
    let mut driver = opened(&gpus);
    rescript(&gpus, &json!({"devices": []}));
    assert!(driver.read().unwrap_err().is_vanished());
}

#[test]
fn a_broken_script_is_an_error_that_names_the_key() {
    let gpus = installed(&with(two(), "/devices/0/colour", json!("green")));
    assert!(NvmlDriver::open(Some(gpus.library())).is_err());
    assert!(gpus.complaint().unwrap().contains("`colour`"), "{:?}", gpus.complaint());
}

#[test]
fn links_are_told_nearest_kind_first() {
    let four = json!({
        "devices": [{"total": GIB}, {"total": GIB}, {"total": GIB}, {"total": GIB}],
        "links": [{"devices": [1, 0], "by": "nvlink"}, {"devices": [0, 2], "by": "switch"}, {"devices": [1, 2], "by": "host_bridge"},
                  {"devices": [2, 3], "by": "node"}],
    });
    let gpus = installed(&four);
    let links = opened(&gpus).links().unwrap();
    let kinds: Vec<_> = links.iter().map(|link| (link.devices, link.kind)).collect();
    assert_eq!(
        kinds,
        [
            ([0, 1], LinkKind::NvLink),
            ([0, 2], LinkKind::Switch),
            ([0, 3], LinkKind::System),
            ([1, 2], LinkKind::HostBridge),
            ([1, 3], LinkKind::System),
            ([2, 3], LinkKind::Node),
        ]
    );
}

#[test]
fn auto_takes_what_is_there_and_keeps_the_reason_where_nothing_is() {
    let gpus = installed(&two());
    let driver = open(Choice::Auto { path: Some(gpus.library()) }).unwrap();
    assert_eq!((driver.name(), driver.why_none()), ("nvml", None));
    let mut driver = open(Choice::Auto { path: Some("/nonexistent.so".into()) }).unwrap();
    assert_eq!((driver.name(), driver.read().unwrap()), ("none", vec![]));
    assert!(driver.why_none().unwrap().to_string().contains("/nonexistent.so"));
    let chosen = open(Choice::None).unwrap();
    assert_eq!((chosen.name(), chosen.why_none()), ("none", None));
    assert!(open(Choice::Nvml { path: Some("/nonexistent.so".into()) }).is_err());
}

#[test]
fn the_usual_places_are_tried_and_listed() {
    match NvmlDriver::open(None) {
        Ok(_) | Err(DriverError::NoDriver { .. } | DriverError::NoDevices { .. }) => {}
        Err(error) => {
            let text = error.to_string();
            for place in ["libnvidia-ml.so.1 (cannot open", "/usr/lib/wsl/lib/", "/run/opengl-driver/lib/"] {
                assert!(text.contains(place), "{text}");
            }
        }
    }
}

/// A device whose figures fit together and are otherwise anything.
fn any_device() -> impl Strategy<Value = Value> {
    let bytes = || prop_oneof![Just(0), 0..u64::MAX / 2, Just(u64::MAX / 2)];
    let process = (
        0..6_u32,
        prop::option::of(any::<u64>()),
        prop::sample::select(vec!["compute", "graphics", "both", "mps"]),
    );
    let processes = prop::collection::vec(process, 0..8);
    let sensors =
        (prop::option::of(any::<u32>()), prop::option::of(any::<u32>()), prop::option::of(0.0..1e6));
    let code = prop::option::weighted(0.1, prop::sample::select(vec![2, 3, 4, 6, 13, 15, 16, 999, 12345]));
    (bytes(), bytes(), bytes(), processes, sensors, any::<Option<bool>>(), prop::bool::weighted(0.1), code).prop_map(
        |(used, reserved, more, processes, (utilization, temperature, power), mig, lost, code)| {
            let processes: Vec<Value> = processes
                .into_iter()
                .map(|(pid, used, kind)| json!({"pid": pid, "used": used, "type": kind}))
                .collect();
            let errors = code.map_or(json!({}), |code| json!({"nvmlDeviceGetMemoryInfo_v2": code, "nvmlDeviceGetUUID": code}));
            json!({
                "total": (used + reserved).saturating_add(more), "used": used, "reserved": reserved, "processes": processes,
                "utilization": utilization, "temperature": temperature, "power": power, "mig": mig, "lost": lost,
                "instances": [{"total": used, "used": used / 2}], "errors": errors,
            })
        },
    )
}

#[test]
fn whatever_the_library_says_a_reading_keeps_the_promises() {
    let gpus = installed(&two());
    let driver = RefCell::new(opened(&gpus));
    let devices = prop::collection::vec(any_device(), 1..6);
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner
        .run(&devices, |devices| {
            rescript(&gpus, &json!({"devices": devices}));
            assert_eq!(read(&mut driver.borrow_mut()).len(), devices.len());
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_real_library_keeps_the_promises() {
    if std::env::var_os("UAT_TEST_NVML").is_none_or(|which| which != "real") {
        return;
    }
    let mut driver =
        NvmlDriver::open(None).expect("UAT_TEST_NVML=real asks for a machine with an NVIDIA driver");
    let first = read(&mut driver);
    let second = read(&mut driver);
    assert_eq!(first.len(), second.len());
    for (one, other) in first.iter().zip(&second) {
        assert_eq!((&one.uuid, &one.name), (&other.uuid, &other.name));
        assert!(one.uuid.as_ref().is_some_and(|uuid| uuid.starts_with("GPU-")), "{one:?}");
    }
    for link in driver.links().unwrap() {
        assert!(link.devices[0] < link.devices[1], "{link:?}");
    }
    println!("{first:#?}");
}
