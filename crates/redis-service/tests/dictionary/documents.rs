//! Documents as other people make them.

use serde_json::{Value, json};

const SENTENCES: &[&str] = &[
    "Lighthouses were automated one by one until, by the late 1990s, hardly any keeper still climbed the stairs at dusk.",
    "Sourdough rises because wild yeast and lactic acid bacteria share the same jar and, on good days, get along.",
    "If the gearbox grinds when you shift into reverse, check the clutch cable before you blame the synchronizers.",
    "The audit found that three vendors had invoiced the same pallets under slightly different purchase order numbers.",
    "Tardigrades survive drying out by replacing most of the water in their cells with a sugar called trehalose.",
    "Pair a crisp Riesling with spicy noodles; the residual sweetness calms the chili without drowning the lime.",
    "A monad is just a way to chain computations where every step decides what happens next.",
    "The bridge sways on purpose: a rigid deck would crack in the first real storm.",
    "Your tenant admin must grant consent before the connector can read any mailbox.",
    "Bees vote on a new home by dancing, and the liveliest dance usually wins.",
    "Roll back the deployment first, then look at the metrics; nobody ever debugged faster with angry users waiting.",
    "Glaciers carve valleys shaped like a U, whereas rivers leave behind a sharper V.",
    "The plaintiff argues that the clause was buried on page forty and therefore could not bind a reasonable reader.",
    "In the second movement the oboe borrows the theme that the violins abandoned.",
    "Kubernetes evicts pods when a node runs short of memory, starting with those that exceed their requests.",
    "Knead until the dough passes the windowpane test, then let it rest under a damp towel.",
    "Chess engines prune branches that cannot change the result, which is why they see so deep so quickly.",
    "Our return desk is open on weekdays from nine to six, and on Saturdays until noon.",
    "Volcanic ash makes soil fertile, so farmers keep coming back to the slopes that once chased them away.",
    "Insulin tells muscle and fat cells to take up glucose; without it, sugar piles up in the bloodstream.",
    "The referee waved play on, though half the stadium had heard the ankle crack.",
    "Compound interest rewards patience: seven percent doubles your savings in roughly a decade.",
    "Whales sing at frequencies that travel across entire ocean basins.",
    "To appeal a parking ticket, send photos of the signage along with the citation number.",
    "The mapping between legacy codes and the new catalogue lives in a spreadsheet that only Priya understands.",
    "Use a parameterized statement, because string concatenation invites injection.",
    "Moss grows wherever moisture lingers, not only on the northern side of trunks.",
    "Quarterly churn fell below two percent for the first time since we launched the loyalty scheme.",
    "He mended nets all winter and spoke to nobody but the dog.",
    "Set the thermostat two degrees lower at bedtime and you will barely notice, but the bill will.",
];

struct Make<'a>(&'a mut fastrand::Rng);

impl Make<'_> {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())]
    }

    fn from(&mut self, alphabet: &str, count: usize) -> String {
        (0..count).map(|_| self.pick(alphabet.as_bytes()) as char).collect()
    }

    fn hex(&mut self, count: usize) -> String {
        self.from("0123456789abcdef", count)
    }

    fn id(&mut self, count: usize) -> String {
        self.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", count)
    }

    fn prose(&mut self, count: usize, between: &str) -> String {
        let mut all = SENTENCES.to_vec();
        self.0.shuffle(&mut all);
        all[..count].join(between)
    }

    fn number(&mut self, end: u64) -> u64 {
        self.0.u64(1..end)
    }

    fn time(&mut self) -> String {
        format!(
            "20{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            self.0.u8(25..28),
            self.0.u8(1..13),
            self.0.u8(1..29),
            self.0.u8(..24),
            self.0.u8(..60),
            self.0.u8(..60),
            self.0.u16(..1000)
        )
    }
}

/// As a service would cache it: an answer, a question, or what it found.
pub(crate) fn llm(rng: &mut fastrand::Rng) -> String {
    let mut make = Make(rng);
    let sentences = make.0.usize(1..14);
    let between = make.pick(&[" ", " ", "\n\n", "\n* "]);
    let text = make.prose(sentences, between);
    let (asked, said) = (make.number(3000), make.number(800));
    let value = match make.0.u8(..9) {
        0..2 => json!({
            "id": format!("chatcmpl-{}", make.id(29)), "object": "chat.completion", "created": 1_760_000_000 + make.number(9_000_000), "model": make.pick(&["gpt-4.1-nano-2025-04-14", "gpt-5.1-chat-latest", "grok-4"]),
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}},
            "service_tier": "default", "system_fingerprint": format!("fp_{}", make.hex(10)),
        }),
        2 => json!({
            "id": format!("msg_01{}", make.id(22)), "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": [{"type": "text", "text": text}, {"type": "tool_use", "id": format!("toolu_01{}", make.id(22)), "name": "book_table", "input": {"guests": make.number(9), "when": make.time()}}],
            "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": asked, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": said},
        }),
        3 => json!({"model": "granite4:3b", "created_at": make.time(), "message": {"role": "assistant", "content": text}, "done": true, "done_reason": "stop", "total_duration": make.number(9_000_000_000), "load_duration": make.number(90_000_000), "prompt_eval_count": asked, "prompt_eval_duration": make.number(900_000_000), "eval_count": said, "eval_duration": make.number(9_000_000_000)}),
        4 => json!({
            "messages": [{"role": "system", "content": make.prose(2, " ")}, {"role": "user", "content": make.prose(1, "")}, {"role": "assistant", "content": null, "tool_calls": [{"id": format!("call_{}", make.id(24)), "type": "function", "function": {"name": "lookup_flight", "arguments": format!("{{\"flight\":\"LH{}\"}}", make.number(999))}}]}, {"role": "tool", "tool_call_id": format!("call_{}", make.id(24)), "content": text}],
            "model": "gpt-4.1-nano", "temperature": 0.4, "tools": [{"type": "function", "function": {"name": "lookup_flight", "description": make.prose(1, ""), "parameters": {"type": "object", "properties": {"flight": {"type": "string", "description": make.prose(1, "")}, "airline": {"type": "string"}}, "required": ["flight"], "additionalProperties": false}}}], "tool_choice": "auto",
        }),
        5 => {
            let id = format!("chatcmpl-{}", make.id(29));
            text.split_inclusive(' ').take(14).map(|word| json!({"id": id, "object": "chat.completion.chunk", "created": 1_761_234_567, "model": "gpt-4.1-nano-2025-04-14", "service_tier": "default", "system_fingerprint": "fp_7c233bf9d1", "choices": [{"index": 0, "delta": {"content": word}, "logprobs": null, "finish_reason": null}], "usage": null})).collect()
        }
        6 => (0..make.0.usize(2..5)).map(|at| json!({"id": format!("{}-{}", make.hex(8), at), "score": make.0.f64(), "text": make.prose(3, " "), "metadata": {"file": "handbook-v7.docx", "section": make.number(40), "tags": ["policy", "travel"]}})).collect(),
        7 => (0..make.0.usize(2..9)).map(|at| json!({"role": if at % 2 == 0 { "user" } else { "assistant" }, "content": make.prose(2, " ")})).collect(),
        _ => json!({
            "id": format!("resp_{}", make.hex(48)), "object": "response", "created_at": 1_760_000_000 + make.number(9_000_000), "status": "completed", "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null, "model": "gpt-5.1",
            "output": [{"type": "message", "id": format!("msg_{}", make.hex(48)), "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}],
            "parallel_tool_calls": true, "previous_response_id": null, "reasoning": {"effort": "low", "summary": null}, "store": false, "temperature": 1, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1, "truncation": "disabled", "usage": {"input_tokens": asked, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": said, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": asked + said}, "user": null, "metadata": {},
        }),
    };
    value.to_string()
}

/// As an application would keep it for a visitor.
pub(crate) fn session(rng: &mut fastrand::Rng) -> String {
    let mut make = Make(rng);
    let who = make.pick(&[
        "Ingrid Vos",
        "Tomasz Zielinski",
        "Aiko Tanaka",
        "Kwame Mensah",
        "Lucía Ortega",
        "Yusuf Demir",
    ]);
    let mail = format!(
        "{}@{}",
        who.split(' ').next().unwrap_or_default().to_lowercase(),
        make.pick(&["fastmail.com", "proton.me", "acme.io", "gmail.com"])
    );
    let agent = make.pick(&[
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:133.0) Gecko/20100101 Firefox/133.0",
        "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    ]);
    let cookie = json!({"originalMaxAge": make.pick(&[43_200_000, 86_400_000, 604_800_000]), "expires": make.time(), "secure": true, "httpOnly": true, "path": "/", "sameSite": "lax"});
    let value: Value = match make.0.u8(..6) {
        0 => {
            json!({"cookie": cookie, "passport": {"user": make.hex(24)}, "csrfSecret": make.id(18), "returnTo": "/orders/history", "flash": {"info": ["Welcome back"]}, "visits": make.number(50), "ua": agent})
        }
        1 => {
            json!({"cookie": cookie, "user": {"id": make.number(90_000), "email": mail, "name": who, "roles": ["buyer", "reviewer"], "permissions": ["catalog:read", "orders:write"], "createdAt": make.time()}, "cart": {"items": [{"sku": format!("LMP-{}", make.number(9999)), "name": "Brass desk lamp", "quantity": make.number(4), "price": 49.9}, {"sku": format!("RUG-{}", make.number(9999)), "name": "Wool runner", "quantity": 1, "price": 129.0}], "currency": "EUR", "total": 228.8}, "preferences": {"theme": "light", "language": "nl", "timezone": "Europe/Amsterdam", "notifications": {"email": true, "push": false}}})
        }
        2 => {
            json!({"userId": format!("{}-{}-{}-{}-{}", make.hex(8), make.hex(4), make.hex(4), make.hex(4), make.hex(12)), "email": mail, "roles": ["operator"], "createdAt": make.time(), "lastActivity": make.time(), "expiresAt": make.time(), "ip": format!("81.{}.{}.{}", make.number(255), make.number(255), make.number(255)), "userAgent": agent, "mfa": {"enabled": true, "method": "totp"}, "csrfToken": make.hex(32)})
        }
        3 => {
            json!({"cookie": cookie, "oauth": {"provider": "github", "accessToken": format!("gho_{}", make.id(36)), "scope": "read:user user:email", "tokenType": "bearer"}, "user": {"login": who.to_lowercase().replace(' ', "-"), "id": make.number(9_000_000), "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", make.number(9_000_000)), "email": mail, "name": who}, "loggedInAt": make.number(1_700_000_000_000)})
        }
        4 => {
            json!({"user": {"name": who, "email": mail, "image": null}, "expires": make.time(), "roles": ["member"], "tenant": {"id": make.hex(12), "plan": "team"}, "features": {"beta": true, "export": false}, "device": {"type": "desktop", "os": "Windows", "browser": "Chrome"}, "preferences": {"theme": "dark", "locale": "de-DE", "timezone": "Europe/Berlin"}})
        }
        _ => {
            json!({"sid": make.id(32), "uid": make.number(90_000), "uname": who, "lang": "es", "login_time": make.time(), "last_seen": make.time(), "remote_addr": format!("10.0.{}.{}", make.number(255), make.number(255)), "user_agent": agent, "is_admin": false, "two_factor": true, "csrf_token": make.id(43), "recent": ["/tickets/4411", "/tickets/4397", "/reports/weekly"], "settings": {"rows": 50, "columns": ["subject", "status", "assignee"], "theme": "dark"}})
        }
    };
    value.to_string()
}
