//! Taking a consent back at the provider, in the way that each has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};

use super::Provider;
use super::profile::{Proof, Revoke, TokenBody};
use super::token::{self, TokenError};
use crate::Gateway;
use crate::broker::Credential;
use crate::egress;
use crate::platform::Platform;

/// No answer is larger, in bytes.
const LARGEST: usize = 64 * 1024;

/// Takes back what the provider gave: it forgets the whole consent, where it can. Where there is no way to tell it so, nothing is done.
///
/// # Errors
/// It was not heard, or not taken.
pub(crate) async fn revoke<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    credential: &Credential,
) -> Result<(), TokenError> {
    let Some(endpoint) = &provider.endpoints.revoke else { return Ok(()) };
    let ours = |why: String| TokenError::Ours(why);
    egress::public_url(&gateway.settings, endpoint).map_err(|error| ours(error.to_string()))?;
    let fresh = match renewed(gateway, platform, provider, credential).await {
        Ok(fresh) => fresh,
        // What is over there is revoked.
        Err(TokenError::Ended(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let credential = fresh.as_ref().unwrap_or(credential);
    let Some(request) = request(provider, credential, endpoint) else { return Ok(()) };
    let request = request.map_err(|_| ours("its revocation endpoint is no URL".to_owned()))?;
    let answer = egress::ask(platform, egress::guarded(&gateway.settings, request), LARGEST)
        .await
        .map_err(|error| TokenError::Later { reason: error.told().to_owned(), after: None })?;
    judge(provider.profile.revoke, answer.status(), answer.body())
}

/// Where only a live access token revokes its consent, another one for one that has ended.
async fn renewed<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    credential: &Credential,
) -> Result<Option<Credential>, TokenError> {
    let needs_live = matches!(provider.profile.revoke, Revoke::Bearer | Revoke::GithubGrant);
    let ended = credential.expires_at.is_some_and(|end| end <= platform.now());
    if needs_live && ended && credential.refresh.is_some() {
        return token::refresh(gateway, platform, provider, credential).await.map(Some);
    }
    Ok(None)
}

fn request(
    provider: &Provider,
    credential: &Credential,
    endpoint: &str,
) -> Option<http::Result<Request<Bytes>>> {
    let base = |method: Method| {
        Request::builder()
            .method(method)
            .uri(endpoint)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "Ambit")
    };
    let access = credential.access.expose();
    let secret = provider.client.secret.as_ref().map_or("", |secret| secret.expose());
    let plain = || STANDARD.encode(format!("{}:{secret}", provider.client.id));
    Some(match provider.profile.revoke {
        Revoke::None => return None,
        Revoke::Bearer => {
            base(Method::POST).header(header::AUTHORIZATION, format!("Bearer {access}")).body(Bytes::new())
        }
        Revoke::GithubGrant => base(Method::DELETE)
            .header(header::AUTHORIZATION, format!("Basic {}", plain()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({ "access_token": access }).to_string().into()),
        Revoke::Rfc7009 => {
            // The refresh token stands for the whole consent (RFC 7009 §2.1).
            let (token, hint) = match &credential.refresh {
                Some(refresh) => (refresh.expose(), "refresh_token"),
                None => (access, "access_token"),
            };
            let mut members = Map::new();
            members.insert("token".to_owned(), token.into());
            members.insert("token_type_hint".to_owned(), hint.into());
            let basic = provider.client.proof == Proof::Basic && provider.client.secret.is_some();
            let mut asking = base(Method::POST);
            if basic {
                let encode =
                    |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let shown = STANDARD.encode(format!("{}:{}", encode(&provider.client.id), encode(secret)));
                asking = asking.header(header::AUTHORIZATION, format!("Basic {shown}"));
            } else {
                members.insert("client_id".to_owned(), provider.client.id.as_str().into());
                if provider.client.secret.is_some() {
                    members.insert("client_secret".to_owned(), secret.into());
                }
            }
            if provider.profile.token_body == TokenBody::Json {
                asking
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Value::Object(members).to_string().into())
            } else {
                let pairs = members.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                asking.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.into())
            }
        }
    })
}

/// What an answer means. Whoever says that there is no such token says that it is revoked.
fn judge(how: Revoke, status: StatusCode, body: &[u8]) -> Result<(), TokenError> {
    let members: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let error = members.get("error").and_then(Value::as_str).unwrap_or_default();
    let gone = [
        "invalid_token",
        "token_revoked",
        "token_expired",
        "invalid_auth",
        "invalid_grant",
        "account_inactive",
    ];
    let not_ok = members.get("ok") == Some(&Value::Bool(false));
    match status {
        status if status.is_success() && !not_ok => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => Ok(()),
        _ if gone.contains(&error) => Ok(()),
        status
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status.is_success() =>
        {
            Err(TokenError::Later {
                reason: format!("it answered with status {}", status.as_u16()),
                after: None,
            })
        }
        // A bearer token that opens nothing any more: nothing is left to tell.
        StatusCode::UNAUTHORIZED if how == Revoke::Bearer => Ok(()),
        status => Err(TokenError::Ours(format!("it did not take a revocation: status {}", status.as_u16()))),
    }
}
