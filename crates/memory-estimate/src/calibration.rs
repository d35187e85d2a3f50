//! What loads really took, and what follows from it for the next ones.
//!
//! A header does not tell what a driver keeps for itself, nor what another version of an engine allocates. So whoever has
//! loaded a model may say what it took, and the next estimate of the same model with the same options is that; with other
//! options it is corrected by the same factor.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::estimate::{Confidence, Estimate, Part};
use crate::{EstimateError, ModelHeader, Options};

/// Loads that are remembered; the oldest is forgotten first. Some 300 bytes each.
const MOST_LOADS: usize = 256;
/// How far a factor of another load is believed: beyond it, something else was measured along.
const FACTORS: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// What a load really took, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// In the machine's own memory; `None` where nobody looked.
    pub host: Option<u64>,
    /// In each device, in the order of the options.
    pub devices: Vec<u64>,
}

/// What was learnt of loads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    loads: BTreeMap<String, Load>,
    /// Counts what was learnt, so that it is known what is old.
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Load {
    model: String,
    measured: Measured,
    /// What had been estimated without any of this.
    host: u64,
    devices: Vec<u64>,
    learnt: u64,
}

fn key(model: &str, options: &Options) -> String {
    // The order of fields is that of the structure, so that equal options have equal keys.
    format!("{model} {}", serde_json::to_string(options).unwrap_or_default())
}

impl Calibration {
    /// Remembers what a load took, beside what [`estimate`](crate::estimate) said of it.
    pub fn learn(
        &mut self,
        header: &ModelHeader,
        options: &Options,
        estimate: &Estimate,
        measured: Measured,
    ) {
        let model = header.fingerprint();
        self.count = self.count.saturating_add(1);
        let load = Load {
            measured,
            host: estimate.host.total(),
            devices: estimate.devices.iter().map(Part::total).collect(),
            learnt: self.count,
            model: model.clone(),
        };
        self.loads.insert(key(&model, options), load);
        while self.loads.len() > MOST_LOADS {
            let oldest = self.loads.iter().min_by_key(|(_, load)| load.learnt).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.loads.remove(&oldest);
        }
    }

    /// Corrects an estimate by what was learnt of that model. What nobody measured stays.
    pub fn apply(&self, header: &ModelHeader, options: &Options, estimate: Estimate) -> Estimate {
        let model = header.fingerprint();
        if let Some(load) = self.loads.get(&key(&model, options)) {
            let wanted = |measured: Option<u64>, part: &Part| measured.unwrap_or(part.total());
            let host = set(estimate.host, wanted(load.measured.host, &estimate.host));
            let devices = estimate.devices.iter().enumerate();
            let devices = devices
                .map(|(index, part)| set(*part, wanted(load.measured.devices.get(index).copied(), part)))
                .collect();
            return Estimate { host, devices, confidence: Confidence::Calibrated, ..estimate };
        }
        let loads = || self.loads.values().filter(|load| load.model == model);
        let host = loads().filter_map(|load| factor(load.measured.host?, load.host));
        let devices = loads().flat_map(|load| {
            load.measured.devices.iter().zip(&load.devices).filter_map(|(real, told)| factor(*real, *told))
        });
        let (host, device) = (middle(host.collect()), middle(devices.collect()));
        if host.is_none() && device.is_none() {
            return estimate;
        }
        let scaled = |part: Part, by: Option<f64>| match by {
            // Within half and double of a number below 2^56.
            Some(factor) => set(part, (part.total() as f64 * factor).ceil() as u64),
            None => part,
        };
        Estimate {
            host: scaled(estimate.host, host),
            devices: estimate.devices.iter().map(|part| scaled(*part, device)).collect(),
            confidence: Confidence::Calibrated,
            ..estimate
        }
    }
}

fn factor(measured: u64, estimated: u64) -> Option<f64> {
    let factor = measured as f64 / estimated as f64;
    FACTORS.contains(&factor).then_some(factor)
}

fn middle(mut factors: Vec<f64>) -> Option<f64> {
    factors.sort_by(f64::total_cmp);
    factors.get(factors.len() / 2).copied()
}

/// A part of another size. What is more goes to the buffers, of which a header tells least; what is less comes off them first.
fn set(part: Part, total: u64) -> Part {
    let mut less = part.total().saturating_sub(total);
    let more = total.saturating_sub(part.total());
    let mut take = |from: u64| {
        let taken = from.min(less);
        less -= taken;
        from - taken
    };
    let compute = take(part.compute);
    let cache = take(part.cache);
    let weights = take(part.weights);
    Part { weights, cache, compute: compute.saturating_add(more) }
}

/// Where a user's [`Calibration`] is kept.
#[derive(Debug, Clone)]
pub struct CalibrationFile {
    path: PathBuf,
}

impl CalibrationFile {
    /// At this path, in a folder that exists.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What was kept, and why it is empty if the file could not be used. A file that is not there is no fault.
    pub fn load(&self) -> (Calibration, Option<EstimateError>) {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
            Err(source) => {
                return (Calibration::default(), Some(EstimateError::Io { path: self.path.clone(), source }));
            }
        };
        match serde_json::from_str(&text) {
            Ok(calibration) => (calibration, None),
            Err(error) => {
                let corrupt = EstimateError::Corrupt {
                    offset: 0,
                    reason: format!("what was learnt of earlier loads is not used: {error}"),
                };
                (
                    Calibration::default(),
                    Some(EstimateError::In { path: self.path.clone(), error: Box::new(corrupt) }),
                )
            }
        }
    }

    /// Keeps it: as a whole or not at all, whatever happens meanwhile.
    ///
    /// # Errors
    /// [`EstimateError::Io`].
    pub fn save(&self, calibration: &Calibration) -> Result<(), EstimateError> {
        let io = |source| EstimateError::Io { path: self.path.clone(), source };
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let text = serde_json::to_vec(calibration).map_err(|error| io(error.into()))?;
        file.write_all(&text).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(&self.path).map_err(|error| io(error.error))?;
        Ok(())
    }
}
