//! Whose certificates are trusted.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::RedisServiceError;
use crate::options::Tls;

/// The system's authorities, and those of the file.
///
/// # Errors
/// [`RedisServiceError::Config`]: the file cannot be read or holds no certificate, or nothing is trusted at all.
pub(crate) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, RedisServiceError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &tls.ca_file {
        let wrong = |what: String| RedisServiceError::config("url", format!("ca={}: {what}", path.display()));
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(wrong("expected at least one certificate in PEM form".to_owned()));
        }
    }
    if roots.is_empty() {
        return Err(RedisServiceError::config(
            "url",
            "no certificate authority is known: install the ca-certificates package, or name a file with ?ca=/path.pem",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| RedisServiceError::Internal { message: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
