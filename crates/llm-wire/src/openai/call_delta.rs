//! A piece of a tool's call, as a chunk or a message has it.

use serde::Deserialize;

use crate::WireError;

/// Most bytes of calls that wait for the rest of them: above what any model writes into the calls of one answer.
const MAX_HELD: usize = 16 << 20;
/// What a piece costs beside its text, in bytes, roughly.
const OVERHEAD: usize = 128;

/// Counts what is held of an answer until its calls are whole, for clients that get them so.
#[derive(Debug, Default)]
pub(crate) struct Held(usize);

impl Held {
    /// A piece of a call, or another text that is kept with it, of this many bytes.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] where an endpoint never ends its calls.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), WireError> {
        self.0 = self.0.saturating_add(bytes).saturating_add(OVERHEAD);
        match self.0 > MAX_HELD {
            true => Err(WireError::TooLarge { what: "calls of tools that do not end", limit: MAX_HELD }),
            false => Ok(()),
        }
    }
}

/// Any part may be missing: the first piece has the names, later ones the arguments.
#[derive(Debug, Deserialize)]
pub(crate) struct CallDelta {
    #[serde(default)]
    pub(crate) index: Option<u64>,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) function: Option<FunctionDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct FunctionDelta {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) arguments: Option<String>,
}

impl CallDelta {
    /// The bytes of its texts.
    pub(crate) fn len(&self) -> usize {
        let function = self.function.as_ref();
        let texts = [
            self.id.as_ref(),
            function.and_then(|function| function.name.as_ref()),
            function.and_then(|function| function.arguments.as_ref()),
        ];
        texts.into_iter().flatten().map(String::len).sum()
    }
}
