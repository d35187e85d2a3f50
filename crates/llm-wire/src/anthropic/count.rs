//! Counting the tokens of a conversation: `POST /v1/messages/count_tokens`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::messages_request;
use crate::openai::ChatRequest;
use crate::{Spoken, Translated, WireError, json};

/// The fields that the path takes; it refuses all others.
const TAKEN: [&str; 7] = ["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"];

/// The body that asks an Anthropic endpoint for the number of tokens of the conversation.
///
/// # Errors
/// As [`messages_request`].
pub fn count_request(request: &ChatRequest, model: &str) -> Result<Translated, WireError> {
    let Translated { body, dropped } = messages_request(request, model, false, 1)?;
    if request.original().is_some_and(|original| original.dialect == Spoken::Anthropic) {
        return Ok(Translated { body, dropped });
    }
    let mut document: Map<String, Value> = json::decode(&body)?;
    document.retain(|name, _| TAKEN.contains(&name.as_str()));
    Ok(Translated { body: Value::Object(document).to_string().into(), dropped })
}

/// The number of tokens that an answer says.
///
/// # Errors
/// [`WireError::Json`] where it says none.
pub fn counted_tokens(body: &Bytes) -> Result<u64, WireError> {
    #[derive(Deserialize)]
    struct Counted {
        input_tokens: u64,
    }
    json::decode::<Counted>(body).map(|counted| counted.input_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_path_refuses_is_not_sent() {
        let body = json!({
            "model": "m", "temperature": 0.5, "max_tokens": 9, "stream": true,
            "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" }],
        });
        let request = ChatRequest::parse(body.to_string().into()).unwrap();
        let asked: Value = serde_json::from_slice(&count_request(&request, "claude").unwrap().body).unwrap();
        let names: Vec<&str> = asked.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(names.iter().all(|name| TAKEN.contains(name)), "{names:?}");
        assert_eq!((&asked["model"], &asked["messages"][0]["role"]), (&json!("claude"), &json!("user")));
    }

    #[test]
    fn a_number_is_read_and_nothing_else_taken_for_one() {
        assert_eq!(counted_tokens(&Bytes::from_static(b"{\"input_tokens\":7}")).unwrap(), 7);
        assert!(counted_tokens(&Bytes::from_static(b"{}")).is_err());
    }
}
