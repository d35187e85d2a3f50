//! Where a conversation begins, for those who want like ones together.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::ChatRequest;
use super::splice::span;

impl ChatRequest {
    /// The messages up to and with the first of the user, as their client wrote them: what all turns of one
    /// conversation have in common, and what a prompt cache can hold of it. All messages where none is the user's.
    ///
    /// One reading of the body, whose messages are not decoded.
    pub fn conversation_beginning(&self) -> &[u8] {
        #[derive(Deserialize)]
        struct Messages<'a> {
            #[serde(borrow)]
            messages: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Author {
            role: Option<Role>,
        }
        #[derive(PartialEq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Role {
            User,
            #[serde(other)]
            Other,
        }
        let is_users = |message: &RawValue| {
            serde_json::from_str::<Author>(message.get()).is_ok_and(|author| author.role == Some(Role::User))
        };
        let body = self.body();
        // The body was read when the request was made, so it can be read again.
        let Ok(Messages { messages }) = serde_json::from_slice(body) else { return body };
        let last = messages.iter().find(|message| is_users(message)).or(messages.last());
        let (Some(first), Some(last)) = (messages.first(), last) else { return &[] };
        body.get(span(body, first).start..span(body, last).end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(messages: &str, expected: &str) {
        let body = format!(r#"{{"model":"m", "messages" : [{messages}],"temperature":0}}"#);
        let request = ChatRequest::parse(Bytes::from(body)).unwrap();
        assert_eq!(std::str::from_utf8(request.conversation_beginning()).unwrap(), expected);
    }

    #[test]
    fn a_conversation_begins_with_all_up_to_the_first_message_of_the_user() {
        let system = r#"{"role":"system","content":"Be \"brief\"."}"#;
        let (user, more) = (r#"{ "role": "user", "content": "Hi" }"#, r#"{"role":"user","content":"More"}"#);
        let assistant = r#"{"role":"assistant","content":"Hello"}"#;
        let both = format!("{system}, {user}");
        check(&both, &both);
        check(&format!("{both},{assistant},{more}"), &both);
        check(&format!(" {user} , {assistant}"), user);
        check(&format!("{system},{assistant}"), &format!("{system},{assistant}"));
    }

    #[test]
    fn the_role_counts_wherever_it_stands_in_its_message() {
        let user = r#"{"content":[{"type":"text","text":"\"role\":\"assistant\""}],"role":"user"}"#;
        check(&format!("{user},{user}"), user);
    }
}
