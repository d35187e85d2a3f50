//! Everything in a tree that does not fit its type, in one pass.
//!
//! serde stops at the first thing that is wrong. So each one is noted, taken out of a copy of the tree, and the rest is
//! read again: an optional value goes, a required one is replaced by something that its type takes. What comes out at last
//! can be checked further, except where something was put in. The types alone say what is right: a schema beside them
//! would be a second truth.

use std::collections::HashMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::error::MOST_ERRORS;
use super::finding::{Finding, Unreadable};
use super::words::Said;
use crate::nearest::nearest;

/// Each mistake takes one step, which reads the whole once more, and a few more where a required value is replaced.
const MOST_STEPS: usize = 20 * MOST_ERRORS;

/// What a tree has become.
pub(super) struct Shaped<T> {
    /// With replacements where something was wrong; nothing where no replacement was found.
    pub(super) value: Option<T>,
    pub(super) findings: Vec<Finding>,
    pub(super) unreadable: Unreadable,
}

/// `unreadable` are paths at which something wrong was found before: it is not told again.
pub(super) fn shape<T: DeserializeOwned>(tree: Value, unreadable: Unreadable) -> Shaped<T> {
    let mut repair = Repair { tree, findings: Vec::new(), unreadable, tried: HashMap::new() };
    let mut value = None;
    for _ in 0..MOST_STEPS {
        match serde_path_to_error::deserialize::<_, T>(&repair.tree) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(error) => {
                let path = Path::of(error.path());
                if !repair.step(path, &error.inner().to_string()) || repair.findings.len() >= MOST_ERRORS {
                    break;
                }
            }
        }
    }
    Shaped { value, findings: repair.findings, unreadable: repair.unreadable }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Path(Vec<Step>);

impl Path {
    fn of(path: &serde_path_to_error::Path) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            // The name of an enum's variant is a value here, not a key.
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self(path.iter().filter_map(step).collect())
    }

    /// The last step, and what is around it.
    fn split(&self) -> Option<(&Step, Self)> {
        let (last, around) = self.0.split_last()?;
        Some((last, Self(around.to_vec())))
    }

    fn with(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    fn find<'a>(&self, tree: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(tree, |node, step| match step {
            Step::Key(key) => node.get_mut(key),
            Step::Index(index) => node.get_mut(*index),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

struct Repair {
    tree: Value,
    findings: Vec<Finding>,
    unreadable: Unreadable,
    /// How many replacements each path has had.
    tried: HashMap<Path, usize>,
}

impl Repair {
    /// Notes what is wrong at `path` and takes it away. False where nothing is left to take.
    fn step(&mut self, path: Path, sentence: &str) -> bool {
        match Said::read(sentence) {
            Said::UnknownKey { key, known } => {
                self.unknown_key(&path, key, &known);
                self.take(&path)
            }
            Said::MissingKey { key } => {
                let table = path.to_string();
                let path = path.with(key);
                let message = match table.is_empty() {
                    true => format!("missing section or key `{key}`"),
                    false => format!("missing key `{key}` in [{table}]"),
                };
                self.note(&path, Finding::new(path.to_string(), message));
                self.replace(path, &[])
            }
            Said::UnknownWord { word, known } => {
                let at = path.to_string();
                let finding = Finding::new(&at, format!("`{at}`: unknown value `{word}`"));
                let hint = meant(word, &known);
                if self.note(&path, finding.hint(hint)) && self.take(&path) {
                    return true;
                }
                self.replace(path, &known)
            }
            Said::Other(message) => {
                let at = path.to_string();
                let message = if at.is_empty() { message } else { format!("`{at}`: {message}") };
                if self.note(&path, Finding::new(at, message)) && self.take(&path) {
                    return true;
                }
                self.replace(path, &[])
            }
        }
    }

    fn unknown_key(&mut self, path: &Path, key: &str, known: &[&str]) {
        let table = path.split().map(|(_, table)| table).unwrap_or(Path(Vec::new()));
        let message = match table.0.is_empty() {
            true => format!("unknown section or key `{key}`"),
            false => format!("unknown key `{key}` in [{table}]"),
        };
        self.note(path, Finding::new(path.to_string(), message).about_key().hint(meant(key, known)));
        // What was meant stands there under a wrong name: that it is missing is not told too.
        if let Some(near) = nearest(key, known.iter().copied())
            && table.find(&mut self.tree).is_some_and(|table| table.get(near).is_none())
        {
            self.unreadable.add(table.with(near).to_string());
        }
    }

    /// False where it, or something around it, was noted before.
    fn note(&mut self, path: &Path, finding: Finding) -> bool {
        let path = path.to_string();
        if self.unreadable.covers(&path) {
            return false;
        }
        self.unreadable.add(path);
        self.findings.push(finding);
        true
    }

    /// Removes a key; the element of a list cannot go, because those after it would change their places.
    fn take(&mut self, path: &Path) -> bool {
        let Some((Step::Key(key), table)) = path.split() else { return false };
        let table = table.find(&mut self.tree).and_then(Value::as_object_mut);
        table.is_some_and(|table| table.shift_remove(key).is_some())
    }

    /// Puts the next thing there that the type may take; where it takes none, the same with what is around.
    fn replace(&mut self, mut path: Path, mut known: &[&str]) -> bool {
        loop {
            let tried = self.tried.entry(path.clone()).or_default();
            let replacement = match known.first() {
                // One of the words that its type knows, once it has told them.
                Some(word) if *tried <= replacements().len() => {
                    *tried = replacements().len() + 1;
                    Some(json!(word))
                }
                _ => {
                    *tried += 1;
                    replacements().get(*tried - 1).cloned()
                }
            };
            let Some((last, around)) = path.split() else { return false };
            if let (Some(replacement), Some(inside)) = (replacement, around.find(&mut self.tree)) {
                match (last, inside) {
                    (Step::Key(key), Value::Object(table)) => {
                        table.insert(key.clone(), replacement);
                        return true;
                    }
                    (Step::Index(index), Value::Array(items)) if *index < items.len() => {
                        items[*index] = replacement;
                        return true;
                    }
                    _ => {}
                }
            }
            (path, known) = (around, &[]);
            self.unreadable.add(path.to_string());
            if self.take(&path) {
                return true;
            }
        }
    }
}

/// One of these is taken by the type of every required key. What it says does not count.
fn replacements() -> [Value; 8] {
    let hash = format!("sha256:{}", "0".repeat(64));
    [
        json!(""),
        json!(1),
        json!({}),
        json!([]),
        json!(true),
        json!("127.0.0.1:1"),
        json!(hash),
        json!("2000-01-01T00:00:00Z"),
    ]
}

fn meant(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing may stand here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}
