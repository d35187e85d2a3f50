use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Map, json};

use super::*;

const EOS: u32 = 256;
const CONTROL: u32 = 257;
const PARAM: &str = "response_format.json_schema.schema";

/// Every byte, an end, a control token whose name is good JSON, and tokens of several bytes that cross JSON's own.
fn vocabulary() -> Vocabulary {
    let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let words = [
        "</s>", "true", "\"", "{\"", "\":", "\",\"", "\"}", "\"]", "}}", "]}", "null", "false", "12", "0.",
        "ab", "the ", "[{", "},{", "é", "\\n", "2024-", "@", "a.b", "\n  ", " \"", "\\u", "€uro",
    ];
    pieces.extend(words.map(|word| word.as_bytes().to_vec()));
    Vocabulary::new(pieces, |id| id == CONTROL, EOS, &[EOS]).expect("a vocabulary")
}

fn piece(id: u32) -> Vec<u8> {
    vocabulary().env.tok_trie().token(id).to_vec()
}

fn allowed(constraint: &mut Constraint) -> Vec<u32> {
    let mask = constraint.mask().expect("a mask").expect("is constrained").to_vec();
    let bits = |(word, bits): (usize, &u32)| {
        let bits = *bits;
        (0..32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word as u32 * 32 + bit)
    };
    mask.iter().enumerate().flat_map(bits).collect()
}

/// Writes an answer out of tokens that are chosen at random among those allowed, in more and more haste to end; `None`
/// where it is not finished after `limit` tokens.
fn walk(vocabulary: &Vocabulary, mut constraint: Constraint, rng: &mut Rng, limit: usize) -> Option<String> {
    let trie = vocabulary.env.tok_trie();
    let mut text = Vec::new();
    for step in 0..limit {
        let allowed = allowed(&mut constraint);
        assert!(!allowed.is_empty() && !allowed.contains(&CONTROL));
        let haste = 0.2 + 0.8 * step as f64 / limit as f64;
        if allowed.contains(&EOS) && (allowed.len() == 1 || rng.f64() < 0.5 + haste / 2.0) {
            constraint.commit(EOS).expect("the end is allowed");
            assert!(constraint.is_complete());
            return Some(String::from_utf8(text).expect("whole characters"));
        }
        let closing: Vec<u32> =
            allowed.iter().copied().filter(|id| b"\"]},:".contains(&trie.token(*id)[0])).collect();
        let plain: Vec<u32> =
            allowed.iter().copied().filter(|id| trie.token(*id)[0].is_ascii_graphic()).collect();
        let choices = match (closing.is_empty(), plain.is_empty()) {
            (false, _) if rng.f64() < haste => closing,
            (_, false) if rng.f64() < 0.9 => plain,
            _ => allowed.into_iter().filter(|id| *id != EOS).collect(),
        };
        let token = rng.choice(choices).expect("a choice");
        text.extend_from_slice(trie.token(token));
        constraint.commit(token).expect("an allowed token");
    }
    None
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a schema")
}

/// Takes several walks; returns how many of them ended.
fn check_walks(vocabulary: &Vocabulary, schema: &Value, seed: u64, walks: usize) -> usize {
    let constraint = Constraint::json_schema(vocabulary, schema, PARAM);
    let constraint = constraint.unwrap_or_else(|error| panic!("{error}\n{schema}"));
    let validator = validator(schema);
    let mut rng = Rng::with_seed(seed);
    let mut ended = 0;
    for _ in 0..walks {
        let Some(text) = walk(vocabulary, constraint.clone(), &mut rng, 400) else { continue };
        ended += 1;
        let value: Value = match serde_json::from_str(&text) {
            Ok(value) => value,
            // Free values of schemas that intersect: see `schema::intersects`.
            Err(error)
                if error.to_string().starts_with("number out of range") && schema::intersects(schema) =>
            {
                continue;
            }
            Err(error) => panic!("{error}\n{text}\n{schema}"),
        };
        if let Err(error) = validator.validate(&value) {
            panic!("{error}\n{text}\n{schema}");
        }
    }
    ended
}

fn check_ends(schema: Value) {
    assert!(check_walks(&vocabulary(), &schema, 7, 40) > 10, "{schema}");
}

/// The text is taken to its end and may end there, or is not.
fn accepts(schema: &Value, text: &str) -> bool {
    let vocabulary = vocabulary();
    let mut constraint = Constraint::json_schema(&vocabulary, schema, PARAM).expect("a schema");
    constraint.advance(text, "messages[0]").is_ok() && allowed(&mut constraint).contains(&EOS)
}

fn refused(schema: &Value) -> EngineError {
    let begun = Instant::now();
    let error = Constraint::json_schema(&vocabulary(), schema, PARAM).map(|_| ()).expect_err("is refused");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    assert_eq!(error.body().param.as_deref(), Some(PARAM));
    error
}

fn check_unsupported(schema: Value, keyword: &str, path: &str) {
    let error = refused(&schema);
    assert_eq!(error.code(), "UAT_UNSUPPORTED", "{error}");
    let EngineError::UnsupportedSchema { keyword: named, path: at, .. } = &error else { panic!("{error}") };
    assert_eq!((named.as_str(), at.as_str()), (keyword, path));
}

fn check_invalid(schema: Value, says: &str) {
    let error = refused(&schema);
    assert_eq!(error.code(), "UAT_INVALID_INPUT", "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn a_constraint_moves_to_the_thread_that_samples() {
    fn is_send<T: Send>() {}
    is_send::<Constraint>();
    is_send::<Vocabulary>();
}

#[test]
fn any_object_parses_whatever_is_chosen() {
    let vocabulary = vocabulary();
    let constraint = Constraint::json_object(&vocabulary).expect("compiles");
    let mut rng = Rng::with_seed(3);
    let texts: Vec<String> =
        (0..300).filter_map(|_| walk(&vocabulary, constraint.clone(), &mut rng, 300)).collect();
    assert!(texts.len() > 100);
    for text in texts {
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(value.is_object());
    }
}

#[test]
fn answers_to_random_schemas_validate() {
    let vocabulary = vocabulary();
    let mut ended = 0;
    for seed in 0..300 {
        let schema = Generator { rng: Rng::with_seed(seed), definitions: Map::new() }.schema();
        ended += check_walks(&vocabulary, &schema, seed, 4);
    }
    // Walks that a random choice leads astray are cut, as a token limit cuts an answer.
    assert!(ended > 600, "{ended} walks ended");
}

#[test]
fn each_kind_of_schema_is_kept_to() {
    let date = json!({"type": "string", "format": "date"});
    for schema in [
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}, "required": ["b"]}),
        json!({"type": "object", "properties": {"a": date}, "required": ["a"], "additionalProperties": false}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "uuid"}),
        json!({"type": "string", "pattern": "^[A-Z]{2}-\\d{3,5}$"}),
        json!({"type": "string", "pattern": "a.b", "maxLength": 12}),
        json!({"type": "array", "items": {"type": "number", "minimum": -1.5, "maximum": 2}, "minItems": 2, "maxItems": 4}),
        json!({"type": "array", "prefixItems": [{"const": 1}, {"enum": ["x", null, {"k": [1, 2.5]}]}], "items": false}),
        json!({"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.2}),
        json!({"type": "number", "multipleOf": 0.5}),
        json!({"anyOf": [{"type": "integer", "minimum": 100}, {"type": "object", "required": ["x"]}]}),
        json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}),
        json!({"type": "object", "patternProperties": {"^n_": {"type": "integer"}}, "additionalProperties": {"type": "boolean"}}),
        json!({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}),
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        json!({"$defs": {"a/b": {"type": "object", "properties": {"next": {"$ref": "#/$defs/a~1b"}}}}, "$ref": "#/$defs/a~1b"}),
        json!({"type": "object", "properties": {"n": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["n"]}),
        json!({"type": "object", "minProperties": 1}),
        json!({"minLength": 2, "minimum": 5}),
        json!(true),
        json!({}),
    ] {
        check_ends(schema);
    }
}

#[test]
fn what_a_schema_allows_is_taken_and_nothing_else() {
    let person = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
        "required": ["name", "age"],
        "additionalProperties": false
    });
    assert!(accepts(&person, r#"{"name":"Ada","age":36}"#));
    assert!(accepts(&person, "{\n  \"name\": \"Zo\u{eb}\",\n  \"age\": 0\n}"));
    assert!(!accepts(&person, r#"{"name":"Ada"}"#));
    assert!(!accepts(&person, r#"{"name":"","age":1}"#));
    assert!(!accepts(&person, r#"{"name":"Ada","age":151}"#));
    assert!(!accepts(&person, r#"{"name":"Ada","age":36,"x":1}"#));
    assert!(!accepts(&person, "{\n\n\n\"name\":\"Ada\",\"age\":1}"));
}

#[test]
fn a_name_cannot_be_smuggled_in_by_writing_it_otherwise() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    assert!(accepts(&schema, r#"{"a":1,"b":"x"}"#));
    assert!(!accepts(&schema, r#"{"a":1,"\u0061":"x"}"#));
    assert!(!accepts(&schema, r#"{"a":1,"a":"x"}"#));
}

#[test]
fn leap_years_are_known() {
    let schema = json!({"type": "string", "format": "date"});
    for (date, valid) in [
        ("2024-02-29", true),
        ("2023-02-29", false),
        ("2000-02-29", true),
        ("1900-02-29", false),
        ("2024-04-31", false),
    ] {
        assert_eq!(accepts(&schema, &format!("\"{date}\"")), valid, "{date}");
    }
}

#[test]
fn additional_properties_are_allowed_unless_the_schema_says_otherwise() {
    assert!(accepts(&json!({"type": "object", "properties": {"a": {}}}), r#"{"zzz":[{"deep":null}]}"#));
    assert!(!accepts(&json!({"type": "object", "additionalProperties": false}), r#"{"zzz":1}"#));
}

#[test]
fn what_no_grammar_expresses_is_refused_by_name() {
    check_unsupported(json!({"type": "array", "uniqueItems": true}), "uniqueItems", "#");
    check_unsupported(json!({"properties": {"a": {"not": {}}}}), "not", "#/properties/a");
    check_unsupported(json!({"if": {}, "then": {}}), "if", "#");
    check_unsupported(json!({"type": "string", "format": "regex"}), "regex", "#");
    check_unsupported(json!({"items": {"type": "string", "pattern": "(?=x)y"}}), "pattern", "#/items");
    check_unsupported(json!({"type": "string", "pattern": "a^b"}), "pattern", "#");
    check_unsupported(json!({"$ref": "https://example.com/schema.json"}), "$ref", "#");
    check_unsupported(json!({"$ref": "#anchor"}), "$ref", "#");
    check_unsupported(json!({"type": "object", "minProperties": 3}), "minProperties", "#");
    check_unsupported(json!({"type": "integer", "minimum": 1e17}), "minimum", "#");
    check_unsupported(json!({"const": 12345678901234567890_u64}), "const", "#");
    check_unsupported(json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}), "oneOf", "#");
    check_unsupported(json!({"type": "string", "nullable": true}), "nullable", "#");
    check_unsupported(json!({"dependentRequired": {"a": ["b"]}}), "dependentRequired", "#");
    check_unsupported(
        json!({"type": "object", "patternProperties": {"^a": {"type": "string"}, "b$": {"type": "integer"}}}),
        "patternProperties",
        "#",
    );
    check_unsupported(
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false, "maxProperties": 3, "minProperties": 2}),
        "maxProperties",
        "#",
    );
}

#[test]
fn what_is_no_schema_is_refused() {
    check_invalid(json!("string"), "expected a schema");
    check_invalid(json!(null), "expected a schema");
    check_invalid(json!({"type": "text"}), "expected type");
    check_invalid(json!({"properties": []}), "expected properties");
    check_invalid(json!({"properties": {"a": 5}}), "#/properties/a");
    check_invalid(json!({"required": "a"}), "expected required");
    check_invalid(json!({"enum": []}), "expected enum");
    check_invalid(json!({"minLength": -1}), "expected minLength");
    check_invalid(json!({"multipleOf": 0}), "expected multipleOf");
    check_invalid(json!({"$ref": "#/$defs/nowhere"}), "nothing lies at");
    check_invalid(json!({"anyOf": "x"}), "expected anyOf");
}

#[test]
fn a_schema_that_nothing_satisfies_is_refused() {
    check_invalid(json!(false), "some value satisfies");
    check_invalid(json!({"type": "integer", "minimum": 5, "maximum": 4}), "some value satisfies");
    check_invalid(
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
        "without end",
    );
    check_invalid(json!({"$ref": "#"}), "without end");
    check_invalid(
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        "without end",
    );
    check_invalid(json!({"type": "array", "minItems": 1, "items": {"$ref": "#"}}), "without end");
    check_invalid(json!({"allOf": [{"type": "string"}, {"type": "integer"}]}), "some value satisfies");
}

#[test]
fn an_optional_part_without_end_is_never_begun() {
    let schema = json!({
        "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/x"}, "c": {}},
        "required": ["c"],
        "type": "object",
        "$defs": {"x": {"$ref": "#/$defs/x"}}
    });
    assert!(accepts(&schema, "{\"a\":1,\"c\":2}"));
    assert!(!accepts(&schema, "{\"a\":1,\"b\":2,\"c\":2}"));
    check_ends(schema);
}

#[test]
fn bombs_are_refused_before_they_cost_anything() {
    check_invalid(json!({"type": "string", "pattern": "(a{1000}){1000}"}), "simpler regular expression");
    check_invalid(json!({"type": "string", "maxLength": 4_000_000_000_u64}), "at most");
    check_invalid(json!({"type": "array", "maxItems": u64::MAX}), "at most");
    check_invalid(json!({"type": "string", "description": "x".repeat(1_000_000)}), "characters");
    let nested = |levels| {
        let around = |inner| Value::Object(Map::from_iter([("items".to_owned(), inner)]));
        (0..levels).fold(json!({}), |inner, _| around(inner))
    };
    check_invalid(nested(100), "inside one another");
    check_invalid(nested(2_000), "levels");
    let every: Vec<Value> =
        (0..200).map(|at| json!({"type": "string", "pattern": format!("{at}.*{at}")})).collect();
    let names: Vec<Value> = every.iter().map(|schema| json!({"properties": {"a": schema}})).collect();
    check_invalid(json!({"allOf": every}), "hold for the same text");
    check_invalid(json!({"allOf": names}), "hold for the same text");
    let mut chain = Map::new();
    for link in 0..1000 {
        chain.insert(format!("d{link}"), json!({"$ref": format!("#/$defs/d{}", link + 1)}));
    }
    chain.insert("d1000".to_owned(), json!({}));
    check_invalid(json!({"$ref": "#/$defs/d0", "$defs": chain}), "inside one another");
    let wide: Vec<Value> = (0..12)
        .map(|at| json!({"anyOf": [{"required": [format!("a{at}")]}, {"required": [format!("b{at}")]}]}))
        .collect();
    refused(&json!({"type": "object", "allOf": wide}));
}

#[test]
fn costly_but_bounded_schemas_compile_in_time_on_a_small_stack() {
    let vocabulary = vocabulary();
    let deep = (0..60)
        .fold(json!({"type": "integer"}), |inner, _| json!({"type": "object", "properties": {"p": inner}}));
    let names: Vec<String> = (0..2000).map(|at| format!("value-{at}")).collect();
    let wide: Map<String, Value> = (0..500).map(|at| (format!("p{at}"), json!({"type": "string"}))).collect();
    for schema in [
        deep,
        json!({"enum": names}),
        json!({"type": "object", "properties": wide}),
        json!({"type": "string", "minLength": 1000, "maxLength": 100_000}),
        json!({"type": "array", "items": {"type": "integer"}, "minItems": 1000, "maxItems": 1_000_000}),
        json!({"type": "string", "pattern": "^(?:[a-z]{1,50}[0-9]{1,9}){1,50}$"}),
        json!({"type": "string", "pattern": "(a|aa)*b.{200}$"}),
    ] {
        let vocabulary = vocabulary.clone();
        // What a pool's thread has.
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let begun = Instant::now();
            let mut constraint = Constraint::json_schema(&vocabulary, &schema, PARAM)
                .unwrap_or_else(|error| panic!("{error}"));
            constraint.mask().expect("a mask");
            (begun.elapsed(), schema.to_string())
        });
        let (took, schema) = thread.expect("a thread").join().expect("no overflow");
        assert!(took < Duration::from_secs(5), "{took:?} for {}", schema::shorten(&schema));
    }
}

#[test]
fn a_clients_own_options_for_the_compiler_are_not_taken() {
    let schema = json!({"x-guidance": {"whitespace_pattern": "x+", "lenient": true}, "const": [1, 2]});
    assert!(accepts(&schema, "[1, 2]"));
    assert!(!accepts(&schema, "[1,xx2]"));
}

#[test]
fn a_control_token_never_passes_for_the_text_of_its_name() {
    let vocabulary = vocabulary();
    let mut constraint =
        Constraint::json_schema(&vocabulary, &json!({"const": true}), PARAM).expect("compiles");
    assert_eq!(piece(CONTROL), b"\xfftrue");
    assert_eq!(allowed(&mut constraint), [u32::from(b't')]);
}

#[test]
fn a_continued_answer_goes_on_inside_the_grammar() {
    let vocabulary = vocabulary();
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    let mut constraint = Constraint::json_schema(&vocabulary, &schema, PARAM).expect("compiles");
    constraint.advance("{\"n\": 4", "messages[1]").expect("fits");
    let tokens = allowed(&mut constraint);
    assert!(tokens.contains(&u32::from(b'}')) && tokens.contains(&u32::from(b'2')));
    assert!(!tokens.contains(&u32::from(b'"')) && !tokens.contains(&EOS));
    constraint.commit(u32::from(b'}')).expect("is allowed");
    assert_eq!(allowed(&mut constraint), [EOS]);
}

#[test]
fn a_beginning_that_does_not_fit_says_from_where() {
    let vocabulary = vocabulary();
    let mut constraint = Constraint::json_object(&vocabulary).expect("compiles");
    let error = constraint.advance("{\"n\" oops", "messages[1]").expect_err("does not fit");
    assert_eq!(error.body().param.as_deref(), Some("messages[1]"));
    assert!(error.to_string().contains("byte 5 of 9"), "{error}");
}

#[test]
fn choices_of_one_request_do_not_disturb_each_other() {
    let vocabulary = vocabulary();
    let mut one =
        Constraint::json_schema(&vocabulary, &json!({"enum": ["aa", "bb"]}), PARAM).expect("compiles");
    one.advance("\"", "messages[0]").expect("fits");
    let mut other = one.clone();
    one.advance("a", "messages[0]").expect("fits");
    other.advance("b", "messages[0]").expect("fits");
    assert!(allowed(&mut one).contains(&u32::from(b'a')));
    assert_eq!(allowed(&mut other), [u32::from(b'b')]);
}

#[test]
fn a_token_that_the_mask_forbids_is_an_error() {
    let vocabulary = vocabulary();
    let mut constraint = Constraint::json_object(&vocabulary).expect("compiles");
    assert_eq!(constraint.commit(u32::from(b'x')).map_err(|error| error.code()), Err("UAT_INTERNAL"));
}

/// Schemas of all kinds, each satisfied by some value.
struct Generator {
    rng: Rng,
    definitions: Map<String, Value>,
}

impl Generator {
    fn schema(mut self) -> Value {
        let mut root = self.object(3);
        if self.rng.u8(..5) == 0 {
            root = json!({"anyOf": [root, self.value(2)]});
        }
        root["$defs"] = Value::Object(self.definitions);
        root
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.rng.u8(..if depth == 0 { 8 } else { 14 }) {
            0 => json!({"type": "boolean"}),
            1 => json!({"type": ["null", "boolean", "string"]}),
            2 => self.literal(),
            3 | 4 => self.string(),
            5 | 6 => self.number(),
            7 => json!({"type": ["integer", "null"], "minimum": self.rng.i32(-50..50)}),
            8 | 9 => self.object(depth - 1),
            10 | 11 => self.array(depth - 1),
            12 => {
                let options: Vec<Value> = (0..self.rng.usize(2..4)).map(|_| self.value(depth - 1)).collect();
                json!({"anyOf": options})
            }
            _ => {
                let name = format!("def~{}", self.rng.u8(..3));
                if !self.definitions.contains_key(&name) {
                    let value = self.value(depth - 1);
                    self.definitions.insert(name.clone(), value);
                }
                json!({"$ref": format!("#/$defs/{}", name.replace('~', "~0"))})
            }
        }
    }

    fn literal(&mut self) -> Value {
        let values = [
            json!("on"),
            json!("a \"b\""),
            json!(3),
            json!(-2.75),
            json!(null),
            json!({"k": ["é"]}),
            json!([]),
        ];
        let start = self.rng.usize(..values.len() - 2);
        match self.rng.bool() {
            true => json!({"const": values[start]}),
            false => json!({"enum": values[start..start + 3]}),
        }
    }

    fn string(&mut self) -> Value {
        let patterns = ["^[a-z]+$", "^\\d{3}-\\w*$", "x.z", "^(foo|bar)s?$", "^[^\\s\"]{1,5}$"];
        let formats =
            ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];
        match self.rng.u8(..4) {
            0 => json!({"type": "string"}),
            1 => json!({"type": "string", "pattern": self.rng.choice(patterns)}),
            2 => json!({"type": "string", "format": self.rng.choice(formats)}),
            _ => {
                let least = self.rng.u8(..6);
                json!({"type": "string", "minLength": least, "maxLength": least + self.rng.u8(..9)})
            }
        }
    }

    fn number(&mut self) -> Value {
        let least = f64::from(self.rng.i32(-4000..4000)) / 8.0;
        let most = least + f64::from(self.rng.u32(8..8000)) / 8.0;
        match self.rng.u8(..7) {
            0 => json!({"type": "number"}),
            1 => json!({"type": "number", "minimum": least, "maximum": most}),
            2 => json!({"type": "number", "exclusiveMinimum": least, "exclusiveMaximum": most}),
            3 => json!({"type": "integer", "exclusiveMinimum": least.floor(), "maximum": most.ceil() + 1.0}),
            4 => json!({"type": "integer", "multipleOf": self.rng.u8(1..9)}),
            5 => json!({"type": "number", "exclusiveMaximum": most}),
            _ => json!({"type": "integer"}),
        }
    }

    fn array(&mut self, depth: usize) -> Value {
        let least = self.rng.u8(..3);
        match self.rng.u8(..3) {
            0 => json!({"type": "array", "items": self.value(depth)}),
            1 => {
                json!({"type": "array", "items": self.value(depth), "minItems": least, "maxItems": least + self.rng.u8(..4)})
            }
            _ => {
                let first: Vec<Value> = (0..2).map(|_| self.value(depth)).collect();
                json!({"type": "array", "prefixItems": first, "items": self.rng.bool(), "minItems": least})
            }
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let names = ["a", "name", "x y", "é", "q\"q"];
        let count = self.rng.usize(..=names.len());
        let properties: Map<String, Value> =
            names[..count].iter().map(|name| ((*name).to_owned(), self.value(depth))).collect();
        let required: Vec<String> = properties.keys().filter(|_| self.rng.bool()).cloned().collect();
        let mut object = json!({"type": "object", "properties": properties, "required": required});
        match self.rng.u8(..4) {
            0 => object["additionalProperties"] = json!(false),
            1 => object["additionalProperties"] = self.value(0),
            2 => object["patternProperties"] = json!({"^[0-9]+$": self.value(0)}),
            _ => {}
        }
        object
    }
}
