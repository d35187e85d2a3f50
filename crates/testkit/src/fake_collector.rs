//! A collector of traces on this machine: takes `POST .../v1/traces` in OTLP's protobuf, or refuses it as told.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;

/// What the next post meets instead of being taken.
#[derive(Debug, Clone, Copy)]
pub enum CollectorFault {
    /// This status.
    Status(u16),
    /// It is taken but for so many spans.
    Refuses(i64),
    /// No answer, until the collector ends.
    Hangs,
}

/// A post that arrived.
#[derive(Debug, Clone)]
pub struct Posted {
    /// The path.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether it was taken.
    pub taken: bool,
    /// What it holds.
    pub message: ExportTraceServiceRequest,
}

#[derive(Default)]
struct State {
    faults: VecDeque<CollectorFault>,
    posts: Vec<Posted>,
    /// Connections that get no answer.
    held: Vec<TcpStream>,
}

/// A running collector. It ends when it is dropped.
pub struct FakeCollector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeCollector {
    /// Starts one that takes everything.
    ///
    /// # Errors
    /// If loopback has no free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let stopped = Arc::new(AtomicBool::new(false));
        let serve = {
            let (state, stopped) = (Arc::clone(&state), Arc::clone(&stopped));
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    // A client that goes away in the middle is its own affair.
                    let _ = stream.and_then(|stream| answer(stream, &state));
                }
            }
        };
        let thread = std::thread::Builder::new().name("fake-collector".to_owned()).spawn(serve)?;
        Ok(Self { address, state, stopped, thread: Some(thread) })
    }

    /// For `telemetry.otlp_endpoint`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the next posts meet, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = CollectorFault>) {
        self.state.lock().faults.extend(faults);
    }

    /// Every post so far.
    #[must_use]
    pub fn posts(&self) -> Vec<Posted> {
        self.state.lock().posts.clone()
    }

    /// The spans of the posts that were taken.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let posts = self.posts().into_iter().filter(|posted| posted.taken);
        let resources = posts.flat_map(|posted| posted.message.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

impl Drop for FakeCollector {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread; one that cannot be woken has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request for each connection, so that nobody waits for another's.
fn answer(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let message = ExportTraceServiceRequest::decode(body.as_slice()).map_err(io::Error::other)?;
    let mut state = state.lock();
    let fault = state.faults.pop_front();
    let taken = matches!(fault, None | Some(CollectorFault::Refuses(_)));
    state.posts.push(Posted { path, headers, taken, message });
    let (status, refused) = match fault {
        Some(CollectorFault::Hangs) => {
            state.held.push(stream);
            return Ok(());
        }
        Some(CollectorFault::Status(status)) => (status, 0),
        Some(CollectorFault::Refuses(spans)) => (200, spans),
        None => (200, 0),
    };
    drop(state);
    let partial = ExportTracePartialSuccess { rejected_spans: refused, error_message: String::new() };
    let response =
        ExportTraceServiceResponse { partial_success: (refused > 0).then_some(partial) }.encode_to_vec();
    let head = format!(
        "HTTP/1.1 {status} As Told\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        response.len()
    );
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), &response].concat())
}
