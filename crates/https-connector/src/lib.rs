//! Connections to other servers, with TLS where it is asked for: what `hyper-util`'s client is made with.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// The system's root certificates cannot be read.
    #[error(transparent)]
    Roots(io::Error),
    /// TLS itself cannot be set up.
    #[error(transparent)]
    Setup(rustls::Error),
}

/// Connects over TCP, and speaks HTTP/1.1. With `tls` the system's root certificates are read: they cost a megabyte and 20 ms, so
/// without it none are, and no certificate is trusted.
///
/// # Errors
/// [`NoTls`].
pub fn connector(tls: bool) -> Result<HttpsConnector<HttpConnector>, NoTls> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_secs(60)));
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if tls {
        builder.with_provider_and_native_roots(provider).map_err(NoTls::Roots)?
    } else {
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_safe_default_protocol_versions().map_err(NoTls::Setup)?;
        let roots = rustls::RootCertStore::empty();
        builder.with_tls_config(config.with_root_certificates(roots).with_no_client_auth())
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

/// The cause of all causes: the outer layers say "client error (Connect)", the innermost what a person can act on.
pub fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_no_certificates_are_needed() {
        assert!(connector(false).is_ok());
    }

    #[test]
    fn the_innermost_cause_is_the_one_without_a_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("refused"));
        assert_eq!(innermost(&error).to_string(), "refused");
    }
}
