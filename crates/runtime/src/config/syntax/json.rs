use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;

use super::{ConfigError, Text, Writer, inside};

/// `serde_json` says what the document is, and refuses what is no JSON; the other parser says where things stand.
pub(super) fn read(text: &str, mut writer: Writer<'_>) -> Result<Text, Vec<ConfigError>> {
    if text.trim().is_empty() {
        return writer.finish(Value::Null);
    }
    let tree: Value = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let location = writer.lines.written_in_bytes(error.line(), error.column());
        vec![writer.broken(location, "JSON", message)]
    })?;
    // It takes all that JSON is; were there something that it does not, only the places would be missing.
    if let Ok(parsed) = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default())
        && let Some(value) = &parsed.value
    {
        writer.places(value, "");
    }
    writer.finish(tree)
}

impl Writer<'_> {
    fn places(&mut self, value: &ast::Value<'_>, path: &str) {
        match value {
            ast::Value::Object(object) => {
                for property in &object.properties {
                    let path = inside(path, property.name.as_str());
                    let key = self.lines.at(property.range.start);
                    if self.places.contains_key(&path) {
                        self.refuse_second(&path, key);
                        continue;
                    }
                    self.remember(&path, key, self.lines.at(property.value.start()));
                    self.places(&property.value, &path);
                }
            }
            ast::Value::Array(array) => {
                for (index, element) in array.elements.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    let at = self.lines.at(element.start());
                    self.remember(&path, at.clone(), at);
                    self.places(element, &path);
                }
            }
            _ => {}
        }
    }
}
