//! What a parameter is drawn from, as Optuna writes it.

use serde_json::{Map, Value as Json};

use crate::python;
use crate::study::Value;

/// See the module documentation.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// Real numbers.
    Float {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// Whether ratios count instead of differences.
        log: bool,
        /// Only `low`, `low + step`, and so on.
        step: Option<f64>,
    },
    /// Whole numbers.
    Int {
        /// The least.
        low: i64,
        /// The greatest.
        high: i64,
        /// Whether ratios count instead of differences.
        log: bool,
        /// Only `low`, `low + step`, and so on; at least 1.
        step: i64,
    },
    /// Things without an order.
    Categorical {
        /// At least one.
        choices: Vec<Value>,
    },
}

impl Distribution {
    /// What was written, or `None` where it cannot be. Optuna 3 joined the distributions of older versions, which their files may still name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let json = python::parse(text)?;
        let is = |name: &str| json.get("name").and_then(Json::as_str) == Some(name);
        let of = json.get("attributes")?.as_object()?;
        let flag = || of.get("log").and_then(Json::as_bool).unwrap_or(false);
        match () {
            () if is("FloatDistribution") => float(of, flag(), "step"),
            () if is("UniformDistribution") => float(of, false, ""),
            () if is("LogUniformDistribution") => float(of, true, ""),
            () if is("DiscreteUniformDistribution") => float(of, false, "q"),
            () if is("IntDistribution") => int(of, flag()),
            () if is("IntUniformDistribution") => int(of, false),
            () if is("IntLogUniformDistribution") => int(of, true),
            () if is("CategoricalDistribution") => {
                let choices: Vec<Value> = of.get("choices")?.as_array()?.iter().map(choice).collect();
                (!choices.is_empty()).then_some(Self::Categorical { choices })
            }
            () => None,
        }
    }

    /// What a number of Optuna's table stands for; `None` where it stands for nothing.
    pub(crate) fn value(&self, number: f64) -> Option<Value> {
        match self {
            Self::Float { .. } => Some(Value::Number(number)),
            Self::Int { .. } => (number.fract() == 0.0).then_some(Value::Number(number)),
            Self::Categorical { choices } => {
                let is_place = number >= 0.0 && number.fract() == 0.0;
                is_place.then(|| choices.get(number as usize)).flatten().cloned()
            }
        }
    }
}

fn float(of: &Map<String, Json>, log: bool, step: &str) -> Option<Distribution> {
    let number = |name: &str| python::number(of.get(name)?).filter(|number| number.is_finite());
    let step = match of.get(step) {
        None | Some(Json::Null) => None,
        Some(_) => Some(number(step).filter(|step| *step > 0.0)?),
    };
    let (low, high) = (number("low")?, number("high")?);
    (low <= high && !(log && low <= 0.0)).then_some(Distribution::Float { low, high, log, step })
}

fn int(of: &Map<String, Json>, log: bool) -> Option<Distribution> {
    let (low, high) = (of.get("low")?.as_i64()?, of.get("high")?.as_i64()?);
    // With `log` the step of older files says nothing.
    let step = of.get("step").and_then(Json::as_i64).filter(|_| !log).unwrap_or(1);
    (low <= high && step >= 1 && !(log && low < 1)).then_some(Distribution::Int { low, high, log, step })
}

fn choice(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Array(_) | Json::Object(_) => Value::Other(json.to_string()),
        Json::Number(_) | Json::String(_) => match (python::number(json), json) {
            (Some(number), _) => Value::Number(number),
            (None, Json::String(text)) => Value::Text(text.clone()),
            (None, _) => Value::Other(json.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, attributes: &str, expected: Option<Distribution>) {
        let text = format!(r#"{{"name": "{name}", "attributes": {attributes}}}"#);
        assert_eq!(Distribution::parse(&text), expected, "{text}");
    }

    #[test]
    fn distributions_of_every_version_are_understood() {
        let float = |low, high, log, step| Some(Distribution::Float { low, high, log, step });
        let int = |low, high, log, step| Some(Distribution::Int { low, high, log, step });
        check(
            "FloatDistribution",
            r#"{"low": 0, "high": 1.5, "log": false, "step": 0.5}"#,
            float(0.0, 1.5, false, Some(0.5)),
        );
        check("UniformDistribution", r#"{"low": -1.0, "high": 1.0}"#, float(-1.0, 1.0, false, None));
        check("LogUniformDistribution", r#"{"low": 1e-05, "high": 1.0}"#, float(1e-5, 1.0, true, None));
        check(
            "DiscreteUniformDistribution",
            r#"{"low": 0.0, "high": 1.0, "q": 0.25}"#,
            float(0.0, 1.0, false, Some(0.25)),
        );
        check("IntDistribution", r#"{"low": 1, "high": 9, "log": false, "step": 2}"#, int(1, 9, false, 2));
        check("IntUniformDistribution", r#"{"low": 1, "high": 9, "step": 1}"#, int(1, 9, false, 1));
        check("IntLogUniformDistribution", r#"{"low": 1, "high": 9, "step": 3}"#, int(1, 9, true, 1));
        let choices = vec![Value::None, Value::Number(f64::INFINITY), Value::Other("[1]".to_owned())];
        check(
            "CategoricalDistribution",
            r#"{"choices": [null, Infinity, [1]]}"#,
            Some(Distribution::Categorical { choices }),
        );
    }

    #[test]
    fn what_cannot_be_is_none() {
        for (name, attributes) in [
            ("FloatDistribution", r#"{"low": 2, "high": 1}"#),
            ("FloatDistribution", r#"{"low": 0, "high": NaN}"#),
            ("FloatDistribution", r#"{"low": 0, "high": 1, "log": true}"#),
            ("FloatDistribution", r#"{"low": 0, "high": 1, "step": -1}"#),
            ("IntDistribution", r#"{"low": 0.5, "high": 1}"#),
            ("IntDistribution", r#"{"low": 0, "high": 4, "step": 0}"#),
            ("CategoricalDistribution", r#"{"choices": []}"#),
            ("NormalDistribution", r#"{"low": 0, "high": 1}"#),
            ("FloatDistribution", "7"),
        ] {
            check(name, attributes, None);
        }
        let choices = vec![Value::Bool(true)];
        let one = Distribution::Categorical { choices };
        assert_eq!(
            (one.value(0.0), one.value(1.0), one.value(0.5), one.value(-1.0)),
            (Some(Value::Bool(true)), None, None, None)
        );
        assert_eq!(one.value(f64::NAN), None);
    }
}
