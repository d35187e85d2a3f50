//! A study's events as bytes, to be appended to a file and read again after whatever happened.
//!
//! One event is one line: eight hexadecimal digits of the CRC-32 of what follows, a space, JSON. Lines can be read and compared with
//! ordinary tools, and JSON has no line break inside. What a crash leaves of the last line is cut; a line before it that is not what was
//! written is an error, since what comes after it builds on it.

use crate::study::Event;

/// Digits and the space.
const HEAD: usize = 9;

/// Why a journal cannot be read. Its code is `UAT_STORAGE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Not what was written.
    #[error("line {line} of the journal is damaged: {problem}; restore the file from a copy")]
    Corrupt {
        /// From 1.
        line: usize,
        /// What does not fit.
        problem: String,
    },
    /// A number in an event cannot be written.
    #[error("an event cannot be written: {0}")]
    Encode(String),
}

impl JournalError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        "UAT_STORAGE"
    }
}

/// What a journal holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// All events, in order.
    pub events: Vec<Event>,
    /// Bytes that hold them; what comes after must be cut before anything is appended.
    pub good_bytes: usize,
    /// Whether something comes after: an event that was being written, and that nobody was told was kept.
    pub torn: bool,
}

/// Appends an event.
///
/// # Errors
/// [`JournalError::Encode`], which no event of a [`Study`](crate::study::Study) causes; nothing is appended then.
pub fn append(bytes: &mut Vec<u8>, event: &Event) -> Result<(), JournalError> {
    let json = serde_json::to_string(event).map_err(|error| JournalError::Encode(error.to_string()))?;
    bytes.extend_from_slice(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).as_bytes());
    Ok(())
}

/// Reads a whole journal.
///
/// # Errors
/// [`JournalError::Corrupt`] where a line that is not the last is damaged.
pub fn read(bytes: &[u8]) -> Result<Contents, JournalError> {
    let mut contents = Contents { events: Vec::new(), good_bytes: 0, torn: false };
    for (line, content) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        match event(content) {
            Ok(event) => contents.events.push(event),
            Err(_) if contents.good_bytes + content.len() == bytes.len() => {
                contents.torn = true;
                return Ok(contents);
            }
            Err(problem) => return Err(JournalError::Corrupt { line, problem }),
        }
        contents.good_bytes += content.len();
    }
    Ok(contents)
}

fn event(line: &[u8]) -> Result<Event, String> {
    let line = line.strip_suffix(b"\n").ok_or("it has no end")?;
    let (head, json) = line.split_at_checked(HEAD).ok_or("it is too short")?;
    if head != format!("{:08x} ", crc32fast::hash(json)).as_bytes() {
        return Err("its checksum does not fit".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::space::{Domain, Parameter, Space};
    use crate::study::{Outcome, Study, StudyOptions};

    fn journal() -> (Vec<u8>, Vec<Event>) {
        let space = Space::new(vec![Parameter::new("x\n", Domain::float(0.0, 1.0))]).unwrap();
        let mut study = Study::create(StudyOptions::new("s", space), 0).unwrap();
        for n in 0..9 {
            let trial = study.ask(1, n).unwrap()[0];
            study.tell(trial, Outcome::Values(vec![0.1 * n as f64], vec![]), n + 1).unwrap();
        }
        let events = study.take_events();
        let mut bytes = Vec::new();
        events.iter().for_each(|event| append(&mut bytes, event).unwrap());
        (bytes, events)
    }

    #[test]
    fn what_was_written_is_read() {
        let (bytes, events) = journal();
        assert!(events.iter().any(|event| matches!(event, Event::Asked { fit: Some(_), .. })));
        assert_eq!(read(&bytes), Ok(Contents { events, good_bytes: bytes.len(), torn: false }));
        assert_eq!(read(&[]).unwrap().events, []);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let (mut bytes, _) = journal();
        let third = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 20;
        bytes[third] ^= 1;
        let error = read(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 3 of the journal is damaged: its checksum does not fit; restore the file from a copy"
        );
        assert_eq!(error.code(), "UAT_STORAGE");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_torn_tail_is_cut_wherever_it_was_torn(cut: prop::sample::Index) {
            let (bytes, events) = journal();
            let at = cut.index(bytes.len());
            let contents = read(&bytes[..at]).unwrap();
            let whole = bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(&contents.events[..], &events[..whole]);
            prop_assert_eq!(contents.torn, contents.good_bytes != at);
            prop_assert!(contents.good_bytes == 0 || bytes[contents.good_bytes - 1] == b'\n');
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
