//! Speech over a WebSocket. Needs `uat models pull whisper-tiny.en` and `silero-vad-6`, but for what is refused before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testkit::speech;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::openapi::Description;
use crate::support::Gateway;

/// A client that speaks.
struct Speaker {
    socket: WebSocketStream<TcpStream>,
}

impl Speaker {
    /// A conversation, if the models are here.
    async fn of(gateway: &Gateway) -> Option<Self> {
        speech::or_skipped(runtime::open_voice(&runtime::VoiceConfig::default(), "whisper-tiny.en"))?;
        let url = format!("ws://{}/v1/realtime?intent=transcription", gateway.addr);
        let stream = TcpStream::connect(gateway.addr).await.unwrap();
        let (socket, _) = client_async(url, stream).await.unwrap();
        let mut speaker = Self { socket };
        let created = speaker.next().await;
        assert_eq!(created["type"], "session.created");
        assert_eq!(created["session"]["audio"]["input"]["format"]["rate"], 24_000);
        Some(speaker)
    }

    /// The same, heard at the rate of the sentence.
    async fn at_8k(gateway: &Gateway) -> Option<Self> {
        let mut speaker = Self::of(gateway).await?;
        let input = json!({ "format": { "type": "audio/pcm", "rate": 8_000 } });
        speaker.say(json!({ "type": "session.update", "session": { "type": "transcription", "audio": { "input": input } } })).await;
        let updated = speaker.next().await;
        assert_eq!(
            (&updated["type"], &updated["session"]["audio"]["input"]["format"]["rate"]),
            (&json!("session.updated"), &json!(8_000))
        );
        Some(speaker)
    }

    async fn say(&mut self, event: Value) {
        self.socket.send(Message::text(event.to_string())).await.unwrap();
    }

    async fn speak(&mut self, pcm: &[u8]) {
        for frame in pcm.chunks(3_200) {
            self.say(json!({ "type": "input_audio_buffer.append", "audio": STANDARD.encode(frame) })).await;
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// All events up to the first of this kind.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let found = event["type"] == kind;
            events.push(event);
            if found {
                return events;
            }
        }
    }

    async fn closed(&mut self) -> u16 {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map_or(0, |frame| frame.code.into()),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const DELTA: &str = "conversation.item.input_audio_transcription.delta";

#[tokio::test]
async fn what_is_no_conversation_is_refused_before_it_begins() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    let plain = gateway.get("/v1/realtime?intent=transcription").await;
    assert_eq!(plain.status, 426, "{}", plain.body);
    description.check("get", "/v1/realtime", &plain);
    for (query, status) in
        [("", 400), ("?intent=talk", 400), ("?intent=transcription&model=gpt-realtime", 404)]
    {
        let stream = TcpStream::connect(gateway.addr).await.unwrap();
        let refused = client_async(format!("ws://{}/v1/realtime{query}", gateway.addr), stream).await;
        let Err(Error::Http(response)) = refused else { panic!("{query}: {refused:?}") };
        assert_eq!(response.status(), status, "{query}");
    }
}

#[tokio::test]
async fn words_come_while_somebody_speaks_and_the_whole_after_a_silence() {
    let gateway = Gateway::start().await;
    let Some(mut speaker) = Speaker::at_8k(&gateway).await else { return };
    for turn in 1..=2 {
        speaker.speak(&[vec![0; 8_000], speech::pcm(), vec![0; 16_000]].concat()).await;
        let events = speaker.until(COMPLETED).await;
        let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds[0], "input_audio_buffer.speech_started", "{kinds:?}");
        assert!(
            kinds.contains(&"input_audio_buffer.speech_stopped")
                && kinds.contains(&"input_audio_buffer.committed"),
            "{kinds:?}"
        );
        let whole = events.last().unwrap();
        let text = whole["transcript"].as_str().unwrap();
        assert!(text.to_lowercase().contains("young man"), "{text}");
        let told: String = events
            .iter()
            .filter(|event| event["type"] == DELTA)
            .map(|event| event["delta"].as_str().unwrap())
            .collect();
        assert!(!told.is_empty(), "{kinds:?}");
        assert!(events.iter().all(|event| event["item_id"] == whole["item_id"]), "{events:?}");
        let started = events[0]["audio_start_ms"].as_u64().unwrap();
        assert!(started > (turn - 1) * 4_000 && started < turn * 4_500, "{started}");
    }
}

#[tokio::test]
async fn what_was_said_is_written_down_when_the_client_says_that_it_is_all() {
    let gateway = Gateway::start().await;
    let Some(mut speaker) = Speaker::at_8k(&gateway).await else { return };
    for turn in 0..2 {
        speaker.speak(&speech::pcm()).await;
        speaker.say(json!({ "type": "input_audio_buffer.commit" })).await;
        let events = speaker.until(COMPLETED).await;
        assert!(events.last().unwrap()["transcript"].as_str().unwrap().contains("young man"), "{events:?}");
        // The clock is that of the conversation, whatever was committed.
        assert!(events[0]["audio_start_ms"].as_u64().unwrap() >= turn * 2_900, "{events:?}");
    }
    speaker.speak(&speech::pcm()).await;
    speaker.say(json!({ "type": "input_audio_buffer.clear" })).await;
    speaker.until("input_audio_buffer.cleared").await;
    speaker.say(json!({ "type": "input_audio_buffer.commit", "event_id": "mine" })).await;
    let refused = speaker.next().await;
    assert_eq!(
        refused["error"]["code"], "input_audio_buffer_commit_empty",
        "nothing of what was cleared is told: {refused}"
    );
}

#[tokio::test]
async fn an_event_that_makes_no_sense_is_refused_by_name_and_the_conversation_goes_on() {
    let gateway = Gateway::start().await;
    let Some(mut speaker) = Speaker::of(&gateway).await else { return };
    for (event, param) in [
        (json!({ "type": "response.create", "event_id": "e1" }), json!("type")),
        (json!({ "event_id": "e1" }), json!("type")),
        (json!({ "type": "input_audio_buffer.append", "event_id": "e1" }), json!("audio")),
        (json!({ "type": "input_audio_buffer.append", "audio": "***", "event_id": "e1" }), json!("audio")),
        (json!({ "type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "e1" }), json!("audio")),
        (json!({ "type": "session.update", "session": {}, "event_id": "e1" }), json!("session.type")),
        (json!({ "type": "input_audio_buffer.commit", "event_id": "e1" }), Value::Null),
    ] {
        speaker.say(event.clone()).await;
        let refused = speaker.next().await;
        assert_eq!(
            (&refused["type"], &refused["error"]["param"]),
            (&json!("error"), &param),
            "{event}: {refused}"
        );
        assert_eq!(refused["error"]["event_id"], "e1", "{refused}");
    }
    let transcription = json!({ "model": "smollm2-135m" });
    let session =
        json!({ "type": "transcription", "audio": { "input": { "transcription": transcription } } });
    speaker.say(json!({ "type": "session.update", "session": session })).await;
    assert_eq!(speaker.next().await["error"]["code"], "model_not_found");
    speaker.socket.send(Message::text("{")).await.unwrap();
    assert_eq!(speaker.next().await["error"]["code"], "invalid_event");
    speaker.socket.send(Message::binary(vec![0; 4])).await.unwrap();
    assert_eq!(speaker.next().await["error"]["code"], "invalid_event");
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_conversation() {
    let gateway = Gateway::start().await;
    let Some(mut speaker) = Speaker::of(&gateway).await else { return };
    let long = Message::text("x".repeat(5 << 20));
    // It may be refused before all of it was taken.
    let _ = speaker.socket.send(long).await;
    assert_eq!(speaker.closed().await, 1_009);
    assert!(gateway.get("/health/live").await.status == 200);
}

#[tokio::test]
async fn a_server_that_ends_says_so_and_does_not_wait_for_the_speaker() {
    let mut gateway = Gateway::start().await;
    let Some(mut speaker) = Speaker::at_8k(&gateway).await else { return };
    speaker.speak(&speech::pcm()).await;
    gateway.shutdown.cancel();
    assert_eq!(speaker.closed().await, 1_001);
    gateway.ended().await;
}

#[tokio::test]
async fn who_leaves_frees_the_place_of_the_connection() {
    let gateway = Gateway::start().await;
    let Some(mut speaker) = Speaker::at_8k(&gateway).await else { return };
    speaker.speak(&speech::pcm()).await;
    assert_eq!(gateway.metric("uat_http_connections").await, 2.0);
    drop(speaker);
    while gateway.metric("uat_http_connections").await > 1.0 {
        tokio::task::yield_now().await;
    }
}
