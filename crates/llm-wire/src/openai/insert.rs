//! Messages that are added to a request, and members that are taken out of it; every other byte stays.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::members::Members;
use super::message::Role;
use super::request::ChatRequest;
use super::splice::{Edit, With, member, span, splice};
use crate::{WireError, json};

impl ChatRequest {
    /// The same request with these messages after the instructions that it begins with. The document that it was translated from does not
    /// say them, so that it is not passed on any more.
    ///
    /// # Errors
    /// [`WireError::Json`] where the body is none, which [`parse`](Self::parse) has found out; what
    /// [`untranslatable`](Self::untranslatable) says.
    pub fn with_messages<'a>(
        &self,
        messages: impl IntoIterator<Item = (Role, &'a str)>,
    ) -> Result<Self, WireError> {
        let members: Members<'_> = self.decode()?;
        let written = members.get("messages").map_or("[]", RawValue::get);
        let own: Vec<&RawValue> = json::decode(written.as_bytes())?;
        let leading = own.iter().take_while(|message| instructs(message)).count();
        let text: Vec<String> = messages.into_iter().map(|(role, content)| message(role, content)).collect();
        let body = match (text.as_slice(), own.get(leading), own.last()) {
            ([], ..) | (_, None, None) => self.body().clone(),
            (added, Some(next), _) => {
                let at = span(self.body(), next).start;
                let text = added.join(",") + ",";
                splice(self.body(), &mut [Edit { at: at..at, with: With::Text(&text) }])
            }
            (added, None, Some(last)) => {
                let at = span(self.body(), last).end;
                let text = format!(",{}", added.join(","));
                splice(self.body(), &mut [Edit { at: at..at, with: With::Text(&text) }])
            }
        };
        self.of(body)
    }

    /// The value of a member as it was written, and the request without it. `None`: it has none of this name.
    ///
    /// # Errors
    /// [`WireError::Json`] where the body is none, which [`parse`](Self::parse) has found out; [`WireError::Invalid`] where the
    /// member stands there twice.
    pub fn without_member(&self, name: &str) -> Result<Option<(Bytes, Self)>, WireError> {
        let members: Members<'_> = json::decode(self.body())?;
        let Some(value) = members.get(name) else { return Ok(None) };
        let at = span(self.body(), value);
        let value = self.body().slice(at.clone());
        let at = member(self.body(), at);
        let rest = self.of(splice(self.body(), &mut [Edit { at, with: With::Text("") }]))?;
        let is_twice = json::decode::<Members<'_>>(rest.body())?.get(name).is_some();
        if is_twice { Err(super::scan::twice(name)) } else { Ok(Some((value, rest))) }
    }

    /// What the request wants of an answer beside its text.
    ///
    /// # Errors
    /// [`WireError::Json`] where a value is of another type; what [`untranslatable`](Self::untranslatable) says.
    pub fn wanted(&self) -> Result<super::judged::Wanted<'_>, WireError> {
        self.decode()
    }

    /// The same request for a whole answer, with these members, each a name and its value as JSON, in place of those that it has. The
    /// document that it was translated from is not passed on any more.
    ///
    /// # Errors
    /// What [`untranslatable`](Self::untranslatable) says; [`WireError::Invalid`] for a value that may not be.
    pub fn whole_with<'a>(
        &self,
        members: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self, WireError> {
        if let Some(missing) = self.untranslatable() {
            return Err(missing.clone());
        }
        let mut body = self.to_body(self.model(), false);
        for (name, value) in members {
            let own: Members<'_> = json::decode(&body)?;
            let edit = match (own.get(name), own.0.first()) {
                (Some(value), _) => Edit { at: span(&body, value), with: With::Text("") },
                (None, Some((first, _))) => {
                    let start = span(&body, first).start;
                    Edit { at: start..start, with: With::Text("") }
                }
                (None, None) => return Err(WireError::invalid("model", "the name of a model", "nothing")),
            };
            let text = if edit.at.is_empty() { format!("\"{name}\":{value},") } else { value };
            body = splice(&body, &mut [Edit { with: With::Text(&text), ..edit }]);
        }
        let mut whole = self.of(body)?;
        whole.counted = false;
        Ok(whole)
    }

    /// Whether the request has a member of one of these names.
    ///
    /// # Errors
    /// [`WireError::Json`] where the body is none, which [`parse`](Self::parse) has found out.
    pub fn has_any(&self, names: &[&str]) -> Result<bool, WireError> {
        let members: Members<'_> = json::decode(self.body())?;
        Ok(names.iter().any(|name| members.get(name).is_some()))
    }

    /// The same request with these members before its own, each a name and its value as JSON; it has none of these names. The document
    /// that it was translated from is not passed on any more.
    ///
    /// # Errors
    /// What [`untranslatable`](Self::untranslatable) says; [`WireError::Invalid`] for a value that may not be.
    pub fn with_members<'a>(
        &self,
        members: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self, WireError> {
        if let Some(missing) = self.untranslatable() {
            return Err(missing.clone());
        }
        let own: Members<'_> = json::decode(self.body())?;
        let Some((first, _)) = own.0.first() else {
            return Err(WireError::invalid("model", "the name of a model", "nothing"));
        };
        let start = span(self.body(), first).start;
        let text: String = members.into_iter().map(|(name, value)| format!("\"{name}\":{value},")).collect();
        self.of(splice(self.body(), &mut [Edit { at: start..start, with: With::Text(&text) }]))
    }

    /// The same request in other words, of which no endpoint gets the original.
    fn of(&self, body: Bytes) -> Result<Self, WireError> {
        let mut other = Self::parse(body)?;
        (other.continues, other.counted) = (self.continues, self.counted);
        other.source = self.source.as_deref().map(|source| Arc::new(source.without_original()));
        Ok(other)
    }
}

fn instructs(message: &RawValue) -> bool {
    let role = json::decode::<Members<'_>>(message.get().as_bytes())
        .ok()
        .and_then(|members| Role::from_json(members.get("role")?.get()));
    role.is_some_and(Role::instructs)
}

fn message(role: Role, content: &str) -> String {
    let mut out = Vec::with_capacity(content.len() + 40);
    out.extend_from_slice(br#"{"role":""#);
    out.extend_from_slice(role.as_str().as_bytes());
    out.extend_from_slice(br#"","content":"#);
    json::append_string(&mut out, content);
    out.push(b'}');
    // What was put together of texts is one.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> ChatRequest {
        ChatRequest::parse(body.to_owned().into()).unwrap()
    }

    fn body(request: &ChatRequest) -> &str {
        std::str::from_utf8(request.body()).unwrap()
    }

    #[test]
    fn members_stand_before_those_that_a_request_has() {
        let own = request(r#" { "model": "m", "messages": [{"role":"user","content":"x"}], "seed": 1 }"#);
        assert!(own.has_any(&["top_p", "seed"]).unwrap() && !own.has_any(&["top_p", "content"]).unwrap());
        let more = own.with_members([("temperature", "0.5".to_owned()), ("top_p", "1".to_owned())]).unwrap();
        assert_eq!(
            body(&more),
            r#" { "temperature":0.5,"top_p":1,"model": "m", "messages": [{"role":"user","content":"x"}], "seed": 1 }"#
        );
        assert_eq!(more.temperature(), Some(0.5));
        assert!(own.with_members([("temperature", "-1".to_owned())]).is_err());
    }

    #[test]
    fn messages_go_behind_the_instructions_that_a_request_begins_with() {
        let added = [(Role::System, "Say \"hi\"."), (Role::User, "before")];
        let with = |messages: &str| {
            let asked = request(&format!(r#"{{"model":"m","messages":[{messages}], "x":1}}"#));
            body(&asked.with_messages(added).unwrap()).to_owned()
        };
        let texts = r#"{"role":"system","content":"Say \"hi\"."},{"role":"user","content":"before"}"#;
        let user = r#"{"role":"user", "content":"now"}"#;
        assert_eq!(with(user), format!(r#"{{"model":"m","messages":[{texts},{user}], "x":1}}"#));
        let system = r#"{"content":"a","role":"developer"}"#;
        let expected = format!(r#"{{"model":"m","messages":[{system} , {texts},{user}], "x":1}}"#);
        assert_eq!(with(&format!("{system} , {user}")), expected);
        assert_eq!(with(system), format!(r#"{{"model":"m","messages":[{system},{texts}], "x":1}}"#));
    }

    #[test]
    fn nothing_added_changes_no_byte() {
        let asked = request(r#"{"model":"m","messages":[{"role":"user","content":"now"}]}"#);
        assert_eq!(asked.with_messages([]).unwrap().body(), asked.body());
    }

    #[test]
    fn a_request_with_more_messages_is_not_what_its_client_wrote() {
        let asked = request(r#"{"model":"m","messages":[{"role":"user","content":"now"}]}"#).counted();
        let original = crate::Original { dialect: crate::Spoken::Anthropic, body: "{}".into() };
        let asked = asked.translated_from(Some(original), vec!["top_k".to_owned()]);
        let with = asked.with_messages([(Role::User, "before")]).unwrap();
        assert!(with.original().is_none() && with.include_usage());
        assert_eq!(with.dropped(), ["top_k"]);
    }

    #[test]
    fn a_request_for_a_whole_answer_says_what_was_set_in_it_and_nothing_else_changes() {
        let messages = r#""messages":[{"role":"user","content":"seed"}]"#;
        let asked = request(&format!(
            r#"{{"model":"m","seed":7,"stream":true,"stream_options":{{"include_usage":true}},{messages}}}"#
        ));
        let with = asked.whole_with([("seed", "8".to_owned()), ("logprobs", "true".to_owned())]).unwrap();
        assert_eq!(
            body(&with),
            format!(r#"{{"logprobs":true,"model":"m","seed":8,"stream":false,{messages}}}"#)
        );
        assert!(!with.stream());
        assert_eq!((with.wanted().unwrap().seed, with.wanted().unwrap().logprobs), (Some(8), Some(true)));
        let plain = request(&format!(r#"{{"model":"m",{messages}}}"#));
        assert_eq!(plain.whole_with([]).unwrap().body(), plain.body());
        assert!(plain.whole_with([("temperature", "9".to_owned())]).is_err());
    }

    #[test]
    fn a_member_is_taken_out_whole() {
        let asked =
            request(r#"{"model":"m","context":{"a":[1]},"messages":[{"role":"user","content":"context"}]}"#);
        let (value, rest) = asked.without_member("context").unwrap().unwrap();
        assert_eq!(&value[..], br#"{"a":[1]}"#);
        assert_eq!(body(&rest), r#"{"model":"m","messages":[{"role":"user","content":"context"}]}"#);
        assert!(rest.without_member("context").unwrap().is_none());
        let twice =
            request(r#"{"context":1,"model":"m","context":2,"messages":[{"role":"user","content":"a"}]}"#);
        assert!(twice.without_member("context").unwrap_err().to_string().contains("twice"));
    }
}
