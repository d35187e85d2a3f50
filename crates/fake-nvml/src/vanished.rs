//! How a driver is gone.

use serde::Deserialize;

/// How a driver that has gone answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vanished {
    /// It is there.
    #[default]
    No,
    /// Open sessions get `UNINITIALIZED`, new ones `DRIVER_NOT_LOADED`: `true` in a script.
    Unloaded,
    /// Everything gets this: `"driver_not_loaded"`, `"uninitialized"`, `"gpu_is_lost"`, `"library_mismatch"` (another
    /// version of the driver has been loaded) or `"unknown"` in a script.
    With(u32),
}

impl<'de> Deserialize<'de> for Vanished {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Said {
            Plainly(bool),
            As(String),
        }
        use serde::de::Error;
        match Said::deserialize(from)? {
            Said::Plainly(false) => Ok(Self::No),
            Said::Plainly(true) => Ok(Self::Unloaded),
            Said::As(how) => match how.as_str() {
                "uninitialized" => Ok(Self::With(1)),
                "driver_not_loaded" => Ok(Self::With(9)),
                "gpu_is_lost" => Ok(Self::With(15)),
                "library_mismatch" => Ok(Self::With(18)),
                "unknown" => Ok(Self::With(999)),
                _ => Err(D::Error::custom(format!(
                    "vanished: expected true, false, \"uninitialized\", \"driver_not_loaded\", \"gpu_is_lost\", \
                     \"library_mismatch\" or \"unknown\", got {how:?}"
                ))),
            },
        }
    }
}
