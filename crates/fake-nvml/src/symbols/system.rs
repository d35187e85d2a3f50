//! The library itself, and what is the same for all devices.

use std::ffi::{c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use crate::passed::{Out, OutText};
use crate::{code, library};

// SAFETY: see the macro; the same holds for each below.
#[unsafe(no_mangle)]
extern "C" fn nvmlInit() -> nvmlReturn_t {
    library::open("nvmlInit")
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    library::open("nvmlInit_v2")
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    library::open("nvmlInitWithFlags")
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    library::close()
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    code::words(result).as_ptr()
}

symbols! {
    fn nvmlSystemGetDriverVersion(call, version: OutText, length: c_uint) {
        version.put(&call.script.driver_version, length)
    }

    fn nvmlSystemGetNVMLVersion(call, version: OutText, length: c_uint) {
        version.put(&call.script.nvml_version, length)
    }

    fn nvmlSystemGetCudaDriverVersion(call, version: Out<c_int>) {
        version.put(call.script.cuda_version)
    }

    fn nvmlSystemGetCudaDriverVersion_v2(call, version: Out<c_int>) {
        version.put(call.script.cuda_version)
    }

    fn nvmlSystemGetProcessName(_call, pid: c_uint, name: OutText, length: c_uint) {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|_| code::NOT_FOUND)?;
        let program = words.split(|byte| *byte == 0).next().unwrap_or_default();
        let program = String::from_utf8_lossy(program);
        // As the real one does, it cuts what is too long, which paths of interpreters often are.
        let room = usize::try_from(length).map_err(|_| code::INVALID_ARGUMENT)?.saturating_sub(1);
        name.put(program.get(..program.floor_char_boundary(room)).unwrap_or_default(), length)
    }
}
