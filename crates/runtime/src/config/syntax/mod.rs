//! A file's text as a tree of values that remembers where each one stands, whether it is TOML, JSON or YAML.

mod json;
mod toml;
mod yaml;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{ConfigError, Location};

pub(super) use self::toml::override_value;

/// Where a key and its value were written.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: Location,
    pub(super) value: Location,
}

/// A file that could be read as what it is.
#[derive(Debug)]
pub(super) struct Text {
    /// An object.
    pub(super) tree: Value,
    pub(super) places: BTreeMap<String, Place>,
    /// Single values that cannot be used, such as numbers that are too large. `null` stands in their place.
    pub(super) errors: Vec<ConfigError>,
}

/// Reads it as JSON or YAML where the name of the file ends so, else as TOML.
///
/// # Errors
/// Where it is not even that: everything that the parser names.
pub(super) fn read(file: &Path, text: &str) -> Result<Text, Vec<ConfigError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let writer = Writer { lines: Lines::of(file, text), places: BTreeMap::new(), errors: Vec::new() };
    let extension = file.extension().map(|extension| extension.to_ascii_lowercase());
    let mut read = match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("json") => json::read(text, writer)?,
        Some("yaml" | "yml") => yaml::read(text, writer)?,
        _ => return toml::read(text, writer),
    };
    // How an editor is told which schema a JSON document follows.
    if let Some(table) = read.tree.as_object_mut() {
        table.shift_remove("$schema");
    }
    Ok(read)
}

/// Collects what a parser finds.
struct Writer<'a> {
    lines: Lines<'a>,
    places: BTreeMap<String, Place>,
    errors: Vec<ConfigError>,
}

impl Writer<'_> {
    fn remember(&mut self, path: &str, key: Location, value: Location) {
        self.places.insert(path.to_owned(), Place { key, value });
    }

    /// A value that cannot be used.
    fn refuse(&mut self, path: &str, location: Location, message: &str) -> Value {
        let message = if path.is_empty() { message.to_owned() } else { format!("`{path}`: {message}") };
        self.errors.push(ConfigError { location, path: path.to_owned(), message, hint: None });
        Value::Null
    }

    /// A key that stands in a table for the second time: the first one counts.
    fn refuse_second(&mut self, path: &str, location: Location) {
        self.refuse(path, location, "stands here for the second time");
    }

    /// The whole text is not what its name says.
    fn broken(&self, location: Location, what: &str, message: &str) -> ConfigError {
        ConfigError {
            location,
            path: String::new(),
            message: format!("not valid {what}: {message}"),
            hint: None,
        }
    }

    /// An empty document means the defaults; a document that is something else than a table is refused.
    fn finish(self, tree: Value) -> Result<Text, Vec<ConfigError>> {
        let tree = match tree {
            Value::Object(_) => tree,
            Value::Null => Value::Object(Map::new()),
            other => {
                let message = format!("expected sections such as `server`, got {}", kind(&other));
                let location = self.lines.at(0);
                return Err(vec![ConfigError { location, path: String::new(), message, hint: None }]);
            }
        };
        Ok(Text { tree, places: self.places, errors: self.errors })
    }
}

/// Finds line and column of a place in a text.
struct Lines<'a> {
    file: &'a Path,
    text: &'a str,
    /// The offset in bytes at which each line begins.
    starts: Vec<usize>,
    /// Line, offset and column of the last answer. The next one mostly stands after it, and a document can be one long line.
    last: Cell<(usize, usize, usize)>,
}

impl<'a> Lines<'a> {
    fn of(file: &'a Path, text: &'a str) -> Self {
        let after_newline = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after_newline).collect();
        Self { file, text, starts, last: Cell::new((1, 0, 1)) }
    }

    /// `offset` in bytes; beyond the text, its end.
    fn at(&self, offset: usize) -> Location {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let (from, column) = match self.last.get() {
            (last_line, last, column) if last_line == line && last <= offset => (last, column),
            _ => (start, 1),
        };
        let column = column + self.text.get(from..offset).unwrap_or_default().chars().count();
        self.last.set((line, offset, column));
        Location::File { file: self.file.to_owned(), line, column }
    }

    fn start_of(&self, span: Range<usize>) -> Location {
        self.at(span.start)
    }

    /// A place as a parser names it, line and column from 1, the column in characters; beyond the text, its end.
    fn written(&self, line: usize, column: usize) -> Location {
        let Some(start) = self.starts.get(line.max(1) - 1) else { return self.at(usize::MAX) };
        let end = self.starts.get(line.max(1)).map_or(self.text.len(), |next| next - 1);
        match column.max(1) - 1 > end - start {
            true => self.at(end),
            false => Location::File { file: self.file.to_owned(), line: line.max(1), column: column.max(1) },
        }
    }

    /// The same with a column in bytes.
    fn written_in_bytes(&self, line: usize, column: usize) -> Location {
        let start = self.starts.get(line.max(1) - 1).copied().unwrap_or(usize::MAX);
        self.at(start.saturating_add(column.max(1) - 1))
    }
}

fn inside(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
