use std::fmt;

use jsonschema::Validator;
use serde_json::Value;

/// The JSON that a request asks for.
pub struct Shape(Kind);

enum Kind {
    /// Any object.
    Object,
    Schema(Box<Validator>),
}

/// Why an answer is not what was asked for, without a word of the answer or of the schema's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no JSON.
    #[error("it is no JSON")]
    NotJson,
    /// It is JSON of another kind.
    #[error("it is no JSON object")]
    NotObject,
    /// It is not what the schema says.
    #[error("it breaks a rule of the schema, `{rule}`")]
    Schema {
        /// The rule that it breaks, in JSON Schema's word: `required`.
        rule: String,
    },
}

impl Shape {
    /// What a request's `response_format` asks for; `None`: no JSON in particular. Nothing is fetched: a schema that refers to others
    /// by their address is refused.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub fn of(response_format: &Value) -> Result<Option<Self>, String> {
        match response_format.get("type").and_then(Value::as_str) {
            Some("json_object") => Ok(Some(Self(Kind::Object))),
            Some("json_schema") => {
                let Some(schema) = response_format.pointer("/json_schema/schema") else {
                    // OpenAI's API takes a name alone: any JSON is of that shape.
                    return Ok(Some(Self(Kind::Object)));
                };
                let validator = jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
                Ok(Some(Self(Kind::Schema(Box::new(validator)))))
            }
            _ => Ok(None),
        }
    }

    /// Whether a text is of this shape, white space around it aside.
    ///
    /// # Errors
    /// [`Unfit`] says why not.
    pub fn fits(&self, text: &str) -> Result<(), Unfit> {
        let document: Value = serde_json::from_str(text.trim()).map_err(|_| Unfit::NotJson)?;
        match &self.0 {
            Kind::Object if document.is_object() => Ok(()),
            Kind::Object => Err(Unfit::NotObject),
            Kind::Schema(validator) => validator
                .validate(&document)
                .map_err(|error| Unfit::Schema { rule: error.kind().keyword().to_owned() }),
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        let schema = json!({ "type": "object", "properties": { "age": { "type": "integer" } }, "required": ["age"],
                             "additionalProperties": false });
        let format = json!({ "type": "json_schema", "json_schema": { "name": "person", "schema": schema } });
        Shape::of(&format).unwrap().unwrap()
    }

    #[test]
    fn an_answer_fits_its_schema_or_it_is_said_where_not() {
        assert_eq!(shape().fits(" {\"age\": 7}\n"), Ok(()));
        assert_eq!(shape().fits("```json\n{\"age\": 7}\n```"), Err(Unfit::NotJson));
        let error = shape().fits(r#"{"age": "a secret"}"#).unwrap_err();
        assert_eq!(error.to_string(), "it breaks a rule of the schema, `type`");
        assert!(shape().fits("{}").is_err() && shape().fits(r#"{"age":1,"b":2}"#).is_err());
    }

    #[test]
    fn an_object_is_any_and_text_is_no_shape() {
        let object = Shape::of(&json!({ "type": "json_object" })).unwrap().unwrap();
        assert_eq!(object.fits("{}"), Ok(()));
        assert_eq!(object.fits("[]"), Err(Unfit::NotObject));
        assert!(Shape::of(&json!({ "type": "text" })).unwrap().is_none());
        assert!(Shape::of(&json!({})).unwrap().is_none());
    }

    #[test]
    fn a_schema_that_is_none_is_refused_and_nothing_is_fetched() {
        let of = |schema| Shape::of(&json!({ "type": "json_schema", "json_schema": { "schema": schema } }));
        assert!(of(json!({ "type": "animal" })).is_err());
        assert!(of(json!({ "$ref": "http://127.0.0.1:9/other.json" })).is_err());
        assert!(of(json!({ "$ref": "file:///etc/hostname" })).is_err());
    }
}
