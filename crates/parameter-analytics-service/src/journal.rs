//! Events as bytes, to be appended to a file and read again after whatever happened.
//!
//! One event is one line: eight hexadecimal digits of the CRC-32 of what follows, a space, JSON. Lines can be read and compared with
//! ordinary tools, and JSON has no line break inside. A last line without an end is what a crash left of it, and is cut; any other line
//! that is not what was written is an error, since what comes after it builds on it.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Digits and the space.
const HEAD: usize = 9;

/// Why a journal cannot be read. Its code is `UAT_STORAGE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Not what was written.
    #[error(
        "line {line} is damaged: {problem}; restore the journal from a copy, or cut it before that line, and what came later is lost"
    )]
    Corrupt {
        /// From 1, counted from where reading began.
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
pub struct Contents<E> {
    /// All events, in order.
    pub events: Vec<E>,
    /// Bytes that hold them; what comes after must be cut before anything is appended.
    pub good_bytes: usize,
    /// Whether something comes after: an event that was being written, and that nobody was told was kept.
    pub torn: bool,
}

/// Appends an event.
///
/// # Errors
/// [`JournalError::Encode`], which no event of this crate causes; nothing is appended then.
pub fn append<E: Serialize>(bytes: &mut Vec<u8>, event: &E) -> Result<(), JournalError> {
    let json = serde_json::to_string(event).map_err(|error| JournalError::Encode(error.to_string()))?;
    bytes.extend_from_slice(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).as_bytes());
    Ok(())
}

/// Reads a journal, or what was appended to it.
///
/// # Errors
/// [`JournalError::Corrupt`] where a line that has an end is damaged.
pub fn read<E: DeserializeOwned>(bytes: &[u8]) -> Result<Contents<E>, JournalError> {
    let good_bytes = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines =
        (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.ends_with(b"\n")));
    let events = lines
        .map(|(line, content)| event(content).map_err(|problem| JournalError::Corrupt { line, problem }))
        .collect::<Result<_, _>>()?;
    Ok(Contents { events, good_bytes, torn: good_bytes < bytes.len() })
}

fn event<E: DeserializeOwned>(line: &[u8]) -> Result<E, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
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
    use crate::study::{Event, Outcome, Study, StudyOptions};

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
        assert_eq!(read::<Event>(&[]).unwrap().events, []);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let (bytes, events) = journal();
        let ends: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place] == b'\n').collect();
        // The last one too: it has an end, so that somebody may have been told that it is kept.
        for line in [3, events.len()] {
            let mut bytes = bytes.clone();
            bytes[ends[line - 2] + 20] ^= 1;
            let error = read::<Event>(&bytes).unwrap_err();
            let said = format!("line {line} is damaged: its checksum does not fit; ");
            assert!(error.to_string().starts_with(&said), "{error}");
            assert_eq!(error.code(), "UAT_STORAGE");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_torn_tail_is_cut_wherever_it_was_torn(cut: prop::sample::Index) {
            let (bytes, events) = journal();
            let at = cut.index(bytes.len());
            let contents = read::<Event>(&bytes[..at]).unwrap();
            let whole = bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(&contents.events[..], &events[..whole]);
            prop_assert_eq!(contents.torn, contents.good_bytes != at);
            prop_assert!(contents.good_bytes == 0 || bytes[contents.good_bytes - 1] == b'\n');
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<Event>(&bytes);
        }
    }
}
