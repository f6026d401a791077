//! A refresh token becomes an access token and another refresh token (OAuth 2.1 §4.3). Everything is asked again: is the agent
//! active, does it let this client in, may it act for this person.

use http::Response;
use schemas::audit::Actor;
use schemas::decision::OrgFacts;
use schemas::ids::Sha256Hex;

use super::Ask;
use crate::audit;
use crate::body::Body;
use crate::platform::{Batch, Platform};
use crate::routes::oauth_server::acting::{Place, about, credential};
use crate::routes::oauth_server::error::OAuthError;
use crate::store::authorizations::{self, Authorization};

/// Rotates a refresh token.
pub(super) async fn refresh<P: Platform>(ask: &Ask<'_, P>) -> Result<Response<Body<P::Stream>>, OAuthError> {
    ask.registered_for("refresh_token")?;
    let hash = Sha256Hex::of(ask.form.must("refresh_token")?.as_bytes());
    let unknown = || {
        OAuthError::invalid_grant(
            "no such refresh token, or it was revoked or has expired: ask the person again",
        )
    };
    let from = authorizations::refresh(ask.platform, hash.as_str()).await?.ok_or_else(unknown)?;
    if from.client != ask.client.id {
        return Err(unknown());
    }
    if ask.form.get("resource").is_some_and(|resource| resource != from.audience) {
        return Err(OAuthError::invalid_target("the refresh token is for another `resource`"));
    }
    let scopes = narrowed(ask, &from)?;
    if let Some(agent) = &from.agent {
        let place = Place::of(ask.gateway, ask.platform, &from.org_name).await?.ok_or_else(unknown)?;
        place.still(ask.platform, &ask.client, agent, from.user.as_ref()).await?;
    }
    let next = format!("ambit_rt_{}", ask.random());
    let next_hash = Sha256Hex::of(next.as_bytes());
    let rotation = authorizations::rotate(hash.as_str(), next_hash.as_str(), ask.platform.now());
    let results = ask.platform.sql(Batch::write(rotation)).await?;
    if results.first().is_none_or(Vec::is_empty) {
        if authorizations::was_replaced(ask.platform, hash.as_str()).await? {
            return Err(stolen(ask, &from).await?);
        }
        return Err(unknown());
    }
    let mut document = ask.sign(&from, &scopes)?;
    if let Some(members) = document.as_object_mut() {
        members.insert("refresh_token".to_owned(), next.into());
    }
    Ok(Ask::<P>::brought(&document))
}

/// The scopes of the new access token: what was let do, or less (RFC 6749 §6).
fn narrowed<P: Platform>(ask: &Ask<'_, P>, from: &Authorization) -> Result<Vec<String>, OAuthError> {
    let Some(asked) = ask.form.get("scope") else { return Ok(from.scopes.clone()) };
    let known = |scope: &&str| crate::routes::oauth_server::SCOPES.contains(scope);
    if let Some(more) =
        asked.split(' ').filter(known).find(|scope| !from.scopes.iter().any(|one| one == scope))
    {
        return Err(OAuthError::new("invalid_scope", format!("`{more}` is more than the person allowed")));
    }
    let scopes: Vec<String> =
        from.scopes.iter().filter(|scope| asked.split(' ').any(|one| one == *scope)).cloned().collect();
    Ok(if scopes.is_empty() { from.scopes.clone() } else { scopes })
}

/// A token that was replaced, and whose successor was used, comes back: two hold tokens of one family, and one of them stole it
/// (RFC 9700 §4.14.2).
async fn stolen<P: Platform>(ask: &Ask<'_, P>, from: &Authorization) -> Result<OAuthError, OAuthError> {
    let org = OrgFacts { id: from.org.clone(), name: from.org_name.clone() };
    let actor = Actor { agent: None, user: None, credential: credential(&ask.client) };
    let told = format!("{}: a refresh token came back that had been replaced, so it is ended", from.id);
    let note = audit::note_statement(ask.platform, &about(&org, actor, "authorization.end"), told, None)?;
    ask.platform.sql(Batch::write([authorizations::end(&from.id, ask.platform.now()), note])).await?;
    Ok(OAuthError::invalid_grant(
        "the refresh token was used before, so all tokens of its family are revoked: ask the person again",
    ))
}
