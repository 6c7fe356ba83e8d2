//! TLS with the operator's own certificate, which can be changed while connections stand.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, bail};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// What is spoken inside: a WebSocket begins as HTTP/1.1.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate and its key from two files, as last read well.
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads a chain of certificates, the relay's own first, and its key, both PEM.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else, or the key is not the certificate's.
    pub(crate) fn open(chain: PathBuf, key: PathBuf) -> Result<Arc<Self>> {
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(read(&chain, &key, &provider)?);
        Ok(Arc::new(Self { chain, key, provider, current }))
    }

    /// Reads the files again. New connections get what they hold now; those that stand are left alone.
    ///
    /// # Errors
    /// As [`Certificate::open`]; the certificate stays the one it was.
    pub(crate) fn reload(&self) -> Result<()> {
        let read = read(&self.chain, &self.key, &self.provider)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Accepts TLS 1.2 and 1.3 with this certificate.
    ///
    /// # Errors
    /// Never in practice: the provider has cipher suites for both versions.
    pub(crate) fn acceptor(self: Arc<Self>) -> Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

// The key must not show up in a log.
impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>> {
    let certificates = || -> Result<Vec<_>, rustls::pki_types::pem::Error> {
        CertificateDer::pem_file_iter(chain)?.collect()
    };
    let certificates =
        certificates().with_context(|| format!("cannot read certificates (PEM) from {}", chain.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate (PEM)", chain.display());
    }
    let mode =
        fs::metadata(key).with_context(|| format!("cannot read {}", key.display()))?.permissions().mode();
    if mode & 0o007 != 0 {
        bail!("{} can be read by everybody (mode {:o}): chmod 600 it", key.display(), mode & 0o777);
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a private key (PEM) from {}", key.display()))?;
    match CertifiedKey::from_der(certificates, private, provider) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            bail!("the key in {} is not that of the certificate in {}", key.display(), chain.display())
        }
        Err(error) => Err(error).with_context(|| {
            format!("the certificate in {} or the key in {} is faulty", chain.display(), key.display())
        }),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    struct Files {
        _folder: tempfile::TempDir,
        chain: PathBuf,
        key: PathBuf,
    }

    fn files() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let files = Files { _folder: folder, chain, key };
        write(&files, &made());
        files
    }

    fn made() -> Made {
        generate_simple_self_signed(vec!["localhost".into()]).unwrap()
    }

    fn write(files: &Files, made: &Made) {
        fs::write(&files.chain, made.cert.pem()).unwrap();
        fs::write(&files.key, made.key_pair.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.current.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_changed_certificate_is_taken_when_it_is_sound() {
        let files = files();
        let certificate = Certificate::open(files.chain.clone(), files.key.clone()).unwrap();
        let first = shown(&certificate);
        let second = made();
        write(&files, &second);
        certificate.reload().unwrap();
        assert_ne!(shown(&certificate), first);
        assert_eq!(shown(&certificate), second.cert.der().to_vec());
    }

    #[test]
    fn bad_files_are_refused_by_name_and_change_nothing() {
        let files = files();
        let certificate = Certificate::open(files.chain.clone(), files.key.clone()).unwrap();
        let first = shown(&certificate);
        let other = made();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = fs::read_to_string(&files.key).unwrap();
        let chain = fs::read_to_string(&files.chain).unwrap();
        for (chain, key, told) in [
            (String::new(), key.clone(), "holds no certificate"),
            ("no PEM at all".into(), key.clone(), "holds no certificate"),
            (broken.into(), key.clone(), "is faulty"),
            (other.cert.pem(), key, "is not that of the certificate"),
            (chain.clone(), String::new(), "private key"),
            (chain.clone(), chain, "private key"),
        ] {
            fs::write(&files.chain, chain).unwrap();
            fs::write(&files.key, key).unwrap();
            let error = format!("{:#}", certificate.reload().unwrap_err());
            assert!(error.contains(told) && error.contains(".pem"), "{told}: {error}");
            assert_eq!(shown(&certificate), first);
        }
        fs::remove_file(&files.chain).unwrap();
        assert!(certificate.reload().is_err());
        write(&files, &other);
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(certificate.reload().unwrap_err().to_string().contains("chmod 600"));
        assert_eq!(shown(&certificate), first);
    }
}
