//! An object whose values stay as they were written.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object as they were written, in their order.
#[derive(Debug)]
pub(crate) struct Members<'a>(pub(crate) Vec<(&'a RawValue, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| is_named(key, name)).map(|(_, value)| *value)
    }

    /// Whether a member says anything.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(says_something)
    }

    /// The members of other names that say anything, each after a comma.
    pub(crate) fn others(&self, names: &[&str]) -> String {
        let mut out = String::new();
        for (key, value) in &self.0 {
            if says_something(value) && !names.iter().any(|name| is_named(key, name)) {
                out.push(',');
                out.push_str(key.get());
                out.push(':');
                out.push_str(value.get());
            }
        }
        out
    }
}

fn is_named(key: &RawValue, name: &str) -> bool {
    key.get().strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(name)
}

fn says_something(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "[]" | "{}")
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
