//! Gemini's older schemas, a part of OpenAPI's, as JSON schemas.

use serde_json::{Map, Value, json};

use super::fields::{Fields, refuse};
use super::inbound::Unsaid;
use crate::WireError;

/// The JSON schema of an OpenAPI one: types in lower case, `nullable` as a second type. The order of properties, a hint
/// to the model, is left out.
pub(super) fn json_schema(schema: Value, at: &str, unsaid: &mut Unsaid) -> Result<Value, WireError> {
    let mut schema = Fields::of(schema, at)?;
    let mut out = Map::new();
    let nullable = schema.flag("nullable")?;
    let kind = schema.text("type")?.map(|kind| kind.to_ascii_lowercase());
    match kind.filter(|kind| kind != "type_unspecified") {
        Some(kind) if nullable => _ = out.insert("type".to_owned(), json!([kind, "null"])),
        Some(kind) => _ = out.insert("type".to_owned(), json!(kind)),
        None => {}
    }
    // `enum` only repeats what the list of values says.
    if let Some(format) = schema.text("format")?.filter(|format| format != "enum") {
        out.insert("format".to_owned(), json!(format));
    }
    if let Some(Value::Array(mut values)) = schema.take("enum") {
        if nullable {
            values.push(Value::Null);
        }
        out.insert("enum".to_owned(), Value::Array(values));
    }
    for name in ["title", "description", "default", "example", "pattern", "minimum", "maximum", "required"] {
        out.extend(schema.take(name).map(|value| (name.to_owned(), value)));
    }
    for name in ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"] {
        // Google writes 64-bit integers as strings.
        let number = schema.take(name).map(|value| match value.as_str().map(str::parse::<u64>) {
            Some(Ok(number)) => json!(number),
            _ => value,
        });
        out.extend(number.map(|number| (name.to_owned(), number)));
    }
    if let Some(items) = schema.take("items") {
        let path = schema.path("items");
        out.insert("items".to_owned(), json_schema(items, &path, unsaid)?);
    }
    let properties_at = schema.path("properties");
    match schema.take("properties") {
        None => {}
        Some(Value::Object(properties)) => {
            let mut translated = Map::new();
            for (name, property) in properties {
                let property = json_schema(property, &format!("{properties_at}.{name}"), unsaid)?;
                translated.insert(name, property);
            }
            out.insert("properties".to_owned(), Value::Object(translated));
        }
        Some(other) => return refuse(&properties_at, "an object", &other),
    }
    let any_of: Vec<Value> = schema
        .list("anyOf")
        .into_iter()
        .map(|(path, one)| json_schema(one, &path, unsaid))
        .collect::<Result<_, _>>()?;
    if !any_of.is_empty() {
        out.insert("anyOf".to_owned(), Value::Array(any_of));
    }
    if schema.take("propertyOrdering").is_some() {
        unsaid.drop(&schema.path("propertyOrdering"));
    }
    // Newer fields have the names that JSON Schema gives them.
    for path in schema.rest() {
        let name = path.rsplit('.').next().unwrap_or_default().to_owned();
        out.extend(schema.take(&name).map(|value| (name, value)));
    }
    Ok(Value::Object(out))
}
