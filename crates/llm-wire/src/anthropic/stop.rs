//! Why an answer ended, in both vocabularies.

/// OpenAI's word for Anthropic's `stop_reason`. A reason that is not known yet is an end like any other.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        // `end_turn`, `stop_sequence`; and `pause_turn`, after which the client may ask for more.
        _ => "stop",
    }
}

/// Anthropic's word for OpenAI's `finish_reason`. Some backends say `stop` after they called tools, and clients of
/// Anthropic run tools only after `tool_use`.
pub(super) fn stop_reason(
    finish_reason: Option<&str>,
    called_tools: bool,
    stop_sequence: bool,
) -> &'static str {
    match finish_reason {
        Some("length") => "max_tokens",
        Some("content_filter") => "refusal",
        Some("tool_calls" | "function_call") => "tool_use",
        _ if called_tools => "tool_use",
        _ if stop_sequence => "stop_sequence",
        _ => "end_turn",
    }
}
