//! Makes of a client's JSON Schema one that llguidance compiles without leaving anything out: what it cannot express is
//! refused by name, what it takes more loosely than validators do is made strict, what would cost too much is refused.
//!
//! By hand because it is llguidance's gaps that are closed here. They are: a keyword that it does not know is ignored,
//! numbers may have exponents and digits that no reader holds, `date` knows no leap years, `minProperties` counts a name
//! twice, references leave the document's pointers undecoded and patterns are Rust's.
//! <https://json-schema.org/draft/2020-12/json-schema-validation>

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::pattern::{self, Refusal};
use crate::EngineError;

/// Characters of all names and texts, with some for each value. Real schemas have a few thousand.
const MAX_SIZE: usize = 256 * 1024;
/// Schemas inside schemas, references followed. llguidance's compiler recurses as deep, with some KiB of stack a level.
const MAX_DEPTH: usize = 64;
/// The most items, properties or characters that a schema may count to. More than an answer's tokens could hold.
const MAX_COUNT: u64 = 1_000_000;
/// How many patterns may meet in one string. The matcher's work doubles with each; at 14 it took half a second.
const MAX_MEETING: usize = 8;
/// 2^53 - 1: beyond it readers that hold numbers as doubles no longer tell integers apart.
const MAX_NUMBER: i64 = 9_007_199_254_740_991;
/// Fraction digits of a number, so that a small model does not write threes for ever. llguidance counts the steps between
/// multiples in 32 bits, which hold no more.
const FRACTION_DIGITS: u32 = 8;
/// For the same reason the largest step, in units of its last digit.
const MAX_STEP: f64 = 300_000_000.0;
/// Decimal digits that a double holds whatever they are, less one for a carry. At an exclusive bound no more are written,
/// or a number beside the bound would be read as the bound.
const EXACT_DIGITS: u32 = 14;
/// 10^-n, each the double nearest to it.
const STEPS: [f64; FRACTION_DIGITS as usize + 1] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8];
/// The definition of any value at all.
const ANY: &str = "any";

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
/// What llguidance checks as validators do. Not in the list: formats that have no regular language or that nobody checks.
const FORMATS: [&str; 5] = ["duration", "ipv4", "ipv6", "uuid", "uri"];
/// These say nothing about which values are valid.
const ANNOTATIONS: [&str; 20] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$anchor",
    "$vocabulary",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
    "externalDocs",
];
/// What names a schema's own type of value, besides `type`.
const STRUCTURE: [&str; 21] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "minProperties",
    "maxProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "additionalItems",
    "uniqueItems",
];

/// RFC 3339's full-date, leap years as they are.
const DATE: &str = concat!(
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))",
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
);
/// RFC 3339's full-time without leap seconds, which are valid at a few known instants only.
const TIME: &str =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

/// At most 231 characters, 63 of them before the `@`: RFC 5321 counts, which an expression cannot.
const EMAIL: &str = concat!(
    "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,31}(?:[.][a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,31})?@",
    "[a-zA-Z0-9]{1,20}(?:-[a-zA-Z0-9]{1,20})?(?:[.][a-zA-Z0-9]{1,20}(?:-[a-zA-Z0-9]{1,20})?){1,3}"
);
/// At most 251 characters of the 253, and no two dashes together, which would begin an encoded name.
const HOSTNAME: &str =
    "[a-zA-Z0-9]{1,20}(?:-[a-zA-Z0-9]{1,20})?(?:[.][a-zA-Z0-9]{1,20}(?:-[a-zA-Z0-9]{1,20})?){0,5}";

/// Any JSON value whose numbers every reader holds.
pub(super) fn any_object() -> Value {
    json!({"type": "object", "additionalProperties": any(), "$defs": {ANY: any_definition()}})
}

fn any() -> Value {
    json!({"$ref": format!("#/$defs/{ANY}")})
}

fn any_definition() -> Value {
    let mut number = Map::from_iter([("type".to_owned(), json!("number"))]);
    bound_numbers(&mut number, true);
    json!({"anyOf": [
        {"type": "null"}, {"type": "boolean"}, number, {"type": "string"},
        {"type": "array", "items": any()}, {"type": "object", "additionalProperties": any()},
    ]})
}

/// What llguidance is to compile. `param` names the field that carries the schema, for errors.
///
/// # Errors
/// [`EngineError::Invalid`] where it is no schema, has no finite value or is too large; [`EngineError::UnsupportedSchema`]
/// names what cannot be expressed.
pub(super) fn rewrite(schema: &Value, param: &str) -> Result<Value, EngineError> {
    let mut weight = 0;
    if weigh(schema, 0, &mut weight).is_none() {
        return Err(EngineError::invalid(
            param,
            format!(
                "{param}: expected a schema of at most {MAX_SIZE} characters and {MAX_DEPTH} levels; split it or leave out what is not needed"
            ),
        ));
    }
    let mut rewriter = Rewriter {
        root: schema,
        param,
        path: "#".to_owned(),
        depth: 0,
        intersects: intersects(schema),
        names: HashMap::new(),
        definitions: Map::from_iter([(ANY.to_owned(), any_definition())]),
    };
    let mut rewritten = rewriter.schema(schema)?;
    let mut definitions = rewriter.definitions;
    let finite = finite_definitions(&definitions);
    definitions.retain(|name, _| finite.contains(name));
    definitions.values_mut().chain([&mut rewritten]).for_each(|schema| cut_endless(schema, &finite));
    if !is_finite(&rewritten, &finite) {
        return Err(EngineError::invalid(
            param,
            format!(
                "{param}: expected a schema that some value satisfies; a required part is false or contains itself without end"
            ),
        ));
    }
    let mut meeting = Meeting { definitions: &definitions, known: HashMap::new() };
    if meeting.of(&rewritten) > MAX_MEETING {
        return Err(EngineError::invalid(
            param,
            format!(
                "{param}: expected at most {MAX_MEETING} patterns that hold for the same text; join some"
            ),
        ));
    }
    let mut root = match rewritten {
        Value::Object(root) => root,
        _ => Map::from_iter([("$ref".to_owned(), json!(format!("#/$defs/{ANY}")))]),
    };
    root.insert("$defs".to_owned(), Value::Object(definitions));
    Ok(Value::Object(root))
}

/// Adds up the schema's size; `None` once it is too large or too deep. A schema level takes two levels of JSON.
fn weigh(value: &Value, depth: usize, weight: &mut usize) -> Option<()> {
    *weight += match value {
        Value::String(text) => text.len() + 8,
        Value::Object(map) => map.keys().map(|key| key.len() + 8).sum(),
        _ => 8,
    };
    if depth > 2 * MAX_DEPTH || *weight > MAX_SIZE {
        return None;
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| weigh(item, depth + 1, weight)),
        Value::Object(map) => map.values().try_for_each(|item| weigh(item, depth + 1, weight)),
        _ => Some(()),
    }
}

/// Whether llguidance has to intersect schemas. There it must meet its own "anything", for which intersection ends at
/// once, rather than [`any_definition`], which contains itself. The price: values that such a schema says nothing about may
/// hold numbers with exponents, beyond a double's range if a model writes any.
pub(super) fn intersects(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(intersects),
        Value::Object(map) => {
            let applied = ["anyOf", "oneOf", "$ref"].iter().filter(|key| map.contains_key(**key)).count();
            let all = map.get("allOf").and_then(Value::as_array).map_or(0, Vec::len);
            let structured = STRUCTURE.iter().any(|key| map.contains_key(*key));
            applied + all + usize::from(structured) > 1
                || (map.contains_key("patternProperties") && map.contains_key("properties"))
                || map.values().any(intersects)
        }
        _ => false,
    }
}

struct Rewriter<'a> {
    root: &'a Value,
    param: &'a str,
    /// Where in the client's schema.
    path: String,
    depth: usize,
    intersects: bool,
    /// The client's pointers, and what their targets are called now.
    names: HashMap<String, String>,
    definitions: Map<String, Value>,
}

impl Rewriter<'_> {
    fn wrong(&self, message: impl std::fmt::Display) -> EngineError {
        EngineError::invalid(self.param, format!("{} at {}: {message}", self.param, shorten(&self.path)))
    }

    fn unsupported(&self, keyword: &str) -> EngineError {
        EngineError::UnsupportedSchema {
            param: self.param.to_owned(),
            keyword: shorten(keyword),
            path: shorten(&self.path),
        }
    }

    fn expected<T>(&self, value: Option<T>, keyword: &str, what: &str) -> Result<T, EngineError> {
        value.ok_or_else(|| self.wrong(format_args!("expected {keyword} to be {what}")))
    }

    /// Does something one level further down.
    fn at<T>(
        &mut self,
        segment: &str,
        act: impl FnOnce(&mut Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(segment);
        let done = act(self);
        // The path stays where an error happened, which ends the work anyway.
        if done.is_ok() {
            self.path.truncate(length);
        }
        done
    }

    fn schema(&mut self, value: &Value) -> Result<Value, EngineError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(format_args!(
                "expected at most {MAX_DEPTH} schemas inside one another, references followed"
            )));
        }
        let rewritten = match value {
            Value::Bool(true) => self.anything(),
            Value::Bool(false) => Value::Bool(false),
            Value::Object(keywords) => self.keywords(keywords)?,
            _ => return Err(self.wrong("expected a schema, which is an object or a boolean")),
        };
        self.depth -= 1;
        Ok(rewritten)
    }

    fn anything(&self) -> Value {
        if self.intersects { Value::Bool(true) } else { any() }
    }

    fn keywords(&mut self, keywords: &Map<String, Value>) -> Result<Value, EngineError> {
        let mut out = Map::new();
        for (keyword, value) in keywords {
            if ANNOTATIONS.contains(&keyword.as_str()) || keyword.starts_with("x-") {
                continue;
            }
            self.keyword(keyword, value, keywords, &mut out)?;
        }
        if out.is_empty() {
            return Ok(self.anything());
        }
        self.complete(&mut out)?;
        Ok(Value::Object(out))
    }

    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        all: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) -> Result<(), EngineError> {
        let rewritten = match keyword {
            "type" => self.types(value)?,
            "properties" | "patternProperties" => self.properties(keyword, value)?,
            "additionalProperties" => self.at(keyword, |inner| inner.schema(value))?,
            // Up to draft 2019-09 a list of items is what `prefixItems` is now.
            "items" if value.is_array() => {
                let items = self.schemas(keyword, value)?;
                out.insert("prefixItems".to_owned(), items);
                return Ok(());
            }
            "items" => self.at(keyword, |inner| inner.schema(value))?,
            "additionalItems" => {
                if all.get("items").is_some_and(Value::is_array) {
                    let items = self.at(keyword, |inner| inner.schema(value))?;
                    out.insert("items".to_owned(), items);
                }
                return Ok(());
            }
            "prefixItems" | "anyOf" | "oneOf" => self.schemas(keyword, value)?,
            "allOf" => {
                let schemas = self.schemas(keyword, value)?;
                require_all(out, schemas.as_array().cloned().unwrap_or_default());
                return Ok(());
            }
            "enum" => {
                let values = self.expected(
                    value.as_array().filter(|values| !values.is_empty()),
                    keyword,
                    "a list of at least one value",
                )?;
                values.iter().try_for_each(|value| self.literal(keyword, value))?;
                value.clone()
            }
            "const" => {
                self.literal(keyword, value)?;
                value.clone()
            }
            "required" => {
                let names = value.as_array().filter(|names| names.iter().all(Value::is_string));
                self.expected(names, keyword, "a list of names")?;
                value.clone()
            }
            "minProperties" | "maxProperties" | "minItems" | "maxItems" | "minLength" | "maxLength" => {
                json!(self.count(keyword, value)?)
            }
            "minimum" | "maximum" => {
                self.expected(value.as_f64(), keyword, "a number")?;
                value.clone()
            }
            "exclusiveMinimum" | "exclusiveMaximum" => {
                // In draft 4 it says whether the plain bound is exclusive.
                let plain = if keyword == "exclusiveMinimum" { "minimum" } else { "maximum" };
                match value {
                    Value::Bool(false) => return Ok(()),
                    Value::Bool(true) => self.expected(all.get(plain), plain, "given as well")?.clone(),
                    value => {
                        self.expected(value.as_f64(), keyword, "a number")?;
                        value.clone()
                    }
                }
            }
            "multipleOf" => {
                let step = value.as_f64().filter(|step| *step > 0.0);
                if !is_countable(self.expected(step, keyword, "a number above 0")?) {
                    return Err(self.unsupported(keyword));
                }
                value.clone()
            }
            "uniqueItems" => match self.expected(value.as_bool(), keyword, "a boolean")? {
                true => return Err(self.unsupported(keyword)),
                false => return Ok(()),
            },
            "pattern" => {
                let pattern = self.expected(value.as_str(), keyword, "a regular expression")?;
                Value::String(self.pattern(keyword, pattern)?)
            }
            "format" => return self.format(value, all.get("type"), out),
            "$ref" => self.reference(value)?,
            unknown => return Err(self.unsupported(unknown)),
        };
        out.insert(keyword.to_owned(), rewritten);
        Ok(())
    }

    fn types(&self, value: &Value) -> Result<Value, EngineError> {
        let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
        let is_known = match value {
            Value::Array(names) => !names.is_empty() && names.iter().all(known),
            name => known(name),
        };
        if is_known {
            Ok(value.clone())
        } else {
            Err(self.wrong(format_args!("expected type to be one or several of {}", TYPES.join(", "))))
        }
    }

    fn properties(&mut self, keyword: &str, value: &Value) -> Result<Value, EngineError> {
        let properties = self.expected(value.as_object(), keyword, "an object of schemas")?;
        self.at(keyword, |inner| {
            let rewrite = |(name, schema): (&String, &Value)| {
                inner.at(name, |inner| {
                    let name =
                        if keyword == "properties" { name.clone() } else { inner.pattern(keyword, name)? };
                    Ok((name, inner.schema(schema)?))
                })
            };
            let rewritten: Result<Map<_, _>, _> = properties.iter().map(rewrite).collect();
            rewritten.map(Value::Object)
        })
    }

    fn schemas(&mut self, keyword: &str, value: &Value) -> Result<Value, EngineError> {
        let schemas = value.as_array().filter(|schemas| !schemas.is_empty());
        let schemas = self.expected(schemas, keyword, "a list of at least one schema")?;
        self.at(keyword, |inner| {
            let rewrite =
                |(index, schema): (usize, &Value)| inner.at(&index.to_string(), |inner| inner.schema(schema));
            let rewritten: Result<Vec<_>, _> = schemas.iter().enumerate().map(rewrite).collect();
            rewritten.map(Value::Array)
        })
    }

    fn count(&self, keyword: &str, value: &Value) -> Result<u64, EngineError> {
        // 2.0 is an integer to JSON Schema.
        let whole = |number: f64| (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
        let count = value.as_u64().or_else(|| value.as_f64().and_then(whole));
        let count = self.expected(count, keyword, "a whole number from 0")?;
        if count > MAX_COUNT {
            return Err(self.wrong(format_args!("expected {keyword} to be at most {MAX_COUNT}, got {count}")));
        }
        Ok(count)
    }

    /// Refuses numbers that would be written otherwise than they were given.
    fn literal(&self, keyword: &str, value: &Value) -> Result<(), EngineError> {
        match value {
            Value::Number(number) => {
                let exact = number.as_f64().is_some_and(|number| number.abs() <= MAX_NUMBER as f64);
                if exact { Ok(()) } else { Err(self.unsupported(keyword)) }
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.literal(keyword, item)),
            Value::Object(map) => map.values().try_for_each(|item| self.literal(keyword, item)),
            _ => Ok(()),
        }
    }

    fn pattern(&self, keyword: &str, pattern: &str) -> Result<String, EngineError> {
        pattern::translate(pattern).map_err(|refusal| match refusal {
            Refusal::Unsupported => self.unsupported(keyword),
            Refusal::TooLarge => self.wrong(format_args!(
                "expected {keyword} to hold a simpler regular expression; its repetitions multiply to too many states"
            )),
        })
    }

    fn format(
        &self,
        value: &Value,
        types: Option<&Value>,
        out: &mut Map<String, Value>,
    ) -> Result<(), EngineError> {
        let format = self.expected(value.as_str(), "format", "a name")?;
        // `int64` and the like: of numbers a format says nothing that the standard knows.
        let may_be_string = types.is_none_or(|types| match types {
            Value::Array(types) => types.iter().any(|name| name == "string"),
            name => name == "string",
        });
        if !may_be_string {
            return Ok(());
        }
        let strict = match format {
            "date" => DATE.to_owned(),
            "time" => TIME.to_owned(),
            "date-time" => format!("{DATE}T{TIME}"),
            "email" => EMAIL.to_owned(),
            "hostname" => HOSTNAME.to_owned(),
            format if FORMATS.contains(&format) => {
                out.insert("format".to_owned(), value.clone());
                return Ok(());
            }
            format => return Err(self.unsupported(format)),
        };
        // Beside a pattern of the client's own.
        require_all(out, vec![json!({"pattern": format!("^(?:{strict})$")})]);
        Ok(())
    }

    /// Gives the target a name of its own; llguidance resolves only plain pointers.
    fn reference(&mut self, value: &Value) -> Result<Value, EngineError> {
        let reference = self.expected(value.as_str(), "$ref", "a text")?;
        let pointer = match reference.strip_prefix('#').map(decode_percent) {
            Some(Some(pointer)) if pointer.is_empty() || pointer.starts_with('/') => pointer,
            // Other documents are never fetched; anchors are names that nobody uses in requests.
            _ => return Err(self.unsupported("$ref")),
        };
        if let Some(name) = self.names.get(&pointer) {
            return Ok(json!(format!("#/$defs/{name}")));
        }
        let Some(target) = self.root.pointer(&pointer) else {
            return Err(self.wrong(format_args!("nothing lies at {}, where $ref points", shorten(reference))));
        };
        let name = format!("s{}", self.names.len());
        self.names.insert(pointer.clone(), name.clone());
        let outside = std::mem::replace(&mut self.path, format!("#{pointer}"));
        let definition = self.schema(target)?;
        self.path = outside;
        let reference = json!(format!("#/$defs/{name}"));
        self.definitions.insert(name, definition);
        Ok(reference)
    }

    /// Says aloud what the standard implies, where llguidance implies something looser.
    fn complete(&self, out: &mut Map<String, Value>) -> Result<(), EngineError> {
        let literal = out.contains_key("enum") || out.contains_key("const");
        let structured = STRUCTURE.iter().any(|keyword| out.contains_key(*keyword));
        if !out.contains_key("type") {
            if !structured {
                return Ok(());
            }
            // Keywords of other types say nothing about this one.
            out.insert("type".to_owned(), json!(["null", "boolean", "number", "string", "array", "object"]));
        }
        let types: HashSet<String> = match &out["type"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            name => name.as_str().map(str::to_owned).into_iter().collect(),
        };
        if types.contains("object") {
            let required = out.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
            let least = out.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
            let open = out.get("additionalProperties") != Some(&Value::Bool(false))
                || out.contains_key("patternProperties");
            if open && least > required + 1 {
                return Err(self.unsupported("minProperties"));
            }
            if !self.intersects {
                out.entry("additionalProperties").or_insert_with(any);
            }
        }
        if types.contains("array") && !self.intersects {
            out.entry("items").or_insert_with(any);
        }
        if !literal && (types.contains("number") || types.contains("integer")) {
            self.bounds(out)?;
            bound_numbers(out, types.contains("number") && !self.intersects);
        }
        Ok(())
    }

    /// Drops bounds that [`bound_numbers`] makes narrower and refuses those beyond it.
    fn bounds(&self, out: &mut Map<String, Value>) -> Result<(), EngineError> {
        let limit = MAX_NUMBER as f64;
        for keyword in ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"] {
            let Some(bound) = out.get(keyword).and_then(Value::as_f64) else { continue };
            let outward = if keyword.ends_with("inimum") { -bound } else { bound };
            if outward >= limit {
                out.remove(keyword);
            } else if outward <= -limit {
                return Err(self.unsupported(keyword));
            }
        }
        Ok(())
    }
}

fn require_all(out: &mut Map<String, Value>, mut more: Vec<Value>) {
    match out.get_mut("allOf").and_then(Value::as_array_mut) {
        Some(all) => all.append(&mut more),
        None => {
            out.insert("allOf".to_owned(), Value::Array(more));
        }
    }
}

/// Keeps numbers to what every reader holds: no exponents, ±(2^53 - 1), [`FRACTION_DIGITS`].
fn bound_numbers(out: &mut Map<String, Value>, fractions: bool) {
    let bound = |keyword: &str| out.get(keyword).and_then(Value::as_f64);
    let exclusive = [bound("exclusiveMinimum"), bound("exclusiveMaximum")];
    let has_lower = exclusive[0].or(bound("minimum")).is_some();
    let has_upper = exclusive[1].or(bound("maximum")).is_some();
    if !has_lower {
        out.insert("minimum".to_owned(), json!(-MAX_NUMBER));
    }
    if !has_upper {
        out.insert("maximum".to_owned(), json!(MAX_NUMBER));
    }
    let exact = exclusive.into_iter().flatten().map(exact_fraction_digits).min();
    if (fractions || exact.is_some()) && !out.contains_key("multipleOf") {
        let digits = exact.unwrap_or(FRACTION_DIGITS).min(FRACTION_DIGITS) as usize;
        out.insert("multipleOf".to_owned(), json!(STEPS[digits]));
    }
}

/// Whether llguidance can tell the multiples of `step`.
fn is_countable(mut step: f64) -> bool {
    let mut digits = 0;
    while step.fract() != 0.0 && digits < FRACTION_DIGITS {
        step *= 10.0;
        digits += 1;
    }
    step.fract() == 0.0 && step <= MAX_STEP
}

/// With how many fraction digits numbers near `bound` are told from it.
fn exact_fraction_digits(bound: f64) -> u32 {
    let whole = bound.abs().max(1.0).log10().floor() as u32 + 1;
    EXACT_DIGITS.saturating_sub(whole)
}

/// The names of the definitions that some finite value satisfies: grows from those that need no others.
fn finite_definitions(definitions: &Map<String, Value>) -> HashSet<String> {
    let mut finite = HashSet::new();
    loop {
        let more: Vec<String> = definitions
            .iter()
            .filter(|(name, schema)| !finite.contains(*name) && is_finite(schema, &finite))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return finite;
        }
        finite.extend(more);
    }
}

/// Nothing satisfies what contains itself without end. A grammar would lead into it and find no way on.
fn cut_endless(schema: &mut Value, finite: &HashSet<String>) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| cut_endless(schema, finite)),
        Value::Object(keywords) if refers_to_endless(keywords, finite) => *schema = Value::Bool(false),
        Value::Object(keywords) => keywords
            .iter_mut()
            .filter(|(keyword, _)| !["const", "enum"].contains(&keyword.as_str()))
            .for_each(|(_, schema)| cut_endless(schema, finite)),
        _ => {}
    }
}

fn refers_to_endless(keywords: &Map<String, Value>, finite: &HashSet<String>) -> bool {
    let reference = keywords.get("$ref").and_then(Value::as_str);
    reference.is_some_and(|reference| !finite.contains(reference.trim_start_matches("#/$defs/")))
}

/// Counts how many patterns a text may have to match all at once.
struct Meeting<'a> {
    definitions: &'a Map<String, Value>,
    /// The definitions that were counted.
    known: HashMap<String, usize>,
}

impl Meeting<'_> {
    /// The most, or more, anywhere inside a rewritten schema.
    fn of(&mut self, schema: &Value) -> usize {
        let Some(keywords) = schema.as_object() else { return 0 };
        let own =
            usize::from(keywords.contains_key("pattern")) + usize::from(keywords.contains_key("format"));
        let (mut all, mut inside) = (own, 0);
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("allOf", Value::Array(schemas)) => {
                    all += schemas.iter().map(|schema| self.of(schema)).sum::<usize>();
                }
                ("anyOf" | "oneOf", Value::Array(schemas)) => all += self.most(schemas.iter()),
                ("$ref", Value::String(reference)) => all += self.definition(reference),
                // A property whose name fits a pattern has to satisfy both schemas.
                ("patternProperties", Value::Object(schemas)) => all += self.most(schemas.values()),
                ("properties", Value::Object(schemas)) => inside = inside.max(self.most(schemas.values())),
                ("prefixItems", Value::Array(schemas)) => inside = inside.max(self.most(schemas.iter())),
                ("items" | "additionalProperties", schema) => inside = inside.max(self.of(schema)),
                _ => {}
            }
        }
        all + inside
    }

    fn most<'v>(&mut self, schemas: impl Iterator<Item = &'v Value>) -> usize {
        schemas.map(|schema| self.of(schema)).max().unwrap_or(0)
    }

    fn definition(&mut self, reference: &str) -> usize {
        let name = reference.trim_start_matches("#/$defs/");
        if let Some(count) = self.known.get(name) {
            return *count;
        }
        // A definition inside itself adds nothing to itself.
        self.known.insert(name.to_owned(), 0);
        let count = self.definitions.get(name).map_or(0, |schema| self.of(schema));
        self.known.insert(name.to_owned(), count);
        count
    }
}

/// Whether some finite value may satisfy a rewritten schema, going by what is required.
fn is_finite(schema: &Value, finite: &HashSet<String>) -> bool {
    let Some(keywords) = schema.as_object() else { return schema != &Value::Bool(false) };
    let list = |keyword: &str| keywords.get(keyword).and_then(Value::as_array);
    if refers_to_endless(keywords, finite) {
        return false;
    }
    if list("allOf").is_some_and(|all| !all.iter().all(|schema| is_finite(schema, finite))) {
        return false;
    }
    for keyword in ["anyOf", "oneOf"] {
        if list(keyword).is_some_and(|some| !some.iter().any(|schema| is_finite(schema, finite))) {
            return false;
        }
    }
    if keywords.contains_key("enum") || keywords.contains_key("const") {
        return true;
    }
    let is_type = |name: &str| match name {
        "object" => object_is_finite(keywords, finite),
        "array" => array_is_finite(keywords, finite),
        _ => true,
    };
    match keywords.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is_type),
        Some(Value::String(name)) => is_type(name),
        _ => true,
    }
}

fn object_is_finite(keywords: &Map<String, Value>, finite: &HashSet<String>) -> bool {
    let others = keywords.get("additionalProperties").is_none_or(|schema| is_finite(schema, finite));
    let patterns = keywords.contains_key("patternProperties");
    let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
    required.filter_map(Value::as_str).all(|name| {
        let property = keywords.get("properties").and_then(|properties| properties.get(name));
        property.map_or(others || patterns, |schema| is_finite(schema, finite))
    })
}

fn array_is_finite(keywords: &Map<String, Value>, finite: &HashSet<String>) -> bool {
    let least = keywords.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
    let first = keywords.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let others = || keywords.get("items").is_none_or(|schema| is_finite(schema, finite));
    first.iter().take(least).all(|schema| is_finite(schema, finite)) && (least <= first.len() || others())
}

/// `None` where a percent sign does not begin an escape or the bytes are no text.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What of the client's own words fits into a message.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
