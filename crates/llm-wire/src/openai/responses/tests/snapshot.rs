//! A response as OpenAI's client for Node makes it from the events, with the same demands on their order
//! (`lib/responses/ResponseAccumulator` there).

use serde_json::{Value, json};

/// What the client holds after the events, without looking at the last one, which carries the response itself.
pub(super) fn added_up(events: &[Value]) -> Value {
    let (first, rest) = events.split_first().unwrap();
    assert_eq!(first["type"], "response.created");
    let (_, rest) = rest.split_last().unwrap();
    let mut response = first["response"].clone();
    for event in rest {
        apply(&mut response, event);
    }
    response["output"].clone()
}

fn apply(response: &mut Value, event: &Value) {
    let kind = event["type"].as_str().unwrap();
    if kind == "response.in_progress" {
        *response = event["response"].clone();
        return;
    }
    let output = response["output"].as_array_mut().unwrap();
    let at = usize::try_from(event["output_index"].as_u64().unwrap_or_else(|| panic!("{event}"))).unwrap();
    if kind == "response.output_item.added" {
        assert_eq!(at, output.len(), "{event}");
        output.push(event["item"].clone());
        return;
    }
    let item = output.get_mut(at).unwrap_or_else(|| panic!("no item for {event}"));
    assert_eq!(item["status"], "in_progress", "{event} after the item ended");
    if kind == "response.output_item.done" {
        assert_eq!(item["id"], event["item"]["id"]);
        *item = event["item"].clone();
        return;
    }
    assert_eq!(item["id"], event["item_id"]);
    let (of, field) = match kind {
        "response.function_call_arguments.delta" => {
            append(&mut item["arguments"], &event["delta"]);
            return;
        }
        "response.function_call_arguments.done" => {
            assert_eq!(item["arguments"], event["arguments"]);
            assert_eq!(item["name"], event["name"]);
            return;
        }
        "response.content_part.added" => {
            let content = item["content"].as_array_mut().unwrap();
            assert_eq!(event["content_index"], content.len());
            content.push(event["part"].clone());
            return;
        }
        "response.content_part.done" => ("", "part"),
        "response.output_text.annotation.added" => ("output_text", "annotations"),
        "response.output_text.delta" | "response.output_text.done" => ("output_text", "text"),
        "response.reasoning_text.delta" | "response.reasoning_text.done" => ("reasoning_text", "text"),
        "response.refusal.delta" | "response.refusal.done" => ("refusal", "refusal"),
        other => panic!("{other} is no event of a chat"),
    };
    let part = &mut item["content"][usize::try_from(event["content_index"].as_u64().unwrap()).unwrap()];
    assert!(part.is_object(), "no part for {event}");
    if kind == "response.content_part.done" {
        // Log probabilities are the one thing that no delta adds to a part.
        part["logprobs"] = event["part"]["logprobs"].clone();
        if part["logprobs"].is_null() {
            part.as_object_mut().unwrap().remove("logprobs");
        }
        assert_eq!(*part, event["part"], "{event}");
        return;
    }
    assert_eq!(part["type"], of, "{event}");
    if kind.ends_with(".delta") {
        append(&mut part[field], &event["delta"]);
    } else if kind.ends_with(".done") {
        assert_eq!(part[field], event[field], "{event}");
    } else {
        assert_eq!(event["annotation_index"], json!(part[field].as_array().unwrap().len()));
        part[field].as_array_mut().unwrap().push(event["annotation"].clone());
    }
}

fn append(text: &mut Value, piece: &Value) {
    *text = json!(format!("{}{}", text.as_str().unwrap(), piece.as_str().unwrap()));
}
