//! Whom we believe that they are who they say: the authorities that browsers trust and, if `SSL_CERT_FILE` names a file, those in it,
//! as an organisation has them for what runs in its own network.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// The variable that names a file with further authorities (PEM), as for curl and Go.
const FILE: &str = "SSL_CERT_FILE";

/// TLS 1.2 and 1.3, without client certificates. Made once for all cores.
pub(super) fn configuration() -> ClientConfig {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = Arc::clone(ROOTS.get_or_init(|| Arc::new(roots())));
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = std::env::var_os(FILE).filter(|file| !file.is_empty()) {
        let file = Path::new(&file);
        match read(file) {
            Ok(more) => {
                let (added, ignored) = roots.add_parsable_certificates(more);
                tracing::debug!(
                    added,
                    ignored,
                    "certificate authorities of `{}` are trusted",
                    file.display()
                );
            }
            // Without them we trust fewer, which is safe: what they vouch for is then not reached.
            Err(error) => {
                tracing::error!("`{FILE}` names `{}`, which can't be read: {error}", file.display());
            }
        }
    }
    roots
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?.collect()
}
