//! Reads the chunks of one stream one after another.

use std::ops::Range;

use super::chunk::{ChunkFacts, chunk_facts};
use crate::WireError;

/// Says what each chunk of a stream says. Most of them differ from the one before in nothing but their text: that is
/// told by comparing bytes, for a tenth of what reading the document costs.
#[derive(Debug, Default)]
pub struct ChunkReader {
    /// What stood before the text in the last chunk that said nothing else, its opening quotation mark included. Empty:
    /// there was none. Copies, since a slice would keep all of the buffer that it came in.
    before: Vec<u8>,
    /// What stood after it.
    after: Vec<u8>,
}

impl ChunkReader {
    /// As [`chunk_facts`] does.
    ///
    /// # Errors
    /// As [`chunk_facts`].
    pub fn facts(&mut self, data: &[u8]) -> Result<ChunkFacts, WireError> {
        if let Some(text) = self.new_text(data) {
            return Ok(ChunkFacts { has_content: true, text: Some(text), ..ChunkFacts::default() });
        }
        let facts = chunk_facts(data)?;
        let says_nothing_else = !facts.finished && facts.usage.is_none() && facts.error.is_none();
        if let (Some(text), true) = (&facts.text, says_nothing_else)
            && let (Some(before), Some(after)) = (data.get(..text.start), data.get(text.end..))
        {
            self.before.clear();
            self.before.extend_from_slice(before);
            self.after.clear();
            self.after.extend_from_slice(after);
        }
        Ok(facts)
    }

    /// Where the text lies, if nothing else differs from before. Whatever has neither a quotation mark, a backslash nor
    /// a control character is a string's content as it stands (RFC 8259, section 7), so that the document is the same
    /// one with another string.
    fn new_text(&self, data: &[u8]) -> Option<Range<usize>> {
        if self.before.is_empty() {
            return None;
        }
        let text = data.strip_prefix(self.before.as_slice())?.strip_suffix(self.after.as_slice())?;
        let is_plain = !text.is_empty()
            && text.iter().all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\')
            && std::str::from_utf8(text).is_ok();
        let start = self.before.len();
        is_plain.then(|| start..start + text.len())
    }
}
