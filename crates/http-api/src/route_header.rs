//! The header `x-uat-route`: what a client wants of whoever answers, where the router chooses.

use http::HeaderValue;
use llm_wire::WireError;
use runtime::RouteAsk;

use crate::headers::UAT_ROUTE;

/// Reads `capability=tools, capability=vision, max-latency-ms=2000, max-cost-usd=0.01, task=code`; every part may be missing, and
/// only a capability may stand there twice. `None`: nothing is wanted.
///
/// # Errors
/// [`WireError::Invalid`] for anything else.
pub(crate) fn route_ask(value: &HeaderValue) -> Result<Option<Box<RouteAsk>>, WireError> {
    let text = value.to_str().map_err(|_| refused(&String::from_utf8_lossy(value.as_bytes())))?;
    let mut ask = Box::<RouteAsk>::default();
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
            _ => false,
        };
        if !is_new {
            return Err(refused(part));
        }
    }
    Ok((*ask != RouteAsk::default()).then_some(ask))
}

fn amount(part: &str, value: &str) -> Result<f64, WireError> {
    let amount = value.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount >= 0.0);
    amount.ok_or_else(|| refused(part))
}

fn refused(part: &str) -> WireError {
    WireError::Invalid {
        field: UAT_ROUTE.to_string(),
        expected: "capability=WORD, max-latency-ms=NUMBER, max-cost-usd=NUMBER or task=WORD, with commas between them"
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
