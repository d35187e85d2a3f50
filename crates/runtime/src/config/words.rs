//! What serde says when a value does not fit its type, read and said again for people.
//!
//! Its sentences are the only place where the names and words that a type knows come out.

/// One of serde's sentences.
#[derive(Debug, PartialEq)]
pub(super) enum Said<'a> {
    /// A key that the table does not have, and those that it has.
    UnknownKey { key: &'a str, known: Vec<&'a str> },
    /// A key that the table must have.
    MissingKey { key: &'a str },
    /// A word that is none of those which may stand there.
    UnknownWord { word: &'a str, known: Vec<&'a str> },
    /// Any other sentence, rewritten.
    Other(String),
}

impl<'a> Said<'a> {
    pub(super) fn read(sentence: &'a str) -> Self {
        // "unknown field `bnd`, expected one of `bind`, `hold_ms`"
        let unknown = |rest: &'a str| {
            let mut parts = rest.split('`').skip(1);
            let word = parts.next()?;
            Some((word, parts.skip(1).step_by(2).collect()))
        };
        if let Some((key, known)) = sentence.strip_prefix("unknown field ").and_then(unknown) {
            return Self::UnknownKey { key, known };
        }
        if let Some((word, known)) = sentence.strip_prefix("unknown variant ").and_then(unknown) {
            return Self::UnknownWord { word, known };
        }
        let missing = sentence.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        if let Some(key) = missing {
            return Self::MissingKey { key };
        }
        Self::Other(mismatch(sentence).unwrap_or_else(|| sentence.to_owned()))
    }
}

/// "invalid type: string \"soon\", expected u64", and the same with "value" or "length".
fn mismatch(sentence: &str) -> Option<String> {
    let rest =
        sentence.strip_prefix("invalid type: ").or_else(|| sentence.strip_prefix("invalid value: "))?;
    // From the end: what was found may hold any text.
    let (got, expected) = rest.rsplit_once(", expected ")?;
    Some(format!("expected {}, got {}", expectation(expected), found(got)))
}

fn expectation(type_name: &str) -> &str {
    match type_name {
        "u64" | "usize" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "i64" | "i32" | "isize" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "path string" | "string or map" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        structure if structure.starts_with("struct ") => "a table",
        other => other,
    }
}

fn found(got: &str) -> String {
    /// Enough to recognise a value by.
    const LONGEST: usize = 80;
    let bare = |prefix: &str| got.strip_prefix(prefix).map(|value| value.trim_matches('`'));
    let value = match got {
        "sequence" => "a list",
        "map" => "a table",
        "null" => "nothing (null)",
        _ => bare("integer ")
            .or_else(|| bare("floating point "))
            .or_else(|| bare("boolean "))
            .or_else(|| got.strip_prefix("string "))
            .unwrap_or(got),
    };
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what serde says of it is looked at")]
    struct Sample {
        name: String,
        count: Option<u32>,
        word: Option<Word>,
        list: Option<Vec<bool>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        RoundRobin,
        Priority,
    }

    /// What serde says of this document today: the sentences that are read are really its own.
    fn said(document: &Value) -> String {
        serde_json::from_value::<Sample>(document.clone()).unwrap_err().to_string()
    }

    #[test]
    fn serdes_sentences_are_understood() {
        let sentence = said(&json!({ "nmae": "x" }));
        assert_eq!(
            Said::read(&sentence),
            Said::UnknownKey { key: "nmae", known: vec!["name", "count", "word", "list"] }
        );
        assert_eq!(Said::read(&said(&json!({}))), Said::MissingKey { key: "name" });
        let sentence = said(&json!({ "name": "x", "word": "random" }));
        let known = vec!["round-robin", "priority"];
        assert_eq!(Said::read(&sentence), Said::UnknownWord { word: "random", known });
    }

    #[test]
    fn a_value_of_another_type_is_told_without_the_names_of_types() {
        for (document, says) in [
            (json!({ "name": 5 }), "expected text, got 5"),
            (json!({ "name": null }), "expected text, got nothing (null)"),
            (json!({ "name": "", "count": "soon" }), "from 0 to 4294967295, got \"soon\""),
            (json!({ "name": "", "count": -1 }), "from 0 to 4294967295, got -1"),
            (json!({ "name": "", "count": 1.5 }), "from 0 to 4294967295, got 1.5"),
            (json!({ "name": "", "count": ", expected u8" }), "4294967295, got \", expected u8\""),
            (json!({ "name": "", "list": [1] }), "expected true or false, got 1"),
            (json!({ "name": "", "list": {} }), "expected a list, got a table"),
            (json!({ "name": "", "word": 7 }), "expected text, got 7"),
            (json!(5), "expected a table, got 5"),
        ] {
            let sentence = said(&document);
            let Said::Other(rewritten) = Said::read(&sentence) else { panic!("{sentence}") };
            assert!(rewritten.ends_with(says), "{rewritten} for {sentence}");
        }
        let long = said(&json!({ "name": "", "count": "x".repeat(500) }));
        assert!(matches!(Said::read(&long), Said::Other(said) if said.len() < 200));
    }
}
