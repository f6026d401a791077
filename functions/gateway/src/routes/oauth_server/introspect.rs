//! Introspection (RFC 7662): for clients that an organisation registered, about tokens of that organisation only.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::error::OAuthError;
use super::parameters::of_form;
use super::token::prove;
use crate::Gateway;
use crate::body::Body;
use crate::clients::{Client, Method};
use crate::platform::Platform;
use crate::store::authorizations;

/// Answers what a token is good for; of every other token, that it is not active.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, OAuthError> {
    let form = of_form(request)?;
    let client = prove(gateway, platform, request, &form).await?;
    if client.org.is_none() || client.metadata.method() == Method::None {
        let why = "only clients that an organisation registered, with a secret or key, may ask about tokens";
        return Err(OAuthError::new("unauthorized_client", why).with_status(StatusCode::FORBIDDEN));
    }
    let told = told(gateway, platform, &client, form.must("token")?).await?;
    Ok(super::answer(StatusCode::OK, &told.unwrap_or_else(|| json!({ "active": false }))))
}

async fn told<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    client: &Client,
    token: &str,
) -> Result<Option<Value>, OAuthError> {
    let Ok(claims) = gateway.access_tokens.verify(&gateway.vault, platform.now(), token, None) else {
        return Ok(None);
    };
    let from = authorizations::find(platform, &claims.sid, &claims.jti).await?;
    if from.is_none_or(|from| Some(&from.org) != client.org.as_ref()) {
        return Ok(None);
    }
    let mut told = serde_json::to_value(&claims).unwrap_or_default();
    if let Some(members) = told.as_object_mut() {
        members.insert("active".to_owned(), Value::Bool(true));
        members.insert("token_type".to_owned(), Value::from("Bearer"));
    }
    Ok(Some(told))
}
