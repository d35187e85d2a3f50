//! How busy, warm and fast a device is.

use std::ffi::{c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlFieldValue_t, nvmlTemperature_t, nvmlUtilization_t};

use crate::code;
use crate::library::{Answer, Call};
use crate::passed::{Out, OutList};

/// Milliwatts, which NVML counts in.
fn milliwatts(watts: Option<f64>) -> Result<c_uint, u32> {
    let watts = watts.ok_or(code::NOT_SUPPORTED)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a script's watts are at most a million, and not negative"
    )]
    Ok((watts * 1000.0).round() as c_uint)
}

fn power_limit(call: &Call, device: nvmlDevice_t, limit: &Out<c_uint>) -> Answer {
    limit.put(milliwatts(call.device(device)?.1.power_limit)?)
}

fn fan(call: &Call, device: nvmlDevice_t, speed: &Out<c_uint>) -> Answer {
    speed.put(call.device(device)?.1.fan.ok_or(code::NOT_SUPPORTED)?)
}

/// Encoders and decoders rest.
fn rests(call: &Call, device: nvmlDevice_t, busy: &Out<c_uint>, period: &Out<c_uint>) -> Answer {
    call.device(device)?;
    busy.put(0)?;
    period.put(167_000)
}

symbols! {
    // A device that is divided has no utilisation as a whole.
    fn nvmlDeviceGetUtilizationRates(call, device: nvmlDevice_t, rates: Out<nvmlUtilization_t>) {
        let device = call.device(device)?.1;
        let gpu = device.utilization.filter(|_| !device.is_divided()).ok_or(code::NOT_SUPPORTED)?;
        rates.put(nvmlUtilization_t { gpu, memory: 0 })
    }

    fn nvmlDeviceGetEncoderUtilization(call, device: nvmlDevice_t, busy: Out<c_uint>, period: Out<c_uint>) {
        rests(call, device, &busy, &period)
    }
    fn nvmlDeviceGetDecoderUtilization(call, device: nvmlDevice_t, busy: Out<c_uint>, period: Out<c_uint>) {
        rests(call, device, &busy, &period)
    }

    fn nvmlDeviceGetTemperature(call, device: nvmlDevice_t, sensor: c_uint, degrees: Out<c_uint>) {
        let temperature = call.device(device)?.1.temperature.ok_or(code::NOT_SUPPORTED)?;
        if sensor == 0 { degrees.put(temperature) } else { Err(code::INVALID_ARGUMENT) }
    }

    fn nvmlDeviceGetTemperatureV(call, device: nvmlDevice_t, reading: Out<nvmlTemperature_t>) {
        reading.expect_version(1)?;
        let temperature = call.device(device)?.1.temperature.ok_or(code::NOT_SUPPORTED)?;
        let asked = reading.get()?;
        if asked.sensorType != 0 {
            return Err(code::INVALID_ARGUMENT);
        }
        reading.put(nvmlTemperature_t { temperature: c_int::try_from(temperature).map_err(|_| code::UNKNOWN)?, ..asked })
    }

    // Where it slows down, and where it turns itself off; an A100's.
    fn nvmlDeviceGetTemperatureThreshold(call, device: nvmlDevice_t, threshold: c_uint, degrees: Out<c_uint>) {
        call.device(device)?;
        match threshold {
            0 => degrees.put(92),
            1 => degrees.put(89),
            _ => Err(code::NOT_SUPPORTED),
        }
    }

    fn nvmlDeviceGetPowerUsage(call, device: nvmlDevice_t, power: Out<c_uint>) {
        power.put(milliwatts(call.device(device)?.1.power)?)
    }

    fn nvmlDeviceGetPowerManagementLimit(call, device: nvmlDevice_t, limit: Out<c_uint>) {
        power_limit(call, device, &limit)
    }
    fn nvmlDeviceGetPowerManagementDefaultLimit(call, device: nvmlDevice_t, limit: Out<c_uint>) {
        power_limit(call, device, &limit)
    }
    fn nvmlDeviceGetEnforcedPowerLimit(call, device: nvmlDevice_t, limit: Out<c_uint>) {
        power_limit(call, device, &limit)
    }

    fn nvmlDeviceGetNumFans(call, device: nvmlDevice_t, fans: Out<c_uint>) {
        fans.put(c_uint::from(call.device(device)?.1.fan.is_some()))
    }
    fn nvmlDeviceGetFanSpeed(call, device: nvmlDevice_t, speed: Out<c_uint>) { fan(call, device, &speed) }
    fn nvmlDeviceGetFanSpeed_v2(call, device: nvmlDevice_t, number: c_uint, speed: Out<c_uint>) {
        if number == 0 { fan(call, device, &speed) } else { Err(code::INVALID_ARGUMENT) }
    }

    // An A100's, in MHz: graphics, processors, memory, video.
    fn nvmlDeviceGetClockInfo(call, device: nvmlDevice_t, clock: c_uint, mhz: Out<c_uint>) {
        call.device(device)?;
        mhz.put(match clock { 0 | 1 => 210, 2 => 1215, 3 => 585, _ => return Err(code::INVALID_ARGUMENT) })
    }
    fn nvmlDeviceGetMaxClockInfo(call, device: nvmlDevice_t, clock: c_uint, mhz: Out<c_uint>) {
        call.device(device)?;
        mhz.put(match clock { 0 | 1 => 1410, 2 => 1215, 3 => 1290, _ => return Err(code::INVALID_ARGUMENT) })
    }

    fn nvmlDeviceGetPerformanceState(call, device: nvmlDevice_t, state: Out<c_uint>) {
        call.device(device)?;
        state.put(0)
    }

    fn nvmlDeviceGetPcieThroughput(call, device: nvmlDevice_t, _counter: c_uint, kib_per_s: Out<c_uint>) {
        call.device(device)?;
        kib_per_s.put(0)
    }
    fn nvmlDeviceGetCurrPcieLinkGeneration(call, device: nvmlDevice_t, generation: Out<c_uint>) {
        call.device(device)?;
        generation.put(4)
    }
    fn nvmlDeviceGetCurrPcieLinkWidth(call, device: nvmlDevice_t, width: Out<c_uint>) {
        call.device(device)?;
        width.put(16)
    }

    fn nvmlDeviceGetTotalEnergyConsumption(call, device: nvmlDevice_t, millijoules: Out<c_ulonglong>) {
        call.device(device)?;
        millijoules.put(0)
    }

    // No field has a value; the call itself succeeds, as the real one does for fields that a device does not have.
    fn nvmlDeviceGetFieldValues(call, device: nvmlDevice_t, count: c_int, values: OutList<nvmlFieldValue_t>) {
        call.target(device)?;
        let count = usize::try_from(count).map_err(|_| code::INVALID_ARGUMENT)?;
        values.answer_each(count, |value| value.nvmlReturn = code::NOT_SUPPORTED)
    }
}
