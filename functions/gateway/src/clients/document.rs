//! Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document): the client's id is a URL, and what it says of itself
//! stands there. Fetched with care, since anybody can make us fetch: see [`crate::egress`].

use bytes::Bytes;
use http::{Request, StatusCode, header};
use std::time::Duration;

use super::{Client, ClientError, Kind, Metadata, Method};
use crate::Gateway;
use crate::body::read_whole;
use crate::egress;
use crate::platform::Platform;
use crate::store;

/// The largest document, in bytes.
const LARGEST: usize = 5 * 1024;
/// It comes soon, or not at all.
const WITHIN: Duration = Duration::from_secs(3);
/// How long a copy is good, in milliseconds: what its server says, between these.
const SHORTEST_COPY: i64 = 60 * 1000;
const LONGEST_COPY: i64 = 24 * 60 * 60 * 1000;

/// Whether an id means to be such a URL: https, with a path.
pub(super) fn is_one(gateway: &Gateway, id: &str) -> bool {
    egress::public_url(&gateway.settings, id).is_ok_and(|url| url.path().len() > 1)
}

/// Fetches the document, checks it, and keeps a copy for as long as its server allows.
pub(super) async fn fetch<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    id: &str,
) -> Result<Client, ClientError> {
    let unknown = |why: String| ClientError::Unknown(format!("client `{id}`: {why}"));
    let url = egress::public_url(&gateway.settings, id).map_err(|error| unknown(error.to_string()))?;
    // Two spellings of one URL would be two clients: the id is the one that parsing does not change.
    if url.as_str() != id || url.query().is_some() || url.fragment().is_some() {
        return Err(unknown("its id must be a plain https URL with a path".to_owned()));
    }
    let request = Request::get(id)
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|error| unknown(error.to_string()))?;
    let request = egress::guarded(&gateway.settings, request);
    let response = within(platform, platform.send(request))
        .await
        .ok_or_else(|| unknown("its document took too long".to_owned()))?
        .map_err(|error| unknown(format!("its document can't be fetched: {}", error.told())))?;
    if response.status() != StatusCode::OK {
        let status = response.status().as_u16();
        return Err(unknown(format!(
            "its document is answered with status {status}; redirects are not followed"
        )));
    }
    if !is_json(response.headers()) {
        return Err(unknown("its document is not `application/json`".to_owned()));
    }
    let lives = freshness(response.headers());
    let body = read_whole(platform, response.into_body(), LARGEST, WITHIN)
        .await
        .map_err(|error| unknown(format!("its document can't be read: {error}")))?;
    let client = read(gateway, id, &body).map_err(unknown)?;
    let now = platform.now();
    store::clients::keep_document(platform, &client, now, now.plus(lives)).await?;
    Ok(client)
}

/// Waits for so long.
async fn within<P: Platform, T>(platform: &P, work: impl Future<Output = T>) -> Option<T> {
    let deadline = platform.sleep(WITHIN);
    futures_util::pin_mut!(work, deadline);
    match futures_util::future::select(work, deadline).await {
        futures_util::future::Either::Left((done, _)) => Some(done),
        futures_util::future::Either::Right(_) => None,
    }
}

fn read(gateway: &Gateway, id: &str, body: &[u8]) -> Result<Client, String> {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| format!("its document is no JSON object: {error}"))?;
    if members.get("client_id").and_then(serde_json::Value::as_str) != Some(id) {
        return Err("its document names another `client_id`".to_owned());
    }
    if let Some(member) = members.keys().find(|member| member.starts_with("client_secret")) {
        return Err(format!("its document holds `{member}`: what everybody can read is no secret"));
    }
    let mut metadata = Metadata::read(body).map_err(|error| error.to_string())?;
    if metadata.client_name.is_none() || metadata.redirect_uris.is_empty() {
        return Err("its document needs `client_name` and `redirect_uris`".to_owned());
    }
    // Whoever says nothing is public: there is no secret that it could have.
    let method = metadata.token_endpoint_auth_method.unwrap_or(Method::None);
    if method.has_secret() {
        return Err("its document asks for a shared secret: use `none` or `private_key_jwt`".to_owned());
    }
    metadata.token_endpoint_auth_method = Some(method);
    if let Some(uri) = &metadata.jwks_uri {
        egress::public_url(&gateway.settings, uri).map_err(|error| error.to_string())?;
    }
    Ok(Client {
        id: id.to_owned(),
        kind: Kind::Document,
        org: None,
        agent: None,
        metadata,
        secret_hash: None,
    })
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// How long a copy is good (RFC 9111 §5.2.2), in milliseconds.
fn freshness(headers: &http::HeaderMap) -> i64 {
    let control =
        headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let directives = || control.split(',').map(str::trim);
    if directives().any(|one| one.eq_ignore_ascii_case("no-store") || one.eq_ignore_ascii_case("no-cache")) {
        return SHORTEST_COPY;
    }
    let seconds = directives().find_map(|one| one.strip_prefix("max-age=")?.parse::<i64>().ok());
    seconds
        .map_or(LONGEST_COPY / 24, |seconds| seconds.saturating_mul(1000))
        .clamp(SHORTEST_COPY, LONGEST_COPY)
}
