//! What an identity provider says of itself (OpenID Connect Discovery 1.0 §4), kept for a while.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use http::{StatusCode, header};
use schemas::ids::Timestamp;

use super::OidcError;
use crate::Gateway;
use crate::egress;
use crate::platform::Platform;

/// A document is asked for again after this long, in milliseconds.
const LIVES: i64 = 10 * 60 * 1000;
/// While the provider is away, an old one is good for this long, in milliseconds.
const OUTLIVES: i64 = 24 * 60 * 60 * 1000;
/// A provider that failed is not asked again for this long, in milliseconds.
const RESTS: i64 = 5000;
/// No document is larger, in bytes.
const LARGEST: usize = 256 * 1024;
/// Documents that are kept before all are forgotten.
const CACHE: usize = 1024;

/// What we need of it.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) jwks_uri: String,
    /// Whether it says in every answer that it is the one who answers (RFC 9207 §3).
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
    /// Where tokens are revoked (RFC 8414 §2).
    #[serde(default)]
    pub(crate) revocation_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Whether a secret goes into the body of the token request: only where the header is not taken (RFC 6749 §2.3.1).
    pub(crate) fn wants_secret_in_body(&self) -> bool {
        self.token_endpoint_auth_methods_supported.as_ref().is_some_and(|methods| {
            let takes = |method: &str| methods.iter().any(|taken| taken == method);
            takes("client_secret_post") && !takes("client_secret_basic")
        })
    }
}

#[derive(Debug, Default, Clone)]
struct Entry {
    document: Option<(Rc<Metadata>, Timestamp)>,
    failed: Option<(OidcError, Timestamp)>,
}

/// Documents by issuer: they are public, and the same for every organisation.
#[derive(Debug, Default)]
pub(crate) struct Discovered(RefCell<HashMap<String, Entry>>);

impl Discovered {
    /// The document of an issuer.
    ///
    /// # Errors
    /// It can't be had, or is somebody else's.
    pub(crate) async fn find<P: Platform>(
        &self,
        gateway: &Gateway,
        platform: &P,
        issuer: &str,
    ) -> Result<Rc<Metadata>, OidcError> {
        let now = platform.now();
        let since = |then: Timestamp| now.0.saturating_sub(then.0);
        let known = self.0.borrow().get(issuer).cloned().unwrap_or_default();
        if let Some((document, _)) = known.document.as_ref().filter(|(_, fetched)| since(*fetched) < LIVES) {
            return Ok(Rc::clone(document));
        }
        let old = known.document.clone().filter(|(_, fetched)| since(*fetched) < OUTLIVES);
        let fetched = if let Some((error, _)) = known.failed.filter(|(_, failed)| since(*failed) < RESTS) {
            Err(error)
        } else {
            let fetched = fetch(gateway, platform, issuer).await;
            self.keep(issuer, &fetched, now);
            fetched
        };
        match (fetched, old) {
            (Ok(document), _) | (Err(_), Some((document, _))) => Ok(document),
            (Err(error), None) => Err(error),
        }
    }

    fn keep(&self, issuer: &str, fetched: &Result<Rc<Metadata>, OidcError>, now: Timestamp) {
        let mut all = self.0.borrow_mut();
        if all.len() >= CACHE {
            all.clear();
        }
        let entry = all.entry(issuer.to_owned()).or_default();
        match fetched {
            Ok(document) => {
                *entry = Entry { document: Some((Rc::clone(document), now)), failed: None };
            }
            Err(error) => entry.failed = Some((error.clone(), now)),
        }
    }
}

async fn fetch<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    issuer: &str,
) -> Result<Rc<Metadata>, OidcError> {
    let unusable = |why: String| OidcError::Provider(why);
    egress::public_url(&gateway.settings, issuer)?;
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let request = http::Request::get(&url)
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| unusable("its issuer is no URL".to_owned()))?;
    let request = egress::guarded(&gateway.settings, request);
    let answer = egress::ask(platform, request, LARGEST).await.map_err(|error| {
        tracing::warn!(issuer, %error, "an identity provider can't be asked what it offers");
        unusable(error.told().to_owned())
    })?;
    if answer.status() != StatusCode::OK {
        return Err(unusable(format!("`{url}` answers with status {}", answer.status().as_u16())));
    }
    let document: Metadata = serde_json::from_slice(answer.body())
        .map_err(|_| unusable(format!("`{url}` is no OpenID Connect discovery document")))?;
    // Byte for byte (§4.3): else one provider could speak for another.
    if document.issuer != issuer {
        return Err(unusable(format!("`{url}` is of another issuer: set `issuer` exactly as it says there")));
    }
    for endpoint in [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri] {
        egress::public_url(&gateway.settings, endpoint)?;
    }
    // Said or not, we always send S256; a provider that only knows `plain` would ignore it.
    if document
        .code_challenge_methods_supported
        .as_ref()
        .is_some_and(|known| !known.iter().any(|m| m == "S256"))
    {
        return Err(unusable("it does not know S256 (RFC 7636)".to_owned()));
    }
    Ok(Rc::new(document))
}
