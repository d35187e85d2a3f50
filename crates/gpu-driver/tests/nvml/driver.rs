//! A library that is missing, a driver that goes and comes.

use std::path::PathBuf;

use fake_nvml::Installed;
use gpu_driver::{Choice, Driver, DriverError, NvmlDriver, open};
use serde_json::json;

use crate::{installed, opened, read, rescript, two, with};

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

#[test]
fn a_broken_script_is_an_error_that_names_the_key() {
    let gpus = installed(&with(two(), "/devices/0/colour", json!("green")));
    assert!(NvmlDriver::open(Some(gpus.library())).is_err());
    assert!(gpus.complaint().unwrap().contains("`colour`"), "{:?}", gpus.complaint());
}
