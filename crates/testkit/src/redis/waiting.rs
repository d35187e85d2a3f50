//! Waiting for another process: it gives no event, so it is asked again and again until a deadline.

use std::io;
use std::time::{Duration, Instant};

/// Between two questions; a start takes some 20 ms.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is yes. An error of the question counts as no and is told when the time is over.
///
/// # Errors
/// The answer was not yes within `limit`: `TimedOut`, saying what was waited for.
pub(super) fn until(
    what: &str,
    limit: Duration,
    mut question: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match question() {
            Ok(true) => return Ok(()),
            Ok(false) => String::new(),
            Err(error) => format!(": {error}"),
        };
        if Instant::now() >= deadline {
            let text = format!("waited {limit:?} in vain until {what}{last}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(PAUSE);
    }
}
