//! The faults that only show on a connection: endless and huge answers, dates, redirects, TLS.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use support::{CHAT, ask, exchange, provider_that, status};
use testkit::{Answer, Behaviour, Certificate, FakeProvider, Preamble};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[]}"#;
const WHOLE: &str = r#"{"model":"m","messages":[]}"#;

/// Sends a request and reads on until this many bytes have come, or the provider has closed.
async fn read_up_to(provider: &FakeProvider, body: &str, limit: u64) -> (u64, Vec<u8>) {
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    let length = body.len();
    let request = format!("POST {CHAT} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut total, mut latest) = (0, vec![0; 256 * 1024]);
    while total < limit {
        let read = socket.read(&mut latest).await.unwrap();
        if read == 0 {
            break;
        }
        total += read as u64;
    }
    (total, latest)
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_sent_and_not_held() {
    for body in [STREAM, WHOLE] {
        let provider = provider_that(Behaviour::HugeBody { bytes: 1 << 30 }).await;
        let (total, latest) = read_up_to(&provider, body, u64::MAX).await;
        assert!(total >= 1 << 30, "{total}");
        assert!(!latest.ends_with(b"0\r\n\r\n"));
    }
    let resident = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = resident.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 * 1024, "{peak} kB were held");
}

#[tokio::test]
async fn what_has_no_end_goes_on_until_the_client_leaves() {
    for (behaviour, expected) in [
        (Behaviour::EndlessHead, "x-more: "),
        (Behaviour::EndlessContent { bytes: u64::MAX }, r#"{"content":"more and "}"#),
        (Behaviour::EndlessPreamble { events: Preamble::Comments, every: Duration::ZERO }, ": keep-alive"),
        (Behaviour::HugeBody { bytes: u64::MAX }, "aaaa"),
    ] {
        let provider = provider_that(behaviour.clone()).await;
        let (total, latest) = read_up_to(&provider, STREAM, 1 << 20).await;
        assert!(total >= 1 << 20, "{behaviour:?} ended after {total} bytes");
        assert!(String::from_utf8_lossy(&latest).contains(expected), "{behaviour:?}");
        let left = provider.wait_for_disconnect(Duration::from_secs(5)).await.unwrap();
        assert!(left.sent_bytes >= 1 << 20, "{behaviour:?}: {left:?}");
    }
}

#[tokio::test]
async fn an_answer_may_be_late_under_a_wrong_type_and_a_huge_header() {
    let late = Behaviour::ContentType { content_type: "text/html".to_owned(), then: Box::default() };
    let late = Behaviour::HugeHead { bytes: 100_000, then: Box::new(late) };
    let provider = provider_that(late.delayed(Duration::from_millis(30))).await;
    let began = Instant::now();
    let answer = ask(&provider, CHAT, "", STREAM).await;
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert!(answer.contains("content-type: text/html\r\n") && answer.contains("[DONE]"));
    assert!(answer.find("\r\n\r\n").unwrap() > 100_000);
}

#[tokio::test]
async fn a_length_that_is_too_long_ends_early_and_one_too_short_is_followed_by_bytes() {
    for (off_by, body) in [(5_i64, WHOLE), (-5, WHOLE), (5, STREAM)] {
        let provider = provider_that(Behaviour::ContentLength { off_by, then: Box::default() }).await;
        let answer = ask(&provider, CHAT, "", body).await;
        let (head, sent) = answer.split_once("\r\n\r\n").unwrap();
        let said: i64 = head.rsplit_once("content-length: ").unwrap().1.parse().unwrap();
        assert_eq!(said - i64::try_from(sent.len()).unwrap(), off_by);
    }
}

#[tokio::test]
async fn redirects_dates_and_interim_responses_come_as_told() {
    let provider = provider_that(Behaviour::redirect("http://127.0.0.1:1/")).await;
    let redirect = ask(&provider, CHAT, "", WHOLE).await;
    assert!(status(&redirect) == 302 && redirect.contains("location: http://127.0.0.1:1/\r\n"), "{redirect}");
    provider.set_default(Behaviour::RetryAtDate { code: 429, after_s: 60 });
    let limited = ask(&provider, CHAT, "", WHOLE).await;
    let date = limited.split_once("retry-after: ").unwrap().1.split_once("\r\n").unwrap().0;
    let wait = httpdate::parse_http_date(date).unwrap().duration_since(std::time::SystemTime::now()).unwrap();
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(61), "{wait:?}");
    provider.set_default(Behaviour::Interim { code: 100, times: 3, then: Box::default() });
    let interim = ask(&provider, CHAT, "", WHOLE).await;
    assert_eq!(interim.matches("HTTP/1.1 100 Continue\r\n\r\n").count(), 3);
    assert!(interim.contains("HTTP/1.1 200 OK"), "{interim}");
}

#[tokio::test]
async fn the_same_faults_meet_listings_and_embeddings() {
    let provider = FakeProvider::start().await.unwrap();
    provider
        .set_listing(Behaviour::ContentType { content_type: "text/html".to_owned(), then: Box::default() });
    assert!(ask(&provider, "/v1/models", "", "").await.contains("content-type: text/html"));
    provider.set_default(Behaviour::HugeBody { bytes: 1 << 20 });
    let body = ask(&provider, "/v1/embeddings", "", r#"{"model":"m","input":"x"}"#).await;
    assert!(body.len() > 1 << 20 && body.contains(r#""object":"list""#));
}

/// What a client makes of an endpoint whose authority it trusts; none: no handshake.
async fn over_tls(provider: &FakeProvider, certificate: Certificate, trust: bool) -> Result<String, String> {
    let endpoint = provider.also_on_tls(certificate).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    if trust {
        roots.add(CertificateDer::from_pem_slice(endpoint.ca_pem.as_bytes()).unwrap()).unwrap();
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(endpoint.addr).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let socket =
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&exchange(socket, CHAT, "", STREAM).await).into_owned())
}

#[tokio::test]
async fn a_certificate_is_right_expired_or_for_another_host_as_told() {
    let provider = provider_that(Behaviour::Answer(Answer::tokens(3))).await;
    let answer = over_tls(&provider, Certificate::Trusted, true).await.unwrap();
    assert!(answer.contains("[DONE]"), "{answer}");
    let check = async |certificate, trust, expected: &str| {
        let error = over_tls(&provider, certificate, trust).await.unwrap_err();
        assert!(error.contains(expected), "{certificate:?}: {error}");
    };
    check(Certificate::Trusted, false, "UnknownIssuer").await;
    check(Certificate::Expired, true, "xpired").await;
    check(Certificate::WrongName, true, "not valid for name").await;
    check(Certificate::SelfSigned, false, "invalid peer certificate").await;
    assert_eq!(provider.requests().len(), 1, "nobody else asked anything");
}
