use serde_json::Value;

use super::document::Document;
use super::error::Location;
use super::{UatConfig, error};

/// One setting as it counts.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Like `server.bind` or `endpoints[0].base_url`.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// Where it was written.
    pub location: error::Location,
}

pub(super) fn settings(config: &UatConfig, document: &Document) -> Vec<Setting> {
    // The types hold text, numbers, lists and tables with text keys: nothing that JSON cannot carry.
    let tree = serde_json::to_value(config).unwrap_or(Value::Null);
    let mut out = Vec::new();
    flatten(&tree, String::new(), document, &mut out);
    out
}

fn flatten(value: &Value, path: String, document: &Document, out: &mut Vec<Setting>) {
    match value {
        Value::Object(table) => {
            for (key, inner) in table {
                let inner_path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(inner, inner_path, document, out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, inner) in items.iter().enumerate() {
                flatten(inner, format!("{path}[{index}]"), document, out);
            }
        }
        leaf => {
            let location = document.written_at(&path).unwrap_or(Location::Default);
            out.push(Setting { path, value: leaf.clone(), location });
        }
    }
}
