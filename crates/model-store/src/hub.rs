//! Downloads from the Hugging Face hub, or what speaks like it: <https://huggingface.co/docs/hub/api>.
//!
//! With `ureq` and not `hf-hub`: the blocking one of 0.5 neither verifies nor stops, and 1.0 brings an asynchronous client
//! and a storage protocol of its own. Redirects are followed by hand, because the token may not go where they lead.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LINK, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::hub_reference::HubModel;
use crate::resumable::Resumable;
use crate::verify::{BUFFER_BYTES, Content, Expected, Job, refuse_beyond};
use crate::{Phase, StoreError};

/// Tries in a row that bring no further byte: with the doubling pause they outlast a router that restarts.
const ATTEMPTS: u32 = 5;
/// Without a byte for so long a connection is given up, and the download goes on over another one. It is also the
/// longest that a cancel may wait.
const STALL: Duration = Duration::from_secs(10);
/// Longer pauses than this are not waited for: the user is told instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// The hub needs two: a renamed repository, and the store of its content.
const MAX_REDIRECTS: usize = 5;
/// A list of 1,000 files has some 400 KB.
const LONGEST_LIST: u64 = 8 << 20;
/// Each has up to 1,000 files; repositories of models have hundreds.
const MAX_PAGES: usize = 20;

/// What may stand in a segment of a path: everything else is written as `%XX`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// Which hub, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hub {
    /// Without a slash at its end.
    endpoint: String,
    token: Option<String>,
}

/// The token must not get into a log.
impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hub").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One file of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HubPath<'a> {
    pub(crate) repo: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) path: &'a str,
}

impl fmt::Display for HubPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}:{}", self.repo, self.revision, self.path)
    }
}

/// A finished download.
#[derive(Debug)]
pub(crate) struct Downloaded {
    pub(crate) content: Content,
    /// The commit that it is of, where the hub says so.
    pub(crate) commit: Option<String>,
}

/// What the hub says of a file before its content comes.
#[derive(Debug, Clone, Default)]
struct Announced {
    /// Changes with the content.
    tag: String,
    size: Option<u64>,
    /// Known for large files, which all models are.
    sha256: Option<String>,
    commit: Option<String>,
}

/// A failure of one try.
enum Failure {
    /// Another try cannot help.
    Final(StoreError),
    /// The network, or a hub that is busy.
    Passing { reason: String, pause: Option<Duration> },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

fn passing(reason: impl fmt::Display) -> Failure {
    Failure::Passing { reason: reason.to_string(), pause: None }
}

/// Decides whether it is tried again, and after which pause.
struct Retries<'a> {
    what: &'a str,
    pause: Duration,
    failures: u32,
}

impl Retries<'_> {
    /// 1 for the first try.
    fn attempt(&self) -> u32 {
        self.failures + 1
    }

    /// The pause before the next try; it doubles from failure to failure. Whoever has come further starts over.
    fn after(&mut self, failure: Failure, has_progressed: bool) -> Result<Duration, StoreError> {
        let (reason, asked) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { reason, pause } => (reason, pause),
        };
        self.failures = if has_progressed { 1 } else { self.failures + 1 };
        let pause = asked.unwrap_or(self.pause * (1 << (self.failures - 1)));
        if self.failures >= ATTEMPTS || pause > LONGEST_PAUSE {
            let what = self.what.to_owned();
            return Err(StoreError::Hub { what, attempts: self.failures, reason });
        }
        Ok(pause)
    }
}

impl Hub {
    /// `HF_ENDPOINT`, else `https://huggingface.co`; with `HF_TOKEN` where it is set.
    pub(crate) fn from_env(env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| {
            let value = env(name)?.into_string().ok()?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), token: text("HF_TOKEN") }
    }

    /// The paths of all files of a repository.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub(crate) fn files(
        &self,
        model: &HubModel,
        retry_pause: Duration,
        job: &mut Job<'_>,
    ) -> Result<Vec<String>, StoreError> {
        let HubModel { repo, revision, .. } = model;
        let revision = utf8_percent_encode(revision, SEGMENT);
        let mut url = format!("{}/api/models/{repo}/tree/{revision}?recursive=true", self.endpoint);
        let what = format!("the list of files of {repo}");
        let mut files = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut retries = Retries { what: &what, pause: retry_pause, failures: 0 };
            let next = loop {
                job.check_cancel()?;
                match self.page(&url, &what, repo, &mut files) {
                    Ok(next) => break next,
                    Err(failure) => job.pause(retries.after(failure, false)?)?,
                }
            };
            match next {
                Some(next) => url = next,
                None => return Ok(files),
            }
        }
        let reason = "it is too long: name the file that you mean".to_owned();
        Err(StoreError::Hub { what, attempts: 1, reason })
    }

    /// Adds the files of one page; returns where the next one is.
    fn page(
        &self,
        url: &str,
        what: &str,
        repo: &str,
        files: &mut Vec<String>,
    ) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "type")]
            kind: String,
            path: String,
        }
        let (mut response, _) = self.get(url, None)?;
        self.check_status(&response, what, repo)?;
        let next = next_page(response.headers());
        let body = response.body_mut().with_config().limit(LONGEST_LIST).read_to_vec().map_err(passing)?;
        let entries: Vec<Entry> = serde_json::from_slice(&body).map_err(passing)?;
        files.extend(entries.into_iter().filter(|entry| entry.kind == "file").map(|entry| entry.path));
        Ok(next)
    }

    /// Downloads a file to `target`, going on where an earlier try stopped. `job`'s lock is held. What is left when it
    /// fails or is cancelled is of use to the next call.
    ///
    /// # Errors
    /// [`StoreError::Hub`] after five tries in a row without a further byte, [`StoreError::HubRefused`],
    /// [`StoreError::NotOnHub`], [`StoreError::Unverifiable`], [`StoreError::Corrupt`], [`StoreError::Cancelled`].
    pub(crate) fn download(
        &self,
        from: HubPath<'_>,
        expected: Expected<'_>,
        target: &Path,
        retry_pause: Duration,
        job: &mut Job<'_>,
    ) -> Result<Downloaded, StoreError> {
        let what = from.to_string();
        let mut partial = Resumable::open(target, job)?;
        let mut retries = Retries { what: &what, pause: retry_pause, failures: 0 };
        loop {
            job.check_cancel()?;
            let before = partial.length();
            match self.attempt(from, expected, retries.attempt(), &mut partial, job) {
                Ok(announced) => {
                    let content = partial.content();
                    partial.commit(target)?;
                    return Ok(Downloaded { content, commit: announced.commit });
                }
                Err(Failure::Final(error @ StoreError::Corrupt { .. })) => {
                    partial.discard()?;
                    return Err(error);
                }
                Err(failure) => job.pause(retries.after(failure, partial.length() > before)?)?,
            }
        }
    }

    /// Asks for what is missing and appends it; `Ok` when the content is whole and right.
    fn attempt(
        &self,
        from: HubPath<'_>,
        expected: Expected<'_>,
        attempt: u32,
        partial: &mut Resumable,
        job: &mut Job<'_>,
    ) -> Result<Announced, Failure> {
        let what = from.to_string();
        let revision = utf8_percent_encode(from.revision, SEGMENT);
        let path = utf8_percent_encode(from.path, PATH);
        let url = format!("{}/{}/resolve/{revision}/{path}", self.endpoint, from.repo);
        let asked_from = partial.length();
        let (response, announced) = self.get(&url, (asked_from > 0).then_some(asked_from))?;
        self.check_status(&response, &what, from.repo)?;

        let expected = reconcile(&what, expected, &announced)?;
        if !partial.is_of(&announced.tag) {
            partial.restart(&announced.tag)?;
        }
        // A process may have died between the last byte and the file's final name.
        let is_whole = expected.size.is_some_and(|size| size == partial.length());
        if !is_whole {
            append(response, &what, expected.size, attempt, partial, job)?;
        }
        match partial.content().require(&what, expected) {
            Ok(()) => Ok(announced),
            Err(_) if partial.is_inherited() => {
                partial.empty()?;
                Err(passing("what an earlier download left was damaged, so it is fetched anew"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks, following redirects. The token goes to the hub itself only.
    fn get(&self, url: &str, start: Option<u64>) -> Result<(Response<Body>, Announced), Failure> {
        let own = parse(&self.endpoint)?;
        let mut uri = parse(url)?;
        let mut announced = Announced::default();
        for _ in 0..=MAX_REDIRECTS {
            let is_hub = origin(&uri) == origin(&own);
            let mut request = AGENT.get(uri.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(start) = start {
                request = request.header(RANGE, format!("bytes={start}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| is_hub) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| match error {
                ureq::Error::Timeout(_) => passing(format!("no answer within {} s", STALL.as_secs())),
                error => passing(error),
            })?;
            if is_hub {
                announced.hear(response.headers());
            }
            if !response.status().is_redirection() {
                announced.complete(&response);
                return Ok((response, announced));
            }
            let location = text(response.headers(), LOCATION).unwrap_or_default();
            uri = follow(&uri, location)?;
        }
        Err(passing(format!("over {MAX_REDIRECTS} redirects")))
    }

    fn check_status(&self, response: &Response<Body>, what: &str, repo: &str) -> Result<(), Failure> {
        let status = response.status();
        match status.as_u16() {
            200 | 206 | 416 => Ok(()),
            401 | 403 => Err(Failure::Final(StoreError::HubRefused {
                repo: repo.to_owned(),
                page: format!("{}/{repo}", self.endpoint),
                is_gated: text(response.headers(), ERROR_CODE) == Some("GatedRepo"),
                has_token: self.token.is_some(),
                status: status.as_u16(),
            })),
            404 => Err(Failure::Final(StoreError::NotOnHub { what: what.to_owned() })),
            408 | 425 | 429 | 500..=599 => {
                let pause = text(response.headers(), RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
                let pause = pause.map(Duration::from_secs);
                let asks = pause.map(|pause| format!(" and asks for a pause of {} s", pause.as_secs()));
                Err(Failure::Passing {
                    reason: format!("it answers {status}{}", asks.unwrap_or_default()),
                    pause,
                })
            }
            _ => Err(Failure::Final(StoreError::Hub {
                what: what.to_owned(),
                attempts: 1,
                reason: format!("it answers {status}"),
            })),
        }
    }
}

impl Announced {
    /// Takes what the hub itself says. On the way to the store of a large file's content that is its SHA-256.
    fn hear(&mut self, headers: &HeaderMap) {
        if let Some(etag) = text(headers, LINKED_ETAG).map(bare) {
            self.sha256 = is_sha256(etag).then(|| etag.to_ascii_lowercase());
            self.tag = etag.to_owned();
            self.size = text(headers, LINKED_SIZE).and_then(|size| size.parse().ok());
        }
        if let Some(commit) = text(headers, COMMIT) {
            self.commit = Some(commit.to_owned());
        }
    }

    /// Small files come from the hub without a redirect, with headers of their own.
    fn complete(&mut self, response: &Response<Body>) {
        let headers = response.headers();
        if self.tag.is_empty() {
            self.tag = text(headers, ETAG).map(bare).unwrap_or_default().to_owned();
        }
        if self.size.is_none() {
            let length = match response.status() {
                StatusCode::OK => text(headers, CONTENT_LENGTH),
                _ => text(headers, CONTENT_RANGE).and_then(|range| range.rsplit('/').next()),
            };
            self.size = length.and_then(|length| length.parse().ok());
        }
    }
}

/// What is expected, completed by what the hub announces: a wrong file is refused before it is downloaded.
fn reconcile<'a>(
    what: &str,
    expected: Expected<'a>,
    announced: &'a Announced,
) -> Result<Expected<'a>, StoreError> {
    let Some(sha256) = expected.sha256.or(announced.sha256.as_deref()) else {
        return Err(StoreError::Unverifiable { what: what.to_owned() });
    };
    let differs =
        |expected: String, got: String| StoreError::Corrupt { what: what.to_owned(), expected, got };
    if let Some(got) = announced.sha256.as_deref().filter(|got| *got != sha256) {
        return Err(differs(format!("sha256 {sha256}"), format!("sha256 {got}")));
    }
    let size = expected.size.or(announced.size);
    if let (Some(expected), Some(got)) = (expected.size, announced.size.filter(|got| Some(*got) != size)) {
        return Err(differs(format!("{expected} bytes"), format!("{got} bytes")));
    }
    Ok(Expected { size, sha256: Some(sha256) })
}

/// Appends what comes, until `size` bytes are there. What does not begin where the partial file ends replaces it.
fn append(
    response: Response<Body>,
    what: &str,
    size: Option<u64>,
    attempt: u32,
    partial: &mut Resumable,
    job: &mut Job<'_>,
) -> Result<(), Failure> {
    let begins = first_byte(&response);
    if begins != Some(partial.length()) {
        partial.empty()?;
        if begins != Some(0) {
            return Err(passing("what is there no longer fits what the hub has, so it is fetched anew"));
        }
    }
    let phase = Phase::Downloading { attempt };
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    job.report(phase, partial.length(), size);
    loop {
        job.check_cancel()?;
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(passing(error)),
        };
        refuse_beyond(size, partial.length() + count as u64, what)?;
        partial.append(&buffer[..count])?;
        job.report(phase, partial.length(), size);
    }
    match size.filter(|size| partial.length() < *size) {
        Some(size) => {
            Err(passing(format!("the connection ended after {} of {size} bytes", partial.length())))
        }
        None => Ok(()),
    }
}

/// Which byte of the file the content begins with.
fn first_byte(response: &Response<Body>) -> Option<u64> {
    match response.status() {
        StatusCode::OK => Some(0),
        StatusCode::PARTIAL_CONTENT => {
            let range = text(response.headers(), CONTENT_RANGE)?.strip_prefix("bytes ")?;
            range.split('-').next()?.parse().ok()
        }
        _ => None,
    }
}

/// `<URL>; rel="next"` of the header `Link`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let (url, relation) = text(headers, LINK)?.split_once('>')?;
    relation.contains("rel=\"next\"").then(|| url.trim_start_matches('<').to_owned())
}

fn parse(url: &str) -> Result<Uri, StoreError> {
    let uri = url.parse::<Uri>().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).ok_or_else(
        || StoreError::Hub {
            what: "its address".to_owned(),
            attempts: 0,
            reason: "expected http://HOST or https://HOST; see HF_ENDPOINT".to_owned(),
        },
    )
}

/// Where a redirect leads: to a path of the same server, or to another address. Never from https to http.
fn follow(from: &Uri, location: &str) -> Result<Uri, Failure> {
    let (scheme, authority) = (from.scheme_str().unwrap_or_default(), from.authority());
    let target = match (location.starts_with('/'), authority) {
        (true, Some(authority)) => parse(&format!("{scheme}://{authority}{location}")),
        _ => parse(location),
    };
    match target {
        Ok(uri) if scheme == "http" || uri.scheme_str() == Some("https") => Ok(uri),
        _ => Err(passing("it redirects to an address that is not followed")),
    }
}

fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), uri.port_u16().or(Some(usual)))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// An etag without its quotes and without the mark of a weak one.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One for all: it keeps connections. Certificates are those of the system, as for endpoints.
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    let native = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<Certificate<'static>> =
        native.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .user_agent(concat!("uat/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(STALL))
        .timeout_per_read(Some(STALL))
        .build()
        .new_agent()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_shows_up_nowhere() {
        let hub = Hub::from_env(&|name| match name {
            "HF_TOKEN" => Some("hf_secret".into()),
            "HF_ENDPOINT" => Some("https://hub.example/".into()),
            _ => None,
        });
        assert_eq!((hub.endpoint.as_str(), hub.token.as_deref()), ("https://hub.example", Some("hf_secret")));
        assert!(!format!("{hub:?}").contains("secret"));
    }

    #[test]
    fn a_redirect_stays_on_the_server_or_goes_to_a_whole_address_that_is_no_less_safe() {
        let from = parse("https://hub.example/a/b?c=d").unwrap();
        let check = |location: &str, expected: Option<&str>| {
            let followed = follow(&from, location).ok().map(|uri| uri.to_string());
            assert_eq!(followed.as_deref(), expected, "{location}");
        };
        check("/x?y=z", Some("https://hub.example/x?y=z"));
        check("https://cdn.example/x", Some("https://cdn.example/x"));
        check("http://cdn.example/x", None);
        check("ftp://cdn.example/x", None);
        check("x", None);
        check("", None);
    }

    #[test]
    fn one_server_is_one_origin_however_it_is_written() {
        let same = |one: &str, other: &str| origin(&parse(one).unwrap()) == origin(&parse(other).unwrap());
        assert!(same("https://hub.example/a", "https://HUB.example:443/b"));
        assert!(!same("https://hub.example", "http://hub.example"));
        assert!(!same("https://hub.example", "https://hub.example.evil"));
        assert!(!same("http://127.0.0.1:1", "http://127.0.0.1:2"));
    }

    #[test]
    fn pauses_double_and_progress_starts_over() {
        let mut retries = Retries { what: "it", pause: Duration::from_secs(1), failures: 0 };
        let mut after = |progressed, pause| {
            retries
                .after(Failure::Passing { reason: "no".to_owned(), pause }, progressed)
                .map(|pause| pause.as_secs())
        };
        assert_eq!((after(false, None).unwrap(), after(false, None).unwrap()), (1, 2));
        assert_eq!((after(true, None).unwrap(), after(false, None).unwrap()), (1, 2));
        assert_eq!(after(false, Some(Duration::from_secs(30))).unwrap(), 30);
        assert_eq!(after(true, Some(Duration::from_secs(500))).unwrap_err().code(), "UAT_STORAGE");
        assert_eq!((after(true, None).unwrap(), after(false, None).unwrap()), (1, 2));
        assert_eq!((after(false, None).unwrap(), after(false, None).unwrap()), (4, 8));
        assert!(after(false, None).unwrap_err().retryable());
    }
}
