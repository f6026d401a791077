//! Issuers whose JWTs an organisation accepts as its agents' credentials.

use bytes::Bytes;
use serde_json::json;

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::read;
use super::reply::Reply;
use crate::identity::jwt;
use crate::platform::Platform;
use crate::store::admin;
pub(super) use crate::store::documents::ISSUERS as KIND;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Issuer {
    jwks_uri: String,
    algorithms: Vec<String>,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, issuer: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, issuer)).await
}

pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    issuer: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let Issuer { jwks_uri, algorithms } = read(body)?;
    let loopback = |url: &url::Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let safe = |text: &str| {
        url::Url::parse(text)
            .is_ok_and(|url| url.scheme() == "https" || (url.scheme() == "http" && loopback(&url)))
    };
    if !safe(issuer) || issuer.contains(['?', '#']) {
        return Err(ApiError::Malformed(
            "an issuer is a URL with https, without query and fragment; in an address it is percent-encoded"
                .into(),
        ));
    }
    if let Some(unknown) = algorithms.iter().find(|algorithm| !jwt::ALGORITHMS.contains(&algorithm.as_str()))
    {
        return Err(ApiError::Malformed(format!(
            "algorithm `{}` is not one of {}",
            unknown.chars().filter(|c| !c.is_control()).take(40).collect::<String>(),
            jwt::ALGORITHMS.join(", ")
        )));
    }
    if algorithms.is_empty() || !safe(&jwks_uri) {
        return Err(ApiError::Malformed("an issuer needs `algorithms` and a `jwksUri` with https".into()));
    }
    let algorithms = json!(algorithms).to_string();
    let statement = admin::put_issuer(&desk.org.id, issuer, &jwks_uri, algorithms, desk.platform.now());
    let change =
        Change { action: "issuer.put", told: format!("issuer `{issuer}`"), statements: vec![statement] };
    desk.put(&desk.thing(&KIND, issuer), change).await
}

pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, issuer: &str) -> Result<Reply, ApiError> {
    let statements = vec![admin::delete_issuer(&desk.org.id, issuer)];
    let change = Change { action: "issuer.delete", told: format!("issuer `{issuer}`"), statements };
    desk.delete(&desk.thing(&KIND, issuer), change).await
}
