//! The JSON Schema of a configuration, made from its types: what editors complete and underline.
//!
//! Nothing is checked with it here. The types are the truth, and a test holds both against each other.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

use super::UatConfig;

/// The JSON Schema (draft 2020-12) of `uat.toml` and its forms in JSON and YAML.
pub fn config_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().with_transform(Plainly).into_generator();
    let mut schema = generator.into_root_schema_for::<UatConfig>();
    schema.insert("title".to_owned(), "uat.toml".into());
    let properties = schema.as_object_mut().and_then(|root| root.get_mut("properties"));
    if let Some(properties) = properties.and_then(Value::as_object_mut) {
        let described = json!({ "type": "string", "description": "The schema that an editor checks a JSON document with." });
        properties.insert("$schema".to_owned(), described);
    }
    schema.into()
}

/// Takes away what Rust's types say and a configuration does not: `null` for what may be absent, the names of number
/// types, and the defaults of whole sections, which their keys have too.
#[derive(Debug, Clone)]
struct Plainly;

impl Transform for Plainly {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(schema) = schema.as_object_mut() {
            never_null(schema);
            bounds(schema);
            let default = schema.get("default");
            if default.is_some_and(|default| default.is_null() || default.is_object()) {
                schema.shift_remove("default");
            }
        }
        transform_subschemas(self, schema);
    }
}

fn never_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = forms.as_slice() {
            let only = only.clone();
            schema.shift_remove("anyOf");
            schema.extend(only);
        }
    }
}

/// The names of number types become bounds where they say more than that.
fn bounds(schema: &mut Map<String, Value>) {
    let Some(Value::String(format)) = schema.get("format") else { return };
    let most = match format.as_str() {
        "uint8" => Some(u32::from(u8::MAX)),
        "uint16" => Some(u32::from(u16::MAX)),
        "uint32" => Some(u32::MAX),
        "uint" | "uint64" | "int" | "int32" | "int64" | "float" | "double" => None,
        _ => return,
    };
    schema.shift_remove("format");
    if let Some(most) = most {
        schema.entry("maximum").or_insert(most.into());
    }
}
