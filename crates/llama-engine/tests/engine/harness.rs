//! Starts the real binary on a socket of its own, speaks HTTP to it, and ends it with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use model_store::ModelStore;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

pub(crate) const MODEL: &str = "smollm2-135m";

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The model's file. Tests need it and say how to get it: passing without it would prove nothing.
pub(crate) fn model_file() -> PathBuf {
    let found = ModelStore::open().and_then(|store| store.resolve(MODEL));
    found.unwrap_or_else(|error| panic!("these tests need a model: {error}"))
}

/// A running engine.
pub(crate) struct Engine {
    child: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Engine {
    /// Computes on one thread unless told otherwise: tests run side by side, and threads that wait for each other spin.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_from(Path::new(env!("CARGO_BIN_EXE_uat-engine")), arguments).await
    }

    /// The same with a program that lies elsewhere.
    pub(crate) async fn start_from(program: &Path, arguments: &[&str]) -> Self {
        Self::start_with(program, arguments, &[]).await
    }

    /// The same with these environment variables.
    pub(crate) async fn start_with(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        model_file();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("e.sock");
        let mut command = Command::new(program);
        // Cargo's would hide that a library is not found.
        command.env_remove("LD_LIBRARY_PATH").envs(environment.iter().copied());
        command.arg("--socket").arg(&socket).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        if !arguments.contains(&"--threads") {
            command.args(["--threads", "1"]);
        }
        let child = command.spawn().expect("the engine starts");
        let engine = Self { child, socket, _folder: folder };
        let connected = async || UnixStream::connect(&engine.socket).await.is_ok();
        until("the engine listens", connected).await;
        engine
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection of its own, which is one client.
    pub(crate) async fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.socket).await.expect("connects");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("shakes hands");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // A connection that ends with the engine is part of some tests.
            let _ = connection.await;
        });
        Client { sender, _connection: tasks }
    }

    pub(crate) async fn stats(&self) -> Value {
        self.client().await.get("/v1/stats").await.1
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("signals");
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the engine does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waits").is_none()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection. Dropping it closes it.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Client {
    pub(crate) async fn get(&mut self, path: &str) -> (StatusCode, Value) {
        let request = Request::get(path).header("host", "engine").body(Full::default()).expect("a request");
        document(self.sender.send_request(request).await.expect("answers")).await
    }

    pub(crate) async fn post(&mut self, body: impl Into<Bytes>) -> Response<Incoming> {
        self.post_with(&[], body).await
    }

    /// The same with these headers.
    pub(crate) async fn post_with(
        &mut self,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let mut request = Request::post("/v1/chat/completions").header("host", "engine");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        self.sender.send_request(request).await.expect("answers")
    }

    /// A document to another path.
    pub(crate) async fn ask(&mut self, path: &str, fields: Value) -> (StatusCode, Value) {
        let request = Request::post(path).header("host", "engine");
        let request = request.body(Full::new(Bytes::from(fields.to_string()))).expect("a request");
        document(self.sender.send_request(request).await.expect("answers")).await
    }

    /// A chat with these fields; greedy and short unless they say otherwise.
    pub(crate) async fn chat(&mut self, fields: Value) -> (StatusCode, Value) {
        document(self.post(body(fields)).await).await
    }

    /// The text of a chat that must succeed, and why it ended.
    pub(crate) async fn answer(&mut self, fields: Value) -> (String, String) {
        let (status, answer) = self.chat(fields).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let choice = &answer["choices"][0];
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        (text(&choice["message"]["content"]), text(&choice["finish_reason"]))
    }

    /// A chat as a stream that must begin well.
    pub(crate) async fn stream(&mut self, fields: Value) -> Stream {
        let mut fields = fields;
        fields["stream"] = json!(true);
        let response = self.post(body(fields)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { body: response.into_body(), buffer: String::new() }
    }
}

/// A chat request with these fields; greedy and short unless they say otherwise.
pub(crate) fn body(fields: Value) -> String {
    let mut body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 24,
    });
    let object = body.as_object_mut().expect("an object");
    object.extend(fields.as_object().expect("fields are an object").clone());
    body.to_string()
}

pub(crate) async fn document(response: Response<Incoming>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

/// The events of a stream.
pub(crate) struct Stream {
    body: Incoming,
    buffer: String,
}

impl Stream {
    /// The data of the next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let data = event.strip_prefix("data: ").expect("a data line").to_owned();
                self.buffer = rest.to_owned();
                return Some(data);
            }
            let frame = self.body.frame().await?.expect("an unbroken body");
            let bytes = frame.into_data().expect("data");
            self.buffer.push_str(std::str::from_utf8(&bytes).expect("whole characters"));
        }
    }

    /// Every event but the last, which must be `[DONE]`.
    pub(crate) async fn chunks(mut self) -> Vec<Value> {
        let mut chunks = Vec::new();
        loop {
            let data = self.next().await.expect("[DONE] before the end");
            if data == "[DONE]" {
                assert_eq!(self.next().await, None);
                return chunks;
            }
            chunks.push(serde_json::from_str(&data).expect("JSON"));
        }
    }
}

/// The text of a stream's chunks.
pub(crate) fn text_of(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

/// Waits for a condition that is on its way.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
