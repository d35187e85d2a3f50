//! What was measured corrects what is estimated.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;

use memory_estimate::{Calibration, CalibrationFile, Confidence, Measured, ModelHeader, Options, estimate};
use testkit::model_file::model;

const MIB: u64 = 1 << 20;

fn header(name: &str) -> ModelHeader {
    ModelHeader::read_gguf(model(name).unwrap().open()).unwrap()
}

fn options(context: u64) -> Options {
    Options { context_tokens: Some(context), devices: vec![1.0], ..Options::default() }
}

/// A calibration that has seen one load of a model, which took 10 % more on its device than was told.
fn one_load(header: &ModelHeader) -> (Calibration, u64) {
    let told = estimate(header, &options(8192)).unwrap();
    let real = told.devices[0].total() * 11 / 10;
    let mut calibration = Calibration::default();
    calibration.learn(header, &options(8192), &told, Measured { host: None, devices: vec![real] });
    (calibration, real)
}

#[test]
fn the_same_load_takes_what_it_took() {
    let header = header("qwen3-0.6b");
    let (calibration, real) = one_load(&header);
    let told = estimate(&header, &options(8192)).unwrap();
    let corrected = calibration.apply(&header, &options(8192), told.clone());
    assert_eq!(corrected.devices[0].total(), real);
    assert_eq!(
        corrected.devices[0].weights, told.devices[0].weights,
        "buffers are what a header tells least of"
    );
    assert_eq!((corrected.host, corrected.confidence), (told.host, Confidence::Calibrated));
}

#[test]
fn other_options_are_corrected_by_the_same_factor_and_other_models_by_none() {
    let header = header("qwen3-0.6b");
    let (calibration, _) = one_load(&header);
    let told = estimate(&header, &options(32_768)).unwrap();
    let corrected = calibration.apply(&header, &options(32_768), told.clone());
    let expected = told.devices[0].total() * 11 / 10;
    assert!(corrected.devices[0].total().abs_diff(expected) < MIB, "{corrected:?}");
    let other = self::header("mamba-130m");
    let told = estimate(&other, &options(8192)).unwrap();
    assert_eq!(calibration.apply(&other, &options(8192), told.clone()), told);
}

#[test]
fn a_measure_that_something_else_went_into_is_not_carried_over() {
    let header = header("qwen3-0.6b");
    let told = estimate(&header, &options(8192)).unwrap();
    let mut calibration = Calibration::default();
    let measured = Measured { host: None, devices: vec![told.devices[0].total() * 5] };
    calibration.learn(&header, &options(8192), &told, measured);
    let other = estimate(&header, &options(4096)).unwrap();
    assert_eq!(calibration.apply(&header, &options(4096), other.clone()), other);
}

#[test]
fn a_load_that_took_less_is_believed_too() {
    let header = header("qwen3-0.6b");
    let told = estimate(&header, &options(8192)).unwrap();
    let mut calibration = Calibration::default();
    calibration.learn(&header, &options(8192), &told, Measured { host: Some(7), devices: vec![100 * MIB] });
    let corrected = calibration.apply(&header, &options(8192), told);
    assert_eq!((corrected.host.total(), corrected.devices[0].total()), (7, 100 * MIB));
}

#[test]
fn what_was_learnt_outlives_the_process_and_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let file = CalibrationFile::at(folder.path().join("calibration.json"));
    assert_eq!(file.load().0, Calibration::default(), "nothing is no fault");
    let header = header("mamba-130m");
    let mut calibration = Calibration::default();
    for context in 1..=400 {
        let told = estimate(&header, &options(context * 256)).unwrap();
        calibration.learn(
            &header,
            &options(context * 256),
            &told,
            Measured { host: Some(MIB), devices: vec![] },
        );
    }
    file.save(&calibration).unwrap();
    let (loaded, fault) = file.load();
    assert!(fault.is_none() && loaded == calibration);
    assert!(fs::metadata(folder.path().join("calibration.json")).unwrap().len() < 256 << 10);
    // The last is known to the byte, the first forgotten.
    let known =
        |context| loaded.apply(&header, &options(context), estimate(&header, &options(context)).unwrap());
    assert_eq!(known(400 * 256).host.total(), MIB);
    assert_eq!(known(256).confidence, Confidence::Formula, "a thousandth is no factor to be believed");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_file_that_is_not_sound_is_named_and_not_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calibration.json");
    fs::write(&path, "{\"loads\": 5").unwrap();
    let (calibration, fault) = CalibrationFile::at(&path).load();
    assert_eq!(calibration, Calibration::default());
    let fault = fault.unwrap();
    assert_eq!(fault.code(), "UAT_INVALID_INPUT");
    assert!(fault.to_string().contains("calibration.json"), "{fault}");
}
