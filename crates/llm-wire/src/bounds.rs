//! How much structure a document may have, told before anything is built of it.
//!
//! A parser's memory follows the number of values and not of bytes: an array of zeros is a hundred times as large as a
//! tree as it is written. And what is nested deeper than a parser follows would only fail at the endpoint, which then
//! looks as if it were at fault.

use memchr::memchr2;

use crate::WireError;

/// Most levels of arrays and objects. JSON schemas of tools have a dozen; `serde_json` follows 127, of which translations
/// need a few.
pub const MAX_DEPTH: usize = 100;
/// Most values of a document, those inside of others included: 2048 texts of 256 tokens, which is what embeddings are
/// asked for with, and as a tree about 50 MB.
pub const MAX_VALUES: usize = 1 << 19;

/// Refuses a document of too many levels or values. It need not be JSON: that is found by whoever reads it.
///
/// # Errors
/// [`WireError::Invalid`] for the whole document where there are more than [`MAX_DEPTH`] or [`MAX_VALUES`].
pub fn check(document: &[u8]) -> Result<(), WireError> {
    // Neither can be more than its brackets and its bytes: that says enough of nearly every document, far faster.
    let brackets = document.iter().filter(|&&byte| (byte | 0x20) == b'{').count();
    if brackets <= MAX_DEPTH && document.len() < MAX_VALUES {
        return Ok(());
    }
    let (depth, values) = measured(document);
    if depth > MAX_DEPTH {
        return refuse(&format!("at most {MAX_DEPTH} levels of arrays and objects"), depth);
    }
    if values > MAX_VALUES {
        return refuse(&format!("at most {MAX_VALUES} values"), values);
    }
    Ok(())
}

/// The levels, and at least the number of values: an empty array or object counts as two. One pass; nothing is allocated.
fn measured(document: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let mut at = 0;
    while let Some(&byte) = document.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_string(document, at),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    (deepest, values)
}

/// The place after the quote that ends the string whose text begins at `at`.
fn after_string(document: &[u8], mut at: usize) -> usize {
    loop {
        let rest = document.get(at..).unwrap_or_default();
        match memchr2(b'"', b'\\', rest).map(|found| (found, rest.get(found))) {
            None => return document.len(),
            Some((found, Some(b'"'))) => return at + found + 1,
            Some((found, _)) => at += found + 2,
        }
    }
}

fn refuse(expected: &str, got: usize) -> Result<(), WireError> {
    Err(WireError::invalid("$", expected, got.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        [vec![b'['; levels], vec![b']'; levels]].concat()
    }

    #[test]
    fn depth_is_bounded_wherever_it_is() {
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        let error = check(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(error.to_string().contains("100 levels") && error.param().is_none(), "{error}");
        assert!(check(&[br#"{"a":"#.repeat(MAX_DEPTH + 1), vec![b'1']].concat()).is_err());
        // One after the other is not one in the other, and strings are text.
        assert_eq!(check(&nested(2).repeat(1000)), Ok(()));
        assert_eq!(check(format!(r#"["{}\"{}"]"#, "[".repeat(500), "{".repeat(500)).as_bytes()), Ok(()));
    }

    #[test]
    fn values_are_counted_and_the_text_of_strings_is_not() {
        let list = |values: usize| format!("[{}]", vec!["0"; values].join(","));
        // The array is a value, too, and so is the document.
        assert_eq!(check(list(MAX_VALUES - 1).as_bytes()), Ok(()));
        assert!(check(list(MAX_VALUES).as_bytes()).unwrap_err().to_string().contains("524288 values"));
        assert_eq!(check(format!(r#"["{}"]"#, ",".repeat(MAX_VALUES * 2)).as_bytes()), Ok(()));
        assert_eq!(check(br#"["\\",1,"\"#), Ok(()), "what is cut is left to the parser");
    }

    fn values_of(tree: &Value) -> usize {
        1 + match tree {
            Value::Array(list) => list.iter().map(values_of).sum(),
            Value::Object(members) => members.values().map(values_of).sum(),
            _ => 0,
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(null)), r#"[\[\]{},"\\ a]{0,9}"#.prop_map(Value::from)];
        leaf.prop_recursive(6, 60, 5, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
            let members = prop::collection::vec(("[a-z,]{0,3}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect()));
            prop_oneof![list, members]
        })
    }

    proptest! {
        #[test]
        fn no_value_is_missed_and_none_counts_more_than_twice(tree in tree()) {
            let (_, counted) = measured(tree.to_string().as_bytes());
            prop_assert!((values_of(&tree)..=2 * values_of(&tree)).contains(&counted), "{} in {}", counted, tree);
        }

        #[test]
        fn any_bytes_are_measured(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = check(&bytes);
        }
    }
}
