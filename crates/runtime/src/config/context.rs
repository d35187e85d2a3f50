//! `[[context_providers]]` and `[context]`: what is added to requests that the router decides.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UatConfig;
use super::check::out_of_range;
use super::finding::Finding;

/// `[context]`: how much is added to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContextConfig {
    /// The most that is added to a request, tokens.
    #[schemars(range(min = 1))]
    pub max_tokens: u64,
}

impl Default for ContextConfig {
    /// Half of a window of 8,192 tokens, the smallest that models in use have: the request and its answer need room, too.
    fn default() -> Self {
        Self { max_tokens: 4096 }
    }
}

/// `[[context_providers]]`: something that is added to requests which the router decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextProviderConfig {
    /// What reports call it.
    pub name: Arc<str>,
    /// What it is.
    pub kind: ContextKind,
    /// Instructions: what the model is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Instructions: files that say it, instead of `text`. Passages: the texts that are searched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// The most that it adds, tokens; absent: as much as `[context]` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// Memory: exchanges of a session that are kept, 1 to 100; absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub turns: Option<u32>,
    /// Memory: how long an exchange is kept, s; absent: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_s: Option<u64>,
    /// Passages: how many are looked for, 1 to 50; absent: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub top: Option<u32>,
}

/// What a provider adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContextKind {
    /// A text of the operator, which the model is to follow.
    Instructions,
    /// The latest exchanges of the session that the request names.
    Memory,
    /// What the files say of the question.
    Passages,
}

/// The longest file, bytes. Its words are kept in memory; a handbook of a thousand pages takes 3 MB.
const LONGEST_FILE: u64 = 16 << 20;

pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(out_of_range("context.max_tokens", config.context.max_tokens, 1..=u64::MAX));
    let (mut names, mut memory) = (HashSet::new(), None);
    for (index, provider) in config.context_providers.iter().enumerate() {
        let path = format!("context_providers[{index}]");
        if provider.name.trim().is_empty() {
            let message = format!("`{path}.name`: expected a name, got nothing");
            found.push(Finding::new(format!("{path}.name"), message));
        } else if !names.insert(&provider.name) {
            let message = format!("there are two context providers `{}`", provider.name);
            found.push(Finding::new(format!("{path}.name"), message).hint("give one of them another name"));
        }
        if provider.kind == ContextKind::Memory
            && let Some(first) = memory.replace(&provider.name)
        {
            let message =
                format!("`{first}` is a memory already: expected one at most, got `{}`", provider.name);
            found.push(Finding::new(format!("{path}.kind"), message).hint("remove one of them"));
        }
        found.extend(foreign(provider, &path));
        found.extend(source(provider, &path));
        found.extend(files(provider, &path));
        let counts = [
            ("max_tokens", provider.max_tokens, 1..=u64::MAX),
            ("turns", provider.turns.map(u64::from), 1..=100),
            ("ttl_s", provider.ttl_s, 1..=31_536_000),
            ("top", provider.top.map(u64::from), 1..=50),
        ];
        found.extend(
            counts
                .into_iter()
                .filter_map(|(key, value, range)| out_of_range(format!("{path}.{key}"), value?, range)),
        );
    }
    found
}

/// Keys that say nothing of a provider of this kind.
fn foreign(provider: &ContextProviderConfig, path: &str) -> Vec<Finding> {
    use ContextKind::{Instructions, Memory, Passages};
    let ContextProviderConfig { name, kind, text, files, turns, ttl_s, top, .. } = provider;
    let keys: [(&str, bool, &[ContextKind]); 5] = [
        ("text", text.is_some(), &[Instructions]),
        ("files", !files.is_empty(), &[Instructions, Passages]),
        ("turns", turns.is_some(), &[Memory]),
        ("ttl_s", ttl_s.is_some(), &[Memory]),
        ("top", top.is_some(), &[Passages]),
    ];
    let foreign = keys.into_iter().filter(|(_, is_there, kinds)| *is_there && !kinds.contains(kind));
    let finding = |(key, _, kinds): (&str, bool, &[ContextKind])| {
        let of: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        let message = format!("`{name}` is of the kind {}, which has no `{key}`", kind.word());
        let hint = format!("remove it, or say kind = \"{}\"", of.join("\" or \""));
        Finding::new(format!("{path}.{key}"), message).about_key().hint(hint)
    };
    foreign.map(finding).collect()
}

/// What it adds must stand somewhere.
fn source(provider: &ContextProviderConfig, path: &str) -> Option<Finding> {
    let ContextProviderConfig { name, kind, text, files, .. } = provider;
    let is_blank = text.as_ref().is_some_and(|text| text.trim().is_empty());
    let (got, expected) = match (kind, text.is_some(), files.is_empty()) {
        (ContextKind::Instructions, false, true) => ("nothing", "`text` or `files`"),
        (ContextKind::Instructions, true, false) => ("both", "either `text` or `files`"),
        (ContextKind::Instructions, true, true) if is_blank => ("an empty `text`", "a text"),
        (ContextKind::Passages, _, true) => ("nothing", "`files`, the texts that are searched"),
        _ => return None,
    };
    Some(Finding::new(path, format!("context provider `{name}`: expected {expected}, got {got}")))
}

fn files(provider: &ContextProviderConfig, path: &str) -> Vec<Finding> {
    let wrong = provider.files.iter().enumerate().filter_map(|(index, file)| {
        let problem = match std::fs::metadata(file) {
            Ok(found) if !found.is_file() => "it is not a file".to_owned(),
            Ok(found) if found.len() > LONGEST_FILE => format!("it has {} MiB", found.len() >> 20),
            Ok(_) => return None,
            Err(error) => error.to_string(),
        };
        let message = format!(
            "context provider `{}`: expected a file of text of at most {} MiB, got `{}`: {problem}",
            provider.name,
            LONGEST_FILE >> 20,
            file.display()
        );
        let hint = "a path counts from the folder in which the program was started; write it from the root";
        Some(Finding::new(format!("{path}.files[{index}]"), message).hint(hint))
    });
    wrong.collect()
}

impl ContextKind {
    fn word(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Memory => "memory",
            Self::Passages => "passages",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigSource;

    fn refused(toml: &str) -> Vec<(String, String)> {
        let config: UatConfig = toml::from_str(toml).unwrap();
        let errors = config.validate().unwrap_err();
        errors.iter().map(|error| (error.path.clone(), error.to_string())).collect()
    }

    #[test]
    fn every_mistake_is_said_with_what_to_try() {
        let found = refused(
            r#"
            [context]
            max_tokens = 0
            [[context_providers]]
            name = "a"
            kind = "instructions"
            [[context_providers]]
            name = "a"
            kind = "memory"
            top = 3
            turns = 101
            [[context_providers]]
            name = "b"
            kind = "memory"
            [[context_providers]]
            name = "c"
            kind = "passages"
            files = ["/nowhere/handbook.md"]
            "#,
        );
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        let expected = [
            "context.max_tokens",
            "context_providers[0]",
            "context_providers[1].name",
            "context_providers[1].top",
            "context_providers[1].turns",
            "context_providers[2].kind",
            "context_providers[3].files[0]",
        ];
        assert_eq!(paths, expected);
        let words =
            ["`text` or `files`, got nothing", "has no `top`", "kind = \"passages\"", "/nowhere/handbook.md"];
        for words in words {
            assert!(found.iter().any(|(_, said)| said.contains(words)), "{words:?} is not in {found:#?}");
        }
    }

    #[test]
    fn an_unknown_kind_is_told_with_those_that_there_are() {
        let json = r#"{"context_providers":[{"name":"a","kind":"memmory"}]}"#.to_owned();
        let error = UatConfig::load(ConfigSource::Json(json), []).unwrap_err();
        assert_eq!(error.first().path, "context_providers[0].kind");
        assert!(error.to_string().contains("`memmory`; did you mean `memory`?"), "{error}");
    }
}
