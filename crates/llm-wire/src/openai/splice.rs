//! Changing a few values of a document and leaving every other byte where it is.
//!
//! Prompt caches and signed thinking blocks depend on bytes, and a body may be megabytes: parsing and writing it again
//! would cost both.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::json;

/// What stands in place of the bytes of an edit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum With<'a> {
    /// These bytes.
    Text(&'a str),
    /// A JSON string of this text.
    Quoted(&'a str),
}

/// Bytes to replace; an empty range inserts. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Edit<'a> {
    pub(crate) at: Range<usize>,
    pub(crate) with: With<'a>,
}

impl Default for With<'_> {
    fn default() -> Self {
        Self::Text("")
    }
}

/// The document with the edits made. They do not overlap; those at the same place keep their order.
pub(crate) fn splice(document: &[u8], edits: &mut [Edit<'_>]) -> Bytes {
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let added: usize = edits
        .iter()
        .map(|edit| match edit.with {
            With::Text(text) => text.len(),
            With::Quoted(text) => text.len() + 2,
        })
        .sum();
    let mut out = Vec::with_capacity(document.len() + added);
    let mut done = 0;
    for edit in edits {
        out.extend_from_slice(document.get(done..edit.at.start).unwrap_or_default());
        match edit.with {
            With::Text(text) => out.extend_from_slice(text.as_bytes()),
            With::Quoted(text) => json::append_string(&mut out, text),
        }
        done = edit.at.end;
    }
    out.extend_from_slice(document.get(done..).unwrap_or_default());
    out.into()
}

/// Where a value that was borrowed from the document lies in it.
pub(crate) fn span(document: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - document.as_ptr() as usize;
    start..start + value.get().len()
}

/// The whole member `"key": value` of an object, with the comma that goes when it goes, given where its value lies.
pub(crate) fn member(document: &[u8], value: Range<usize>) -> Range<usize> {
    let before = document.get(..value.start).unwrap_or_default().trim_ascii_end();
    let key = before.strip_suffix(b":").unwrap_or(before).trim_ascii_end();
    // No key that is looked for has a quote in it, so the one before the closing one opens it.
    let key = key.strip_suffix(b"\"").unwrap_or(key);
    let start = memchr::memrchr(b'"', key).unwrap_or(value.start);
    let ahead = document.get(..start).unwrap_or_default().trim_ascii_end();
    if ahead.last() == Some(&b',') {
        return ahead.len() - 1..value.end;
    }
    let after = document.get(value.end..).unwrap_or_default();
    let blanks = after.len() - after.trim_ascii_start().len();
    match after.get(blanks) {
        Some(b',') => start..value.end + blanks + 1,
        _ => start..value.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(document: &str, value: &str) -> String {
        let start = document.find(value).unwrap();
        let range = member(document.as_bytes(), start..start + value.len());
        let edited = splice(document.as_bytes(), &mut [Edit { at: range, with: With::Text("") }]);
        String::from_utf8(edited.to_vec()).unwrap()
    }

    #[test]
    fn a_member_goes_with_one_comma() {
        assert_eq!(without(r#"{"a":1,"b":{"c":2},"d":3}"#, r#"{"c":2}"#), r#"{"a":1,"d":3}"#);
        assert_eq!(without(r#"{"b" : {"c":2} , "d":3}"#, r#"{"c":2}"#), r#"{ "d":3}"#);
        assert_eq!(without(r#"{"a":1 , "b":9}"#, "9"), r#"{"a":1 }"#);
        assert_eq!(without(r#"{ "b":9 }"#, "9"), r#"{  }"#);
    }

    #[test]
    fn edits_are_made_in_the_order_of_the_document() {
        let mut edits = [
            Edit { at: 9..9, with: With::Text("!") },
            Edit { at: 0..1, with: With::Quoted("a\"b") },
            Edit { at: 5..8, with: With::Text("") },
        ];
        assert_eq!(splice(b"0 23 567 9", &mut edits), br#""a\"b" 23  !9"#.as_slice());
    }
}
