//! `/token`: from something that proves a permission to an access token for one audience, good for minutes (OAuth 2.1 §3.2).

mod assertion;
mod client_credentials;
mod code;
mod exchange;
mod issue;
mod refresh;

use bytes::Bytes;
use http::{Request, Response, header};

use super::error::OAuthError;
use super::parameters::{Parameters, of_form};
use crate::Gateway;
use crate::body::Body;
use crate::clients::{self, Client, Proof};
use crate::platform::Platform;

/// RFC 8693 §2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 §2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The grants that are served.
pub(crate) const GRANTS: [&str; 5] =
    ["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE, JWT_BEARER];

/// A request to the token endpoint, its client proved.
struct Ask<'a, P: Platform> {
    gateway: &'a Gateway,
    platform: &'a P,
    client: Client,
    form: Parameters,
}

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, OAuthError> {
    let form = of_form(request)?;
    let grant = form.must("grant_type")?.to_owned();
    if !GRANTS.contains(&grant.as_str()) {
        let why = format!("`grant_type` must be one of {}", GRANTS.join(", "));
        return Err(OAuthError::new("unsupported_grant_type", why));
    }
    let shows_client = request.headers().contains_key(header::AUTHORIZATION)
        || ["client_id", "client_assertion"].iter().any(|name| form.get(name).is_some());
    let client = if grant == JWT_BEARER && !shows_client {
        Client::workload()
    } else {
        prove(gateway, platform, request, &form).await?
    };
    let ask = Ask { gateway, platform, client, form };
    match grant.as_str() {
        "authorization_code" => code::redeem(&ask).await,
        "refresh_token" => refresh::refresh(&ask).await,
        "client_credentials" => client_credentials::grant(&ask).await,
        TOKEN_EXCHANGE => exchange::exchange(&ask).await,
        _ => assertion::grant(&ask).await,
    }
}

/// Who sent a request, by whichever method it is registered with.
pub(super) async fn prove<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    form: &Parameters,
) -> Result<Client, OAuthError> {
    let text = |name| form.get(name).map(str::to_owned);
    let proof = Proof {
        client_id: text("client_id"),
        client_secret: text("client_secret"),
        assertion: text("client_assertion"),
        assertion_type: text("client_assertion_type"),
    };
    Ok(clients::prove(gateway, platform, request.headers(), proof).await?)
}
