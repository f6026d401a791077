//! One question to a key service: JSON there and back, soon or not at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use url::Url;
use zeroize::Zeroizing;

use super::RootError;
use crate::egress;
use crate::platform::Platform;
use crate::secret::Secret;

/// No answer is larger, in bytes.
const LARGEST: usize = 64 * 1024;
/// As much of a service's own words as goes into a log.
const WORDS: usize = 300;

/// Base64 as key services write it.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

/// Reads what [`encode`] writes.
pub(super) fn decode(text: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text.expose()).ok().map(Zeroizing::new)
}

/// The address of a key service: by https, or else on this machine.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match url.scheme() {
        "https" if plain => Ok(url),
        "http" if plain && local => Ok(url),
        "https" | "http" if plain => Err(format!("`{text}` must be https")),
        _ => Err(format!("`{text}` must be an https URL without user name and query")),
    }
}

/// Sends a request and reads the answer as `T`. `words` finds what the service says of an error.
pub(super) async fn ask<T: serde::de::DeserializeOwned>(
    platform: &impl Platform,
    root: &str,
    mut request: Request<Bytes>,
    words: impl Fn(&serde_json::Value) -> Option<String>,
) -> Result<T, RootError> {
    let away = |reason: String| RootError::Away { root: root.to_owned(), reason };
    request
        .headers_mut()
        .entry(header::CONTENT_TYPE)
        .or_insert(http::HeaderValue::from_static("application/json"));
    let answer = egress::ask(platform, request, LARGEST).await.map_err(|error| away(error.to_string()))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return serde_json::from_slice(answer.body())
            .map_err(|_| away("its answer is none of a key service".to_owned()));
    }
    let said = serde_json::from_slice(answer.body()).ok().and_then(|body| words(&body)).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(WORDS).collect();
    let reason = format!("status {}: {said}", status.as_u16());
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(away(reason));
    }
    Err(RootError::Denied { root: root.to_owned(), reason })
}
