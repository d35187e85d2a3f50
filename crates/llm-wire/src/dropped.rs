//! The names of what a translation left out.

use serde_json::Value;

/// Names in the order in which they were met, each once.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Vec<String>);

impl Dropped {
    pub(crate) fn name(&mut self, field: impl Into<String>) {
        let field = field.into();
        if !self.0.contains(&field) {
            self.0.push(field);
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
