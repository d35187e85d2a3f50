//! The header `x-uat-route`: what a client wants of whoever answers, where the router chooses.

use http::HeaderValue;
use llm_wire::WireError;
use runtime::answer_check::{BadCheck, Check};
use runtime::{CascadeAsk, RouteAsk};

use crate::headers::UAT_ROUTE;

/// Reads `capability=tools, capability=vision, max-latency-ms=2000, max-cost-usd=0.01, task=code, cascade=self-consistency, k=5,
/// threshold=0.6`; every part may be missing, and only a capability may stand there twice. `None`: nothing is wanted.
///
/// # Errors
/// [`WireError::Invalid`] for anything else.
pub(crate) fn route_ask(value: &HeaderValue) -> Result<Option<Box<RouteAsk>>, WireError> {
    let text = value.to_str().map_err(|_| refused(&String::from_utf8_lossy(value.as_bytes())))?;
    let mut ask = Box::<RouteAsk>::default();
    let (mut cascade, mut k, mut threshold) = (None, None, None);
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| refused(part))?;
        let value = value.trim();
        let is_new = match name.trim() {
            "capability" if !value.is_empty() => {
                ask.capabilities.insert(value.into());
                true
            }
            "task" if !value.is_empty() => ask.task.replace(value.into()).is_none(),
            "max-latency-ms" => ask.constraints.max_latency_ms.replace(amount(part, value)?).is_none(),
            "max-cost-usd" => ask.constraints.max_cost_usd.replace(amount(part, value)?).is_none(),
            "cascade" if !value.is_empty() => cascade.replace(value).is_none(),
            "k" => k.replace(amount(part, value)?).is_none(),
            "threshold" => threshold.replace(amount(part, value)?).is_none(),
            _ => false,
        };
        if !is_new {
            return Err(refused(part));
        }
    }
    ask.cascade = match cascade {
        Some(check) => Some(CascadeAsk::Check(Check::read(check, k, threshold).map_err(bad_check)?)),
        None if k.is_some() || threshold.is_some() => return Err(refused("k or threshold without cascade")),
        None => None,
    };
    Ok((*ask != RouteAsk::default()).then_some(ask))
}

fn bad_check(BadCheck { field, expected, got }: BadCheck) -> WireError {
    WireError::Invalid { field: format!("{UAT_ROUTE}: {field}"), expected, got }
}

fn amount(part: &str, value: &str) -> Result<f64, WireError> {
    let amount = value.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount >= 0.0);
    amount.ok_or_else(|| refused(part))
}

fn refused(part: &str) -> WireError {
    WireError::Invalid {
        field: UAT_ROUTE.to_string(),
        expected: "capability=WORD, max-latency-ms=NUMBER, max-cost-usd=NUMBER, task=WORD, cascade=CHECK, k=NUMBER or threshold=NUMBER, with commas between them"
            .to_owned(),
        got: part.chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Option<Box<RouteAsk>>, WireError> {
        route_ask(&HeaderValue::from_static(text))
    }

    #[test]
    fn what_is_wanted_is_read_in_any_order() {
        let ask =
            read("max-cost-usd=0.01,capability=tools , capability = vision, task=code, max-latency-ms=2e3")
                .unwrap()
                .unwrap();
        assert_eq!(ask.capabilities, ["tools".into(), "vision".into()].into());
        let constraints = ask.constraints;
        assert_eq!((constraints.max_cost_usd, constraints.max_latency_ms), (Some(0.01), Some(2_000.0)));
        assert_eq!(ask.task.as_deref(), Some("code"));
        assert_eq!(read(" ,").unwrap(), None);
    }

    #[test]
    fn a_cascade_is_asked_for_with_the_numbers_of_its_check() {
        let cascade = |text| read(text).unwrap().unwrap().cascade;
        let check = |check| Some(CascadeAsk::Check(check));
        assert_eq!(cascade("cascade=on"), check(Check::Fitting));
        assert_eq!(cascade("threshold=0.5, cascade=logprob"), check(Check::Logprob { threshold: 0.5 }));
        let five = Check::SelfConsistency { k: 5, threshold: 0.8 };
        assert_eq!(cascade("cascade=self-consistency,k=5,threshold=0.8"), check(five));
        for (text, words) in [
            ("cascade=vote", "`on`, `schema`, `self-consistency`, `logprob`"),
            (
                "cascade=self-consistency, k=11",
                "x-uat-route: k: expected a whole number of answers from 2 to 10",
            ),
            ("cascade=self-consistency, threshold=2", "x-uat-route: threshold: expected a share"),
            ("cascade=schema, k=3", "expected nothing"),
            ("threshold=0.5", "without cascade"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in [
            "tools",
            "capability=",
            "max-cost-usd=-1",
            "max-cost-usd=inf",
            "max-latency-ms=soon",
            "colour=red",
            "task=a, task=b",
            "max-cost-usd=1, max-cost-usd=2",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains("x-uat-route"), "{error}");
        }
    }
}
