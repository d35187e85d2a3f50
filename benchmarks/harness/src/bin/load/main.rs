//! A closed-loop load generator for chat completions that checks every answer.
//!
//! Each connection sends its next request when the last answer is complete, so that the offered load adapts to what is
//! measured: these are service times, not response times under a fixed arrival rate. The result is one JSON object on
//! standard output.

mod answer;
mod process;

use std::cell::Cell;
use std::io::Write;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bench_harness::BoxError;
use bytes::{Bytes, BytesMut};
use clap::Parser;
use hdrhistogram::Histogram;
use http_body_util::Full;
use hyper::body::Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The whole URL, such as `http://127.0.0.1:8642/v1/chat/completions`.
    #[arg(long)]
    url: Uri,
    /// Name of the model in the requests.
    #[arg(long, default_value = "mock")]
    model: String,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Measured requests in all.
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Requests before, which are checked and not measured.
    #[arg(long, default_value_t = 100)]
    warmup: usize,
    /// Ask for streams.
    #[arg(long)]
    stream: bool,
    /// Pieces of the expected answer, as given to `mock-upstream`.
    #[arg(long, default_value_t = 50)]
    chunks: usize,
    /// Bytes of the user's message.
    #[arg(long, default_value_t = 512)]
    prompt_bytes: usize,
    /// Milliseconds over which the connections begin, evenly: paced streams that all start at once tick at once.
    #[arg(long, default_value_t = 0)]
    spread_ms: u64,
    /// Sampling temperature in the requests. At 0 a gateway may answer from its cache.
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
    /// An additional request header, as `NAME: VALUE`.
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A process whose CPU time and memory are reported; of several, their sum.
    #[arg(long = "pid")]
    pids: Vec<u32>,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(": ").ok_or("a header is written NAME: VALUE")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name, value.parse().map_err(|error| format!("{error}"))?))
}

/// Three figures: finer than the noise of any machine.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Durations in nanoseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Result<Self, BoxError> {
        Ok(Self(Histogram::new(SIGNIFICANT_DIGITS)?))
    }

    fn record(&mut self, time: Duration) -> Result<(), BoxError> {
        Ok(self.0.record(u64::try_from(time.as_nanos())?)?)
    }

    fn summary(&self) -> Option<Summary> {
        // Nanoseconds to microseconds; the histogram has three digits, so no more are shown.
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        (!self.0.is_empty()).then(|| Summary {
            p50: micros(self.0.value_at_quantile(0.5)),
            p90: micros(self.0.value_at_quantile(0.9)),
            p99: micros(self.0.value_at_quantile(0.99)),
            max: micros(self.0.max()),
        })
    }
}

/// Microseconds.
#[derive(Debug, Serialize)]
struct Summary {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// What was measured.
struct Measured {
    whole: Times,
    first_content: Times,
    /// Between two pieces of content of one stream.
    gaps: Times,
    requests: usize,
    chunks: usize,
    failed: usize,
    first_failure: Option<String>,
}

impl Measured {
    fn new() -> Result<Self, BoxError> {
        let (whole, first_content, gaps) = (Times::new()?, Times::new()?, Times::new()?);
        Ok(Self { whole, first_content, gaps, requests: 0, chunks: 0, failed: 0, first_failure: None })
    }

    fn add(&mut self, other: Self) -> Result<(), BoxError> {
        self.whole.0.add(other.whole.0)?;
        self.first_content.0.add(other.first_content.0)?;
        self.gaps.0.add(other.gaps.0)?;
        self.requests += other.requests;
        self.chunks += other.chunks;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        Ok(())
    }
}

/// What every connection sends and expects.
struct Job {
    arguments: Arguments,
    body: Bytes,
    expected: String,
}

impl Job {
    fn new(arguments: Arguments) -> Self {
        let words = "What is the answer to this question? ".repeat(arguments.prompt_bytes / 37 + 1);
        let prompt = &words[..arguments.prompt_bytes];
        let body = json!({"model": arguments.model, "stream": arguments.stream, "temperature": arguments.temperature, "max_tokens": 256,
            "messages": [{"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": prompt}]});
        let expected = bench_harness::pieces(arguments.chunks).concat();
        Self { body: body.to_string().into(), expected, arguments }
    }
}

/// One connection, opened again when it is lost.
struct Connection {
    job: Rc<Job>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Sends one request after the other while some are left.
    async fn run(&mut self, left: &Cell<usize>) -> Result<Measured, BoxError> {
        let mut measured = Measured::new()?;
        while let Some(fewer) = left.get().checked_sub(1) {
            left.set(fewer);
            measured.requests += 1;
            if let Err(error) = self.request(&mut measured).await {
                self.sender = None;
                measured.failed += 1;
                measured.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
        Ok(measured)
    }

    /// Sends one request; only a right answer is measured.
    async fn request(&mut self, measured: &mut Measured) -> Result<(), BoxError> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.sender = None;
        }
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.job.arguments.url).await?),
        };
        sender.ready().await?;
        let url = &self.job.arguments.url;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url.path())
            .header(HOST, url.authority().map_or("", |authority| authority.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.job.body.clone()))?;
        request.headers_mut().extend(self.job.arguments.headers.iter().cloned());
        let start = Instant::now();
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        let mut stream = answer::Stream::default();
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            let now = Instant::now();
            let Ok(data) = frame?.into_data() else { continue };
            if self.job.arguments.stream && status == StatusCode::OK {
                stream.push(&data, now)?;
            } else {
                bytes.extend_from_slice(&data);
            }
        }
        let whole = start.elapsed();
        if status != StatusCode::OK {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)).into());
        }
        if self.job.arguments.stream {
            stream.check(&self.job.expected)?;
            for (index, at) in stream.content_at.iter().enumerate() {
                match index.checked_sub(1).and_then(|before| stream.content_at.get(before)) {
                    Some(before) => measured.gaps.record(*at - *before)?,
                    None => measured.first_content.record(*at - start)?,
                }
            }
            measured.chunks += stream.content_at.len();
        } else {
            answer::check_completion(&bytes, &self.job.expected)?;
        }
        measured.whole.record(whole)
    }
}

async fn connect(url: &Uri) -> Result<SendRequest<Full<Bytes>>, BoxError> {
    let authority = url.authority().ok_or("the URL needs a host and a port")?;
    let socket = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await?;
    // It ends with its sender, which lives no longer than the local set that runs it.
    tokio::task::spawn_local(async move {
        // Its error is also the error of the request under way, where it is counted.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Runs `total` requests over all connections and adds up what they measured. The connections take from one common
/// number: with a share each, one that met slow answers would be waited for alone at the end.
async fn run(connections: Vec<Connection>, total: usize) -> Result<(Measured, Vec<Connection>), BoxError> {
    let count = connections.len();
    let left = Rc::new(Cell::new(total));
    let mut tasks = Vec::new();
    for (index, mut connection) in connections.into_iter().enumerate() {
        let left = Rc::clone(&left);
        let spread = Duration::from_millis(connection.job.arguments.spread_ms);
        tasks.push(tokio::task::spawn_local(async move {
            tokio::time::sleep(spread * u32::try_from(index)? / u32::try_from(count)?).await;
            let measured = connection.run(&left).await?;
            Ok::<_, BoxError>((measured, connection))
        }));
    }
    let mut sum = Measured::new()?;
    let mut connections = Vec::new();
    for task in tasks {
        let (measured, connection) = task.await??;
        sum.add(measured)?;
        connections.push(connection);
    }
    Ok((sum, connections))
}

async fn load(arguments: Arguments) -> Result<serde_json::Value, BoxError> {
    let job = Rc::new(Job::new(arguments.clone()));
    let count = arguments.connections.max(1);
    let connections = (0..count).map(|_| Connection { job: Rc::clone(&job), sender: None }).collect();
    let (warm, connections) = run(connections, arguments.warmup).await?;
    let before = process::cpu_time(&arguments.pids)?;
    let start = Instant::now();
    let (measured, _) = run(connections, arguments.requests).await?;
    let seconds = start.elapsed().as_secs_f64();
    let after = process::cpu_time(&arguments.pids)?;
    let cpu = (!arguments.pids.is_empty()).then(|| after.saturating_sub(before).as_secs_f64() * 1e6);
    // The gateway is charged for the requests that failed too: it worked on them.
    let per = |count: usize| cpu.filter(|_| count > 0).map(|micros| micros / count as f64);
    Ok(json!({
        "requests": measured.requests,
        "failed": measured.failed,
        "failed_in_warmup": warm.failed,
        "first_failure": measured.first_failure.or(warm.first_failure),
        "seconds": seconds,
        "requests_per_s": (measured.requests - measured.failed) as f64 / seconds,
        "latency_us": measured.whole.summary(),
        "chunks": measured.chunks,
        "first_content_us": measured.first_content.summary(),
        "gap_us": measured.gaps.summary(),
        "cpu_us_per_request": per(measured.requests),
        "cpu_us_per_chunk": per(measured.chunks),
        "memory": process::memory(&arguments.pids)?,
    }))
}

// One thread: the generator must leave the other cores to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let loaded = LocalSet::new().run_until(load(Arguments::parse())).await;
    let written = loaded.and_then(|result| Ok(writeln!(std::io::stdout(), "{result}")?));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to try when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}
