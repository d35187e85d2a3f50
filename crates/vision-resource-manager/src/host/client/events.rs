//! What a daemon says without being asked.

use bytes::Buf;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::ClientError;
use crate::host::wire::Notice;

/// A line may be so long; none of the daemon's is.
const LONGEST: usize = 1 << 16;

/// What happens to a client's leases, as long as the daemon lives.
#[derive(Debug)]
pub struct Events {
    pub(super) body: Incoming,
    pub(super) read: Vec<u8>,
}

impl Events {
    /// The next one; `None` when the daemon has gone.
    ///
    /// # Errors
    /// [`ClientError::Protocol`].
    pub async fn next(&mut self) -> Result<Option<Notice>, ClientError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let notice = serde_json::from_slice(&line);
                return notice.map(Some).map_err(|error| ClientError::Protocol(error.to_string()));
            }
            if self.read.len() > LONGEST {
                return Err(ClientError::Protocol("a line of events without an end".to_owned()));
            }
            let Some(Ok(frame)) = self.body.frame().await else { return Ok(None) };
            if let Ok(mut data) = frame.into_data() {
                self.read.extend_from_slice(data.chunk());
                data.advance(data.len());
            }
        }
    }
}
