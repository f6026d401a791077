//! An agent gets a token with which it acts for a person, from a token of that person (RFC 8693). Who acted before it is named in the
//! new token: delegation, never impersonation. Nothing grows: scopes are at most those of the token that is shown.

use http::Response;
use schemas::ids::UserId;
use serde_json::Value;

use super::Ask;
use super::issue::Granted;
use crate::body::Body;
use crate::clients::Method;
use crate::platform::Platform;
use crate::routes::oauth_server::acting::Place;
use crate::routes::oauth_server::error::OAuthError;
use crate::store::authorizations;
use crate::store::callers::Credential;
use crate::store::people;

/// RFC 8693 §3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Whom a token speaks for.
struct Subject {
    user: UserId,
    /// Who acted with it, outermost first.
    actors: Vec<String>,
    /// What it is limited to, if it is.
    scopes: Option<Vec<String>>,
}

/// Exchanges a token.
pub(super) async fn exchange<P: Platform>(ask: &Ask<'_, P>) -> Result<Response<Body<P::Stream>>, OAuthError> {
    ask.registered_for(super::TOKEN_EXCHANGE)?;
    let unauthorized = |why: &str| OAuthError::new("unauthorized_client", why);
    let agent = ask
        .client
        .agent
        .clone()
        .ok_or_else(|| unauthorized("only a client that is an agent can act for somebody"))?;
    if ask.client.metadata.method() == Method::None {
        return Err(unauthorized("a client without a secret or key can't prove that it is this agent"));
    }
    if ask.form.get("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(OAuthError::invalid_request(format!("`requested_token_type` must be `{ACCESS_TOKEN}`")));
    }
    if ask.form.get("actor_token").is_some() {
        return Err(OAuthError::invalid_request("the actor is the client itself: leave `actor_token` out"));
    }
    let target = ask.toolbox()?;
    let place = ask.place(&target).await?;
    let subject = subject(ask, &place).await?;
    let (agent, person, permit) = place.still(ask.platform, &ask.client, &agent, Some(&subject.user)).await?;
    let asked = ask.scopes();
    let scopes: Vec<String> = match &subject.scopes {
        Some(most) => asked.into_iter().filter(|scope| most.contains(scope)).collect(),
        None => asked,
    };
    if scopes.is_empty() {
        return Err(OAuthError::new("invalid_scope", "the token that was shown allows nothing of that"));
    }
    let user = person.map(|person| (subject.user, person.name));
    let granted = Granted { place, target, agent, user, actors: subject.actors, scopes, permit };
    let mut document = ask.once(granted).await?;
    if let Some(members) = document.as_object_mut() {
        members.insert("issued_token_type".to_owned(), Value::from(ACCESS_TOKEN));
    }
    Ok(Ask::<P>::brought(&document))
}

/// The person behind the token that is shown: one of ours, or one that the organisation's issuer made for us.
async fn subject<P: Platform>(ask: &Ask<'_, P>, place: &Place) -> Result<Subject, OAuthError> {
    let token = ask.form.must("subject_token")?;
    let kind = ask.form.must("subject_token_type")?;
    let now = ask.platform.now();
    let gateway = ask.gateway;
    let bad = |why: &str| OAuthError::invalid_request(format!("`subject_token`: {why}"));
    if kind == ACCESS_TOKEN || (kind == JWT && gateway.access_tokens.is_ours(&gateway.vault, now, token)) {
        let verified = gateway.access_tokens.verify(&gateway.vault, now, token, None);
        let claims = verified.map_err(|error| bad(&error.to_string()))?;
        let from = authorizations::find(ask.platform, &claims.sid, &claims.jti).await?;
        let from = from
            .filter(|from| from.org == place.org.id)
            .ok_or_else(|| bad("it was revoked, or is of another organisation"))?;
        let user = from.user.ok_or_else(|| bad("it speaks for no person"))?;
        let scopes = claims.scope.split(' ').map(str::to_owned).collect();
        return Ok(Subject { user, actors: from.actors, scopes: Some(scopes) });
    }
    if kind != ID_TOKEN && kind != JWT {
        return Err(OAuthError::invalid_request(format!(
            "`subject_token_type` must be `{ACCESS_TOKEN}`, `{ID_TOKEN}` or `{JWT}`"
        )));
    }
    // A grant that is bound to another client is no token of a person.
    let typ = jsonwebtoken::decode_header(token).map_err(|_| bad("it is no JWT"))?.typ;
    if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(bad("its `typ` says that it is something else"));
    }
    let issuer = &gateway.settings.public_url;
    let verified = gateway.tokens.verify(ask.platform, token, &place.org.name, issuer).await;
    match verified.map_err(|error| bad(&error.to_string()))? {
        Credential::Token { issuer, subject, .. } => {
            let user = people::by_subject(ask.platform, &place.org.id, &issuer, &subject).await?;
            let user = user.ok_or_else(|| bad("its subject is no user of this organisation"))?;
            Ok(Subject { user, actors: Vec::new(), scopes: None })
        }
        Credential::KeyHash(_) | Credential::Access { .. } => Err(bad("it is no token of an issuer")),
    }
}
