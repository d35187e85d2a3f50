//! What every reading promises, whatever the library says, and what the real one says.

use std::cell::RefCell;

use gpu_driver::{Driver, NvmlDriver};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::{installed, opened, read, rescript, two};

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
