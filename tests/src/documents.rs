//! Documents by HTTPS, as clients publish what they say of themselves; and the authority whose word it is that this is us.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A document: status line, headers, body.
#[derive(Debug, Clone)]
pub struct Document {
    /// Such as `200 OK`.
    pub status: String,
    /// Header lines, besides the length.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl Document {
    /// A document that is as it should be.
    pub fn json(body: &serde_json::Value) -> Self {
        let headers =
            vec!["content-type: application/json".to_owned(), "cache-control: max-age=3600".to_owned()];
        Self { status: "200 OK".to_owned(), headers, body: body.to_string() }
    }
}

/// A site with documents.
#[derive(Debug, Clone)]
pub struct Site {
    /// Scheme, host and port.
    pub url: String,
    documents: Arc<Mutex<HashMap<String, Document>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let folder = Box::leak(Box::new(tempfile::tempdir().unwrap()));
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Authority { issuer, file }
    })
}

/// The file with the authority's certificate, for gateways that are to trust it.
pub fn trusted() -> PathBuf {
    authority().file.clone()
}

/// A certificate of ours for a name, and its key, both as PEM.
pub fn certificate(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    // Of the same name as its issuer it would be taken for self-signed.
    parameters.distinguished_name.push(DnType::CommonName, name);
    (parameters.signed_by(&key, &authority().issuer).unwrap().pem(), key.serialize_pem())
}

impl Site {
    /// Starts one on loopback, without TLS: a gateway that is tried out on loopback asks it too.
    pub fn plain() -> Self {
        Self::serve("http", None)
    }

    /// Starts one on loopback, by HTTPS.
    pub fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &authority().issuer).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        Self::serve("https", Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn serve(scheme: &str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let site = Self { url, documents: Arc::default(), asked: Arc::default() };
        let serving = site.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, site) = (acceptor.clone(), serving.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            Some(acceptor) => site.answer(acceptor.accept(stream).await.ok()?).await,
                            None => site.answer(stream).await,
                        }
                    });
                }
            });
        });
        site
    }

    /// Publishes a document at a path, and answers its address.
    pub fn publish(&self, path: &str, document: Document) -> String {
        self.documents.lock().unwrap().insert(path.to_owned(), document);
        format!("{}{path}", self.url)
    }

    /// Publishes what a client says of itself, at the address that is its id.
    pub fn client(&self, path: &str, mut metadata: serde_json::Value) -> String {
        let id = format!("{}{path}", self.url);
        metadata["client_id"] = serde_json::Value::from(id.as_str());
        self.publish(path, Document::json(&metadata))
    }

    /// The paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1)?.to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let found = self.documents.lock().unwrap().get(&path).cloned();
        let document = found.unwrap_or(Document {
            status: "404 Not Found".into(),
            headers: Vec::new(),
            body: String::new(),
        });
        let mut answer = format!(
            "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            document.status,
            document.body.len()
        );
        for header in &document.headers {
            answer.push_str(header);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        answer.push_str(&document.body);
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.shutdown().await.ok()
    }
}
