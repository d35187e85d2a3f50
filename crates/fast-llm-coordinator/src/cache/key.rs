//! Under what an answer is kept: everything that it depends on, and nothing else.

use llm_wire::openai::ChatRequest;
use route_plan::{Candidate, RoutePlan};
use sha2::{Digest, Sha256};

use super::members::members;
use crate::config::{EndpointConfig, ModelConfig, Protocol};

/// Of an answer and of whatever is under way for it.
pub(crate) type Key = [u8; 32];

/// Changes whenever the same key would no longer mean the same question.
const VERSION: &[u8] = b"uat response 1";
/// Members that say how the answer is to be sent, or what the plan says already.
const LEFT_OUT: [&[u8]; 3] = [b"model", b"stream", b"stream_options"];

/// A hash over fields of which none can take a byte of its neighbour.
struct Fields(Sha256);

impl Fields {
    fn new(version: &[u8]) -> Self {
        let mut fields = Self(Sha256::new());
        fields.field(version);
        fields
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.field(text.unwrap_or_default().as_bytes());
    }

    fn finish(self) -> Key {
        self.0.finalize().into()
    }
}

/// Who answers as a model: where, and under which name. An answer is another one once that has changed.
pub(super) fn fingerprint(model: &ModelConfig, endpoints: &[EndpointConfig]) -> Key {
    let mut fields = Fields::new(b"uat endpoints 1");
    fields.field(model.name.as_bytes());
    for served in &model.endpoints {
        let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.name == served.endpoint) else {
            continue;
        };
        fields.field(protocol(endpoint.protocol).as_bytes());
        fields.optional(endpoint.base_url.as_deref());
        fields.optional(endpoint.api_version.as_deref());
        fields.optional(served.model.as_deref());
    }
    fields.finish()
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAi => "openai",
        Protocol::Anthropic => "anthropic",
        Protocol::Gemini => "gemini",
        Protocol::Ollama => "ollama",
        Protocol::Azure => "azure",
        Protocol::UatEngine => "uat-engine",
    }
}

/// The key of a request: SHA-256 over the tenant, the plan's models with what `fingerprint_of` says of each, and the whole
/// request but for [`LEFT_OUT`]. In which order its members stand, and the white space between them, makes no difference;
/// everything else does. `None` for a model that is unknown.
pub(super) fn key<'a>(
    tenant: Option<&str>,
    plan: &RoutePlan,
    request: &ChatRequest,
    fingerprint_of: impl Fn(&Candidate) -> Option<&'a Key>,
) -> Option<Key> {
    let mut members = members(request.body())?;
    members.retain(|member| !LEFT_OUT.contains(&member.name));
    // Stable: of two members with one name, which counts may depend on their order.
    members.sort_by(|a, b| a.name.cmp(b.name));
    let mut fields = Fields::new(VERSION);
    fields.optional(tenant);
    fields.number(plan.stages.len());
    for stage in &plan.stages {
        fields.number(stage.candidates.len());
        for candidate in &stage.candidates {
            fields.field(fingerprint_of(candidate)?);
        }
    }
    fields.number(members.len());
    for member in &members {
        fields.field(member.name);
        fields.number(member.len());
        member.each_piece(|piece| fields.0.update(piece));
    }
    Some(fields.finish())
}

/// Proves that a stored value is whole, and was stored under this key.
pub(super) fn seal(key: &Key, value: &[u8]) -> Key {
    let mut fields = Fields::new(b"uat entry 1");
    fields.field(key);
    fields.field(value);
    fields.finish()
}

#[cfg(test)]
mod tests;
