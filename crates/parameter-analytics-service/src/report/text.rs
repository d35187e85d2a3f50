//! Text and numbers as a page shows them.

use jiff::Timestamp;

use crate::space::{Domain, Value};

/// Letters of a line at most: longer names and values are cut.
pub(super) const LINE: usize = 120;
/// Letters beside or below a picture at most.
pub(super) const LABEL: usize = 18;

/// Text of others without what would change the text around it: control characters, and marks that turn the direction of writing (Unicode's
/// `Bidi_Control`), become U+FFFD. Cut after `most` letters. Escaping is the template's.
pub(super) fn clean(text: &str, most: usize) -> String {
    let turns = |letter: char| matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |letter: char| if letter.is_control() || turns(letter) { '\u{fffd}' } else { letter };
    let mut letters = text.chars();
    let mut cleaned: String = letters.by_ref().take(most).map(shown).collect();
    if letters.next().is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned
}

/// Four digits that count, without zeros at the end; with an exponent where it is shorter.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let exponent = value.abs().log10().floor();
    if (-4.0..6.0).contains(&exponent) {
        tidy(&format!("{value:.*}", (3.0 - exponent).max(0.0) as usize))
    } else {
        let scientific = format!("{value:.3e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        format!("{}e{exponent}", tidy(digits))
    }
}

/// Without zeros behind the point that say nothing.
pub(super) fn tidy(digits: &str) -> String {
    if !digits.contains('.') {
        return digits.to_owned();
    }
    let short = digits.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// With a comma between thousands.
pub(super) fn count(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 trial`, `1,200 trials`.
pub(super) fn trials(number: usize) -> String {
    format!("{} {}", count(number), if number == 1 { "trial" } else { "trials" })
}

/// What a parameter is set to.
pub(super) fn setting(value: &Value, most: usize) -> String {
    match value {
        Value::Number(value) => number(*value),
        Value::Bool(value) => value.to_string(),
        Value::Text(text) => clean(text, most),
    }
}

/// What a number of a point stands for; a dash where the parameter is not active.
pub(super) fn of_point(domain: &Domain, number: f64, most: usize) -> String {
    let value = (!number.is_nan()).then(|| domain.value(number)).flatten();
    value.map_or_else(|| "–".to_owned(), |value| setting(&value, most))
}

/// Ms since 1970 as a date and time of day in UTC.
pub(super) fn time(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{at_ms} ms"), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A unit for so many ms, how many ms it has, and its name.
pub(super) fn unit(ms: f64) -> (f64, &'static str) {
    match ms {
        ..2e3 => (1.0, "ms"),
        ..2e5 => (1e3, "s"),
        ..1.2e7 => (6e4, "min"),
        ..3e8 => (3.6e6, "h"),
        _ => (8.64e7, "days"),
    }
}

/// So many ms.
pub(super) fn duration(ms: f64) -> String {
    let (one, name) = unit(ms);
    format!("{} {name}", number(ms / one))
}
