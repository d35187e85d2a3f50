//! Speech over WebRTC. Needs `uat models pull whisper-tiny.en` and `silero-vad-6`, but for what is refused before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use opusic_c::{Application, Channels, Encoder, InbandFec, SampleRate};
use serde_json::{Value, json};
use str0m::change::SdpAnswer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use testkit::speech;
use tokio::net::UdpSocket;

use crate::keys;
use crate::openapi::Description;
use crate::support::{Exchange, Gateway, PATIENCE, Reply};

/// 20 ms of 8 kHz.
const FRAME: usize = 160;
const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const PARTIAL: &str = "uat.input_audio_transcription.partial";

async fn whip(gateway: &Gateway, query: &str, offer: &str) -> Reply {
    let request = Request::post(format!("/whip{query}")).header("content-type", "application/sdp");
    Exchange::begin(gateway.addr, request, offer.to_owned().into()).await.whole().await
}

async fn delete(gateway: &Gateway, path: &str) -> Reply {
    gateway.send(Request::delete(path)).await
}

/// A browser, as far as the server can tell.
struct Browser {
    /// Large.
    rtc: Box<Rtc>,
    socket: UdpSocket,
    mid: Mid,
    /// Where the session is ended.
    location: String,
    events: Vec<Value>,
    open: bool,
    gone: bool,
    /// Of a hundred packets of sound, so many are lost.
    loss: u8,
    random: fastrand::Rng,
    sent: u64,
}

impl Browser {
    /// One that is there, if the models are.
    async fn of(gateway: &Gateway) -> Option<Self> {
        Self::of_key(gateway, None).await
    }

    /// The same with a key.
    async fn of_key(gateway: &Gateway, key: Option<&str>) -> Option<Self> {
        speech::or_skipped(runtime::open_voice(&runtime::VoiceConfig::default(), "whisper-tiny.en"))?;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = RtcConfig::new()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .set_rtp_mode(true);
        let mut rtc = Box::new(config.build(Instant::now()));
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), Protocol::Udp).unwrap());
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        changes.add_channel("events".to_owned());
        let (offer, pending) = changes.apply().unwrap();
        let request = Request::post("/whip").header("content-type", "application/sdp");
        let request = key.into_iter().fold(request, |request, key| keys::as_(key, request));
        let reply = Exchange::begin(gateway.addr, request, offer.to_sdp_string().into()).await.whole().await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (201, Some("application/sdp")),
            "{}",
            reply.body
        );
        if key.is_none() {
            Description::of(gateway).await.check("post", "/whip", &reply);
        }
        let location = reply.header("location").unwrap().to_owned();
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&reply.body).unwrap()).unwrap();
        let mut browser = Self {
            rtc,
            socket,
            mid,
            location,
            events: Vec::new(),
            open: false,
            gone: false,
            loss: 0,
            random: fastrand::Rng::with_seed(5),
            sent: 0,
        };
        browser.until(|browser| browser.open && !browser.events.is_empty()).await;
        assert_eq!(browser.events[0]["type"], "session.created");
        assert_eq!(browser.events[0]["session"]["audio"]["input"]["format"]["type"], "audio/opus");
        Some(browser)
    }

    /// Goes on until something is so.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "{:?}", self.events);
            self.step(Instant::now() + Duration::from_millis(50)).await;
        }
    }

    /// Speaks 16-bit samples of 8 kHz in real time, or a little faster.
    async fn speak(&mut self, pcm: &[u8]) {
        let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz8000, Application::Voip).unwrap();
        encoder.set_inband_fec(InbandFec::Mode1).unwrap();
        encoder.set_packet_loss(5).unwrap();
        let samples: Vec<f32> = pcm
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0)
            .collect();
        let mut due = Instant::now();
        for frame in samples.chunks_exact(FRAME) {
            let mut packet = vec![0; 1_000];
            let length = encoder.encode_float_to_slice(frame, &mut packet).unwrap();
            self.send(&packet[..length]);
            due += Duration::from_millis(12);
            self.step(due).await;
        }
    }

    fn send(&mut self, packet: &[u8]) {
        let params = self.rtc.codec_config().params();
        let pt = params.iter().find(|params| params.spec().codec == Codec::Opus).unwrap().pt();
        self.sent += 1;
        let (number, timestamp) = (self.sent, (self.sent * 960) as u32);
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(self.mid, None).unwrap();
        stream.write_rtp(RtpWrite::new(pt, number.into(), timestamp, Instant::now(), packet));
    }

    /// Sends and takes what there is, until then.
    async fn step(&mut self, until: Instant) {
        let mut buffer = vec![0; 2_048];
        loop {
            let due = self.poll().min(until);
            let due = due.max(Instant::now());
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, from) = received.unwrap();
                    let to = self.socket.local_addr().unwrap();
                    let receive = Receive::new(Protocol::Udp, from, to, &buffer[..length]).unwrap();
                    self.rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
                }
                () = tokio::time::sleep_until(due.into()) => {
                    self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
                }
            }
            if Instant::now() >= until {
                self.poll();
                return;
            }
        }
    }

    fn poll(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(due) => return due,
                Output::Transmit(transmit) => {
                    let is_sound = transmit.contents[0] >= 128 && transmit.contents[1] & 127 >= 96;
                    if !is_sound || self.random.u8(0..100) >= self.loss {
                        let _ = self.socket.try_send_to(&transmit.contents, transmit.destination);
                    }
                }
                Output::Event(Event::ChannelOpen(..)) => self.open = true,
                Output::Event(Event::ChannelData(data)) => {
                    self.events.push(serde_json::from_slice(&data.data).unwrap());
                }
                Output::Event(Event::Closed) => self.gone = true,
                Output::Event(_) => {}
            }
        }
    }

    fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["type"].as_str().unwrap()).collect()
    }
}

/// Waits until so many are heard.
async fn heard(gateway: &Gateway, speakers: f64) {
    let end = Instant::now() + PATIENCE;
    while gateway.metric("uat_webrtc_sessions").await != speakers {
        assert!(Instant::now() < end);
        tokio::task::yield_now().await;
    }
}

/// Half a second of silence, the sentence, a second of silence.
fn said() -> Vec<u8> {
    [vec![0; 8_000], speech::pcm(), vec![0; 16_000]].concat()
}

#[tokio::test]
async fn what_is_no_offer_is_refused_in_words() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    let json = Request::post("/whip").header("content-type", "application/json");
    let reply = Exchange::begin(gateway.addr, json, "{}".into()).await.whole().await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (415, Some("unsupported_media_type")));
    description.check("post", "/whip", &reply);
    let head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
    let long = "x".repeat(1 << 20);
    for (offer, status, word) in [
        ("", 400, "v=0"),
        ("\u{0}", 400, "v=0"),
        (&format!("{head}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"), 400, "got video"),
        (&format!("{head}{audio}"), 400, "data channel"),
        (&long, 413, "65536"),
    ] {
        let reply = whip(&gateway, "", offer).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.body.contains(word), "{}", reply.body);
        description.check("post", "/whip", &reply);
    }
    let reply = delete(&gateway, "/whip/nobody").await;
    assert_eq!(reply.status, 404);
    description.check("delete", "/whip/{id}", &reply);
    heard(&gateway, 0.0).await;
}

#[tokio::test]
async fn a_browser_that_speaks_reads_its_words_while_packets_are_lost() {
    let gateway = Gateway::start().await;
    let Some(mut browser) = Browser::of(&gateway).await else { return };
    browser.loss = 5;
    browser.speak(&said()).await;
    browser.until(|browser| browser.kinds().contains(&COMPLETED)).await;
    let kinds = browser.kinds();
    for kind in ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", PARTIAL] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let whole = browser.events.iter().find(|event| event["type"] == COMPLETED).unwrap();
    let text = whole["transcript"].as_str().unwrap().to_lowercase();
    assert!(text.contains("young man"), "{text}");
    let started = browser.events.iter().find(|event| event["audio_start_ms"].is_number()).unwrap();
    // Half a second of silence is before it, and what is heard before speech is certain.
    assert!((100..700).contains(&started["audio_start_ms"].as_u64().unwrap()), "{started}");
}

#[tokio::test]
async fn a_session_that_is_ended_is_free_at_once() {
    let gateway = Gateway::start().await;
    let Some(mut browser) = Browser::of(&gateway).await else { return };
    heard(&gateway, 1.0).await;
    browser.speak(&said()[..16_000]).await;
    let location = browser.location.clone();
    let before = Instant::now();
    let reply = delete(&gateway, &location).await;
    let took = before.elapsed();
    assert_eq!((reply.status, reply.json()), (200, json!({})));
    Description::of(&gateway).await.check("delete", "/whip/{id}", &reply);
    assert_eq!(gateway.metric("uat_webrtc_sessions").await, 0.0);
    assert!(took < Duration::from_millis(100), "{took:?}");
    browser.until(|browser| browser.gone).await;
    assert_eq!(delete(&gateway, &location).await.status, 404);
}

#[tokio::test]
async fn a_browser_that_leaves_is_free_at_once() {
    let gateway = Gateway::start().await;
    let Some(mut browser) = Browser::of(&gateway).await else { return };
    browser.speak(&said()[..16_000]).await;
    browser.rtc.close().unwrap();
    let before = Instant::now();
    browser.step(Instant::now()).await;
    heard(&gateway, 0.0).await;
    let took = before.elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(gateway.metric("uat_webrtc_sessions_total").await, 1.0);
}

#[tokio::test]
async fn a_server_that_ends_says_goodbye_and_ends() {
    let mut gateway = Gateway::start().await;
    let Some(mut browser) = Browser::of(&gateway).await else { return };
    gateway.shutdown.cancel();
    browser.until(|browser| browser.gone).await;
    gateway.ended().await;
}

#[tokio::test]
async fn no_more_are_heard_than_there_is_room_for() {
    let gateway = Gateway::configured(json!({
        "models": [{ "name": "m", "endpoints": [{ "endpoint": "fake", "model": "m" }] }],
        "voice": { "webrtc": { "sessions": 1 } },
    }))
    .await;
    let Some(_browser) = Browser::of(&gateway).await else { return };
    let mut rtc = RtcConfig::new()
        .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
        .build(Instant::now());
    let mut changes = rtc.sdp_api();
    changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    changes.add_channel("events".to_owned());
    let (offer, _) = changes.apply().unwrap();
    let reply = whip(&gateway, "", &offer.to_sdp_string()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("15")), "{}", reply.body);
    Description::of(&gateway).await.check("post", "/whip", &reply);
    for (query, status) in [("?model=gpt-realtime", 404), ("?threshold=2", 400), ("?language=xx", 400)] {
        let reply = whip(&gateway, query, &offer.to_sdp_string()).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.body);
    }
}

#[tokio::test]
async fn the_page_is_there_where_it_was_asked_for_and_needs_no_key() {
    let (gateway, address) = keys::gateway().await.with_page("<!doctype html>").await;
    let missing = gateway.get("/demo").await;
    assert_eq!(missing.status, 404, "{}", missing.body);
    let page = Exchange::begin(address, Request::get("/demo"), "".into()).await.whole().await;
    assert_eq!((page.status, page.body.as_str()), (200, "<!doctype html>"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let (gateway, _) = Gateway::start().await.with_page("").await;
    let description = Description::of(&gateway).await;
    description.check("get", "/demo", &page);
    description.check("get", "/demo", &missing);
}

#[tokio::test]
async fn a_session_is_its_keys_and_ends_with_it() {
    let gateway = keys::gateway().await;
    let Some(mut browser) = Browser::of_key(&gateway, Some("root")).await else { return };
    let location = browser.location.clone();
    let end = async |key: &str| gateway.send(keys::as_(key, Request::delete(&location))).await.status;
    assert_eq!((delete(&gateway, &location).await.status, end("team").await), (401, 404));
    keys::keep_only_team(&gateway).await;
    browser.until(|browser| browser.gone).await;
    let last = browser.events.last().unwrap();
    assert_eq!((&last["type"], &last["error"]["code"]), (&json!("error"), &json!("UAT_UNAUTHORIZED")));
}
