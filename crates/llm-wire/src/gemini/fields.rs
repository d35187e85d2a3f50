//! Objects whose fields have two spellings.

use serde_json::{Map, Value};

use crate::{WireError, json};

/// An object of a request, read as Google's servers read it: `topP` and `top_p` are one field, and `null` is an absent
/// one. Names inside arguments, results and schemas are the client's own and never come here.
pub(super) struct Fields {
    at: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// The fields of the object at this path, which is empty for the document.
    pub(super) fn of(value: Value, at: &str) -> Result<Self, WireError> {
        let Value::Object(written) = value else {
            return refuse(if at.is_empty() { "$" } else { at }, "an object", &value);
        };
        let mut read = Self { at: at.to_owned(), fields: Map::new() };
        for (name, value) in written {
            let name = camel_case(&name);
            if !value.is_null() && read.fields.insert(name.clone(), value).is_some() {
                return Err(WireError::invalid(read.path(&name), "the field at most once", "it twice"));
            }
        }
        Ok(read)
    }

    /// The path of one of its fields.
    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, WireError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => refuse(&self.path(name), "a string", &other),
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, WireError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => refuse(&self.path(name), "true or false", &other),
        }
    }

    /// The fields of an object in it.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, WireError> {
        self.take(name).map(|value| Self::of(value, &self.path(name))).transpose()
    }

    /// The elements of a list in it with their paths; one that stands without its brackets counts as a list of one, as
    /// it does for Google's servers.
    pub(super) fn list(&mut self, name: &str) -> Vec<(String, Value)> {
        let path = self.path(name);
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(list)) => {
                let at = |(index, value)| (format!("{path}[{index}]"), value);
                list.into_iter().enumerate().map(at).collect()
            }
            Some(one) => vec![(path, one)],
        }
    }

    /// The paths of what nobody took.
    pub(super) fn rest(&self) -> Vec<String> {
        self.fields.keys().map(|name| self.path(name)).collect()
    }
}

/// Refuses a value by its path; null stands for one that is absent.
pub(super) fn refuse<T>(field: &str, expected: &str, got: &Value) -> Result<T, WireError> {
    let got = if got.is_null() { "nothing".to_owned() } else { json::shown_tree(got) };
    Err(WireError::invalid(field, expected, got))
}

/// The same for a value that may be part of a conversation, of which only the kind is told.
pub(super) fn refuse_text<T>(field: &str, expected: &str, text: &str) -> Result<T, WireError> {
    Err(WireError::invalid(field, expected, format!("a string of {} bytes", text.len())))
}

fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        match character {
            '_' if !camel.is_empty() => raise = true,
            character if std::mem::take(&mut raise) => camel.push(character.to_ascii_uppercase()),
            character => camel.push(character),
        }
    }
    camel
}
