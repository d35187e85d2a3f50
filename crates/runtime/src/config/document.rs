//! A configuration as a tree of values that remembers where each one was written.
//!
//! TOML, JSON and environment variables all become one `serde_json` tree, so that there is one deserialisation and
//! one kind of path (`endpoints[0].protocol`), and a path leads back to file, line and column. The `toml` crate
//! alone would lose the places of values as soon as an override is merged in.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Location};
use crate::nearest::nearest;

/// Environment variables with this prefix override keys: `UAT__SERVER__BIND` is `server.bind`.
const OVERRIDE_PREFIX: &str = "UAT__";

#[derive(Debug, Clone)]
enum Origin {
    File(PathBuf),
    Object,
    Nothing,
}

#[derive(Debug, Clone)]
struct Place {
    key: Location,
    value: Location,
}

/// See the module documentation.
#[derive(Clone)]
pub(super) struct Document {
    tree: Value,
    origin: Origin,
    places: BTreeMap<String, Place>,
}

/// Without the values: a variable may have brought a password.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Document {
    pub(super) fn empty() -> Self {
        Self { tree: Value::Object(Map::new()), origin: Origin::Nothing, places: BTreeMap::new() }
    }

    pub(super) fn from_toml(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let table = DeTable::parse(text).map_err(|error| {
            let message = match error.message().split_once('\n') {
                Some((first, _)) => first,
                None => error.message(),
            };
            ConfigError {
                location: file_location(file, text, error.span().unwrap_or(0..0)),
                path: String::new(),
                message: format!("not valid TOML: {message}"),
                hint: None,
            }
        })?;
        let mut reader = TomlReader { file, text, places: BTreeMap::new() };
        let tree = reader.table(table.get_ref(), "")?;
        Ok(Self { tree, origin: Origin::File(file.to_owned()), places: reader.places })
    }

    pub(super) fn from_json(text: &str) -> Result<Self, ConfigError> {
        let refuse = |message: String| ConfigError {
            location: Location::Object,
            path: String::new(),
            message,
            hint: None,
        };
        let tree: Value =
            serde_json::from_str(text).map_err(|error| refuse(format!("not valid JSON: {error}")))?;
        if !tree.is_object() {
            return Err(refuse(format!(
                "expected an object with sections such as \"server\", got {}",
                kind(&tree)
            )));
        }
        Ok(Self { tree, origin: Origin::Object, places: BTreeMap::new() })
    }

    /// Lays the variables `UAT__SECTION__KEY` over the tree. A number is an index into a list.
    /// The value is read as TOML where it is TOML (`8`, `true`, `["a"]`), else as text.
    pub(super) fn apply_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        // Sorted, so that two variables of which one contains the other have one meaning.
        let mut overrides: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(OVERRIDE_PREFIX)).collect();
        overrides.sort();
        for (variable, raw) in overrides {
            self.apply_override(&variable, &raw)?;
        }
        Ok(())
    }

    fn apply_override(&mut self, variable: &str, raw: &str) -> Result<(), ConfigError> {
        let location = Location::Environment { variable: variable.to_owned() };
        let mut node = &mut self.tree;
        let mut path = String::new();
        for segment in variable[OVERRIDE_PREFIX.len()..].split("__") {
            let segment = segment.to_ascii_lowercase();
            let refuse = |message: String| ConfigError {
                location: location.clone(),
                path: path.clone(),
                message,
                hint: Some("write UAT__SECTION__KEY, a number for the place in a list".into()),
            };
            if segment.is_empty() {
                return Err(refuse("a part of the name is empty".into()));
            }
            let (inner, step) = descend(node, &segment).map_err(&refuse)?;
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(&step);
            node = inner;
            // Every key on the way that the file does not have is the variable's.
            self.places
                .entry(path.clone())
                .or_insert_with(|| Place { key: location.clone(), value: location.clone() });
        }
        *node = override_value(raw);
        let inside: Vec<String> = self
            .places
            .keys()
            .filter(|known| {
                known.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
            })
            .cloned()
            .collect();
        for gone in inside {
            self.places.remove(&gone);
        }
        self.places.insert(path, Place { key: location.clone(), value: location });
        Ok(())
    }

    /// The tree as it was written, defaults not filled in.
    pub(super) fn tree(&self) -> &Value {
        &self.tree
    }

    pub(super) fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(file) => Some(file),
            Origin::Object | Origin::Nothing => None,
        }
    }

    /// Where the value at `path` was written, or else the nearest thing around it that was.
    pub(super) fn value_location(&self, path: &str) -> Location {
        self.locate(path, |place| &place.value)
    }

    /// The same for the key.
    pub(super) fn key_location(&self, path: &str) -> Location {
        self.locate(path, |place| &place.key)
    }

    /// Where exactly this key was written, if it was.
    pub(super) fn written_at(&self, path: &str) -> Option<Location> {
        self.places.get(path).map(|place| place.value.clone())
    }

    fn locate(&self, path: &str, pick: impl Fn(&Place) -> &Location) -> Location {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return pick(place).clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
        match &self.origin {
            Origin::File(file) => Location::File { file: file.clone(), line: 1, column: 1 },
            Origin::Object => Location::Object,
            Origin::Nothing => Location::Default,
        }
    }

    /// The typed configuration. An error names the place and, for an unknown key or variant, the nearest known one.
    pub(super) fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(&self.tree).map_err(|error| {
            let path = path_text(error.path());
            let cause = error.inner().to_string();
            match unknown_word(&cause) {
                Some(unknown) => self.unknown(&path, unknown),
                None => ConfigError {
                    location: self.value_location(&path),
                    message: if path.is_empty() { cause } else { format!("`{path}`: {cause}") },
                    path,
                    hint: None,
                },
            }
        })
    }

    fn unknown(&self, path: &str, unknown: UnknownWord<'_>) -> ConfigError {
        let table = match path.rfind(['.', '[']) {
            Some(end) => &path[..end],
            None => "",
        };
        let (location, message) = match unknown.what {
            "field" if table.is_empty() => {
                (self.key_location(path), format!("unknown section or key `{}`", unknown.word))
            }
            "field" => (self.key_location(path), format!("unknown key `{}` in [{table}]", unknown.word)),
            _ => (self.value_location(path), format!("`{path}`: unknown value `{}`", unknown.word)),
        };
        let hint = match nearest(unknown.word, unknown.expected.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", unknown.expected.join(", ")),
        };
        ConfigError { location, path: path.to_owned(), message, hint: Some(hint) }
    }
}

struct TomlReader<'a> {
    file: &'a Path,
    text: &'a str,
    places: BTreeMap<String, Place>,
}

impl TomlReader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Result<Value, ConfigError> {
        let mut out = Map::new();
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.remember(&inner, key.span(), value.span());
            out.insert(name.to_owned(), self.value(value, &inner)?);
        }
        Ok(Value::Object(out))
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Result<Value, ConfigError> {
        let refuse = |message: &str| ConfigError {
            location: file_location(self.file, self.text, value.span()),
            path: path.to_owned(),
            message: format!("`{path}`: {message}"),
            hint: None,
        };
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Value::Number(parsed.map_err(|_| refuse("expected an integer of 64 bits"))?.into())
            }
            DeValue::Float(number) => {
                let parsed = number.as_str().parse().ok().and_then(Number::from_f64);
                Value::Number(parsed.ok_or_else(|| refuse("expected a finite number"))?)
            }
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(moment) => Value::String(moment.to_string()),
            DeValue::Array(items) => {
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let inner = format!("{path}[{index}]");
                    self.remember(&inner, item.span(), item.span());
                    out.push(self.value(item, &inner)?);
                }
                Value::Array(out)
            }
            DeValue::Table(table) => self.table(table, path)?,
        })
    }

    fn remember(&mut self, path: &str, key: Range<usize>, value: Range<usize>) {
        let place = Place {
            key: file_location(self.file, self.text, key),
            value: file_location(self.file, self.text, value),
        };
        self.places.insert(path.to_owned(), place);
    }
}

fn file_location(file: &Path, text: &str, span: Range<usize>) -> Location {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Location::File {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// The value under `segment`, made where there is none, and how a path names it.
fn descend<'a>(node: &'a mut Value, segment: &str) -> Result<(&'a mut Value, String), String> {
    let index = segment.parse::<usize>().ok();
    if node.is_null() {
        *node = if index.is_some() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    match node {
        Value::Object(table) => Ok((table.entry(segment).or_insert(Value::Null), segment.to_owned())),
        Value::Array(items) => match index {
            Some(index) if index <= items.len() => {
                if index == items.len() {
                    items.push(Value::Null);
                }
                Ok((&mut items[index], format!("[{index}]")))
            }
            _ => Err(format!("`{segment}` is no place in this list: expected 0 to {}", items.len())),
        },
        other => Err(format!("{} has no `{segment}` inside", kind(other))),
    }
}

fn override_value(raw: &str) -> Value {
    let line = format!("value = {raw}");
    let parsed = DeTable::parse(&line).ok().filter(|table| table.get_ref().len() == 1);
    parsed
        .and_then(|table| {
            let mut reader = TomlReader { file: Path::new(""), text: &line, places: BTreeMap::new() };
            match reader.table(table.get_ref(), "") {
                Ok(Value::Object(mut table)) => table.remove("value"),
                _ => None,
            }
        })
        .unwrap_or_else(|| Value::String(raw.to_owned()))
}

fn path_text(path: &serde_path_to_error::Path) -> String {
    let mut out = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            // The name of an enum's variant is a value here, not a key.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    out
}

struct UnknownWord<'a> {
    what: &'a str,
    word: &'a str,
    expected: Vec<&'a str>,
}

/// Reads serde's own sentence, "unknown field `bnd`, expected one of `bind`, `hold_ms`": it is the only place where
/// the names that a type knows come out.
fn unknown_word(message: &str) -> Option<UnknownWord<'_>> {
    let rest = message.strip_prefix("unknown ")?;
    let mut parts = rest.split('`');
    let what = parts.next()?.trim();
    let word = parts.next()?;
    let expected = parts.skip(1).step_by(2).collect();
    Some(UnknownWord { what, word, expected })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
