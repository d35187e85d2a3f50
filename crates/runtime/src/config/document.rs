//! A configuration as a tree of values that remembers where each one was written.
//!
//! A file, an object and environment variables all become one `serde_json` tree, so that there is one deserialisation and
//! one kind of path (`endpoints[0].protocol`), and a path leads back to file, line and column. Parsers alone would lose
//! the places of values as soon as an override is merged in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{ConfigError, Location};
use super::finding::{Finding, Unreadable};
use super::syntax::{self, Place, kind, override_value};

/// Environment variables with this prefix override keys: `UAT__SERVER__BIND` is `server.bind`.
const OVERRIDE_PREFIX: &str = "UAT__";

#[derive(Debug, Clone)]
enum Origin {
    File(PathBuf),
    Object,
    Nothing,
}

/// See the module documentation.
#[derive(Clone)]
pub(super) struct Document {
    tree: Value,
    origin: Origin,
    places: BTreeMap<String, Place>,
    /// What was already wrong while it was read.
    errors: Vec<ConfigError>,
}

/// Without the values: a variable may have brought a password.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Document {
    pub(super) fn empty() -> Self {
        Self {
            tree: Value::Object(Map::new()),
            origin: Origin::Nothing,
            places: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    /// # Errors
    /// Everything that keeps the text from being read at all.
    pub(super) fn from_text(file: &Path, text: &str) -> Result<Self, Vec<ConfigError>> {
        let syntax::Text { tree, places, errors } = syntax::read(file, text)?;
        Ok(Self { tree, origin: Origin::File(file.to_owned()), places, errors })
    }

    /// # Errors
    /// The same.
    pub(super) fn from_json(text: &str) -> Result<Self, Vec<ConfigError>> {
        let refuse = |message: String| {
            vec![ConfigError { location: Location::Object, path: String::new(), message, hint: None }]
        };
        let tree: Value =
            serde_json::from_str(text).map_err(|error| refuse(format!("not valid JSON: {error}")))?;
        if !tree.is_object() {
            return Err(refuse(format!(
                "expected an object with sections such as \"server\", got {}",
                kind(&tree)
            )));
        }
        Ok(Self { tree, origin: Origin::Object, places: BTreeMap::new(), errors: Vec::new() })
    }

    /// Lays the variables `UAT__SECTION__KEY` over the tree. A number is an index into a list.
    /// The value is read as TOML where it is TOML (`8`, `true`, `["a"]`), else as text.
    pub(super) fn apply_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        // Sorted, so that two variables of which one contains the other have one meaning.
        let mut overrides: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(OVERRIDE_PREFIX)).collect();
        overrides.sort();
        for (variable, raw) in overrides {
            let before = (self.tree.clone(), self.places.clone());
            if let Err(error) = self.apply_override(&variable, &raw) {
                (self.tree, self.places) = before;
                self.errors.push(error);
            }
        }
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

    /// What was wrong while it was read, and where nothing can be told therefore.
    pub(super) fn take_errors(&mut self) -> (Vec<ConfigError>, Unreadable) {
        let mut unreadable = Unreadable::default();
        // A variable that could not be laid over the file has changed nothing, and hides nothing.
        let in_text = |error: &&ConfigError| matches!(error.location, Location::File { .. });
        for error in self.errors.iter().filter(in_text) {
            unreadable.add(&error.path);
        }
        (std::mem::take(&mut self.errors), unreadable)
    }

    /// The finding with its place.
    pub(super) fn place(&self, finding: Finding) -> ConfigError {
        let location = match finding.is_about_key {
            true => self.key_location(&finding.path),
            false => self.value_location(&finding.path),
        };
        finding.at(location)
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
    fn key_location(&self, path: &str) -> Location {
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
