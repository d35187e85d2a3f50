//! Something wrong at a path; where that path was written is added by whoever knows it.

use super::error::{ConfigError, Location};

/// See the module documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) path: String,
    message: String,
    hint: Option<String>,
    /// Whether the key is at fault rather than its value.
    pub(super) is_about_key: bool,
    /// Other paths that must have been readable for this to be true.
    rests_on: Vec<String>,
}

impl Finding {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: None,
            is_about_key: false,
            rests_on: Vec::new(),
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn about_key(mut self) -> Self {
        self.is_about_key = true;
        self
    }

    /// It is a conclusion from what stands at these paths too: where one of them could not be read, it is not told.
    pub(super) fn resting_on(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.rests_on.extend(paths);
        self
    }

    pub(super) fn at(self, location: Location) -> ConfigError {
        ConfigError { location, path: self.path, message: self.message, hint: self.hint }
    }
}

/// Paths at which something stands that could not be read. Nothing is concluded from what was put in its place.
#[derive(Debug, Clone, Default)]
pub(super) struct Unreadable(Vec<String>);

impl Unreadable {
    pub(super) fn add(&mut self, path: impl Into<String>) {
        self.0.push(path.into());
    }

    /// Whether `path` itself, or something around it, could not be read.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.0.iter().any(|unreadable| is_within(path, unreadable))
    }

    /// Whether a finding would rest on something that could not be read.
    pub(super) fn clouds(&self, finding: &Finding) -> bool {
        let touches = |path: &str| self.0.iter().any(|one| is_within(path, one) || is_within(one, path));
        touches(&finding.path) || finding.rests_on.iter().any(|path| touches(path))
    }
}

/// Whether `path` is `outer` or lies inside it.
fn is_within(path: &str, outer: &str) -> bool {
    let rest = if outer.is_empty() { return true } else { path.strip_prefix(outer) };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_clouds_what_is_around_inside_and_concluded_from_it() {
        let mut unreadable = Unreadable::default();
        unreadable.add("endpoints[1].name");
        let clouded = |path: &str| unreadable.clouds(&Finding::new(path, ""));
        assert!(clouded("endpoints[1].name") && clouded("endpoints[1]") && clouded("endpoints"));
        assert!(!clouded("endpoints[1].name_of") && !clouded("endpoints[10].name") && !clouded("models[1]"));
        let concluded = Finding::new("models[0].endpoints[0].endpoint", "").resting_on(["endpoints".into()]);
        assert!(unreadable.clouds(&concluded));
        assert!(unreadable.covers("endpoints[1].name") && !unreadable.covers("endpoints[1]"));
    }
}
