//! Revocation (RFC 7009): a refresh token ends its whole family, an access token itself. Whatever is shown, the answer is the same, so
//! that nobody learns which tokens there are.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use schemas::audit::Actor;
use schemas::decision::OrgFacts;
use schemas::ids::{Sha256Hex, Timestamp};
use serde_json::json;

use super::acting::{about, credential};
use super::error::OAuthError;
use super::parameters::of_form;
use super::token::prove;
use crate::Gateway;
use crate::audit;
use crate::body::Body;
use crate::platform::{Batch, Platform};
use crate::store::authorizations::{self, Authorization};

/// Revokes a token.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, OAuthError> {
    let form = of_form(request)?;
    let client = prove(gateway, platform, request, &form).await?;
    let token = form.must("token")?;
    let now = platform.now();
    let done = |from: &Authorization, told: String, statement| {
        let org = OrgFacts { id: from.org.clone(), name: from.org_name.clone() };
        let actor = Actor { agent: None, user: None, credential: credential(&client) };
        let note = audit::note_statement(platform, &about(&org, actor, "authorization.end"), told, None)?;
        Ok::<_, OAuthError>(Batch::write([statement, note]))
    };
    if gateway.access_tokens.is_ours(&gateway.vault, now, token) {
        if let Ok(claims) = gateway.access_tokens.verify(&gateway.vault, now, token, None)
            && claims.client_id == client.id
            && let Some(from) = authorizations::find(platform, &claims.sid, &claims.jti).await?
        {
            let until = Timestamp(claims.exp.saturating_add(60).saturating_mul(1000));
            let told = format!("{}: one access token is revoked", from.id);
            platform.sql(done(&from, told, authorizations::revoke_token(&claims.jti, until))?).await?;
        }
    } else {
        let hash = Sha256Hex::of(token.as_bytes());
        let from = authorizations::refresh(platform, hash.as_str()).await?;
        if let Some(from) = from.filter(|from| from.client == client.id) {
            let told = format!("{}: its client ended it", from.id);
            platform.sql(done(&from, told, authorizations::end(&from.id, now))?).await?;
        }
    }
    Ok(super::answer(StatusCode::OK, &json!({})))
}
