//! For how long an endpoint asks to be left alone.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// OpenAI's and Azure's own, in milliseconds: finer than `Retry-After`, and so asked first, as OpenAI's clients do
/// (<https://github.com/openai/openai-python/blob/main/src/openai/_base_client.py>).
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The pause that an answer's headers ask for. `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3), which is
/// compared with our clock; one that is over is no pause at all. `None` where nothing or nonsense is said.
pub(crate) fn asked_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = text(&RETRY_AFTER_MS)
        .and_then(|ms| ms.parse::<f64>().ok())
        .and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    milliseconds.or_else(|| {
        let said = text(&header::RETRY_AFTER)?;
        match said.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => {
                let date = httpdate::parse_http_date(said).ok()?;
                Some(date.duration_since(now).unwrap_or_default())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// What these headers say at 08:49:37 of a day in 1994.
    fn check(headers: &[(&'static str, &'static str)], expected: Option<u64>) {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let map = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let pause = asked_pause(&map.collect(), now);
        assert_eq!(pause, expected.map(Duration::from_millis), "{headers:?}");
    }

    #[test]
    fn a_pause_is_said_in_seconds_in_milliseconds_or_as_a_date() {
        check(&[("retry-after", "7")], Some(7_000));
        check(&[("retry-after", " 0.25 ")], Some(250));
        check(&[("retry-after-ms", "1500")], Some(1_500));
        check(&[("retry-after", "2"), ("retry-after-ms", "1500")], Some(1_500));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")], Some(23_000));
        check(&[("retry-after", "Sunday, 06-Nov-94 08:50:00 GMT")], Some(23_000));
        check(&[("retry-after", "Sun Nov  6 08:50:00 1994")], Some(23_000));
    }

    #[test]
    fn a_date_that_is_over_is_no_pause() {
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0));
    }

    #[test]
    fn nonsense_is_as_good_as_nothing() {
        check(&[], None);
        for nonsense in ["-1", "NaN", "inf", "1e300", "soon", "", "Sun, 99 Nov 1994 08:50:00 GMT"] {
            check(&[("retry-after", nonsense)], None);
            check(&[("retry-after-ms", nonsense)], None);
        }
        check(&[("retry-after-ms", "soon"), ("retry-after", "3")], Some(3_000));
    }
}
