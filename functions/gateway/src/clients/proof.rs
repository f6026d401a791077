//! How a client proves at our endpoints that it is itself: by one method, the one it is registered with (OAuth 2.1 §2.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use schemas::ids::Sha256Hex;
use subtle::ConstantTimeEq as _;

use super::{Client, ClientError, Method, find};
use crate::Gateway;
use crate::identity::assertion;
use crate::platform::{Platform, PlatformError};
use crate::store;

/// RFC 7521 §4.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request shows of its client.
#[derive(Debug, Default, Clone)]
pub(crate) struct Proof {
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<String>,
    pub(crate) assertion: Option<String>,
    pub(crate) assertion_type: Option<String>,
}

/// Why nobody is behind a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// `invalid_client` (RFC 6749 §5.2). The second says whether the request tried `Authorization`.
    #[error("{0}")]
    Invalid(String),
    /// `invalid_request`: more than one method, or none that makes sense.
    #[error("{0}")]
    Malformed(String),
    /// We could not find out.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl From<ClientError> for ProofError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown(why) => Self::Invalid(why),
            ClientError::Platform(error) => Self::Platform(error),
        }
    }
}

fn invalid(why: &str) -> ProofError {
    ProofError::Invalid(why.to_owned())
}

/// Who sent a request to an endpoint.
///
/// # Errors
/// It is not proved; see [`ProofError`].
pub(crate) async fn prove<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    headers: &HeaderMap,
    mut proof: Proof,
) -> Result<Client, ProofError> {
    let basic = headers.get(header::AUTHORIZATION).map(|value| basic(value.to_str().unwrap_or_default()));
    let methods = [basic.is_some(), proof.client_secret.is_some(), proof.assertion.is_some()];
    if methods.iter().filter(|shown| **shown).count() > 1 {
        return Err(ProofError::Malformed("a client proves itself in one way, not in two".to_owned()));
    }
    let mut shown = match &proof {
        Proof { client_secret: Some(_), .. } => Method::ClientSecretPost,
        Proof { assertion: Some(_), .. } => Method::PrivateKeyJwt,
        _ => Method::None,
    };
    if let Some(basic) = basic {
        let (id, secret) =
            basic.ok_or_else(|| invalid("`authorization` holds no client id and secret in Basic form"))?;
        if proof.client_id.as_ref().is_some_and(|other| *other != id) {
            return Err(ProofError::Malformed("two different clients are named".to_owned()));
        }
        (proof.client_id, proof.client_secret, shown) = (Some(id), Some(secret), Method::ClientSecretBasic);
    }
    if let (Some(assertion), None) = (&proof.assertion, &proof.client_id) {
        proof.client_id = assertion::subject(assertion);
    }
    let id = proof.client_id.as_deref().ok_or_else(|| invalid("`client_id` is missing"))?;
    let client = find(gateway, platform, id).await?;
    if client.metadata.method() != shown {
        let expected = serde_json::to_string(&client.metadata.method()).unwrap_or_default();
        return Err(ProofError::Invalid(format!("this client proves itself by {expected}")));
    }
    match shown {
        Method::None => {}
        Method::ClientSecretBasic | Method::ClientSecretPost => {
            let hash = Sha256Hex::of(proof.client_secret.unwrap_or_default().as_bytes());
            let expected = client.secret_hash.as_deref().unwrap_or_default();
            if !bool::from(hash.as_str().as_bytes().ct_eq(expected.as_bytes())) {
                return Err(invalid("the client's secret is another"));
            }
        }
        Method::PrivateKeyJwt => by_assertion(gateway, platform, &client, &proof).await?,
    }
    Ok(client)
}

/// RFC 7523 §3: signed by the client's own key, by and about the client, for us, soon over, and good once.
async fn by_assertion<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    client: &Client,
    proof: &Proof,
) -> Result<(), ProofError> {
    if proof.assertion_type.as_deref() != Some(ASSERTION_TYPE) {
        return Err(ProofError::Malformed(format!("`client_assertion_type` must be `{ASSERTION_TYPE}`")));
    }
    let issuer = &gateway.settings.public_url;
    let audiences = [issuer.clone(), format!("{issuer}/token")];
    let assertion = proof.assertion.as_deref().unwrap_or_default();
    let used = assertion::verify_client(gateway, platform, client, assertion, &audiences).await?;
    if store::clients::burn(platform, &client.id, &used.jti, used.until).await? {
        Ok(())
    } else {
        Err(invalid("the client assertion was used before: make a new one for each request"))
    }
}

/// Client id and secret of HTTP Basic; both are form-encoded first (RFC 6749 §2.3.1).
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

fn decoded(text: &str) -> String {
    let whole = format!("v={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(whole.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}
