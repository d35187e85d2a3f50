//! What language models are asked and answer, in the shapes of OpenAI, Anthropic, Ollama and Gemini, and what
//! frameworks keep of it.

use serde_json::{Value, json};

use super::prose::{answer, paragraph, sentence, title};
use super::vary::{Vary, join};

/// A document of any kind.
pub(crate) fn any(vary: &mut Vary) -> Value {
    match vary.below(22) {
        0..3 => completion(vary),
        3 => chunks(vary),
        4..6 => request(vary),
        6 => responses_api(vary),
        7..9 => anthropic_message(vary),
        9 => anthropic_request(vary),
        10 => anthropic_events(vary),
        11..13 => ollama(vary),
        13 => embeddings(vary),
        14 => models(vary),
        15..17 => documents(vary),
        17 => gemini(vary),
        18 => framework(vary),
        19 => history(vary),
        20 => {
            json!({"request": request(vary), "response": completion(vary), "cachedAt": vary.millis(), "model": model(vary)})
        }
        _ => error(vary),
    }
}

fn model(vary: &mut Vary) -> &'static str {
    vary.pick(&[
        "gpt-4o-mini-2024-07-18",
        "gpt-4o-mini",
        "gpt-4o-2024-08-06",
        "gpt-4o",
        "gpt-4.1-mini",
        "gpt-4.1",
        "gpt-4-turbo",
        "gpt-3.5-turbo-0125",
        "gpt-5-mini",
        "gpt-5",
        "o3-mini",
        "o4-mini",
        "claude-3-5-sonnet-20241022",
        "claude-3-5-haiku-latest",
        "claude-sonnet-4-20250514",
        "claude-opus-4-1",
        "llama3.2:latest",
        "llama3.1:8b",
        "meta-llama/Llama-3.1-8B-Instruct",
        "qwen2.5:7b",
        "Qwen/Qwen2.5-7B-Instruct",
        "qwen3:8b",
        "mistral:latest",
        "mistral-small-latest",
        "mistralai/Mistral-7B-Instruct-v0.3",
        "gemini-2.0-flash",
        "gemini-1.5-pro",
        "deepseek-chat",
        "deepseek-r1:7b",
        "phi3:mini",
        "gemma2:9b",
        "text-embedding-3-small",
        "nomic-embed-text",
    ])
}

fn length(vary: &mut Vary) -> usize {
    vary.pick(&[&[20, 80][..], &[100, 400], &[400, 1200], &[1000, 2500]])
        .iter()
        .fold(0, |low, &high| if low == 0 { high } else { vary.between(low, high) })
}

fn text(vary: &mut Vary) -> String {
    let length = length(vary);
    if vary.chance(50) { answer(vary, length) } else { paragraph(vary, length) }
}

fn arguments(vary: &mut Vary) -> Value {
    let all = match vary.below(6) {
        0 => {
            json!({"location": vary.pick(&["San Francisco, CA", "Paris, France", "London", "Berlin", "New York", "Tokyo"]), "unit": vary.pick(&["celsius", "fahrenheit"])})
        }
        1 => {
            json!({"query": title(vary), "limit": vary.between(1, 20), "filters": {"category": vary.pick(&["documentation", "support", "products"])}})
        }
        2 => {
            json!({"order_id": vary.between(1000, 99_999), "customer_id": vary.uuid(), "reason": sentence(vary)})
        }
        3 => {
            json!({"path": vary.pick(&["src/index.ts", "src/main.py", "README.md", "package.json"]), "content": sentence(vary)})
        }
        4 => json!({"to": vary.email(), "subject": title(vary), "body": paragraph(vary, 100)}),
        _ => {
            json!({"date": vary.iso(), "name": vary.name(), "start": 0, "end": vary.below(100), "enabled": vary.chance(50)})
        }
    };
    vary.some(85, all)
}

const TOOLS: &[&str] = &[
    "get_weather",
    "get_current_weather",
    "search",
    "web_search",
    "search_documents",
    "query_database",
    "get_order_status",
    "create_ticket",
    "send_email",
    "read_file",
    "write_file",
    "run_command",
    "get_user",
    "calculate",
    "list_files",
    "update_record",
];

fn tool_calls(vary: &mut Vary) -> Value {
    (0..vary.between(1, 2))
        .map(|_| json!({"id": format!("call_{}", vary.base62(24)), "type": "function", "function": {"name": vary.pick(TOOLS), "arguments": arguments(vary).to_string()}}))
        .collect()
}

fn schema(vary: &mut Vary) -> Value {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for _ in 0..vary.between(1, 5) {
        let name = vary.pick(&[
            "location",
            "query",
            "name",
            "id",
            "user_id",
            "date",
            "limit",
            "unit",
            "path",
            "content",
            "title",
            "description",
            "category",
            "status",
            "tags",
            "email",
            "start_date",
            "amount",
            "reasoning",
            "answer",
            "summary",
            "confidence",
        ]);
        let property = match vary.below(5) {
            0 => json!({"type": "integer", "description": sentence(vary)}),
            1 => {
                json!({"type": "string", "enum": [vary.pick(&["celsius", "low", "open"]), vary.pick(&["fahrenheit", "high", "closed"])]})
            }
            2 => json!({"type": "array", "items": {"type": "string"}, "description": sentence(vary)}),
            3 => {
                json!({"type": vary.pick(&["boolean", "number"]), "description": sentence(vary), "default": false})
            }
            _ => json!({"type": "string", "description": sentence(vary)}),
        };
        properties.insert(name.to_owned(), property);
        required.push(name);
    }
    let end = vary.some(50, json!({"additionalProperties": false}));
    join(json!({"type": "object", "properties": properties, "required": required}), end)
}

fn message(vary: &mut Vary, role: &str) -> Value {
    match (role, vary.below(6)) {
        ("assistant", 0) => json!({"role": role, "content": null, "tool_calls": tool_calls(vary)}),
        ("user", 0) => {
            json!({"role": role, "content": [{"type": "text", "text": text(vary)}, {"type": "image_url", "image_url": {"url": format!("https://example.com/images/{}.png", vary.hex(16)), "detail": "auto"}}]})
        }
        ("user", 1) => json!({"role": role, "content": [{"type": "text", "text": text(vary)}]}),
        _ => {
            let text = if vary.chance(60) { sentence(vary) } else { text(vary) };
            if vary.chance(8) {
                json!({"content": text, "role": role})
            } else {
                json!({"role": role, "content": text})
            }
        }
    }
}

fn messages(vary: &mut Vary, system: bool) -> Value {
    let mut all = Vec::new();
    if system && vary.chance(80) {
        let content =
            if vary.chance(40) { "You are a helpful assistant.".to_owned() } else { paragraph(vary, 150) };
        all.push(json!({"role": "system", "content": content}));
    }
    for turn in 0..vary.between(1, 5) {
        all.push(message(vary, if turn % 2 == 0 { "user" } else { "assistant" }));
    }
    if vary.chance(15) {
        let id = format!("call_{}", vary.base62(24));
        all.push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": {"name": vary.pick(TOOLS), "arguments": arguments(vary).to_string()}}]}));
        let content = if vary.chance(50) { arguments(vary).to_string() } else { sentence(vary) };
        all.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
    }
    all.into()
}

fn usage(vary: &mut Vary) -> Value {
    let (prompt, completion) = (vary.between(8, 6000), vary.between(1, 1500));
    let plain = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    let details = json!({
        "prompt_tokens_details": {"cached_tokens": vary.pick(&[&0, &1024, &1152]), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    });
    if vary.chance(60) { join(plain, details) } else { plain }
}

fn completion(vary: &mut Vary) -> Value {
    let tools = vary.chance(25);
    let content = if vary.chance(10) { arguments(vary).to_string() } else { text(vary) };
    let mut message = if tools {
        json!({"role": "assistant", "content": null, "tool_calls": tool_calls(vary)})
    } else {
        json!({"role": "assistant", "content": content})
    };
    if vary.chance(70) {
        message = join(message, json!({"refusal": null}));
    }
    if vary.chance(40) {
        message = join(message, json!({"annotations": []}));
    }
    let mut choice = json!({"index": 0, "message": message});
    if vary.chance(70) {
        choice = join(choice, json!({"logprobs": null}));
    }
    let reason = if tools { "tool_calls" } else { vary.pick(&["stop", "stop", "stop", "length"]) };
    let choice = join(choice, json!({"finish_reason": reason}));
    let all = json!({
        "id": format!("chatcmpl-{}", if vary.chance(75) { vary.base62(29) } else { vary.hex(32) }),
        "object": "chat.completion",
        "created": vary.unix(),
        "model": model(vary),
        "choices": [choice],
        "usage": usage(vary),
    });
    let tier = if vary.chance(60) { json!({"service_tier": "default"}) } else { json!({}) };
    let print = if vary.chance(50) { json!(format!("fp_{}", vary.hex(10))) } else { Value::Null };
    let all = join(all, tier);
    if vary.chance(75) { join(all, json!({"system_fingerprint": print})) } else { all }
}

fn chunks(vary: &mut Vary) -> Value {
    let head = json!({"id": format!("chatcmpl-{}", vary.base62(29)), "object": "chat.completion.chunk", "created": vary.unix(), "model": model(vary)});
    let head = if vary.chance(60) {
        join(head, json!({"service_tier": "default", "system_fingerprint": format!("fp_{}", vary.hex(10))}))
    } else {
        head
    };
    let text = sentence(vary);
    let mut all = vec![join(
        head.clone(),
        json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": null}, "logprobs": null, "finish_reason": null}]}),
    )];
    let (logprobs, null_usage) = (vary.chance(60), vary.chance(30));
    for word in text.split_inclusive(' ').take(12) {
        let mut choice = json!({"index": 0, "delta": {"content": word}});
        if logprobs {
            choice = join(choice, json!({"logprobs": null}));
        }
        choice = join(choice, json!({"finish_reason": null}));
        let mut chunk = join(head.clone(), json!({"choices": [choice]}));
        if null_usage {
            chunk = join(chunk, json!({"usage": null}));
        }
        all.push(chunk);
    }
    all.push(join(
        head.clone(),
        json!({"choices": [{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"}]}),
    ));
    all.push(join(head, json!({"choices": [], "usage": usage(vary)})));
    match vary.below(4) {
        0 => all.into(),
        1 => all.swap_remove(0),
        2 => all.swap_remove(1),
        _ => json!(
            all.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n"
        ),
    }
}

fn request(vary: &mut Vary) -> Value {
    let base = json!({"model": model(vary), "messages": messages(vary, true)});
    let all = json!({
        "temperature": vary.pick(&[&0.7, &0.0, &1.0, &0.2]), "max_tokens": vary.pick(&[&1024, &256, &4096, &512]), "top_p": vary.pick(&[&1.0, &0.9, &0.95]),
        "frequency_penalty": 0, "presence_penalty": 0, "n": 1, "stream": vary.chance(50), "stop": null, "seed": 42, "user": format!("user-{}", vary.hex(8)),
        "stream_options": {"include_usage": true}, "parallel_tool_calls": true, "max_completion_tokens": 2048,
    });
    let mut all = {
        let some = vary.some(25, all);
        join(base, some)
    };
    if vary.chance(35) {
        let tools: Value = (0..vary.between(1, 3)).map(|_| json!({"type": "function", "function": {"name": vary.pick(TOOLS), "description": sentence(vary), "parameters": schema(vary)}})).collect();
        all = join(all, json!({"tools": tools, "tool_choice": "auto"}));
    }
    if vary.chance(20) {
        let format = if vary.chance(50) {
            json!({"type": "json_object"})
        } else {
            json!({"type": "json_schema", "json_schema": {"name": vary.pick(&["response", "result", "answer"]), "strict": true, "schema": schema(vary)}})
        };
        all = join(all, json!({"response_format": format}));
    }
    all
}

fn responses_api(vary: &mut Vary) -> Value {
    let (input, output) = (vary.between(8, 3000), vary.between(1, 900));
    let item = match vary.below(4) {
        0..2 => {
            json!({"id": format!("msg_{}", vary.hex(48)), "type": "message", "status": "completed", "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": text(vary)}], "role": "assistant"})
        }
        2 => {
            json!({"id": format!("fc_{}", vary.hex(48)), "type": "function_call", "status": "completed", "arguments": arguments(vary).to_string(), "call_id": format!("call_{}", vary.base62(24)), "name": vary.pick(TOOLS)})
        }
        _ => {
            json!({"id": format!("rs_{}", vary.hex(48)), "type": "reasoning", "summary": [{"type": "summary_text", "text": paragraph(vary, 120)}], "encrypted_content": vary.base64(80)})
        }
    };
    let newer = vary.chance(60);
    let tools = if vary.chance(60) {
        json!([])
    } else {
        json!([{"type": "function", "description": sentence(vary), "name": vary.pick(TOOLS), "parameters": schema(vary), "strict": true}])
    };
    let head = json!({"id": format!("resp_{}", vary.hex(48)), "object": "response", "created_at": vary.unix(), "status": "completed", "background": false});
    let head = if newer {
        join(
            head,
            json!({"billing": {"payer": "developer"}, "completed_at": vary.unix(), "error": null, "frequency_penalty": 0.0}),
        )
    } else {
        join(head, json!({"error": null}))
    };
    let head = join(
        head,
        json!({"incomplete_details": null, "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "model": model(vary), "output": [item], "parallel_tool_calls": true}),
    );
    let head = if newer { join(head, json!({"presence_penalty": 0.0})) } else { head };
    let head = join(head, json!({"previous_response_id": null, "prompt_cache_key": null}));
    let head = if newer { join(head, json!({"prompt_cache_retention": null})) } else { head };
    join(
        head,
        json!({
            "reasoning": {"effort": vary.pick(&["none", "medium", "low"]), "summary": null}, "safety_identifier": null, "service_tier": "default", "store": true, "temperature": 1.0, "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto", "tools": tools, "top_logprobs": 0,
            "top_p": vary.pick(&[&1.0, &0.98]), "truncation": "disabled", "usage": {"input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output},
            "user": null, "metadata": {},
        }),
    )
}

fn anthropic_usage(vary: &mut Vary) -> Value {
    match vary.below(3) {
        0 => json!({"input_tokens": vary.between(8, 6000), "output_tokens": vary.between(1, 1500)}),
        1 => {
            json!({"input_tokens": vary.between(8, 6000), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": vary.between(1, 1500)})
        }
        _ => {
            json!({"input_tokens": vary.between(8, 6000), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "output_tokens": vary.between(1, 1500), "service_tier": "standard"})
        }
    }
}

fn anthropic_message(vary: &mut Vary) -> Value {
    let tools = vary.chance(30);
    let mut content = vec![json!({"type": "text", "text": text(vary)})];
    if tools {
        content.push(json!({"type": "tool_use", "id": format!("toolu_01{}", vary.base62(22)), "name": vary.pick(TOOLS), "input": arguments(vary)}));
    }
    if vary.chance(10) {
        content.insert(
            0,
            json!({"type": "thinking", "thinking": paragraph(vary, 200), "signature": vary.base64(80)}),
        );
    }
    let id = format!("msg_01{}", vary.base62(22));
    let (reason, usage) = (
        if tools { "tool_use" } else { vary.pick(&["end_turn", "end_turn", "max_tokens"]) },
        anthropic_usage(vary),
    );
    if vary.chance(50) {
        json!({"id": id, "type": "message", "role": "assistant", "model": model(vary), "content": content, "stop_reason": reason, "stop_sequence": null, "usage": usage})
    } else {
        json!({"model": model(vary), "id": id, "type": "message", "role": "assistant", "content": content, "stop_reason": reason, "stop_sequence": null, "usage": usage})
    }
}

fn anthropic_request(vary: &mut Vary) -> Value {
    let id = format!("toolu_01{}", vary.base62(22));
    let mut turns = vec![json!({"role": "user", "content": text(vary)})];
    if vary.chance(40) {
        turns.push(json!({"role": "assistant", "content": [{"type": "text", "text": sentence(vary)}, {"type": "tool_use", "id": id, "name": vary.pick(TOOLS), "input": arguments(vary)}]}));
        turns.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": sentence(vary)}]}));
    }
    let head =
        json!({"model": model(vary), "max_tokens": vary.pick(&[&1024, &4096, &8192]), "messages": turns});
    let rest = json!({"system": paragraph(vary, 200), "temperature": 0.7, "stream": true, "tools": [{"name": vary.pick(TOOLS), "description": sentence(vary), "input_schema": schema(vary)}], "tool_choice": {"type": "auto"}, "metadata": {"user_id": vary.uuid()}});
    let rest = vary.some(45, rest);
    join(head, rest)
}

fn anthropic_events(vary: &mut Vary) -> Value {
    let mut all = vec![
        json!({"type": "message_start", "message": {"id": format!("msg_01{}", vary.base62(22)), "type": "message", "role": "assistant", "model": model(vary), "content": [], "stop_reason": null, "stop_sequence": null, "usage": anthropic_usage(vary)}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    let text = sentence(vary);
    all.extend(text.split_inclusive(' ').take(10).map(|word| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})));
    if vary.chance(30) {
        all.push(json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"location\":"}}));
    }
    all.push(json!({"type": "content_block_stop", "index": 0}));
    all.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": vary.between(1, 900)}}));
    all.push(json!({"type": "message_stop"}));
    if vary.chance(50) {
        return all.into();
    }
    json!(
        all.iter()
            .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
            .collect::<String>()
    )
}

fn ollama(vary: &mut Vary) -> Value {
    let times = json!({
        "done": true, "done_reason": "stop", "total_duration": vary.millis() % 9_000_000_000, "load_duration": vary.millis() % 90_000_000, "prompt_eval_count": vary.between(8, 3000),
        "prompt_eval_duration": vary.millis() % 900_000_000, "eval_count": vary.between(1, 900), "eval_duration": vary.millis() % 9_000_000_000,
    });
    let head = json!({"model": model(vary), "created_at": vary.iso()});
    let body = match vary.below(5) {
        0..2 => json!({"message": {"role": "assistant", "content": text(vary)}}),
        2 => {
            json!({"message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": vary.pick(TOOLS), "arguments": arguments(vary)}}]}})
        }
        3 => {
            let start =
                json!({"model": model(vary), "messages": messages(vary, true), "stream": vary.chance(50)});
            let rest = json!({"options": {"temperature": 0.7, "num_ctx": 4096, "num_predict": 256, "top_k": 40, "top_p": 0.9, "seed": 42}, "format": "json", "keep_alive": "5m"});
            let rest = vary.some(50, rest);
            return join(start, rest);
        }
        _ => json!({"response": text(vary)}),
    };
    let head = join(head, body);
    join(head, times)
}

fn embeddings(vary: &mut Vary) -> Value {
    let tokens = vary.between(3, 500);
    let vector: Value = (0..vary.between(8, 60)).map(|_| vary.signed()).collect();
    match vary.below(3) {
        0 => {
            json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector}], "model": "text-embedding-3-small", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
        }
        1 => {
            json!({"model": "text-embedding-3-small", "input": [sentence(vary), sentence(vary)], "encoding_format": "float", "dimensions": 1536})
        }
        _ => {
            json!({"id": vary.uuid(), "values": vector, "metadata": {"text": paragraph(vary, 200), "source": vary.pick(&["docs", "upload", "web"]), "chunk_index": vary.below(40), "created_at": vary.iso()}})
        }
    }
}

fn models(vary: &mut Vary) -> Value {
    let count = vary.between(1, 6);
    if vary.chance(50) {
        let data: Value = (0..count).map(|_| json!({"id": model(vary), "object": "model", "created": vary.unix(), "owned_by": vary.pick(&["openai", "system", "organization-owner", "library"])})).collect();
        json!({"object": "list", "data": data})
    } else {
        let models: Value = (0..count).map(|_| { let name = model(vary); json!({"name": name, "model": name, "modified_at": vary.iso(), "size": vary.millis() % 9_000_000_000, "digest": vary.hex(64), "details": {"parent_model": "", "format": "gguf", "family": vary.pick(&["llama", "qwen2"]), "families": ["llama"], "parameter_size": vary.pick(&["7B", "8.0B", "3.2B"]), "quantization_level": vary.pick(&["Q4_K_M", "Q4_0"])}}) }).collect();
        json!({"models": models})
    }
}

fn documents(vary: &mut Vary) -> Value {
    let all: Vec<Value> = (0..vary.between(1, 4)).map(|_| {
        let length = vary.between(150, 900);
        let body = if vary.chance(50) { paragraph(vary, length) } else { answer(vary, length) };
        let meta = json!({
            "source": vary.pick(&["https://docs.example.com/guide/getting-started", "https://en.wikipedia.org/wiki/", "docs/README.md", "manual.pdf", "/data/documents/report.pdf"]),
            "title": title(vary), "page": vary.between(1, 90), "chunk": vary.below(50), "author": vary.name(), "created_at": vary.iso(), "language": "en", "total_pages": vary.between(1, 200), "loc": {"lines": {"from": vary.between(1, 99), "to": vary.between(100, 200)}},
        });
        let meta = vary.some(50, meta);
        match vary.below(4) {
            0 => json!({"id": vary.uuid(), "score": vary.float(6), "text": body, "metadata": meta}),
            1 => json!({"pageContent": body, "metadata": meta}),
            2 => json!({"page_content": body, "metadata": meta, "type": "Document"}),
            _ => json!({"id": format!("doc_{}", vary.below(9999)), "title": title(vary), "content": body, "url": "https://www.example.com/", "similarity": vary.float(8), "metadata": meta}),
        }
    }).collect();
    match vary.below(3) {
        0 => json!({"query": sentence(vary), "results": all, "total": vary.below(100)}),
        1 => json!({"documents": all}),
        _ => all.into(),
    }
}

fn gemini(vary: &mut Vary) -> Value {
    let (prompt, output) = (vary.between(4, 900), vary.between(4, 900));
    json!({
        "candidates": [{"content": {"parts": [{"text": text(vary)}], "role": "model"}, "finishReason": "STOP", "index": 0, "safetyRatings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "NEGLIGIBLE"}, {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "NEGLIGIBLE"}]}],
        "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": prompt + output, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}]},
        "modelVersion": model(vary), "responseId": vary.base62(22),
    })
}

fn framework(vary: &mut Vary) -> Value {
    let (kind, role) = if vary.chance(50) { ("HumanMessage", "human") } else { ("AIMessage", "ai") };
    let (prompt, output) = (vary.between(4, 900), vary.between(4, 900));
    match vary.below(4) {
        0 => {
            json!({"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": {"content": text(vary), "additional_kwargs": {}, "response_metadata": {"token_usage": usage(vary), "model_name": model(vary), "finish_reason": "stop", "logprobs": null}, "type": role, "id": format!("run-{}", vary.uuid()), "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output}}})
        }
        1 => {
            json!({"type": role, "data": {"content": text(vary), "additional_kwargs": {}, "response_metadata": {}, "type": role, "name": null, "id": null, "example": false}})
        }
        2 => {
            json!({"id": vary.base62(16), "role": "assistant", "metadata": {"createdAt": vary.millis()}, "parts": [{"type": "step-start"}, {"type": "text", "text": text(vary), "state": "done"}, {"type": format!("tool-{}", vary.pick(TOOLS)), "toolCallId": format!("call_{}", vary.base62(24)), "state": "output-available", "input": arguments(vary), "output": arguments(vary)}]})
        }
        _ => {
            json!({"text": text(vary), "finishReason": "stop", "usage": {"inputTokens": prompt, "outputTokens": output, "totalTokens": prompt + output, "promptTokens": prompt, "completionTokens": output}, "toolCalls": [], "toolResults": [], "warnings": [], "response": {"id": format!("chatcmpl-{}", vary.base62(29)), "modelId": model(vary), "timestamp": vary.iso()}})
        }
    }
}

fn history(vary: &mut Vary) -> Value {
    let stamps = vary.chance(60);
    let all: Value = (0..vary.between(1, 6))
        .map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            let text = if vary.chance(60) { sentence(vary) } else { text(vary) };
            if stamps {
                json!({"id": vary.uuid(), "role": role, "content": text, "createdAt": vary.iso()})
            } else {
                json!({"role": role, "content": text, "timestamp": vary.millis()})
            }
        })
        .collect();
    json!({"id": vary.uuid(), "conversation_id": vary.uuid(), "user_id": vary.uuid(), "title": title(vary), "model": model(vary), "messages": all, "created_at": vary.iso(), "updated_at": vary.iso(), "metadata": {}})
}

fn error(vary: &mut Vary) -> Value {
    match vary.below(3) {
        0 => {
            json!({"error": {"message": format!("Rate limit reached for {} in organization org-{} on tokens per min (TPM). Please try again in {}ms.", model(vary), vary.base62(24), vary.below(999)), "type": "tokens", "param": null, "code": "rate_limit_exceeded"}})
        }
        1 => {
            json!({"error": {"message": format!("Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys. {}", sentence(vary)), "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}})
        }
        _ => {
            json!({"type": "error", "error": {"type": vary.pick(&["overloaded_error", "invalid_request_error", "not_found_error"]), "message": sentence(vary)}, "request_id": format!("req_01{}", vary.base62(22))})
        }
    }
}
