use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::MOST_ERRORS;
use super::{ConfigError, Lines, Text, Writer, inside};

/// A document with mistakes in its syntax is not looked at further: keys after a broken line may stand in another table
/// than was meant.
pub(super) fn read(text: &str, mut writer: Writer<'_>) -> Result<Text, Vec<ConfigError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let broken = errors.iter().take(MOST_ERRORS).map(|error| {
            // Further lines of the message are a drawing of the place.
            let message = error.message().lines().next().unwrap_or_default();
            writer.broken(writer.lines.start_of(error.span().unwrap_or(0..0)), "TOML", message)
        });
        return Err(broken.collect());
    }
    let tree = writer.table(table.get_ref(), "");
    writer.finish(tree)
}

/// The value of an environment variable: TOML where it is TOML (`8`, `true`, `["a"]`), else text.
pub(in super::super) fn override_value(raw: &str) -> Value {
    let line = format!("value = {raw}");
    let parsed = DeTable::parse(&line).ok().filter(|table| table.get_ref().len() == 1);
    parsed
        .and_then(|table| {
            let lines = Lines::of(Path::new(""), &line);
            let mut writer = Writer { lines, places: BTreeMap::new(), errors: Vec::new() };
            match writer.table(table.get_ref(), "") {
                Value::Object(mut table) if writer.errors.is_empty() => table.shift_remove("value"),
                _ => None,
            }
        })
        .unwrap_or_else(|| Value::String(raw.to_owned()))
}

impl Writer<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Value {
        let mut out = Map::new();
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            let path = inside(path, name);
            let (key, at) = (self.lines.start_of(key.span()), self.lines.start_of(value.span()));
            self.remember(&path, key, at);
            out.insert(name.to_owned(), self.toml_value(value, &path));
        }
        Value::Object(out)
    }

    fn toml_value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Value {
        let parsed = match value.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from)
            }
            DeValue::Float(number) => {
                number.as_str().parse().ok().and_then(Number::from_f64).map(Value::from)
            }
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::Datetime(moment) => Some(Value::String(moment.to_string())),
            DeValue::Array(items) => {
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    let at = self.lines.start_of(item.span());
                    self.remember(&path, at.clone(), at);
                    out.push(self.toml_value(item, &path));
                }
                Some(Value::Array(out))
            }
            DeValue::Table(table) => Some(self.table(table, path)),
        };
        parsed.unwrap_or_else(|| {
            let expected = match value.get_ref() {
                DeValue::Integer(_) => "expected an integer of 64 bits",
                _ => "expected a finite number",
            };
            self.refuse(path, self.lines.start_of(value.span()), expected)
        })
    }
}
