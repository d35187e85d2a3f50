//! YAML 1.2 with its core schema: `no` and `on` are text. What would make a document something else than a tree of plain
//! values is refused: aliases (of which a few lines can make gigabytes), tags, keys that are no text, a second document.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

use super::{ConfigError, Location, Text, Writer, inside};

/// The configuration's own tables are four deep; the parser itself does not recurse, what is done with the tree does.
const DEEPEST: usize = 64;

pub(super) fn read(text: &str, writer: Writer<'_>) -> Result<Text, Vec<ConfigError>> {
    let mut reader = Reader { events: Parser::new_from_str(text), writer, documents: 0 };
    match reader.document() {
        Ok(tree) => reader.writer.finish(tree),
        Err(error) => Err(vec![error]),
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    writer: Writer<'a>,
    documents: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value, ConfigError> {
        let mut tree = Value::Null;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(_) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        return Err(self.broken(span, "a second document begins here: expected one"));
                    }
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
                content => tree = self.value(content, span, "", 0)?,
            }
        }
        Ok(tree)
    }

    fn value(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &str,
        depth: usize,
    ) -> Result<Value, ConfigError> {
        if depth > DEEPEST {
            return Err(self.broken(span, "tables and lists lie too deep inside each other"));
        }
        Ok(match event {
            Event::MappingStart(_, None) => self.table(path, depth)?,
            Event::SequenceStart(_, None) => self.list(path, depth)?,
            Event::Scalar(text, style, _, None) => match scalar(&text, style) {
                Some(value) => value,
                None => self.writer.refuse(path, self.at(span), "expected a finite number"),
            },
            Event::Alias(_) => {
                let message = "aliases (`*name`) are not read: write the value out";
                self.writer.refuse(path, self.at(span), message)
            }
            _ => return Err(self.broken(span, "tags (`!name`) are not read")),
        })
    }

    fn table(&mut self, path: &str, depth: usize) -> Result<Value, ConfigError> {
        let mut out = Map::new();
        loop {
            let (key, at) = match self.next()? {
                Some((Event::MappingEnd, _)) => return Ok(Value::Object(out)),
                Some((Event::Scalar(key, ..), span)) => (key, self.at(span)),
                Some((_, span)) => return Err(self.broken(span, "a key must be text")),
                None => return Err(self.cut_off()),
            };
            let inner = inside(path, &key);
            let Some((event, span)) = self.next()? else { return Err(self.cut_off()) };
            if out.contains_key(&*key) {
                self.writer.refuse_second(&inner, at);
                // Read, so that what follows is understood; what it says does not count.
                self.value(event, span, &inner, depth + 1)?;
                continue;
            }
            let value_at = self.at(span);
            self.writer.remember(&inner, at, value_at);
            let value = self.value(event, span, &inner, depth + 1)?;
            out.insert(key.into_owned(), value);
        }
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, ConfigError> {
        let mut out = Vec::new();
        loop {
            let (event, span) = match self.next()? {
                Some((Event::SequenceEnd, _)) => return Ok(Value::Array(out)),
                Some(next) => next,
                None => return Err(self.cut_off()),
            };
            let inner = format!("{path}[{}]", out.len());
            let at = self.at(span);
            self.writer.remember(&inner, at.clone(), at);
            out.push(self.value(event, span, &inner, depth + 1)?);
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ConfigError> {
        self.events.next_event().transpose().map_err(|error| {
            let marker = error.marker();
            let location = self.writer.lines.written(marker.line(), marker.col() + 1);
            self.writer.broken(location, "YAML", error.info())
        })
    }

    fn at(&self, span: Span) -> Location {
        self.writer.lines.written(span.start.line(), span.start.col() + 1)
    }

    fn broken(&self, span: Span, message: &str) -> ConfigError {
        self.writer.broken(self.at(span), "YAML", message)
    }

    fn cut_off(&self) -> ConfigError {
        self.writer.broken(self.writer.lines.at(usize::MAX), "YAML", "the document ends too early")
    }
}

/// The core schema's reading of a scalar, <https://yaml.org/spec/1.2.2/#103-core-schema>; nothing for numbers that are none
/// here. Written here because the crate that resolves them would also follow aliases.
fn scalar(text: &str, style: ScalarStyle) -> Option<Value> {
    if style != ScalarStyle::Plain {
        return Some(Value::from(text));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return Some(i64::from_str_radix(digits, 16).map_or_else(|_| Value::from(text), Value::from));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return Some(i64::from_str_radix(digits, 8).map_or_else(|_| Value::from(text), Value::from));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<i64>().map(Value::from);
        return number.or_else(|_| text.parse::<u64>().map(Value::from)).ok();
    }
    // Rust reads `infinity` and the like as numbers too.
    let is_float = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    match text.parse::<f64>() {
        Ok(number) if is_float => Number::from_f64(number).map(Value::from),
        _ => Some(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_read_as_the_core_schema_says() {
        let plain = |text: &str| scalar(text, ScalarStyle::Plain);
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("no", json!("no")),
            ("7", json!(7)),
            ("+7", json!(7)),
            ("-7", json!(-7)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0x10", json!(16)),
            ("0o10", json!(8)),
            ("0xyz", json!("0xyz")),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("127.0.0.1:8642", json!("127.0.0.1:8642")),
            ("infinity", json!("infinity")),
            ("nan", json!("nan")),
            ("-", json!("-")),
            ("1_000", json!("1_000")),
        ] {
            assert_eq!(plain(text), Some(value), "{text}");
        }
        for text in [".inf", "-.inf", ".nan", "1e999", "99999999999999999999"] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(scalar("7", ScalarStyle::DoubleQuoted), Some(json!("7")));
    }
}
