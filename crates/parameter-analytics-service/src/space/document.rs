//! A space in the words of `api.d.ts`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::space::value::LARGEST_WHOLE;
use crate::space::{Choice, Domain, Ordered, Parameter, Problem, Space, SpaceError, Value};

/// A space as it is written, not checked yet: `{"temperature": {"type": "float", "low": 0, "high": 2}}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpaceDocument(Ordered<Spec>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choices: Option<Vec<Value>>,
    /// Of `choices`; only what this crate has written has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<Ordered<Value>>,
}

impl TryFrom<SpaceDocument> for Space {
    type Error = SpaceError;

    fn try_from(SpaceDocument(Ordered(specs)): SpaceDocument) -> Result<Self, SpaceError> {
        let parameter = |(name, spec): (std::sync::Arc<str>, Spec)| {
            let when = spec.when.clone().unwrap_or_default().0;
            match domain(spec) {
                Ok(domain) => Ok(Parameter { name, domain, when }),
                Err(problem) => Err(SpaceError::Parameter { parameter: name, problem }),
            }
        };
        Self::new(specs.into_iter().map(parameter).collect::<Result<_, _>>()?)
    }
}

fn domain(spec: Spec) -> Result<Domain, Problem> {
    let foreign: &[(&'static str, bool)] = match &*spec.kind {
        "float" | "int" => &[("choices", spec.choices.is_some()), ("retired", !spec.retired.is_empty())],
        "categorical" => &[
            ("low", spec.low.is_some()),
            ("high", spec.high.is_some()),
            ("log", spec.log.is_some()),
            ("step", spec.step.is_some()),
        ],
        _ => return Err(Problem::Type(spec.kind)),
    };
    if let Some((field, _)) = foreign.iter().find(|(_, there)| *there) {
        return Err(Problem::Field { kind: spec.kind, field });
    }
    if spec.kind == "categorical" {
        let choices = spec.choices.unwrap_or_default();
        if let Some(unknown) = spec.retired.iter().find(|retired| !choices.contains(retired)) {
            return Err(Problem::NoSuchChoice(unknown.clone()));
        }
        let choice = |value| Choice { retired: spec.retired.contains(&value), value };
        return Ok(Domain::Categorical { choices: choices.into_iter().map(choice).collect() });
    }
    let (Some(low), Some(high)) = (spec.low, spec.high) else {
        return Err(Problem::NoRange);
    };
    let (low, high, log) = (number(low)?, number(high)?, spec.log.unwrap_or(false));
    let step = spec.step.map(number).transpose()?;
    match &*spec.kind {
        "float" => Ok(Domain::Float { low, high, log, step }),
        _ => Ok(Domain::Int { low: whole(low)?, high: whole(high)?, log, step: whole(step.unwrap_or(1.0))? }),
    }
}

fn number(value: Value) -> Result<f64, Problem> {
    match value {
        Value::Number(number) => Ok(number),
        other => Err(Problem::NotAValue(other)),
    }
}

fn whole(number: f64) -> Result<i64, Problem> {
    let is_whole = number.fract() == 0.0 && number.abs() < LARGEST_WHOLE;
    if is_whole { Ok(number as i64) } else { Err(Problem::NotFinite(number)) }
}

impl From<&Space> for SpaceDocument {
    fn from(space: &Space) -> Self {
        let spec = |parameter: &Parameter| {
            let when = (!parameter.when.is_empty()).then(|| Ordered(parameter.when.clone()));
            let spec = Spec { when, ..Spec::default() };
            match &parameter.domain {
                Domain::Float { low, high, log, step } => Spec {
                    kind: "float".to_owned(),
                    low: Some((*low).into()),
                    high: Some((*high).into()),
                    log: log.then_some(true),
                    step: step.map(Value::Number),
                    ..spec
                },
                Domain::Int { low, high, log, step } => Spec {
                    kind: "int".to_owned(),
                    low: Some((*low as f64).into()),
                    high: Some((*high as f64).into()),
                    log: log.then_some(true),
                    step: (*step != 1).then_some(Value::Number(*step as f64)),
                    ..spec
                },
                Domain::Categorical { choices } => Spec {
                    kind: "categorical".to_owned(),
                    choices: Some(choices.iter().map(|choice| choice.value.clone()).collect()),
                    retired: choices
                        .iter()
                        .filter(|choice| choice.retired)
                        .map(|choice| choice.value.clone())
                        .collect(),
                    ..spec
                },
            }
        };
        let specs = space.parameters().iter();
        Self(Ordered(specs.map(|parameter| (parameter.name.clone(), spec(parameter))).collect()))
    }
}

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SpaceDocument::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SpaceDocument::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl SpaceDocument {
    /// What another one has otherwise: a sentence for each parameter, and one for their order.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let text = |spec: &Spec| serde_json::to_string(spec).unwrap_or_default();
        let (Ordered(own), Ordered(given)) = (&self.0, &other.0);
        let find = |specs: &[(std::sync::Arc<str>, Spec)], name: &str| {
            specs.iter().find(|(other, _)| &**other == name).map(|(_, spec)| text(spec))
        };
        let mut found = Vec::new();
        for (name, spec) in own {
            match find(given, name) {
                None => found.push(format!("parameter `{name}` is missing")),
                Some(given) if given != text(spec) => {
                    found.push(format!("parameter `{name}` was {} and is {given} now", text(spec)));
                }
                Some(_) => {}
            }
        }
        let new = given.iter().filter(|(name, _)| find(own, name).is_none());
        found.extend(new.map(|(name, _)| format!("parameter `{name}` is new")));
        if found.is_empty() && self != other {
            found.push("the parameters are in another order".to_owned());
        }
        found
    }
}
