//! Dynamic Client Registration (RFC 7591): deprecated by MCP 2026-07-28 in favour of documents, and what older clients do. Whoever
//! registers may do nothing by that: a person has to let it in, and an agent has to let it be let in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use schemas::ids::{Sha256Hex, ulid};
use serde_json::{Value, json};

use super::error::OAuthError;
use crate::Gateway;
use crate::body::Body;
use crate::clients::{Client, Kind, Metadata};
use crate::egress;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::store;

/// The largest registration, in bytes.
const LARGEST: usize = 5 * 1024;
/// A client that nobody has let in is forgotten after so long, in milliseconds: a day.
const UNUSED: i64 = 24 * 60 * 60 * 1000;
/// As many may be waiting or in use at a time: storage that anybody can fill is bounded.
const MOST: i64 = 10_000;

/// Registers a client.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, OAuthError> {
    if !gateway.settings.registration {
        let why = "clients can't register themselves here: use a Client ID Metadata Document, or ask an owner to register the client";
        return Err(OAuthError::new("access_denied", why).with_status(StatusCode::FORBIDDEN));
    }
    if request.body().len() > LARGEST {
        let why = format!("a registration may have {LARGEST} bytes");
        return Err(
            OAuthError::new("invalid_client_metadata", why).with_status(StatusCode::PAYLOAD_TOO_LARGE)
        );
    }
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(OAuthError::new("invalid_client_metadata", "send `content-type: application/json`"));
    }
    let said: serde_json::Map<String, Value> = serde_json::from_slice(request.body()).map_err(|error| {
        OAuthError::new("invalid_client_metadata", format!("it is no JSON object: {error}"))
    })?;
    if said.contains_key("software_statement") {
        // RFC 7591 §3.2.2: there is nobody whose statements we could verify.
        return Err(OAuthError::new(
            "unapproved_software_statement",
            "software statements are not taken here",
        ));
    }
    let mut metadata = Metadata::read(request.body())?;
    metadata.token_endpoint_auth_method = Some(metadata.method());
    for grant in ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"] {
        if metadata.grant_types.as_ref().is_some_and(|grants| grants.iter().any(|one| one == grant)) {
            let why = format!("`{grant}` is for clients that an organisation registers as one of its agents");
            return Err(OAuthError::new("invalid_client_metadata", why));
        }
    }
    if let Some(uri) = &metadata.jwks_uri {
        egress::public_url(&gateway.settings, uri)
            .map_err(|error| OAuthError::new("invalid_client_metadata", format!("`jwks_uri`: {error}")))?;
    }
    let now = platform.now();
    let mut bytes = [0; 10];
    platform.fill_random(&mut bytes);
    let secret = metadata.method().has_secret().then(|| secret(platform));
    let client = Client {
        id: format!("ambit_client_{}", ulid(now, bytes)),
        kind: Kind::Dynamic,
        org: None,
        agent: None,
        secret_hash: secret
            .as_ref()
            .map(|secret| Sha256Hex::of(secret.expose().as_bytes()).as_str().to_owned()),
        metadata,
    };
    if !store::clients::register(platform, &client, now, now.plus(UNUSED), MOST).await? {
        let why = "too many clients are registered and unused: try again tomorrow, or use a Client ID Metadata Document";
        return Err(
            OAuthError::new("temporarily_unavailable", why).with_status(StatusCode::TOO_MANY_REQUESTS)
        );
    }
    let mut document = serde_json::to_value(&client.metadata).unwrap_or_default();
    if let Some(members) = document.as_object_mut() {
        members.insert("client_id".to_owned(), client.id.into());
        members.insert("client_id_issued_at".to_owned(), json!(now.0 / 1000));
        members.entry("grant_types").or_insert_with(|| json!(["authorization_code", "refresh_token"]));
        members.entry("response_types").or_insert_with(|| json!(["code"]));
        if let Some(secret) = secret {
            members.insert("client_secret".to_owned(), secret.expose().into());
            // It does not expire by itself; the registration does, if nobody lets the client in.
            members.insert("client_secret_expires_at".to_owned(), json!(0));
        }
    }
    Ok(super::answer(StatusCode::CREATED, &document))
}

/// A client's secret, for whoever keeps only its hash: `ambit_cs_` and 256 random bits.
pub(crate) fn secret(platform: &impl Platform) -> Secret {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    Secret::new(format!("ambit_cs_{}", URL_SAFE_NO_PAD.encode(bytes)))
}
