//! The names of what a translation left out.

use serde_json::Value;

use crate::json;

/// Most names that are told. A client chooses them, and they travel in one header.
const MAX_NAMES: usize = 64;
/// Longest name that is told in full, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Stands for all further ones.
const MORE: &str = "...";

/// Names in the order in which they were met, each once.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Vec<String>);

impl Dropped {
    pub(crate) fn name(&mut self, field: impl Into<String>) {
        if self.0.len() > MAX_NAMES {
            return;
        }
        let field = json::shortened(&field.into(), MAX_NAME_BYTES);
        if !self.0.contains(&field) {
            self.0.push(if self.0.len() == MAX_NAMES { MORE.to_owned() } else { field });
        }
    }

    /// Names the field unless its value says nothing: null, false, or an empty string, array or object.
    pub(crate) fn name_unless_empty(&mut self, field: impl Into<String>, value: &Value) {
        if !says_nothing(value) {
            self.name(field);
        }
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.0
    }
}

/// Null, false, or an empty string, array or object: what clients write where they want nothing.
pub(crate) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_makes_names_up_is_told_some() {
        let mut dropped = Dropped::default();
        for number in 0..100_000 {
            dropped.name(format!("messages[].{}", number / 2));
        }
        dropped.name("x".repeat(1 << 20));
        let names = dropped.into_names();
        assert_eq!((names.len(), names.last().map(String::as_str)), (MAX_NAMES + 1, Some(MORE)));
        assert_eq!(names.first().map(String::as_str), Some("messages[].0"));

        let mut dropped = Dropped::default();
        dropped.name("x".repeat(1 << 20));
        assert!(dropped.into_names().iter().all(|name| name.len() <= MAX_NAME_BYTES + MORE.len()));
    }
}
