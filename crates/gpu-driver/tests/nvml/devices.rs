//! What a library says of its devices is what is read.

use fake_nvml::Installed;
use gpu_driver::{Driver, LinkKind, Unreadable};
use serde_json::{Value, json};

use crate::{GIB, installed, memory, opened, processes, read, rescript, two, with};

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
