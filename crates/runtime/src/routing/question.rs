//! What the router is asked, made of a chat request.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::Key;
use llm_router::{Catalogue, Constraints, PromptTokens, Question, Target};
use llm_wire::openai::{ChatRequest, Role};
use memchr::memmem;

use super::judge::CascadeAsk;

/// What a caller wants of whoever answers, beside what the request itself says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteAsk {
    /// What the model must be able to do, in the words of `[[models]] capabilities`.
    pub capabilities: BTreeSet<Arc<str>>,
    /// What the answer may take.
    pub constraints: Constraints,
    /// The kind of task, if the caller knows it: a tier of that name fits it.
    pub task: Option<Arc<str>>,
    /// A cheap model is to be asked first, and its answer given where this says that it does.
    pub cascade: Option<CascadeAsk>,
}

/// The question of this request, which wants so many answers of a first stage. The prompt's length is an upper estimate: who will count is not decided yet.
pub(super) fn question_of(
    target: Target,
    request: &ChatRequest,
    ask: &RouteAsk,
    cascade: Option<u32>,
    caller: Option<&Key>,
    catalogue: &Catalogue,
) -> Question {
    let mut capabilities = ask.capabilities.clone();
    capabilities.extend(needed(request, catalogue).map(Arc::from));
    // What is no text counts in the first by its bytes, in the second by what such media take.
    let tokens = request.most_prompt_tokens().min(request.prompt_tokens_bound());
    Question {
        target,
        prompt_tokens: PromptTokens { tokens, is_estimate: true },
        output_tokens: request.max_tokens(),
        capabilities,
        constraints: ask.constraints,
        allowed: caller.and_then(|key| allowed(key, catalogue)),
        class: ask.task.clone(),
        cascade,
    }
}

/// What the request itself needs, if any model says that it can do that: elsewhere nobody has written down who can.
fn needed(request: &ChatRequest, catalogue: &Catalogue) -> impl Iterator<Item = &'static str> {
    let body = request.body();
    let needs = [
        ("tools", request.has_tools()),
        ("json_schema", says(body, b"\"json_schema\"")),
        ("vision", says(body, b"\"image_url\"")),
    ];
    needs
        .into_iter()
        .filter(|(word, is_needed)| *is_needed && catalogue.knows_capability(word))
        .map(|(word, _)| word)
}

/// Whether this stands in the document as a string of its own. Inside of another one its quotes would be escaped.
fn says(document: &[u8], quoted: &[u8]) -> bool {
    memmem::find_iter(document, quoted).any(|at| at == 0 || document.get(at - 1) != Some(&b'\\'))
}

/// The models that a key may use: all unless it says otherwise. With a budget only those whose price is known.
fn allowed(key: &Key, catalogue: &Catalogue) -> Option<BTreeSet<Arc<str>>> {
    let config = key.config();
    let has_budget = config.budget_usd_per_day.is_some();
    let may_use =
        |model: &&llm_router::Model| key.may_use(&model.name) && (!has_budget || model.price.is_some());
    if catalogue.models().iter().all(|model| may_use(&model)) {
        return None;
    }
    Some(catalogue.models().iter().filter(may_use).map(|model| Arc::clone(&model.name)).collect())
}

/// What the question is about: the last thing that a person said. Nothing where the request cannot be read.
pub(super) fn prompt_of(request: &ChatRequest) -> String {
    let messages = request.messages().unwrap_or_default();
    messages
        .iter()
        .rfind(|message| message.role == Role::User)
        .map(|message| message.text())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use llm_router::Model;

    use super::*;

    fn needs(body: &str, known: &[&str]) -> Vec<&'static str> {
        let capabilities = known.iter().map(|&word| word.into()).collect();
        let catalogue = Catalogue::new(vec![Model { capabilities, ..Model::new("m") }], []);
        let request = ChatRequest::parse(body.to_owned().into()).unwrap();
        needed(&request, &catalogue).collect()
    }

    #[test]
    fn a_request_needs_what_it_uses_where_somebody_has_written_down_who_can() {
        let picture = r#"{"model":"auto","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}"#;
        assert_eq!(needs(picture, &["vision", "tools"]), ["vision"]);
        assert_eq!(needs(picture, &["chat"]), [""; 0]);
        let typed = r#"{"model":"auto","messages":[{"role":"user","content":"say \"image_url\" and \"json_schema\""}]}"#;
        assert_eq!(needs(typed, &["vision", "json_schema"]), [""; 0]);
        let schema = r#"{"model":"auto","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{}}},"tools":[{"type":"function","function":{"name":"f"}}]}"#;
        assert_eq!(needs(schema, &["tools", "json_schema"]), ["tools", "json_schema"]);
    }

    #[test]
    fn the_prompt_is_the_last_thing_a_person_said() {
        let body = r#"{"model":"auto","messages":[{"role":"user","content":"first"},{"role":"assistant","content":"yes"},{"role":"user","content":[{"type":"text","text":"second"}]}]}"#;
        assert_eq!(prompt_of(&ChatRequest::parse(body.into()).unwrap()), "second");
    }
}
