//! A code becomes tokens (OAuth 2.1 §4.1.3): once, for the client that asked, with the verifier that only it knows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use schemas::audit::Actor;
use schemas::ids::Sha256Hex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Ask;
use crate::audit;
use crate::body::Body;
use crate::platform::{Batch, Platform};
use crate::routes::oauth_server::acting::{Place, about, credential};
use crate::routes::oauth_server::error::OAuthError;
use crate::store::authorizations::{self, Code};

/// Redeems a code. What is wrong with the request is told before the code is used up, so that the client may send it again.
pub(super) async fn redeem<P: Platform>(ask: &Ask<'_, P>) -> Result<Response<Body<P::Stream>>, OAuthError> {
    ask.registered_for("authorization_code")?;
    let shown = ask.form.must("code")?;
    let verifier = ask.form.must("code_verifier")?;
    let hash = Sha256Hex::of(shown.as_bytes());
    let unknown =
        || OAuthError::invalid_grant("no such code, or it was used or has expired: ask the person again");
    let code = authorizations::code(ask.platform, hash.as_str()).await?.ok_or_else(unknown)?;
    if code.authorization.client != ask.client.id {
        return Err(unknown());
    }
    if code.was_used {
        return Err(stolen(ask, &code).await?);
    }
    if !code.is_good {
        return Err(unknown());
    }
    // The very address that the code was sent to, with its port (RFC 6749 §4.1.3); OAuth 2.1 lets it be left out, as PKCE is there.
    if ask.form.get("redirect_uri").is_some_and(|uri| uri != code.redirect_uri) {
        return Err(OAuthError::invalid_grant("`redirect_uri` is not the one that the code was sent to"));
    }
    if ask.form.get("resource").is_some_and(|resource| resource != code.authorization.audience) {
        return Err(OAuthError::invalid_target("the code is for another `resource`"));
    }
    if !fits(verifier, &code.challenge) {
        return Err(OAuthError::invalid_grant("`code_verifier` does not fit the `code_challenge`"));
    }
    check(ask, &code).await?;

    let now = ask.platform.now();
    let mut statements = vec![authorizations::use_code(hash.as_str(), now)];
    let mut refresh = None;
    if ask.client.metadata.uses("refresh_token") {
        let token = format!("ambit_rt_{}", ask.random());
        let new = Sha256Hex::of(token.as_bytes());
        statements.push(authorizations::first_refresh(
            new.as_str(),
            hash.as_str(),
            &code.authorization.id,
            now,
        ));
        refresh = Some(token);
    }
    let results = ask.platform.sql(Batch::write(statements)).await?;
    // Somebody else was faster with the same code: one of the two is not the client.
    if results.first().is_none_or(Vec::is_empty) {
        return Err(stolen(ask, &code).await?);
    }
    let mut document = ask.sign(&code.authorization, &code.authorization.scopes)?;
    if let (Some(token), Some(members)) = (refresh, document.as_object_mut()) {
        members.insert("refresh_token".to_owned(), token.into());
    }
    Ok(Ask::<P>::brought(&document))
}

/// Whether agent and person are still as they were when the person said yes, moments ago.
async fn check<P: Platform>(ask: &Ask<'_, P>, code: &Code) -> Result<(), OAuthError> {
    let from = &code.authorization;
    let Some(agent) = &from.agent else { return Ok(()) };
    let place = Place::of(ask.gateway, ask.platform, &from.org_name).await?;
    let place = place.ok_or_else(|| OAuthError::invalid_grant("the organisation is gone"))?;
    place.still(ask.platform, &ask.client, agent, from.user.as_ref()).await.map(drop)
}

/// A code that comes twice was overheard: whatever it brought is taken back (RFC 6749 §4.1.2).
async fn stolen<P: Platform>(ask: &Ask<'_, P>, code: &Code) -> Result<OAuthError, OAuthError> {
    let from = &code.authorization;
    let org = schemas::decision::OrgFacts { id: from.org.clone(), name: from.org_name.clone() };
    let actor = Actor { agent: None, user: None, credential: credential(&ask.client) };
    let told = format!("{}: its code was used twice, so it is ended", from.id);
    let note = audit::note_statement(ask.platform, &about(&org, actor, "authorization.end"), told, None)?;
    ask.platform.sql(Batch::write([authorizations::end(&from.id, ask.platform.now()), note])).await?;
    Ok(OAuthError::invalid_grant(
        "the code was used before, so everything that it brought is revoked: ask the person again",
    ))
}

/// RFC 7636 §4.6, S256.
fn fits(verifier: &str, challenge: &str) -> bool {
    let length = (43..=128).contains(&verifier.len());
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    length && bool::from(digest.as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_of_the_specification() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(super::fits(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert!(!super::fits(verifier, verifier), "that would be `plain`");
    }
}
