//! Who somebody is at a provider: by the id that never changes there, never by a name that somebody else can take.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde_json::{Map, Value};

use super::profile::{Account, Source, Way, With};
use super::token::{Redeemed, text_of};
use super::{Provider, authorization::Departure};
use crate::Gateway;
use crate::broker::Credential;
use crate::egress;
use crate::identity::oidc::{self, Claims};
use crate::platform::Platform;

/// No answer is larger, in bytes.
const LARGEST: usize = 256 * 1024;
/// No id or name is longer, in characters.
const LONGEST: usize = 200;

/// Who somebody is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Empty where the provider does not tell.
    pub(crate) id: String,
    /// What people know the account by.
    pub(crate) label: String,
}

/// Why nobody knows who it is. The texts hold nothing secret.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AccountError {
    /// What was entered, or was just got, opens nothing there.
    #[error("it does not take it: {0}")]
    Refused(String),
    /// It can't be asked now.
    #[error("it can't say now whose account that is: {0}")]
    Later(String),
    /// It says something else than it should.
    #[error("it does not say whose account that is: {0}")]
    Unclear(String),
}

/// Who came back from a provider. What else belongs to the credential is put into it.
///
/// # Errors
/// The provider does not tell.
pub(crate) async fn identify<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    departure: &Departure,
    redeemed: &mut Redeemed,
) -> Result<Identity, AccountError> {
    let claims = id_token(gateway, platform, provider, departure, redeemed).await?;
    for lookup in &provider.profile.lookups {
        let Some(url) = provider.values.endpoint(provider.profile, &provider.client.id, &lookup.endpoint)
        else {
            continue;
        };
        let answer = ask(gateway, platform, bearer(&redeemed.credential, Method::GET, &url, None)).await?;
        let found =
            lookup.keep.iter().filter_map(|(name, place)| Some((name, text_of(answer.pointer(place)?)?)));
        redeemed.credential.fields.extend(found.map(|(name, value)| (name.clone(), value)));
    }
    let Some(account) = &provider.profile.account else {
        // An MCP server's authorization server may tell, with an ID token; it need not.
        return Ok(claims.map(|claims| of_claims(&claims)).unwrap_or_default());
    };
    let said = match account.from {
        Source::Reply => Value::Object(redeemed.said.clone()),
        Source::IdToken => {
            let claims = claims.ok_or_else(|| AccountError::Unclear("there is no ID token".to_owned()))?;
            Value::Object(claims)
        }
        Source::Account => {
            let url = provider.endpoints.account.as_deref().unwrap_or_default();
            let method = if account.with == With::Post { Method::POST } else { Method::GET };
            ask(gateway, platform, bearer(&redeemed.credential, method, url, account.body.as_ref())).await?
        }
    };
    read(account, &said)
}

fn read(account: &Account, said: &Value) -> Result<Identity, AccountError> {
    let text = |place: &String| said.pointer(place).and_then(text_of).map(|text| short(&text));
    let parts: Option<Vec<String>> = account.id.iter().map(text).collect();
    let id = parts.map(|parts| parts.join(".")).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| AccountError::Unclear("its answer has no id".to_owned()))?;
    let label = account.label.iter().find_map(text).unwrap_or_else(|| id.clone());
    Ok(Identity { id, label })
}

fn of_claims(claims: &Map<String, Value>) -> Identity {
    let text = |name: &str| claims.get(name).and_then(text_of).map(|text| short(&text));
    let id = text("sub").unwrap_or_default();
    let label = ["email", "preferred_username", "name"].into_iter().find_map(text);
    Identity { label: label.unwrap_or_else(|| id.clone()), id }
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// The claims of the ID token, checked; nothing if there is none.
async fn id_token<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    departure: &Departure,
    redeemed: &Redeemed,
) -> Result<Option<Map<String, Value>>, AccountError> {
    let (Some(token), Some(nonce)) = (&redeemed.id_token, &departure.nonce) else { return Ok(None) };
    let (Some(jwks), Some(issuer)) = (&provider.endpoints.jwks, &departure.issuer) else { return Ok(None) };
    let unclear = |error: oidc::OidcError| AccountError::Unclear(error.to_string());
    let payload = oidc::open(gateway, platform, token.expose(), jwks).await.map_err(unclear)?;
    let issuer = issuer_of(provider, issuer, &payload)?;
    let claims = Claims::check(&payload, &issuer, &departure.client_id, nonce, platform.now());
    Ok(Some(claims.map_err(unclear)?.into_all()))
}

/// The issuer that a token has to be of. Where each tenant has one, the tenant has to be one that was meant: else anybody who can set up
/// a tenant could come.
fn issuer_of(provider: &Provider, issuer: &str, payload: &[u8]) -> Result<String, AccountError> {
    const GAP: &str = "{tenantid}";
    const SEVERAL: [&str; 3] = ["common", "organizations", "consumers"];
    if !issuer.contains(GAP) {
        return Ok(issuer.to_owned());
    }
    let claims: Map<String, Value> = serde_json::from_slice(payload).unwrap_or_default();
    let tenant = claims.get("tid").and_then(Value::as_str).unwrap_or_default();
    let meant = provider.values.get(provider.profile, "tenant").unwrap_or_default();
    let listed = provider.values.all("tenants");
    let by_id = meant.len() == 36 && !SEVERAL.contains(&meant);
    let admitted = (by_id && meant == tenant) || listed.iter().any(|one| one == tenant);
    // A tenant that is named by its domain has sent them itself: only it can, at its own endpoints.
    let by_domain = meant.contains('.') && listed.is_empty();
    if !(admitted || by_domain) || tenant.is_empty() {
        return Err(AccountError::Refused("the account is of a tenant that may not connect here".to_owned()));
    }
    Ok(issuer.replace(GAP, tenant))
}

/// Whose key or password somebody entered, where the provider can be asked.
///
/// # Errors
/// It is nobody's, or nobody knows.
pub(crate) async fn check_entered<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    credential: &Credential,
) -> Result<Identity, AccountError> {
    let unclear = |why: &str| AccountError::Unclear(why.to_owned());
    let value = |name| provider.values.get(provider.profile, name).unwrap_or_default();
    let username = credential.fields.get("username").cloned().unwrap_or_default();
    let Some(url) = &provider.endpoints.account else {
        return Ok(Identity { id: username.clone(), label: username });
    };
    let (name, shown) = if provider.profile.way == Way::Basic {
        let pair = STANDARD.encode(format!("{username}:{}", credential.access.expose()));
        ("authorization", format!("Basic {pair}"))
    } else {
        (value("header"), format!("{}{}", value("prefix"), credential.access.expose()))
    };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unclear("its header has no name"))?;
    let mut shown = HeaderValue::from_str(&shown)
        .map_err(|_| AccountError::Refused("it holds characters that no header takes".to_owned()))?;
    shown.set_sensitive(true);
    let request = base(Method::GET, url).header(name, shown).body(Bytes::new());
    let said = ask(gateway, platform, request).await?;
    let text = |place: &str| said.pointer(place).and_then(text_of).map(|text| short(&text));
    let id = text(value("accountId")).unwrap_or_else(|| username.clone());
    let label = text(value("accountLabel")).filter(|label| !label.is_empty());
    Ok(Identity {
        label: label.unwrap_or_else(|| if username.is_empty() { id.clone() } else { username }),
        id,
    })
}

fn base(method: Method, url: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "Ambit")
}

fn bearer(
    credential: &Credential,
    method: Method,
    url: &str,
    body: Option<&Value>,
) -> http::Result<Request<Bytes>> {
    let asking =
        base(method, url).header(header::AUTHORIZATION, format!("Bearer {}", credential.access.expose()));
    match body {
        Some(body) => {
            asking.header(header::CONTENT_TYPE, "application/json").body(Bytes::from(body.to_string()))
        }
        None => asking.body(Bytes::new()),
    }
}

async fn ask<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: http::Result<Request<Bytes>>,
) -> Result<Value, AccountError> {
    let request = request.map_err(|_| AccountError::Unclear("its address is no URL".to_owned()))?;
    egress::public_url(&gateway.settings, &request.uri().to_string())
        .map_err(|error| AccountError::Unclear(error.to_string()))?;
    let answer = egress::ask(platform, egress::guarded(&gateway.settings, request), LARGEST)
        .await
        .map_err(|error| AccountError::Later(error.told().to_owned()))?;
    let status = answer.status();
    let told = || format!("it answered with status {}", status.as_u16());
    match status {
        status if status.is_success() => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(AccountError::Later(told())),
        status if status.is_server_error() => return Err(AccountError::Later(told())),
        _ => return Err(AccountError::Refused(told())),
    }
    let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    // Slack's way of saying 401.
    if said.get("ok") == Some(&Value::Bool(false)) {
        return Err(AccountError::Refused("it answered that it is not good".to_owned()));
    }
    Ok(said)
}

/// Fields of a credential that a person entered.
pub(crate) fn entered(username: Option<&str>) -> BTreeMap<String, String> {
    username.map(|name| ("username".to_owned(), name.to_owned())).into_iter().collect()
}
