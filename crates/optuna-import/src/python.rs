//! JSON as Python writes it, with numbers that are none.

use serde_json::Value;

/// What stands for them between the two steps: text that begins with a control character, which JSON has only in escapes.
const MARK: &str = "\\u0001";

/// Like `serde_json`, but `NaN`, `Infinity` and `-Infinity` are read too; [`number`] finds them again.
pub(crate) fn parse(text: &str) -> Option<Value> {
    if !["NaN", "Infinity"].iter().any(|word| text.contains(word)) {
        return serde_json::from_str(text).ok();
    }
    let mut marked = String::with_capacity(text.len() + 32);
    let (mut quoted, mut escaped, mut rest) = (false, false, text);
    while let Some(letter) = rest.chars().next() {
        let word =
            ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            marked.push_str(&format!("\"{MARK}{word}\""));
            rest = rest.get(word.len()..)?;
            continue;
        }
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        marked.push(letter);
        rest = rest.get(letter.len_utf8()..)?;
    }
    serde_json::from_str(&marked).ok()
}

/// A number, also one of those.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.strip_prefix('\u{1}')? {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_read_and_words_in_text_stay() {
        let value = parse(r#"["Infinity", "a \"NaN\" \\", NaN, -Infinity, {"x": Infinity}, 2]"#).unwrap();
        assert_eq!(value[0], "Infinity");
        assert_eq!(value[1], "a \"NaN\" \\");
        assert!(number(&value[2]).unwrap().is_nan());
        assert_eq!(number(&value[3]), Some(f64::NEG_INFINITY));
        assert_eq!((number(&value[4]["x"]), number(&value[5])), (Some(f64::INFINITY), Some(2.0)));
        assert_eq!(number(&value[0]), None);
        assert!(parse("[NaN").is_none() && parse("Infinityx").is_none() && parse("é NaN").is_none());
    }
}
