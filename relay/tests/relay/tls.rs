//! https and wss with a certificate of one's own, changed while the relay runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::Relay;
use crate::streams::Streams;

/// An authority that clients may trust.
struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }
}

/// The relay's two files.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn signed_by(authority: &Authority) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.replace(authority);
        files
    }

    /// Writes a new key and a certificate of this authority for the loopback address.
    fn replace(&self, authority: &Authority) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        let certificate = params.signed_by(&key, &authority.certificate, &authority.key).unwrap();
        fs::write(self.certificate(), certificate.pem()).unwrap();
        fs::write(self.key(), key.serialize_pem()).unwrap();
        fs::set_permissions(self.key(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    async fn serve(&self) -> Relay {
        let (certificate, key) = (self.certificate(), self.key());
        let options =
            ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        Relay::start_with(&options).await
    }
}

/// What a client that trusts this authority gets over https, and the page's policy.
async fn get(relay: &Relay, path: &str, authority: &Authority) -> Result<(String, String), ureq::Error> {
    let (text, headers) = ask(relay, path, authority).await?;
    Ok((text, headers["content-security-policy"].to_str().unwrap().to_owned()))
}

async fn ask(
    relay: &Relay,
    path: &str,
    authority: &Authority,
) -> Result<(String, ureq::http::HeaderMap), ureq::Error> {
    let url = format!("{}{path}", relay.url);
    let trusted = ureq::tls::Certificate::from_der(&authority.der()).to_owned();
    tokio::task::spawn_blocking(move || {
        let roots = ureq::tls::RootCerts::new_with_certs(&[trusted]);
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent.get(&url).call()?;
        let headers = answer.headers().clone();
        Ok((answer.body_mut().read_to_string()?, headers))
    })
    .await
    .unwrap()
}

async fn address(relay: &Relay, authority: &Authority) -> String {
    let (text, _) = get(relay, "lichen.json", authority).await.unwrap();
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    info["address"].as_str().unwrap().to_owned()
}

/// Sends SIGHUP and waits until the files were read again, with this outcome for the first time.
async fn reload(relay: &Relay, authority: &Authority, outcome: &str) {
    relay.signal(Signal::HUP);
    let line = format!("lichen_certificate_reloads_total{{outcome=\"{outcome}\"}} 1\n");
    let told = async {
        while !get(relay, "metrics", authority).await.is_ok_and(|(text, _)| text.contains(&line)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.expect("the relay read its files");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_and_sockets_are_one_secure_port() {
    let authority = Authority::new();
    let relay = Files::signed_by(&authority).serve().await;
    let port = relay.url.trim_start_matches("https://127.0.0.1:").trim_end_matches('/').to_owned();
    let address = address(&relay, &authority).await;
    assert!(address.starts_with(&format!("/ip4/127.0.0.1/tcp/{port}/tls/ws/p2p/")), "{address}");
    assert!(Streams::dial(&address, Some(&authority.der())).is_answered().await);
    let (_, policy) = get(&relay, "", &authority).await.unwrap();
    let (_, headers) = ask(&relay, "", &authority).await.unwrap();
    assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    let socket = format!("connect-src 'self' wss://127.0.0.1:{port}");
    assert!(
        policy.split("; ").any(|part| part == socket) || policy.contains("connect-src 'self';"),
        "{policy}"
    );

    let stranger = Authority::new();
    assert!(get(&relay, "lichen.json", &stranger).await.is_err());
    assert!(!Streams::dial(&address, Some(&stranger.der())).is_answered().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_at_sighup_and_connections_stay() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = Files::signed_by(&first);
    let relay = files.serve().await;
    let address = address(&relay, &first).await;
    let mut connection = Streams::dial(&address, Some(&first.der()));
    assert!(connection.is_answered().await);

    files.replace(&second);
    assert!(get(&relay, "health/live", &first).await.is_ok(), "nothing changes before the signal");
    reload(&relay, &second, "taken").await;
    assert!(connection.is_answered().await, "the connection from before is gone");
    assert!(get(&relay, "health/live", &first).await.is_err(), "the old certificate is still shown");
    assert!(Streams::dial(&address, Some(&second.der())).is_answered().await);

    fs::write(files.certificate(), "nothing of use").unwrap();
    reload(&relay, &second, "refused").await;
    assert!(connection.is_answered().await);
    assert!(Streams::dial(&address, Some(&second.der())).is_answered().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_start_with_bad_files_and_names_them() {
    let authority = Authority::new();
    let (files, other) = (Files::signed_by(&authority), Files::signed_by(&authority));
    let data = tempfile::tempdir().unwrap();
    for (certificate, key, told) in [
        (files.certificate(), other.key(), "is not that of the certificate"),
        (files.key(), files.key(), "holds no certificate"),
        (files.certificate(), files.certificate(), "cannot read a private key"),
        (files.folder.path().join("missing.pem"), files.key(), "missing.pem"),
    ] {
        fs::set_permissions(files.certificate(), fs::Permissions::from_mode(0o600)).unwrap();
        let relay = tokio::process::Command::new(env!("CARGO_BIN_EXE_lichen-relay"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .arg("--tls-certificate")
            .arg(certificate)
            .arg("--tls-key")
            .arg(key)
            .output();
        let relay = timeout(PATIENCE, relay).await.unwrap().unwrap();
        assert!(!relay.status.success());
        let said = String::from_utf8_lossy(&relay.stderr);
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_ask_itself_whether_it_is_ready() {
    let authority = Authority::new();
    let files = Files::signed_by(&authority);
    let relay = files.serve().await;
    let listen = relay.url.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let (certificate, key) = (files.certificate(), files.key());
    let tls = ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    assert!(is_ready(&listen, &tls).await);
    assert!(!is_ready(&listen, &[]).await, "it speaks no plain HTTP");
    files.replace(&authority);
    assert!(!is_ready(&listen, &tls).await, "it shows another certificate than the file holds");
    drop(relay);
    let plain = Relay::start().await;
    let listen = plain.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(is_ready(&listen, &[]).await);
    drop(plain);
    assert!(!is_ready(&listen, &[]).await, "it is gone");
}

async fn is_ready(listen: &str, options: &[&str]) -> bool {
    let asked = tokio::process::Command::new(env!("CARGO_BIN_EXE_lichen-relay"))
        .args(["--health", "--listen", listen])
        .args(options)
        .output();
    timeout(PATIENCE, asked).await.unwrap().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_no_tls_is_counted_and_closed() {
    let authority = Authority::new();
    let relay = Files::signed_by(&authority).serve().await;
    let host = relay.url.trim_start_matches("https://").trim_end_matches('/');
    let mut plain = tokio::net::TcpStream::connect(host).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // Closed or reset, but not answered.
    let _reset = timeout(PATIENCE, plain.read_to_end(&mut said)).await.expect("it was not closed");
    assert!(!said.starts_with(b"HTTP"));
    let (metrics, _) = get(&relay, "metrics", &authority).await.unwrap();
    assert!(metrics.contains("lichen_tls_failures_total 1\n"), "{metrics}");
}
