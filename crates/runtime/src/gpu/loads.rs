//! What models take of memory: told from their files, corrected by what loads of this user took.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use child_engine::Engine;
use memory_estimate::{
    CalibrationFile, Confidence, Estimate, EstimateError, KvType, Measured, ModelHeader, Options, Part,
    estimate, open,
};
use serde::Serialize;

use super::server::project;
use crate::RuntimeError;
use crate::config::state_home;

/// Where it is kept what loads took: `uat/gpu/calibration.json` among what this user's programs keep.
fn folder() -> Option<PathBuf> {
    state_home().map(|home| home.join("uat/gpu"))
}

fn file(folder: &Path) -> CalibrationFile {
    CalibrationFile::at(folder.join("calibration.json"))
}

/// How much memory a model takes, by its file and by what earlier loads of it took. Reads files.
///
/// # Errors
/// Those of [`open`] and [`estimate`]. Where what was learnt cannot be read, it is not used, and a note says so.
pub fn estimate_memory(model: &Path, options: &Options) -> Result<(ModelHeader, Estimate), EstimateError> {
    estimate_by(folder().as_deref(), model, options)
}

fn estimate_by(
    folder: Option<&Path>,
    model: &Path,
    options: &Options,
) -> Result<(ModelHeader, Estimate), EstimateError> {
    let header = open(model)?;
    let told = estimate(&header, options)?;
    let Some(folder) = folder else { return Ok((header, told)) };
    let (learnt, fault) = file(folder).load();
    let mut told = learnt.apply(&header, options, told);
    told.notes.extend(fault.map(|fault| fault.to_string()));
    Ok((header, told))
}

/// Remembers what a load took, for the next estimates. Processes take turns.
///
/// # Errors
/// [`EstimateError::Io`]; those of [`estimate_memory`].
pub fn learn_memory(model: &Path, options: &Options, measured: Measured) -> Result<(), EstimateError> {
    let nowhere = || {
        let source =
            std::io::Error::new(std::io::ErrorKind::NotFound, "neither XDG_STATE_HOME nor HOME is set");
        EstimateError::Io { path: PathBuf::from("calibration.json"), source }
    };
    learn_in(&folder().ok_or_else(nowhere)?, model, options, measured)
}

fn learn_in(folder: &Path, model: &Path, options: &Options, measured: Measured) -> Result<(), EstimateError> {
    let header = open(model)?;
    let told = estimate(&header, options)?;
    let lock = folder.join("calibration.lock");
    let io = |source| EstimateError::Io { path: lock.clone(), source };
    fs::create_dir_all(folder).map_err(io)?;
    // Held until it is written: another program that learns meanwhile comes after this one.
    let held = File::create(&lock).map_err(io)?;
    held.lock().map_err(io)?;
    let file = file(folder);
    let (mut learnt, _) = file.load();
    learnt.learn(&header, options, &told, measured);
    file.save(&learnt)
}

/// How much memory a model takes, as llama.cpp itself would allocate it on this machine's devices, with the engine's settings where the options
/// leave it to it. Nothing is loaded.
///
/// # Errors
/// [`RuntimeError::Engine`] where the engine cannot be started, [`RuntimeError::EngineMemory`] where it does not say.
pub async fn project_memory(
    engine: &Engine,
    model: &Path,
    options: &Options,
) -> Result<Estimate, RuntimeError> {
    let question = Question {
        model,
        context_tokens: options.context_tokens,
        kv_type: options.kv_type_k,
        gpu_layers: options.gpu_layers,
        parallel: options.parallel.rows(),
    };
    let (mut host, mut devices, mut notes) = (Part::default(), Vec::new(), Vec::new());
    for device in project(engine, &question).await? {
        let part = Part { weights: device.weights, cache: device.cache, compute: device.compute };
        if device.is_host {
            host = host.and(part);
        } else {
            notes.push(format!("GPU {} is {}", devices.len(), device.device));
            devices.push(part);
        }
    }
    if devices.is_empty() {
        notes.push(
            "the engine has no GPU on this machine: all of it is in the machine's own memory".to_owned(),
        );
    }
    let context_tokens = options.context_tokens.unwrap_or(0);
    Ok(Estimate { host, devices, confidence: Confidence::Exact, context_tokens, notes })
}

/// What the engine's `/v1/memory` is asked.
#[derive(Serialize)]
struct Question<'a> {
    model: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_tokens: Option<u64>,
    kv_type: KvType,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_layers: Option<u32>,
    parallel: u32,
}

#[cfg(test)]
mod tests {
    use testkit::model_file::model;

    use super::*;

    #[test]
    fn what_a_load_took_is_what_the_next_one_is_told_to_take() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("m.gguf");
        model("qwen3-0.6b").unwrap().write(&file).unwrap();
        let options = Options { context_tokens: Some(4096), devices: vec![1.0], ..Options::default() };
        let (_, before) = estimate_by(Some(place.path()), &file, &options).unwrap();
        let took = before.devices[0].total() + (100 << 20);
        learn_in(place.path(), &file, &options, Measured { host: None, devices: vec![took] }).unwrap();
        let (_, after) = estimate_by(Some(place.path()), &file, &options).unwrap();
        assert_eq!((after.devices[0].total(), after.confidence), (took, Confidence::Calibrated));
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_used() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("m.gguf");
        model("qwen3-0.6b").unwrap().write(&file).unwrap();
        fs::write(place.path().join("calibration.json"), "{").unwrap();
        let (_, told) = estimate_by(Some(place.path()), &file, &Options::default()).unwrap();
        assert_eq!(told.confidence, Confidence::Formula);
        assert!(told.notes.iter().any(|note| note.contains("calibration.json")), "{:?}", told.notes);
    }
}
