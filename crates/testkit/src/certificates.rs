//! The certificates of servers that speak TLS, made for each alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What is right or wrong with a TLS endpoint's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificate {
    /// Signed by an authority, for `localhost` and `127.0.0.1`: right for who trusts the authority.
    Trusted,
    /// The same, but it ended in 2020.
    Expired,
    /// The same, but for another host's name.
    WrongName,
    /// Signed by nobody but itself.
    SelfSigned,
}

/// A certificate, its key and the certificate of who signed it, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) ca: String,
    certificate: String,
    key: String,
}

/// Where they lie.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes an authority and a certificate.
    pub(crate) fn make(kind: Certificate) -> Result<Self, rcgen::Error> {
        let names = match kind {
            Certificate::WrongName => vec!["elsewhere.invalid".to_owned()],
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let mut params = CertificateParams::new(names)?;
        if kind == Certificate::Expired {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate()?;
        let (certificate, ca) = if kind == Certificate::SelfSigned {
            let itself = params.self_signed(&key)?.pem();
            (itself.clone(), itself)
        } else {
            let authority = authority()?;
            (params.signed_by(&key, &authority)?.pem(), authority.pem())
        };
        Ok(Self { ca, certificate, key: key.serialize_pem() })
    }

    /// What a server accepts connections with.
    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let chain = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl CertificateFiles {
    /// Makes a right certificate and writes everything into `folder`.
    pub(crate) fn make(folder: &Path) -> io::Result<Self> {
        let made = Certificates::make(Certificate::Trusted).map_err(io::Error::other)?;
        let files = Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        std::fs::write(&files.ca, &made.ca)?;
        std::fs::write(&files.certificate, &made.certificate)?;
        std::fs::write(&files.key, &made.key)?;
        Ok(files)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Its subject must differ from the server's, or the server's certificate would look as if it had signed itself.
    params.distinguished_name.push(DnType::CommonName, "testkit's authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}
