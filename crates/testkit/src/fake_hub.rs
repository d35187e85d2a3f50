//! A Hugging Face hub on this machine: one server for the hub, another one for the store of content that it redirects to.
//!
//! Of the hub's interface it speaks `GET /ORG/REPO/resolve/REVISION/PATH` and `GET /api/models/ORG/REPO/tree/REVISION`.
//! On threads and not on tokio, because those who download from it block.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};

/// What the next request meets instead of a good answer.
#[derive(Debug, Clone)]
pub enum HubFault {
    /// The hub answers with this status and these headers.
    Status {
        /// For example 429.
        code: u16,
        /// For example `("retry-after", "1")`.
        headers: Vec<(String, String)>,
    },
    /// The content ends after so many bytes, though more were announced.
    CutAfter(usize),
    /// The whole content comes, whatever range was asked for.
    IgnoresRange,
    /// Other content of the same length comes.
    OtherContent,
    /// More content comes than the hub has announced.
    TooLong,
    /// The hub redirects to this address.
    RedirectTo(String),
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRequest {
    /// Whether the store of content was asked, not the hub.
    pub to_store: bool,
    /// With its query.
    pub path: String,
    /// Of the header `Authorization`.
    pub authorization: Option<String>,
    /// Of the header `Range`.
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    /// By `ORG/REPO` and path.
    files: BTreeMap<(String, String), StoredFile>,
    faults: VecDeque<HubFault>,
    requests: Vec<HubRequest>,
    token: Option<String>,
}

#[derive(Clone)]
struct StoredFile {
    content: Arc<Vec<u8>>,
    /// Large files lie in the store, and the hub knows their SHA-256.
    is_large: bool,
}

/// A running hub. It ends when it is dropped.
pub struct FakeHub {
    hub: SocketAddr,
    store: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl FakeHub {
    /// Starts an empty hub.
    ///
    /// # Errors
    /// If loopback has no free ports.
    pub fn start() -> io::Result<Self> {
        let hub = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let store = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (hub_address, store_address) = (hub.local_addr()?, store.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let stopped = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (listener, to_store) in [(hub, false), (store, true)] {
            let (state, stopped) = (Arc::clone(&state), Arc::clone(&stopped));
            let serve = move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    // A client that goes away in the middle is what some tests are about.
                    let _ = stream.and_then(|stream| answer(&stream, to_store, store_address, &state));
                }
            };
            threads.push(std::thread::Builder::new().name("fake-hub".to_owned()).spawn(serve)?);
        }
        Ok(Self { hub: hub_address, store: store_address, state, stopped, threads })
    }

    /// For `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// Puts a large file into a repository, or replaces it. Returns its SHA-256.
    pub fn put(&self, repo: &str, path: &str, content: Vec<u8>) -> String {
        let sha256 = sha256(&content);
        self.insert(repo, path, content, true);
        sha256
    }

    /// Puts a small file, whose SHA-256 the hub does not know.
    pub fn put_small(&self, repo: &str, path: &str, content: Vec<u8>) {
        self.insert(repo, path, content, false);
    }

    fn insert(&self, repo: &str, path: &str, content: Vec<u8>, is_large: bool) {
        let file = StoredFile { content: Arc::new(content), is_large };
        self.state.lock().files.insert((repo.to_owned(), path.to_owned()), file);
    }

    /// From now on the hub is gated: only requests with this token are let in.
    pub fn require_token(&self, token: &str) {
        self.state.lock().token = Some(token.to_owned());
    }

    /// The next request that the fault can happen to meets it. Several faults are met one after the other.
    pub fn enqueue(&self, fault: HubFault) {
        self.state.lock().faults.push_back(fault);
    }

    /// What has arrived so far.
    pub fn requests(&self) -> Vec<HubRequest> {
        self.state.lock().requests.clone()
    }

    /// Where the content comes from: `127.0.0.1:PORT`.
    pub fn store_address(&self) -> SocketAddr {
        self.store
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for address in [self.hub, self.store] {
            // Wakes the thread; if nobody accepts any more, it has ended already.
            drop(TcpStream::connect(address));
        }
        for thread in self.threads.drain(..) {
            // A panic there was printed, and the test fails for want of an answer.
            let _ = thread.join();
        }
    }
}

/// One request per connection.
fn answer(stream: &TcpStream, to_store: bool, store: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    let request = read_request(stream, to_store)?;
    let mut state = state.lock();
    state.requests.push(request.clone());
    let reply = if to_store { state.answer_of_store(&request) } else { state.answer_of_hub(&request, store) };
    drop(state);
    let mut head = format!("HTTP/1.1 {} Fake\r\nconnection: close\r\n", reply.status);
    let length = reply.announced.unwrap_or(reply.body.len());
    // Writing to a String cannot fail.
    let _ = write!(head, "content-length: {length}\r\n");
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(&reply.body)
}

fn read_request(stream: &TcpStream, to_store: bool) -> io::Result<HubRequest> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = HubRequest { to_store, path, authorization: None, range: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "range" => request.range = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The length that the header says; absent: the body's.
    announced: Option<usize>,
}

impl Reply {
    fn status(status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self { status, headers: headers.collect(), ..Self::default() }
    }
}

impl State {
    fn answer_of_hub(&mut self, request: &HubRequest, store: SocketAddr) -> Reply {
        if let Some(token) = &self.token
            && request.authorization.as_deref() != Some(&format!("Bearer {token}"))
        {
            return Reply::status(401, &[("x-error-code", "GatedRepo")]);
        }
        match self.faults.front() {
            Some(HubFault::Status { code, headers }) => {
                let reply = Reply { status: *code, headers: headers.clone(), ..Reply::default() };
                self.faults.pop_front();
                return reply;
            }
            Some(HubFault::RedirectTo(address)) => {
                let reply = Reply::status(302, &[("location", address)]);
                self.faults.pop_front();
                return reply;
            }
            _ => {}
        }
        let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/');
        if let Some(rest) = path.strip_prefix("api/models/") {
            return self.tree(rest);
        }
        let Some((repo, rest)) = path.split_once("/resolve/") else { return Reply::status(404, &[]) };
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let Some(file) = self.files.get(&(repo.to_owned(), path.to_owned())).cloned() else {
            return Reply::status(404, &[("x-error-code", "EntryNotFound")]);
        };
        let sha256 = sha256(&file.content);
        if !file.is_large {
            let mut reply = self.content(&file, request);
            reply.headers.push(("etag".to_owned(), format!("\"{}\"", &sha256[..40])));
            return reply;
        }
        Reply::status(
            302,
            &[
                ("location", &format!("http://{store}/{repo}/{path}?signature=secret")),
                ("x-linked-etag", &format!("\"{sha256}\"")),
                ("x-linked-size", &file.content.len().to_string()),
                ("x-repo-commit", "c0ffee"),
            ],
        )
    }

    fn tree(&self, rest: &str) -> Reply {
        let repo = rest.split("/tree/").next().unwrap_or_default();
        let paths = self.files.keys().filter(|(of, _)| of == repo).map(|(_, path)| path);
        let entries: Vec<_> = paths.map(|path| json!({ "type": "file", "path": path })).collect();
        if entries.is_empty() {
            return Reply::status(404, &[("x-error-code", "RepoNotFound")]);
        }
        Reply { status: 200, body: json!(entries).to_string().into_bytes(), ..Reply::default() }
    }

    fn answer_of_store(&mut self, request: &HubRequest) -> Reply {
        let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/');
        let mut parts = path.splitn(3, '/');
        let repo = [parts.next(), parts.next()].map(Option::unwrap_or_default).join("/");
        let key = (repo, parts.next().unwrap_or_default().to_owned());
        match self.files.get(&key).cloned() {
            Some(file) => self.content(&file, request),
            None => Reply::status(404, &[]),
        }
    }

    fn content(&mut self, file: &StoredFile, request: &HubRequest) -> Reply {
        let fault = self.faults.pop_front();
        let mut content = file.content.to_vec();
        let range = request.range.as_deref().filter(|_| !matches!(fault, Some(HubFault::IgnoresRange)));
        let start: Option<usize> =
            range.and_then(|range| range.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
        let total = content.len();
        let mut reply = match start {
            Some(start) if start >= total => return Reply::status(416, &[]),
            Some(start) => {
                content.drain(..start);
                let range = format!("bytes {start}-{}/{total}", total - 1);
                Reply::status(206, &[("content-range", &range)])
            }
            None => Reply::status(200, &[]),
        };
        let length = content.len();
        match fault {
            Some(HubFault::CutAfter(bytes)) => {
                content.truncate(bytes);
                reply.announced = Some(length);
            }
            Some(HubFault::OtherContent) => content.iter_mut().for_each(|byte| *byte ^= 1),
            Some(HubFault::TooLong) => content.extend([0; 1000]),
            _ => {}
        }
        reply.body = content;
        reply
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
