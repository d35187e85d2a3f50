//! What a provider signed or encrypted of its reasoning, in the one field of an item that a client gives back unread.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::json;

/// Tells ours from what others encrypted.
const MARK: &str = "uat.1.";

/// `reasoning_details` of a chat as `encrypted_content`. It is opaque, not secret: the client has the text beside it.
pub(super) fn close(details: &[Value]) -> String {
    format!("{MARK}{}", URL_SAFE_NO_PAD.encode(json::encode(&details)))
}

/// The details again; `None` where somebody else wrote it.
pub(super) fn open(sealed: &str) -> Option<Vec<Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed.strip_prefix(MARK)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Adds one delta's details to those before: pieces of the same one, told by its `index`, are joined.
pub(super) fn merge(details: &mut Vec<Value>, more: Vec<Value>) {
    for piece in more {
        let same = details.iter_mut().find(|known| {
            piece.get("index").is_some()
                && known.get("index") == piece.get("index")
                && known.get("type") == piece.get("type")
        });
        match (same, piece) {
            (Some(Value::Object(known)), Value::Object(piece)) => {
                for (name, value) in piece {
                    match (known.get_mut(&name), value) {
                        (_, Value::Null) => {}
                        (Some(Value::String(text)), Value::String(more))
                            if ["text", "summary", "data"].contains(&name.as_str()) =>
                        {
                            text.push_str(&more);
                        }
                        (_, value) => _ = known.insert(name, value),
                    }
                }
            }
            (_, piece) => details.push(piece),
        }
    }
}

/// Whether they hold anything that the text of the reasoning does not.
pub(super) fn says_more(details: &[Value]) -> bool {
    details.iter().any(|detail| {
        detail.get("type").and_then(Value::as_str) != Some("reasoning.text")
            || detail.get("signature").is_some_and(|signature| !signature.is_null())
    })
}
