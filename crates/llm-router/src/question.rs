use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The word that leaves the choice among all models to the router.
const AUTO: &str = "auto";
/// What stands before a tier's name where a model's could stand.
const TIER: &str = "tier:";

/// Among which models is chosen: written `auto`, or `tier:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// All of them.
    Auto,
    /// Those of this tier.
    Tier(Arc<str>),
}

impl Target {
    /// What a client wrote where a model's name stands; `None`: it is such a name.
    pub fn parse(model: &str) -> Option<Self> {
        match model.strip_prefix(TIER) {
            Some(tier) => Some(Self::Tier(tier.into())),
            None => (model == AUTO).then_some(Self::Auto),
        }
    }

    /// Whether this is what [`parse`](Self::parse) reads, without reading it.
    pub fn is_target(model: &str) -> bool {
        model == AUTO || model.starts_with(TIER)
    }

    /// The tier, or `auto`.
    pub fn tier(&self) -> &str {
        match self {
            Self::Auto => AUTO,
            Self::Tier(tier) => tier,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Tier(tier) => write!(f, "{TIER}{tier}"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("expected auto or tier:NAME, got `{text}`"))
    }
}

/// What is asked, as far as it decides on who answers. Plain data, without a word of the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Among whom is chosen.
    pub target: Target,
    /// How long the prompt is.
    pub prompt_tokens: PromptTokens,
    /// The longest answer that is wanted, in tokens; `None`: nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What the model must be able to do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<Arc<str>>,
    /// What the answer may take.
    #[serde(default)]
    pub constraints: Constraints,
    /// The models that may be asked; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<BTreeSet<Arc<str>>>,
    /// The kind of task, if somebody knows it: a tier of that name fits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Arc<str>>,
    /// A cheap model is to be asked before the best one, so many times; `None`: the best one is asked at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade: Option<u32>,
}

impl Question {
    /// A prompt of so many tokens, and nothing else.
    pub fn new(target: Target, prompt_tokens: u64) -> Self {
        Self {
            target,
            prompt_tokens: PromptTokens { tokens: prompt_tokens, is_estimate: false },
            output_tokens: None,
            capabilities: BTreeSet::new(),
            constraints: Constraints::default(),
            allowed: None,
            class: None,
            cascade: None,
        }
    }

    /// Whether this model may be asked.
    pub(crate) fn allows(&self, model: &str) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(model))
    }
}

/// The length of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptTokens {
    /// Tokens.
    pub tokens: u64,
    /// Nobody counted: there are not more than these.
    pub is_estimate: bool,
}

/// What an answer may take; each absent one allows anything.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraints {
    /// Until the answer is whole; ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
    /// USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_from_a_models_name() {
        assert_eq!(Target::parse("auto"), Some(Target::Auto));
        assert_eq!(Target::parse("tier:fast"), Some(Target::Tier("fast".into())));
        for name in ["", "automatic", "Auto", "tier", "llama3.2:3b", "gpt-5"] {
            assert_eq!(Target::parse(name), None, "{name}");
        }
        for text in ["auto", "tier:", "tier:a:b", "gpt-5"] {
            assert_eq!(Target::parse(text).is_some(), Target::is_target(text), "{text}");
            assert!(Target::parse(text).is_none_or(|target| target.to_string() == text));
        }
    }
}
