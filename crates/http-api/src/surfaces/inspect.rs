//! What is known of a model, in the words of Ollama's dialect.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use llm_wire::ollama::{Details, RunningEntry, ShowEntry};
use runtime::gguf::{Header, Value};
use runtime::{FileDescription, LoadedModel, ModelDescription, ModelInfo};
use serde_json::{Map, json};

pub(super) fn show_entry(model: ModelDescription) -> ShowEntry {
    let ModelDescription { info, file } = model;
    match file {
        Some(file) => of_file(info, file),
        None => ShowEntry {
            capabilities: if info.capabilities.is_empty() { one("completion") } else { info.capabilities },
            context_tokens: info.context_tokens,
            modified_at: rfc3339(UNIX_EPOCH + Duration::from_secs(info.created)),
            ..ShowEntry::default()
        },
    }
}

fn of_file(info: ModelInfo, file: FileDescription) -> ShowEntry {
    let FileDescription { header, modified, licence } = file;
    let mut capabilities = abilities(&header);
    capabilities.extend(info.capabilities);
    ShowEntry {
        details: details(&header),
        model_info: model_info(&header),
        template: header.chat_template().unwrap_or_default().to_owned(),
        license: licence.map(str::to_owned),
        context_tokens: info.context_tokens,
        capabilities,
        modified_at: rfc3339(modified.unwrap_or(UNIX_EPOCH)),
    }
}

/// Models that embed say how they sum up; what a template can write, the model was trained on.
fn abilities(header: &Header) -> Vec<String> {
    if header.pooling_type().is_some_and(|pooling| pooling > 0) {
        return one("embedding");
    }
    let mut abilities = one("completion");
    if header.chat_template().is_some_and(|template| template.contains("tools")) {
        abilities.extend(one("tools"));
    }
    abilities
}

fn one(ability: &str) -> Vec<String> {
    vec![ability.to_owned()]
}

fn details(header: &Header) -> Details {
    Details {
        format: "gguf",
        family: header.architecture().unwrap_or_default().to_owned(),
        parameters: Some(header.tensors.elements),
        quantization: header.quantization().to_owned(),
    }
}

fn model_info(header: &Header) -> Map<String, serde_json::Value> {
    let value = |value: &Value| match value {
        Value::Unsigned(value) => json!(value),
        Value::Signed(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Bool(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Integers(values) => json!(values),
        Value::Unkept { .. } => serde_json::Value::Null,
    };
    // The template has a field of its own.
    let entries = header.metadata.iter().filter(|(key, _)| *key != "tokenizer.chat_template");
    let mut info: Map<_, _> = entries.map(|(key, entry)| (key.clone(), value(entry))).collect();
    info.insert("general.parameter_count".to_owned(), json!(header.tensors.elements));
    info
}

pub(super) fn running_entry(model: LoadedModel, now: SystemTime) -> RunningEntry {
    // Ollama's own "never": as far away as a count of nanoseconds reaches.
    const NEVER: Duration = Duration::from_nanos(i64::MAX as u64);
    RunningEntry {
        name: model.name,
        size: model.memory_bytes,
        digest: model.sha256.unwrap_or_default(),
        details: model.header.as_ref().map(details).unwrap_or_default(),
        expires_at: rfc3339(now + model.expires_ms.map_or(NEVER, Duration::from_millis).min(NEVER)),
        context_tokens: model.context_tokens,
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
